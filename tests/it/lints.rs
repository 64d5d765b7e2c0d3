//! Lints: what each says, that its page tells the truth, and that the shipped recipes raise none.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use rbpipe::base::world::MemoryWorld;
use rbpipe::base::{Diagnostic, SourceMap};
use rbpipe::plan::{self, PathArg, lints};
use rbpipe::semantics::{Settings, check, load};

const HEAD: &str = r#"recipe "lints"
import std.{data, filter, dedup, augment, train, model, eval, bench, read, mark, total}
param seed: Int = 1
schema Sample { id: Str, instruction: Str, input: Str?, output: Str, images: [Image], n: Int }
schema Plain { id: Str, instruction: Str, output: Str, n: Int }
schema Pair { id: Str, prompt: Str, images: [Image], chosen: Str, rejected: Str }
let raw = data.jsonl("raw.jsonl", as: Sample)
let plain = data.jsonl("plain.jsonl", as: Plain)
let pairs = data.jsonl("pairs.jsonl", as: Pair)
let base = model.hf("./tiny")
fn exam(path: Str) -> Benchmark =
  bench.json(path)
  |> bench.sample(id: .id, kind: "choice", question: .q, options: .o, key: .a.letter())
  |> bench.ask(choice: "Answer with the letter only.")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())
"#;

/// Every file of rows has 1,000, and 200 words in its instructions at most, as if a lock said so.
struct Thousand;

impl lints::Known for Thousand {
    fn rows(&self, file: &PathArg) -> Option<u64> {
        (!file.media && !file.model).then_some(1_000)
    }

    fn words(&self, _: &PathArg) -> BTreeMap<String, u64> {
        BTreeMap::from([("instruction".to_owned(), 200), ("prompt".to_owned(), 100)])
    }
}

/// All that is said of `recipe.rb2`, which must come to a graph.
pub fn told_of(world: &MemoryWorld, known: &dyn lints::Known) -> (Vec<Diagnostic>, SourceMap) {
    let catalogue = rbpipe::ops::catalogue();
    let mut sources = SourceMap::default();
    let (program, mut all) = load(world, &catalogue, &mut sources, Path::new("recipe.rb2"));
    all.extend(check(&program, &catalogue, &Settings::default()).1);
    let (planned, more) = plan::evaluate(&program, &catalogue, &mut sources, world, &plan::Options::default());
    all.extend(more);
    match planned {
        Some(planned) => all.extend(lints::lint(&program, &catalogue, &planned.graph, &sources, world, known)),
        None => panic!("{}: {:#?}", world.files[Path::new("recipe.rb2")], all.sorted()),
    }
    (all.sorted(), sources)
}

fn problems(text: &str) -> Vec<Diagnostic> {
    let mut world = MemoryWorld::default();
    // A case about the head brings its own.
    let head = if text.starts_with("recipe ") { HEAD.split_once('\n').unwrap().1 } else { HEAD };
    let (first, rest) = if text.starts_with("recipe ") { text.split_once('\n').unwrap() } else { ("", text) };
    let whole = if first.is_empty() { format!("{head}{rest}\n") } else { format!("{first}\n{head}{rest}\n") };
    world.files.insert("recipe.rb2".into(), whole);
    world.files.insert("tiny/config.json".into(), crate::memory::SEVEN_B.to_owned());
    let all = told_of(&world, &Thousand).0;
    let (own, below) = match first {
        "" => (0, HEAD.len()),
        first => (first.len(), first.len() + 1 + head.len()),
    };
    let told = |d: &Diagnostic| (d.primary.span.start as usize) < own || d.primary.span.start as usize >= below;
    all.into_iter().filter(told).collect()
}

fn told(d: &Diagnostic) -> String {
    let also: Vec<&str> = d.others.iter().map(|l| l.text.as_str()).collect();
    format!(
        "{} {} | {} | {} | {}",
        d.code,
        d.message,
        d.primary.text,
        also.join(" | "),
        d.help.clone().unwrap_or_default()
    )
}

/// What a recipe below [`HEAD`] is told: codes with pieces of the text; nothing for one that is fine.
type Case = (&'static str, &'static [&'static str]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // ---- steps: 1,000 rows
    ("stage t = base |> train.sft(data: plain, batch: 256, epochs: 3, warmup: 80steps)", &["W0501 warm-up is 80 of 12 steps (666.7 %)|`warmup: 5%` is 1 step;"]),
    ("stage t = base |> train.sft(data: plain, batch: 100, epochs: 1, warmup: 2steps)", &[]),
    ("stage t = base |> train.sft(data: plain, warmup: 30%)", &["W0501 warm-up is 30 % of the steps"]),
    ("stage t = base |> train.sft(data: plain, max_steps: 20steps, warmup: 5steps)", &["W0501 warm-up is 5 of 20 steps (25 %)"]),
    ("# allow W0501: a restart\nstage t = base |> train.sft(data: plain, warmup: 30%)", &[]),
    ("# allow W0501: a restart\nstage t = base |> train.sft(data: plain, warmup: 3%)", &["W0510 W0501 no longer fires here"]),
    ("let how = { batch: 100, warmup: 9steps }\nstage t = base |> train.sft(data: plain, ..how)", &["W0501 warm-up is 9 of 10 steps"]),
    ("stage t = base |> train.sft(data: plain, batch: 256, epochs: 3, validation: 1%, evaluate: 150steps) with { checkpoint: 150steps, log: 50steps }",
        &["W0502 `evaluate: 150steps`, `checkpoint: 150steps` and `log: 50steps` never fire: the training has 12 steps at most|a crash at the last step begins anew|nor does this|use `2steps` or less"]),
    ("stage t = base |> train.sft(data: plain, batch: 10, validation: 1%, evaluate: 20steps) with { checkpoint: 20steps, log: 5steps }", &[]),
    ("stage t = base |> train.sft(data: plain |> filter.rule(where: .n > 3), batch: 512, epochs: 1) with { checkpoint: 3steps }", &["W0502 `checkpoint: 3steps` never fires: the training has 2 steps at most"]),
    ("stage t = base |> train.sft(data: data.concat(a: plain, b: plain |> data.sample(n: 1_000rows)), batch: 100, epochs: 1, warmup: 4steps)", &[]),
    ("stage t = base |> train.sft(data: plain) with { checkpoint: 1h, timeout: 30m, stall: 2h }", &["W0502 `checkpoint` and `stall` are longer than `timeout`, 30 minutes|never reached"]),
    ("stage t = base |> train.sft(data: plain) with { checkpoint: 10m, timeout: 30m, stall: 5m }\nstage a = plain |> filter.rule(where: .n > 2) with { stall: 20m, timeout: 10m }", &["W0502 `stall` is longer than `timeout`, 10 minutes"]),
    ("stage t = base |> train.sft(data: plain, batch: 2_000)", &["W0503 a batch of 2000 is more than the 1000 rows"]),
    ("stage t = base |> train.sft(data: plain, max_rows: 20rows, batch: 32)", &["W0503 a batch of 32 is more than the 20 rows"]),
    ("stage t = base |> train.sft(data: plain, epochs: 0)", &["W0519 `train.sft` takes no step"]),
    ("stage t = base |> train.sft(data: plain, batch: 100, max_steps: 11steps)", &["W0514 `max_steps` of 11 is never reached: 1 epoch is 10 steps"]),
    ("stage t = base |> train.sft(data: plain, batch: 100, max_steps: 9steps)", &[]),
    ("stage t = base |> train.sft(data: plain, validation: 1_000rows)", &["W0512 `validation` holds out all of the 1000 rows"]),
    ("let p = plain |> data.top(by: .n, n: 20rows) |> data.split(validation: 1%)\nstage v = p.validation", &["W0512 `validation` of 20 rows at most is no row"]),
    ("let p = plain |> data.split(validation: 10%, test: 2_000rows)\nstage v = p.validation", &["W0512 `test` takes all of the 1000 rows"]),
    ("stage t = base |> train.sft(data: plain, evaluate: 5steps)", &["W0513 `evaluate` has no rows"]),
    ("stage t = base |> train.sft(data: plain, best: true)", &["W0513 `best: true` has no evaluation"]),
    ("stage t = base |> train.sft(data: plain, freeze: [\"vision\", \"projector\", \"language\", \"embeddings\"])", &["W0515 every part"]),
    ("stage t = base |> train.sft(data: raw, pixels: 1_024px..589_824px, cutoff: 512tok)", &["W0509 a picture of 589824 pixels is 752 tokens, `cutoff` is 512|200704px take half"]),
    ("stage t = base |> train.sft(data: raw, cutoff: 512tok)", &[]),
    // ---- numbers that nobody uses
    ("stage t = base |> train.sft(data: plain, lr: 2e-2)", &["W0505 `lr: 0.02` is unusually high for `train.sft`"]),
    ("stage t = base |> train.sft(data: plain, lr: 2e-9)", &["W0505 `lr: 2e-9` is unusually low"]),
    ("stage t = base |> train.dpo(pairs: pairs, lr: 5e-4, beta: 10.0)", &["W0505 `lr: 5e-4`|5e-7 to 5e-6", "W0505 `beta: 10`"]),
    ("stage t = base |> train.dpo(pairs: pairs, lr: 5e-7, beta: 0.1, smoothing: 0.6)", &["W0505 `smoothing: 0.6`|the worse reply is preferred"]),
    ("stage t = base |> train.sft(data: plain, betas: [0.9, 1.0], weight_decay: 0.9)", &["W0505 decay rates", "W0505 `weight_decay: 0.9`"]),
    ("stage t = base |> train.sft(data: plain, lr: 3e-4, weight_decay: 0.1, ema: 0.9)", &[]),
    // ---- options that nothing reads
    ("stage t = base |> train.sft(data: plain, rank: 16)", &["W0402 `rank` of `train.sft` has no effect"]),
    ("stage t = base |> train.sft(data: plain, cooldown: 20%)", &["W0402 `cooldown`"]),
    ("stage t = base |> train.sft(data: plain, schedule: \"constant\", floor: 10%)", &["W0402 `floor`"]),
    ("stage t = base |> train.dpo(pairs: pairs, gamma: 1.5)", &["W0402 `gamma`|simpo"]),
    ("stage t = base |> train.dpo(pairs: pairs, loss: \"orpo\", reference: \"start\")", &["W0402 `reference`"]),
    ("stage t = base |> train.dpo(pairs: pairs, loss: \"ipo\", smoothing: 0.1)", &["W0402 `smoothing`"]),
    ("stage e = eval.run(base, on: exam(path: \"e.jsonl\"), top_p: 0.9, seed: 3, epochs: 4)", &["W0402 `top_p`", "W0402 `seed`", "W0402 `epochs`"]),
    ("stage e = eval.run(base, on: exam(path: \"e.jsonl\"), temperature: 0.7, top_p: 0.9, seed: 3, epochs: 4)", &[]),
    // ---- evaluation
    ("stage e = eval.run(base, on: exam(path: \"e.jsonl\"), temperature: 0.7)", &["W0507 replies are drawn at random"]),
    ("stage e = eval.run(base, on: exam(path: \"e.jsonl\"), rows: 20rows)", &["W0516 a score over 20 questions is known to ± 22 points"]),
    ("stage e = bench.json(\"e.jsonl\") |> bench.sample(id: .id, kind: \"text\", question: .q + .a.trim(), key: .a.lower())", &["W0518 the question shows `.a`"]),
    ("stage e = bench.json(\"e.jsonl\") |> bench.sample(id: .id, kind: \"choice\", question: .q + .o[0], options: .o, key: .a.index_in(.o))", &[]),
    ("stage a = data.blend(of: [plain, raw], weights: [50%, 50%])", &["W0301 `.images` of `raw` is lost: `plain` has no such column"]),
    // ---- leaks
    ("stage t = base |> train.sft(data: plain)\nstage e = eval.run(t, on: exam(path: \"e.jsonl\"))", &["W0506 nothing checks"]),
    ("stage t = base |> train.sft(data: plain)\nstage e = eval.run(t, on: exam(path: \"plain.jsonl\"))\nlet s = bench.suite(of: { e: exam(path: \"plain.jsonl\") })\nexpect data.disjoint(plain, from: s.items, on: [\"13gram\"])",
        &["W0511 `eval.run` measures with rows that `t` trains on: `plain.jsonl`|trained on here"]),
    ("stage t = base |> train.dpo(pairs: pairs)\nstage u = t |> train.sft(data: plain)\nstage e = eval.preference(u, pairs: pairs)", &["W0511 `eval.preference` measures with rows that `t` trains on: `pairs`"]),
    ("let p = pairs |> data.split(validation: 10%, apart: [.images])\nstage t = base |> train.dpo(pairs: p.train)\nstage e = eval.preference(t, pairs: p.train)", &["W0511 `eval.preference` measures|`p.train`"]),
    ("let p = pairs |> data.split(validation: 10%, apart: [.images])\nstage t = base |> train.dpo(pairs: p.train)\nstage e = eval.preference(t, pairs: p.validation)\nstage f = eval.preference(base, pairs: p.train)", &[]),
    ("stage t = base |> train.dpo(pairs: pairs |> filter.rule(where: .id > \"m\"))\nstage e = eval.preference(t, pairs: pairs)", &["W0511 `eval.preference` measures|`pairs`"]),
    ("stage t = base |> train.dpo(pairs: pairs)\nstage e = eval.preference(t, pairs: pairs |> data.sample(n: 100rows))", &["W0511 `eval.preference` measures|`pairs`"]),
    ("stage t = base |> train.sft(data: plain |> data.top(by: .n, n: 50rows))\nlet x = exam(path: \"plain.jsonl\")\nstage e = eval.run(t, on: x)\nexpect data.disjoint(plain, from: bench.suite(of: { x }).items, on: [\"13gram\"])",
        &["W0511 `eval.run` measures|`plain.jsonl`"]),
    ("stage t = base |> train.sft(data: plain)\nstage e = eval.run(t, on: exam(path: \"e.jsonl\"))\nexpect data.disjoint(raw, from: pairs, on: [\"phash\"])", &["W0506 nothing checks"]),
    ("stage t = base |> train.sft(data: plain)\nlet x = exam(path: \"e.jsonl\")\nstage e = eval.run(t, on: x)\nexpect data.disjoint(raw, from: bench.suite(of: { x }).items, on: [\"13gram\"])", &["W0506 nothing checks"]),
    ("stage t = base |> train.sft(data: plain |> filter.rule(where: .n > 3))\nlet x = exam(path: \"e.jsonl\")\nstage e = eval.run(t, on: x)\nexpect data.disjoint(plain, from: bench.suite(of: { x }).items, on: [\"13gram\"])", &[]),
    ("stage t = base |> train.dpo(pairs: pairs |> filter.rule(where: .id > \"m\"))\nstage e = eval.preference(t, pairs: pairs |> filter.rule(where: .id <= \"m\"))", &[]),
    // ---- rows
    ("stage a = plain |> filter.rule(where: true)", &["W0302 `filter.rule` keeps every row"]),
    ("param whole: Bool = true\nstage a = plain |> filter.rule(where: whole or .n > 3)", &[]),
    ("stage a = plain |> data.sample(n: 100%)\nstage b = raw |> augment.color(share: 0%)\nstage c = plain |> data.quantile(by: .n, keep: 0%..)", &["W0302 `data.sample` keeps", "W0302 `augment.color` changes no row", "W0302 `data.quantile` keeps"]),
    ("stage a = raw |> dedup.simhash(on: [.output])\nstage b = raw |> filter.conflict(question: [.instruction], answer: .output)", &["W0303 `dedup.simhash` looks at words alone|within: [.images]", "W0303 `filter.conflict`"]),
    ("stage a = plain |> dedup.simhash(on: [.output])\nstage b = raw |> data.drop(columns: [.images]) |> dedup.exact(on: [.output])\nstage c = raw |> dedup.exact(on: [.output], within: [.images])\nstage d = raw |> dedup.image()", &[]),
    ("stage a = data.concat(one: plain, two: plain)", &["W0304 `one` and `two` of `data.concat` are the same rows"]),
    ("let p = raw |> data.split(validation: 10%)\nstage a = p.train", &["W0305 rows about one picture|apart: [.images]"]),
    ("let p = plain |> data.split(validation: 10%)\nstage a = p.train", &[]),
    ("let p = raw |> augment.color() |> data.split(validation: 10%)\nstage a = p.train", &["W0306 rows that augmentation made|augmented here"]),
    ("stage a = data.blend(of: [plain, plain |> data.shuffle()], weights: [50%, 30%])\nstage b = data.blend(of: [plain, plain |> data.shuffle()], weights: [100%])", &["W0307 the weights sum to 80 %", "W0307 1 weights for 2 datasets"]),
    ("let e = model.hf(\"./e\")\nstage a = plain |> filter.relevance(of: .output, to: [.output], embed: e)\nstage b = plain |> filter.perplexity(by: base, of: .output, given: [.instruction, .output], keep: ..9.0)", &["W0517 `filter.relevance` compares `.output`", "W0517 `filter.perplexity`"]),
    ("stage a = data.concat(seen: raw, told: plain)", &["W0301 `.images` of `seen` is lost: `told` has no such column|has `.images`"]),
    ("stage a = data.concat(seen: raw, told: plain |> data.derive(images: []))", &[]),
    // ---- lengths: 200 words in an instruction
    ("stage t = base |> train.sft(data: plain |> dedup.exact(on: [.output]), cutoff: 128tok)", &["W0504 `cutoff` is 128 tokens, and one row in a hundred has more than 200 words in `.instruction`|these rows are cut|try `cutoff: 512tok`"]),
    ("stage t = base |> train.dpo(pairs: pairs, cutoff: 64tok, long: \"drop\")", &["W0504 |these rows are dropped"]),
    ("stage t = base |> train.sft(data: plain |> filter.length(of: [.instruction], keep: ..100), cutoff: 128tok)", &[]),
    // ---- licences
    ("let a = data.jsonl(\"a.jsonl\", as: Plain) with { licence: \"CC-BY-NC-4.0\" }\nlet b = data.jsonl(\"b.jsonl\", as: Plain) with { licence: \"GPL-3.0-only\" }\nstage t = base |> train.sft(data: data.concat(a: a, b: b))", &["W0508 `t` trains on rows under CC-BY-NC-4.0 and under GPL-3.0-only|one forbids commercial use"]),
    ("let a = data.jsonl(\"a.jsonl\", as: Plain) with { licence: \"CC-BY-ND-4.0\" }\nstage t = base |> train.sft(data: a)", &["W0508 |allows no works made from them"]),
    ("let a = data.jsonl(\"a.jsonl\", as: Plain) with { licence: \"CC-BY-NC-SA-4.0\" }\nlet b = data.jsonl(\"b.jsonl\", as: Plain) with { licence: \"CC-BY-NC-SA-4.0\" }\nstage t = base |> train.sft(data: data.concat(a: a, b: b))", &[]),
    // ---- the order of steps
    ("let p = plain |> data.split(validation: 10%)\nstage a = p.train |> dedup.exact(on: [.output])", &["W0523 |split here"]),
    ("let p = plain |> dedup.simhash(on: [.output]) |> data.split(validation: 10%)\nstage a = p.train |> dedup.exact(on: [.output])", &[]),
    ("stage a = plain |> data.top(by: .n, n: 10rows) |> filter.rule(where: .n > 2) |> dedup.exact(on: [.output])", &["W0524 |chosen here"]),
    ("stage a = base |> train.sft(data: plain, lr: 1e-5)\nstage b = a |> train.dpo(pairs: pairs, lr: 2e-5)", &["W0525 `train.dpo` learns at 2e-5 per step, the `train.sft` before it at 1e-5"]),
    ("stage a = base |> train.sft(data: plain, lr: 1e-5)\nstage b = a |> train.dpo(pairs: pairs, lr: 5e-7)", &[]),
    ("stage a = base |> train.sft(data: plain)\nstage b = a |> train.dpo(pairs: pairs)", &[]),
    // ---- what is refused, and what cancels
    ("stage t = base |> train.sft(data: plain, method: \"lora\", rank: 16)", &["W0521 `method` of `train.sft` will be refused|adapters"]),
    ("stage t = base |> train.sft(data: plain, dtype: \"f16\", optimizer: \"muon\", loss: \"micro_mean\")", &["W0521 `optimizer`", "W0521 `dtype`", "W0521 `loss`|per_device: 4"]),
    ("stage t = base |> train.sft(data: plain) with { gpus: 1, offload: true }", &[]),
    ("stage t = base |> train.sft(data: plain, batch: 10, validation: 10%, best: true)", &["W0522 `best: true` chooses among one"]),
    ("stage t = base |> train.sft(data: plain, batch: 10, epochs: 1, ema: 0.9999)", &["W0526 after 100 steps the average is still 99 % the start model|`ema: 0.970`"]),
    ("stage t = base |> train.sft(data: plain, batch: 10, validation: 4rows)", &["W0527 the evaluation loss is that of 4 rows at most"]),
    ("# allow W0501: long on purpose\nstage t = base |> train.sft(data: plain, schedule: \"wsd\", warmup: 40%, cooldown: 70%)", &["W0528 warm-up (40 %) and cooldown (70 %)"]),
    ("stage t = base |> train.sft(data: plain, batch: 4) with { gpus: 8 }", &["W0529 4 of 8 ranks have no row in a step of 4|`batch: 8`"]),
    ("stage t = base |> train.sft(data: plain, batch: 60) with { ranks: 8 }", &["W0529 a step of 60 rows gives some of 8 ranks 8 and the others 7|`batch: 64`"]),
    ("stage t = base |> train.sft(data: plain) with { keep_state: true }", &["W0532 `keep_state: true` keeps nothing|with `warmup: 20steps` has such a state"]),
    ("stage t = base |> train.sft(data: plain, schedule: \"wsd\") with { keep_state: true }", &["W0532 `keep_state: true` keeps nothing"]),
    ("# allow W0528: on purpose\nstage t = base |> train.sft(data: plain, schedule: \"wsd\", warmup: 2steps, cooldown: 100_000steps) with { keep_state: true }", &["W0532 `keep_state: true` keeps nothing"]),
    ("stage t = base |> train.sft(data: plain, schedule: \"wsd\", warmup: 2steps) with { keep_state: true }", &[]),
    ("stage t = base |> train.sft(data: plain, schedule: \"constant\", warmup: 0%) with { keep_state: true, log: 2steps }", &[]),
    ("stage t = base |> train.sft(data: plain) with { keep_state: false }", &[]),
    ("stage t = base |> train.sft(data: plain) with { stall: 180000000s }", &["W0502 `stall` of 50000 hours never ends a rank that hangs"]),
    ("let p = plain |> data.split(validation: 60%, test: 60%)\nstage a = p.train", &["W0512 `validation` and `test` take 120 %"]),
    ("recipe \"x\"\nstage t = base |> train.sft(data: plain)", &["W0530 this recipe trains a model"]),
    ("recipe \"x\" requires \">=0.1\"\nstage t = base |> train.sft(data: plain)", &[]),
    ("op f(d: Dataset[Plain]) -> Dataset[Plain] runs \"python3.10 -c pass\"\nop g(d: Dataset[Plain]) -> Dataset[Plain] runs \"/usr/bin/python3.12 -c pass\"\nstage a = plain |> f() |> g()", &["W0531 one operator runs python3.10, this one python3.12"]),
    // ---- memory: `base` has 8.29 G weights
    ("stage t = base |> train.sft(data: plain, batch: 64) with { gpus: 1, gpu_mem: 16GB }", &["P0101 `t` needs up to |on each GPU, and there are 14.9 GiB|alone are 154.5 GiB|may run out"]),
    ("stage t = base |> train.sft(data: plain, batch: 64) with { gpus: 1, gpu_mem: 24GB }", &["P0101 `t` needs up to |on each GPU, and there are 22.4 GiB|states of the optimizer in main memory, and then it fits"]),
    ("stage t = base |> train.sft(data: plain, batch: 64) with { gpus: 1, gpu_mem: 24GB, mem: 64GiB, offload: true, shard: \"zero2\", micro_batch: 1, recompute: \"all\" }", &["P0101 `t` keeps 123.6 GiB in main memory beside its GPUs, and `mem` says 64.0 GiB"]),
    ("stage t = base |> train.sft(data: plain, batch: 64) with { gpus: 1, gpu_mem: 24GB, mem: 128GiB, offload: true, shard: \"zero2\", micro_batch: 1, recompute: \"all\" }", &[]),
    ("stage t = base |> train.sft(data: plain, batch: 64, cutoff: 4096tok) with { gpus: 1, gpu_mem: 288GB, micro_batch: 8 }", &["P0101 `t` needs up to |`with { micro_batch: 4 }`, same result|and then it fits"]),
    ("stage t = base |> train.sft(data: plain, batch: 64, cutoff: 4096tok) with { gpus: 1, gpu_mem: 300GB, micro_batch: 1 }", &[]),
    ("stage t = base |> train.sft(data: plain, batch: 64, cutoff: 4096tok) with { gpus: 1, gpu_mem: 195GB, micro_batch: 1 }", &["P0101 `t` needs up to |`with { recompute: \"all\" }`, same result"]),
    ("stage t = base |> train.sft(data: plain, batch: 64, cutoff: 4096tok) with { gpus: 1, gpu_mem: 195GB, micro_batch: 1, recompute: \"all\" }", &[]),
    ("# allow P0101: a bigger card is coming\nstage t = base |> train.sft(data: plain, batch: 64) with { gpus: 1, gpu_mem: 80GB }", &[]),
    ("stage t = base |> train.sft(data: plain, batch: 64, cutoff: 4096tok) with { gpus: 8, gpu_mem: 80GB, micro_batch: 1 }", &["P0101 `t` needs up to |on each GPU|`with { shard: \"zero2\" }`, same result"]),
    ("stage t = base |> train.sft(data: plain, batch: 64, cutoff: 4096tok) with { gpus: 8, gpu_mem: 80GB, micro_batch: 1, shard: \"zero2\" }", &[]),
    ("stage t = base |> train.sft(data: plain, batch: 64) with { mem: 64GiB }", &["P0101 `t` needs up to |, and there are 64.0 GiB"]),
    ("stage t = base |> train.sft(data: plain, cutoff: 200_000tok)", &["W0520 `cutoff` is 200000 tokens, and the model was made for 128000|`cutoff: 128000tok` at most"]),
    // ---- expectations
    ("expect plain.rows >= 0rows\nwarn plain.rows >= plain.rows\nexpect true", &["W0401 `expect plain.rows >= 0rows` cannot fail: it is never below 0", "W0401 `warn plain.rows >= plain.rows` cannot fail: both sides", "W0401 `expect true` cannot fail"]),
    ("let e = eval.run(base, on: exam(path: \"e.jsonl\"))\nexpect e.value <= 100%\nexpect e >= 50%", &["W0401 `expect e.value <= 100%`"]),
    ("expect plain.rows >= 20_000rows", &["W0404 `expect plain.rows >= 20_000rows` cannot hold: `plain.rows` is 1000 at most"]),
    ("expect plain.rows >= 1_000rows", &[]),
    ("param few: Bool = true\nexpect few or plain.rows > 5rows", &[]),
    // ---- names
    ("let a = { lr: 1e-5, batch: 8 }\nlet b = { lr: 3e-5, ..a }\nstage t = base |> train.sft(data: plain, batch: 16, ..b)", &["W0403 `lr` is set here|this one wins", "W0403 `batch` is set here"]),
    ("let a = { lr: 1e-5, batch: 8 }\nlet b = { ..a, lr: 3e-5 }\nstage t = base |> train.sft(data: plain, ..b, batch: 16)", &[]),
    ("let n = 3\nstage a = plain |> filter.rule(where: n > 2)", &["W0202 `n` is the value of that name, not the column `.n`|this value"]),
    ("param n: Int = 3\nstage a = plain |> filter.rule(where: .n >= n)", &[]),
    ("let few = 3\nstage a = plain |> filter.rule(where: .n > few)", &[]),
    ("fn f(d: Dataset[Plain]) -> Dataset[Plain] = d\nsecret k from env \"K\"\nop o(d: Dataset[{ id: Str, ..r }]) -> Dataset[{ ..r }] runs \"cat\"\noutput x = plain",
        &["W0201 the function `f` is not used", "W0201 the secret `k` is not used", "W0201 the operator `o` is not used"]),
];

#[test]
fn each_lint_says_what_is_odd_and_nothing_else_is_said() {
    let mut failures = Vec::new();
    for (text, expected) in CASES {
        let found: Vec<String> = problems(text).iter().map(told).collect();
        let mut left = found.clone();
        let all = expected.iter().all(|wanted| {
            let hit = left.iter().position(|d| wanted.split('|').all(|piece| d.contains(piece)));
            hit.map(|at| left.remove(at)).is_some()
        });
        if !all || !left.is_empty() {
            failures.push(format!("{text}\n  wanted {expected:#?}\n  found {found:#?}"));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n\n"));
}

#[test]
fn the_pages_of_the_lints_tell_the_truth() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/diagnostics");
    let mut pages = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let code = path.file_stem().unwrap().to_str().unwrap().to_owned();
        if !code.starts_with(['W', 'P']) || code.starts_with("W01") {
            continue;
        }
        let page = std::fs::read_to_string(&path).unwrap();
        let title = rbpipe::base::codes::lookup(&code).unwrap().1;
        assert!(page.starts_with(&format!("# {code}: {title}\n")), "{code}");
        let blocks: Vec<&str> = page.split("```rb2\n").skip(1).filter_map(|b| b.split("```").next()).collect();
        let [bad, good] = blocks[..] else { panic!("{code}: one failing and one fixed example") };
        let codes = |text: &str| problems(text).iter().map(told).collect::<Vec<_>>();
        assert!(codes(bad).iter().any(|d| d.starts_with(&code)), "{code}: {:#?}", codes(bad));
        assert_eq!(codes(good), [""; 0], "{code}: the fixed example");
        pages += 1;
    }
    assert!(pages >= 25, "{pages} pages");
}

#[test]
fn shipped_recipes_raise_no_lint() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases: &[&[&str]] = &[
        &["recipes/final.rb2"],
        &["recipes/final.rb2", "--profile", "h200x8"],
        &["recipes/base.rb2"],
        &["recipes/base.rb2", "-p", "more=\"x\"", "-p", "gpus=1"],
        &["recipes/clean.rb2", "recipes/curate.rb2", "recipes/lib/tabletop.rb2"],
        &["src/cli/new/recipe.rb2"],
    ];
    for args in cases {
        let out =
            Command::new(env!("CARGO_BIN_EXE_rbpipe")).arg("check").args(*args).current_dir(root).output().unwrap();
        let said = String::from_utf8_lossy(&out.stdout).into_owned() + &String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.contains("no problems"), "{args:?}: {said}");
    }
}

/// What `check` says of a recipe with errors: code and line below [`HEAD`], warnings among them.
#[rustfmt::skip]
const BESIDE_ERRORS: &[(&str, &[&str])] = &[
    // Another item is wrong.
    ("stage t = base |> train.sft(data: plain, batch: 256, epochs: 3, warmup: 80steps)\noutput x = raw |> data.top(by: .nn, n: 5rows)", &["W0501 1", "E0301 2"]),
    // What another item makes has its type all the same.
    ("let best = plain |> data.top(by: .nn, n: 500rows)\nstage t = base |> train.sft(data: best, warmup: 30%)", &["E0301 1", "W0501 2"]),
    ("stage a = base |> train.sft(data: plain, learning_rate: 1e-5, warmup: 90%)\nstage b = a |> train.sft(data: plain, warmup: 90%)", &["E0210 1", "W0501 1", "W0501 2"]),
    // What nobody but the wrong item reads is looked at too.
    ("let half = plain |> data.sample(n: 100%)\noutput x = half |> data.top(by: .n, n: 5)", &["W0302 1", "E0120 2"]),
    // What has a fix is looked at as if it were made.
    ("let how = { warmup: 90, batch: 4 }\nstage t = base |> train.sft(data: plain, ..how)", &["E0120 1", "W0501 2"]),
    ("let w = 30% + 2\nstage t = base |> train.sft(data: plain, warmup: w)", &["E0120 1", "W0501 2"]),
    // Nothing is said of what nobody knows: a value with a mistake, a name that is not there, a function that is wrong.
    ("let w = 30% + 2steps\nstage t = base |> train.sft(data: plain, warmup: w)", &["E0121 1"]),
    ("stage t = bse |> train.sft(data: plain, warmup: 30%)\nstage u = t |> train.sft(data: plain, warmup: 30%)", &["E0201 1"]),
    ("fn some(d: Dataset[Plain]) -> Dataset[Plain] = d |> data.top(by: .zzzz, n: 5rows)\nstage t = base |> train.sft(data: some(plain), warmup: 30%)", &["E0301 1"]),
    // A text that cannot be read hides no other item, and what it may have held is not missed.
    ("expect data.disjoint(plain, from: exam(\"e.json\").items, on: [\"id\"\nstage t = base |> train.sft(data: plain, warmup: 30%)\nlet s = eval.run(t, on: exam(\"e.json\"))\noutput o = s", &["E0101 1", "W0501 2"]),
    // An `allow` may be for what is hidden now.
    ("# allow W0501: a restart\nstage t = base |> train.sft(data: plain, warmup: 90)", &["E0120 2"]),
];

#[test]
fn lints_run_beside_errors_and_say_nothing_that_follows_from_them() {
    for (text, expected) in BESIDE_ERRORS {
        let mut world = MemoryWorld::default();
        world.files.insert("recipe.rb2".into(), format!("{HEAD}{text}\n"));
        world.files.insert("tiny/config.json".into(), crate::memory::SEVEN_B.to_owned());
        let catalogue = rbpipe::ops::catalogue();
        let mut sources = SourceMap::default();
        let (program, mut all) = load(&world, &catalogue, &mut sources, Path::new("recipe.rb2"));
        all.extend(check(&program, &catalogue, &Settings::default()).1);
        let options = plan::Options::default();
        all.extend(lints::of(&program, &catalogue, &mut sources, &world, &options, &Thousand, &all));
        let above = HEAD.lines().count();
        let place = |d: &Diagnostic| {
            let (line, _) = sources.get(d.primary.span.source).line_col(d.primary.span.start as usize);
            Some(format!("{} {}", d.code, line.checked_sub(above).filter(|line| *line > 0)?))
        };
        let found: Vec<String> = all.sorted().iter().filter_map(place).collect();
        assert_eq!(found, *expected, "{text}");
    }
}
