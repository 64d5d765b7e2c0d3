//! Names, types and rows: small recipes, and what each is told.

use std::path::Path;

use rbpipe::base::world::MemoryWorld;
use rbpipe::base::{Diagnostic, SourceMap};
use rbpipe::semantics::{Settings, check, load};
use rbpipe::spec::{Catalogue, Class, Columns, Effect, OpSpec};

/// Lines 1 to 6 of every recipe of the table; cases start at line 7.
const HEAD: &str = r#"import std.{data, filter, dedup, train, model, eval, bench, read, mark, total, media, judge}
schema Sample { id: Str, instruction: Str, input: Str?, output: Str, images: [Image], risk: enum { safe, low, high } }
schema Pair { id: Str, prompt: Str, images: [Image], chosen: Str, rejected: Str }
let raw = data.jsonl("raw.jsonl", as: Sample)
let base = model.hf("./tiny")
let pairs = data.jsonl("pairs.jsonl", as: Pair)
"#;

fn op(signature: &'static str) -> OpSpec {
    OpSpec { signature, ..OpSpec::BASE }
}

/// Operators enough to try every rule; their texts follow the real ones.
fn catalogue() -> Catalogue {
    let value = |s| OpSpec { effect: Effect::Value, ..op(s) };
    let sampled = |s| OpSpec { class: Class::Sampled, ..op(s) };
    let columns = |s, columns| OpSpec { columns, ..op(s) };
    let filter = |s| OpSpec { takes_where: true, ..op(s) };
    let train = |s| OpSpec {
        class: Class::Sampled,
        effect: Effect::Train,
        with: &["gpus", "shard", "micro_batch", "checkpoint", "log", "attention"],
        ..op(s)
    };
    let specs = vec![
        OpSpec {
            effect: Effect::Source,
            ..columns(
                "op data.jsonl(path: Str, as: Schema, media: Str? = none, bad: enum { fail, skip, quarantine } = \"fail\") -> Dataset[{ ..r }]",
                Columns::FromSchema,
            )
        },
        columns(
            "op data.concat(label: Str = \"source\", ..inputs: Dataset[{ ..r }]) -> Dataset[{ ..r }]",
            Columns::Concat,
        ),
        OpSpec {
            columns: Columns::Shared,
            ..sampled("op data.blend(of: [Dataset[{ ..r }]], weights: [Ratio], rows: Rows? = none) -> Dataset[{ ..r }]")
        },
        columns("op data.select(d: Dataset[{ ..r }], columns: Cols) -> Dataset[{ ..r }]", Columns::Select),
        columns("op data.drop(d: Dataset[{ ..r }], columns: Cols) -> Dataset[{ ..r }]", Columns::Drop),
        columns("op data.rename(d: Dataset[{ ..r }], ..columns: Col) -> Dataset[{ ..r }]", Columns::Rename),
        columns("op data.derive(d: Dataset[{ ..r }], ..columns: Expr[t]) -> Dataset[{ ..r }]", Columns::Derive),
        op(
            "op data.top(d: Dataset[{ ..r }], by: Col, n: Rows, order: enum { desc, asc } = \"desc\") -> Dataset[{ ..r }]",
        ),
        sampled("op data.sample(d: Dataset[{ ..r }], n: Rows | Ratio) -> Dataset[{ ..r }]"),
        sampled(
            "op data.split(d: Dataset[{ ..r }], validation: Ratio | Rows, apart: Cols = []) -> { train: Dataset[{ ..r }], validation: Dataset[{ ..r }] }",
        ),
        op("op data.count(d: Dataset[{ ..r }]) -> Metric[Rows]"),
        op(
            "op data.as_sft(pairs: Dataset[Pair], answer: Col = .chosen) -> Dataset[{ instruction: Str, output: Str, ..r }]",
        ),
        op(
            "op data.disjoint(d: Dataset[{ ..r }], from: Dataset[{ ..s }], on: [enum { phash, exact }] = [\"exact\"]) -> Metric[Bool]",
        ),
        op("op filter.rule(d: Dataset[{ ..r }], where: Where) -> Dataset[{ ..r }]"),
        op(
            "op filter.format(d: Dataset[{ ..r }], of: Col, demand: { letter: Where?, points: Where? }) -> Dataset[{ ..r }]",
        ),
        filter(
            "op filter.relevance(d: Dataset[{ ..r }], of: Col, to: Cols, keep: Keep[Float] = 4.0..6.0) -> Dataset[{ relevance: Float, ..r }]",
        ),
        filter(
            "op filter.reward(d: Dataset[{ ..r }], by: Model[reward], keep: Keep[Float]) -> Dataset[{ reward: Float, ..r }]",
        ),
        filter(
            "op dedup.minhash(d: Dataset[{ ..r }], on: Cols, similar: Ratio = 70%, within: Cols = []) -> Dataset[{ cluster: Str, copies: Int, ..r }]",
        ),
        filter(
            "op dedup.image(d: Dataset[{ ..r }], images: Col = .images, distance: Int = 4) -> Dataset[{ cluster: Str, ..r }]",
        ),
        op("op model.hf(name: Str, revision: Str? = none) -> Model"),
        op("op model.reward(name: Str) -> Model[reward]"),
        op("op model.classifier(m: Model, into: [Str], prompt: Prompt) -> Classifier"),
        train(
            "op train.sft(m: Model, data: Dataset[{ instruction: Str, output: Str, ..r } | { messages: Json, ..r }], epochs: Float = 1, batch: Int = 32, cutoff: Tokens = 2048tok, lr: Float = 1e-5, warmup: Ratio | Steps = 3%, schedule: enum { cosine, linear } = \"cosine\", evaluate: Steps? = none, amplify: { gain: Float?, on: Where? }? = none) -> Model",
        ),
        train(
            "op train.dpo(m: Model, pairs: Dataset[Pair], beta: Float = 0.1, epochs: Float = 1, batch: Int = 32, lr: Float = 1e-6) -> Model",
        ),
        OpSpec {
            effect: Effect::Score,
            with: &["gpus", "serve"],
            ..op("op eval.run(m: Model, on: Benchmark, temperature: Float = 0.0) -> Score")
        },
        columns(
            "op bench.json(path: Str, media: Str? = none, rows: Rows? = none) -> Dataset[{ ..any }]",
            Columns::FromFile,
        ),
        columns(
            "op bench.sample(d: Dataset[{ ..r }], id: Expr, kind: Expr[Str], question: Expr, options: Expr = [], key: Expr? = none, images: Expr = [], groups: Expr? = none) -> Dataset[{ ..any }]",
            Columns::FromFile,
        ),
        columns(
            "op bench.ask(d: Dataset[{ ..r }], system: Prompt? = none, ..by: Prompt) -> Dataset[{ ..any }]",
            Columns::FromFile,
        ),
        columns("op bench.read(d: Dataset[{ ..r }], ..by: Reader) -> Dataset[{ ..any }]", Columns::FromFile),
        columns("op bench.mark(d: Dataset[{ ..r }], ..by: Marker) -> Dataset[{ ..any }]", Columns::FromFile),
        op("op bench.total(d: Dataset[{ ..r }], headline: Total, also: [Total] = []) -> Benchmark"),
        op("op bench.suite(of: { ..any }) -> Suite"),
        value("op read.choice() -> Reader"),
        value("op mark.letter() -> Marker"),
        value("op mark.text_similar(t: Float) -> Marker"),
        value("op total.micro() -> Total"),
        value("op total.nested(by: Cols) -> Total"),
        value("op media.path(parts: Expr, ext: Str) -> Image"),
        OpSpec {
            class: Class::External,
            with: &["at_most", "spend"],
            ..op(
                "op judge.agree(d: Dataset[{ ..r }], on: Cols, by: Str, key: Secret? = none) -> Dataset[{ agree: Ratio, ..r }]",
            )
        },
    ];
    let specs: Vec<&'static OpSpec> = specs.into_iter().map(|s| &*Box::leak(Box::new(s))).collect();
    Catalogue::new(&specs)
}

fn problems_of(catalogue: &Catalogue, files: &[(&str, String)], settings: &Settings) -> Vec<(String, Diagnostic)> {
    let mut world = MemoryWorld::default();
    for (path, text) in files {
        world.files.insert(path.into(), text.clone());
    }
    let mut sources = SourceMap::default();
    let (program, mut problems) = load(&world, catalogue, &mut sources, Path::new(files[0].0));
    let (_, more) = check(&program, catalogue, settings);
    problems.extend(more);
    let place = |d: &Diagnostic| {
        let source = sources.get(d.primary.span.source);
        let (line, column) = source.line_col(d.primary.span.start as usize);
        format!("{}:{line}:{column}", d.code)
    };
    problems.sorted().into_iter().map(|d| (place(&d), d)).collect()
}

fn everything(d: &Diagnostic) -> String {
    let labels: Vec<&str> = d.others.iter().map(|l| l.text.as_str()).collect();
    format!("{} | {} | {} | {}", d.message, d.primary.text, labels.join(" | "), d.help.clone().unwrap_or_default())
}

/// A recipe below [`HEAD`], and what is expected of it: `CODE:line:column` with pieces of its text, or nothing at all.
type Case = (&'static str, &'static [(&'static str, &'static [&'static str])]);

#[rustfmt::skip]
const CASES: &[Case] = &[
    // ---- names
    ("let a = rwa |> data.count()", &[("E0201:7:9", &["did you mean `raw`?"])]),
    ("let a = train_it(raw)", &[("E0201:7:9", &["functions are declared with `fn`"])]),
    ("let a = jsonl(\"x\", as: Sample)", &[("E0201:7:9", &["`data.jsonl(…)`"])]),
    ("let a = augment.color(raw)", &[("E0201:7:9", &["there is no `augment` here"])]),
    ("let a = 1\nlet a = 2", &[("E0202:8:5", &["declared twice", "first declared here"])]),
    ("let raw = 2", &[("E0202:7:5", &["`raw` is declared twice"])]),
    ("let data = 2", &[("E0203:7:5", &["hides an import", "imported here"])]),
    ("let top = 2", &[("E0203:7:5", &["prelude"])]),
    ("fn f(from_file: Int) -> Int = from_file", &[("E0203:7:6", &["prelude"])]),
    ("let a = raw |> filter.rul(where: true)", &[("E0204:7:16", &["did you mean `filter.rule`?"])]),
    ("let a = raw |> filter.minhash(on: [.output])", &[("E0204:7:16", &["did you mean `dedup.minhash`?"])]),
    ("let a = base |> train.sftt(data: raw)", &[("E0204:7:17", &["`train.sft`"])]),
    ("fn f(a: Int) -> Int = a\nlet b = f", &[("E0207:8:9", &["`f(a: .a)`", "declared here"])]),
    // No model where rows are asked for, however near its name is.
    ("let a = base |> train.sft(data: bas, seed: 1)", &[("E0201:7:33", &["`let bas"])]),
    ("let a = raw |> data.sample(n: 10rows)", &[("E0208:7:16", &["`param seed: Int = 1`"])]),
    ("let a = raw |> data.sample(n: 10rows, seed: 3)", &[]),
    ("let a = raw |> data.top(by: .id, n: 5rows, ordr: \"asc\")", &[("E0210:7:44", &["did you mean `order`?"])]),
    ("param seed: Int = 1\nlet a = base |> train.sft(data: raw, per_device_train_batch_size: 4)", &[("E0210:8:38", &["`batch: 256`"])]),
    ("param seed: Int = 1\nlet a = base |> train.sft(data: raw, gpus: 4)", &[("E0210:8:38", &["with { gpus: … }"])]),
    ("let a = raw |> data.top(by: .id)", &[("E0211:7:16", &["needs `n`", "add `n:`, as in `n: 1_000rows`"])]),
    ("let a = filter.rule(where: true)", &[("E0211:7:9", &["pipe it in"])]),
    ("let a = raw |> data.disjoint(raw)", &[("E0212:7:30", &["name it: `from: …`"])]),
    ("let a = data.concat(raw)", &[("E0212:7:21", &["`data.concat(first: …"])]),
    ("let a = raw |> data.top(by: .id, n: 5rows, order: \"ascending\")", &[("E0213:7:51", &["\"desc\", \"asc\""])]),
    ("let a = raw |> data.top(by: .id, n: 5rows, order: asc)", &[("E0213:7:51", &["write `\"asc\"`"])]),
    ("let a = raw |> filter.rule(where: .risk == \"hihg\")", &[("E0213:7:44", &["did you mean \"high\"?"])]),
    ("param n: Rows in 5rows..10rows = 20rows", &[("E0214:7:34", &["outside 5rows..10rows", "such as 10rows"])]),
    ("param n: Rows in 5rows..10rows = 6rows\nprofile p { n: 4rows }", &[("E0214:8:16", &["5rows"])]),
    ("profile p { budgte: 4rows }\nparam budget: Rows = 5rows", &[("E0215:7:13", &["did you mean `budget`?"])]),
    ("let a = raw |> filter.rule(where: true)\n  with { gpus: 1 }", &[("E0216:8:10", &["`train.sft`"])]),
    ("let a = raw |> filter.rule(where: true)\n  with { licence: \"MIT\" }", &[("E0216:8:10", &["move it to the binding that calls `data.jsonl`"])]),
    ("let a = raw with { cpus: 1 }", &[("E0216:7:20", &["creates no node"])]),
    ("let a = raw |> filter.rule(where: true) with { cpus: 1, cpus: 2 }", &[("E0202:7:57", &["`cpus` stands twice"])]),
    ("let a = raw |> filter.rule(where: true) with { retrie: 1 }", &[("E0210:7:48", &["did you mean `retries`?"])]),
    ("param seed: Int = 1\nlet a = base |> train.sft(data: raw) with { batch: 1 }", &[("E0210:8:45", &["argument of the call"])]),
    ("param seed: Int = 1\nlet a = base |> train.sft(data: raw) with { shard: \"zero9\" }", &[("E0213:8:52", &["\"zero2\""])]),
    ("param seed: Int = 1\nlet box = { gpus: 8, timeout: 8 }\nlet a = base |> train.sft(data: raw) with box", &[("E0120:8:31", &["did you mean `8h` or `8m` or `8s`?"])]),
    ("let question = \"x\"\nlet a = model.classifier(base, into: [\"a\"], prompt: \"{question}\")", &[("E0217:8:55", &["rename the value", "the value"])]),
    ("let style = \"short\"\nlet a = model.classifier(base, into: [\"a\"], prompt: \"{question} {style} {stile}\")", &[("E0201:8:74", &["did you mean `style`?"])]),
    ("fn f(d: Dataset[Sample]) -> Dataset[Sample] = f(d)", &[("E0218:7:47", &["template"])]),
    ("fn f(d: Dataset[Sampl]) -> Int = 1", &[("E0201:7:17", &["did you mean `Sample`?"])]),
    // ---- units
    ("param seed: Int = 1\nlet a = base |> train.sft(data: raw, cutoff: 8192)", &[("E0120:8:46", &["write `8192tok`", "expected Tokens"])]),
    ("param seed: Int = 1\nlet full = { cutoff: 8192, lr: 1e-5 }\nlet a = base |> train.sft(data: raw, ..full)", &[("E0120:8:22", &["write `8192tok`"])]),
    ("param seed: Int = 1\nlet a = base |> train.sft(data: raw) with { checkpoint: 20rows }", &[("E0120:8:57", &["Steps"])]),
    ("let a = 20token", &[("E0120:7:9", &["no unit `token`"])]),
    ("let a = 5rows + 5tok", &[("E0121:7:15", &["Rows and Tokens"])]),
    ("let a = 1 / 3", &[("E0122:7:9", &["`1.0 / 3`"])]),
    ("param seed: Int = 1\nlet a = base |> train.sft(data: raw, warmup: 80steps)\nlet b = base |> train.sft(data: raw, warmup: 5%)", &[]),
    ("param seed: Int = 1\nlet a = base |> train.sft(data: raw, schedule: \"cosin\")", &[("E0213:8:48", &["did you mean \"cosine\"?"])]),
    // ---- rows
    ("let a = raw |> data.select(columns: [.id, .output]) |> filter.rule(where: .instruction != \"\")",
        &[("E0301:7:75", &["needed here by `filter.rule`", "column dropped here: keeps 2 of 6", "add `.instruction` to the `data.select`, or move `filter.rule` above it"])]),
    ("let judged = model.reward(\"r\")\nlet a = raw\n  |> filter.reward(by: judged, keep: 0.0..)\n  |> data.select(columns: [.id, .output])\n  |> data.top(by: .reward, n: 5rows)",
        &[("E0301:11:19", &["column `.reward` is not in this dataset", "`.reward: Float` was added here", "keeps 2 of 7"])]),
    ("let a = raw |> data.top(by: .rsk, n: 5rows)", &[("E0301:7:29", &["did you mean `.risk`?"])]),
    ("let a = raw |> data.drop(columns: [.images]) |> dedup.image()", &[("E0301:7:49", &["`.images` by default"])]),
    ("param seed: Int = 1\nlet a = base |> train.dpo(pairs: raw)",
        &[("E0302:8:34", &["needs columns `prompt`, `chosen` and `rejected`; this dataset has `id`", "the rows come from here", "`train.sft(data: …)`"])]),
    ("param seed: Int = 1\nlet a = base |> train.sft(data: pairs)",
        &[("E0302:8:33", &["`train.dpo(pairs: …)`", "`data.as_sft(…)`"])]),
    ("param seed: Int = 1\nlet a = base |> train.dpo(pairs: pairs |> data.drop(columns: [.chosen]))",
        &[("E0302:8:34", &["`.chosen` was dropped here", "take `chosen` out of the `data.drop`"])]),
    ("let a = raw |> data.derive(output: .id)", &[("E0303:7:28", &["another name"])]),
    ("let a = raw |> data.rename(output: .id)", &[("E0303:7:28", &["another name"])]),
    ("let a = base |> data.count()", &[("E0304:7:9", &["asks for Dataset"])]),
    ("param seed: Int = 1\nlet parts = raw |> data.split(validation: 10%)\nlet a = parts |> filter.rule(where: true)", &[("E0304:9:9", &["`.train` and `.validation`"])]),
    ("fn f(a: Dataset[Sample], b: Dataset[Pair]) -> Dataset[Sample] = a", &[("E0305:7:55", &["`..r`"])]),
    ("param big: Bool = true\nlet a = if big then raw else base", &[("E0306:8:30", &["differ"])]),
    ("param big: Bool = true\nlet a = if big then { lr: 1e-5 } else { batch: 3 }", &[("E0306:8:39", &["same fields"])]),
    ("let a = .output", &[("E0307:7:9", &["for each row"])]),
    ("let a = raw |> data.top(by: .id, n: .copies)", &[("E0307:7:37", &["no current row"])]),
    ("let a = raw |> data.derive(t: .instruction + .input)", &[("E0308:7:46", &["?? \"\""])]),
    ("let a = raw |> filter.rule(where: .input.len > 3)", &[("E0308:7:35", &["(… ?? \"\").len"])]),
    ("let a = raw |> filter.rule(where: .output.trm() != \"\")", &[("E0201:7:43", &["did you mean `.trim`?"])]),
    ("let a = raw |> filter.rule(where: .output.trim != \"\")", &[("E0304:7:43", &["needs parentheses"])]),
    ("let a = raw |> filter.rule(where: .output)", &[("E0304:7:35", &["asks for Bool"])]),
    ("let a = raw |> filter.rule(where: risk != \"\")", &[("E0201:7:35", &["`.risk`"])]),
    ("fn f(d: Dataset[Sample]) -> Dataset[{ score: Float, ..r }] = d", &[("E0301:7:29", &["promises `score`"])]),
    ("fn f(d: Dataset[Sample]) -> Dataset[{ id: Str, output: Str }] = d\nlet a = raw |> f() |> data.top(by: .risk, n: 3rows)", &[("E0301:8:36", &["keeps 2 of 6", "result type of `f`"])]),
    ("let a = data.jsonl(\"x\", as: Sampel)", &[("E0201:7:29", &["did you mean `Sample`?"])]),
    // ---- graph
    ("let n = if raw.rows > 5rows then 1 else 2", &[("E0601:7:12", &["use `expect`"])]),
    ("let a = raw |> data.top(by: .id, n: raw.rows)", &[("E0601:7:37", &["before anything runs"])]),
    ("let a = b\nlet b = a", &[("E0602:7:5", &["a → b → a", "needs `a`"])]),
    ("let a = sweep m in [base, base] { m }", &[("E0603:7:20", &["use a record"])]),
    ("let zoo = { one: base, two: base }\nlet t = bench.json(\"b\") |> bench.total(headline: total.micro())\nlet s = sweep m in zoo { eval.run(m, on: t) }\nexpect s.at(m: \"tow\") >= 90%", &[("E0604:10:16", &["did you mean \"two\"?"])]),
    ("let t = bench.json(\"b\") |> bench.total(headline: total.micro())\nlet s = eval.run(base, on: t)\nexpect s >= 90.0", &[("E0120:9:13", &["write `90%`", "expected Ratio"])]),
    ("let t = bench.json(\"b\") |> bench.total(headline: total.micro())\nlet s = sweep m in { base } { eval.run(m, on: t) }\nexpect s.worst_drop(from: \"base\", to: \"base\") <= 5pt\nexpect s.mean(m: \"base\") >= s.mean(m: \"base\") + 2pt", &[]),
    ("expect raw.rows", &[("E0304:7:8", &["expect … >= …"])]),
    ("expect raw.rows >= 5rows\nexpect (raw |> data.count()) > 5rows", &[]),
    // ---- secrets
    ("secret k from env \"K\"\nlet a = \"key={k}\"", &[("E0702:8:15", &["declared secret here"])]),
    ("secret k from env \"K\"\nlet a = raw |> judge.agree(on: [.output], by: k)", &[("E0702:8:47", &["type Secret"])]),
    ("secret k from env \"K\"\nlet how = { by: \"m\", key: k }\nlet a = raw |> judge.agree(on: [.output], ..how) with { at_most: 4 }", &[]),
    ("secret k from env \"K\"\noutput o = { a: k }", &[("E0702:8:12", &["would hold a Secret"])]),
    // ---- benchmarks: columns that nobody has described
    ("let here = \"x\"\nlet b = bench.json(\"{here}/b.jsonl\", media: here)\n  |> bench.sample(id: .idx, kind: if .q == none then \"number\" else \"choice\", question: [.a, .b], options: (.o ?? []).strip_labels(),\n                  key: .answer.letter(), images: [media.path([.x, .id.before(\"_\")], ext: \"png\")], groups: { task: .type.lookup({ a: \"b\" }) ?? .type })\n  |> bench.ask(choice: \"{question} {here}\")\n  |> bench.read(choice: read.choice())\n  |> bench.mark(choice: mark.letter(), text: mark.text_similar(0.7))\n  |> bench.total(headline: total.nested(by: [.task]), also: [total.micro()])\nlet suite = bench.suite(of: { b })\nexpect data.disjoint(raw, from: suite.items, on: [\"phash\"])", &[]),
    ("let a = bench.json(\"b\") |> bench.read(choice: mark.letter())", &[("E0304:7:47", &["`choice` of `bench.read` asks for Reader"])]),
    // ---- functions
    ("fn clean(d: Dataset[Sample]) -> Dataset[Sample] = d |> data.derive(ask: .instruction + (.input ?? \"\")) |> dedup.minhash(on: [.ask], within: [.images])\nlet a = data.concat(one: raw, two: raw) |> clean() |> filter.rule(where: .source == \"one\" and .images.len in 1..3)", &[]),
    ("fn by(d: Dataset[{ ..r }], col: Field[Str, r]) -> Dataset[{ ..r }] = d |> dedup.minhash(on: [col])\nlet a = raw |> by(col: .output)\nlet b = raw |> by(col: .outptu)", &[("E0301:9:24", &["`.output`"])]),
    ("fn high(risk: Str) -> Bool = risk == \"high\"\nlet a = raw |> filter.rule(where: high(risk: .risk))\nlet b = raw |> filter.rule(where: high)", &[("E0207:9:35", &["`high(risk: .risk)`"])]),
    ("param seed: Int = 1\nlet a = base |> train.sft(data: data.blend(of: [raw, pairs |> data.as_sft()], weights: [50%, 50%]), amplify: { gain: 2.0, on: .risk == \"high\" })", &[]),
    // ---- lints
    ("let unused = 1\noutput o = raw", &[("W0201:7:5", &["delete it"])]),
    ("# allow W0201: kept for the notebook\nlet unused = 1\noutput o = raw", &[]),
    ("# allow W0201: kept\nlet used = raw\noutput o = used", &[("W0510:7:1", &["delete this comment"])]),
    ("# allow W0201\nlet used = raw\noutput o = used", &[("W0510:7:1", &["no reason"])]),
    // ---- many problems, none hiding another, none following from another
    ("let a = raww |> filter.rule(where: true)\nlet b = a |> filter.rule(where: .nothing > 3)\nlet c = raw |> data.top(by: .rsk, n: 5)",
        &[("E0201:7:9", &[]), ("E0301:9:29", &[]), ("E0120:9:38", &["write `5rows`"])]),
];

#[test]
fn each_mistake_gets_its_place_and_its_next_step() {
    let catalogue = catalogue();
    let mut failures = Vec::new();
    for (text, expected) in CASES {
        // What the head declares is not always used here.
        let head_lines = HEAD.lines().count();
        let found: Vec<(String, Diagnostic)> =
            problems_of(&catalogue, &[("recipe.rb2", format!("{HEAD}{text}"))], &Settings::default())
                .into_iter()
                .filter(|(at, d)| {
                    d.code.0 != "W0201"
                        || at.split(':').nth(1).and_then(|l| l.parse().ok()).is_some_and(|l: usize| l > head_lines)
                })
                .collect();
        let mut places: Vec<&str> = found.iter().map(|(at, _)| at.as_str()).collect();
        let mut wanted: Vec<&str> = expected.iter().map(|(at, _)| *at).collect();
        places.sort_unstable();
        wanted.sort_unstable();
        let told = found.iter().map(|(at, d)| format!("    {at} {}", everything(d))).collect::<Vec<_>>().join("\n");
        let shown = text
            .lines()
            .enumerate()
            .map(|(i, l)| format!("  {} {l}", i + 1 + head_lines))
            .collect::<Vec<_>>()
            .join("\n");
        let unused_only = |p: &&&str| p.starts_with("W0201") && !wanted.contains(*p);
        let places: Vec<&str> = places.iter().filter(|p| !unused_only(p)).copied().collect();
        if places != wanted {
            failures.push(format!("{shown}\n  wanted {wanted:?}, found\n{told}"));
            continue;
        }
        for (at, pieces) in *expected {
            let Some((_, d)) = found.iter().find(|(place, _)| place == at) else { continue };
            for piece in *pieces {
                if !everything(d).contains(piece) {
                    failures.push(format!("{shown}\n  `{piece}` is not said:\n{told}"));
                }
            }
        }
        for (at, d) in &found {
            if d.help.as_deref().unwrap_or_default().is_empty() {
                failures.push(format!("{shown}\n  {at} gives no next step"));
            }
        }
    }
    assert!(failures.is_empty(), "{} of {}:\n{}", failures.len(), CASES.len(), failures.join("\n\n"));
}

/// Files, the first of them the recipe, and what is expected.
type FileCase = (&'static [(&'static str, &'static str)], &'static [(&'static str, &'static str)]);

const FILES: &[FileCase] = &[
    (&[("r.rb2", "import std.{datta}\n")], &[("E0205:1:13", "did you mean `std.data`?")]),
    (&[("r.rb2", "import std.eval.embodied18 as e\n")], &[("E0205:1:17", "did you mean `std.eval.embodied17`?")]),
    (&[("r.rb2", "import \"./lib/x.rb2\" as x\n")], &[("E0205:1:8", "@root")]),
    (&[("r.rb2", "import \"./y.rb2\" as x\n"), ("lib/y.rb2", "let a = 1\n")], &[("E0205:1:8", "lib/y.rb2")]),
    (&[("r.rb2", "import \"hub:team/tools@^1.2\" as t\n")], &[("E0209:1:8", "fetches it and pins")]),
    (
        &[
            ("r.rb2", "import \"./a.rb2\" as a\nlet x = a.one\noutput o = x\n"),
            ("a.rb2", "import \"./b.rb2\" as b\nlet one = b.two\n"),
            ("b.rb2", "import \"./a.rb2\" as a\nlet two = a.one\n"),
        ],
        &[("E0206:1:1", "third file")],
    ),
    (
        &[("r.rb2", "import \"./lib/a.rb2\" as a\nlet x = a.n + a.m\nexpect x == 3\n"), ("lib/a.rb2", "let n = 1\n")],
        &[("E0201:2:17", "it has `n`")],
    ),
    (&[("r.rb2", "import \"./lib/a.rb2\" as a\nexpect a.n == 1\n"), ("lib/a.rb2", "let n = 1\n")], &[]),
    // Schemas of an imported file: for rows, in types, in the tail of another schema, and their columns are known.
    (
        &[
            ("r.rb2", OTHERS_ROWS),
            ("lib/rows.rb2", "schema Row { id: Str, text: Str }\nschema Long { ..Row, n: Int }\n"),
        ],
        &[],
    ),
    (
        &[
            (
                "r.rb2",
                "import std.{data, filter}\nimport \"./lib/rows.rb2\" as rows\nlet a = data.jsonl(\"a.jsonl\", as: rows.Row)\noutput b = a |> filter.rule(where: .txet != \"\")\n",
            ),
            ("lib/rows.rb2", "schema Row { id: Str, text: Str }\n"),
        ],
        &[("E0301:4:36", "`.text`")],
    ),
];

const OTHERS_ROWS: &str = r#"import std.{data, filter}
import "./lib/rows.rb2" as rows
schema Mine { ..rows.Long, mark: Float }
fn short(d: Dataset[rows.Row]) -> Dataset[rows.Row] = d |> filter.rule(where: .text.len < 9)
output a = data.jsonl("a.jsonl", as: rows.Long) |> short()
output b = data.jsonl("b.jsonl", as: Mine) |> filter.rule(where: .n > 3 and .mark > 0.5) |> short()
"#;

#[test]
fn imports_are_found_or_explained() {
    let catalogue = catalogue();
    for (files, expected) in FILES {
        let files: Vec<(&str, String)> = files.iter().map(|(p, t)| (*p, (*t).to_owned())).collect();
        let found = problems_of(&catalogue, &files, &Settings::default());
        let told: Vec<String> = found.iter().map(|(at, d)| format!("{at} {}", everything(d))).collect();
        assert_eq!(found.len(), expected.len(), "{files:?}\n{}", told.join("\n"));
        for ((at, d), (want, piece)) in found.iter().zip(*expected) {
            assert_eq!(at, want, "{}", told.join("\n"));
            assert!(everything(d).contains(piece), "{piece}: {}", told.join("\n"));
        }
    }
}

#[test]
fn a_cycle_of_imports_is_shown_whole() {
    let files = [
        ("r.rb2", "import \"./a.rb2\" as a\nexpect a.x == 1\n".to_owned()),
        ("a.rb2", "import \"./b.rb2\" as b\nlet x = b.x\n".to_owned()),
        ("b.rb2", "import \"./r.rb2\" as r\nlet x = 1\n".to_owned()),
    ];
    let found = problems_of(&catalogue(), &files, &Settings::default());
    let cycle = found.iter().find(|(_, d)| d.code.0 == "E0206").map(|(_, d)| everything(d)).unwrap_or_default();
    assert!(cycle.contains("r.rb2 → a.rb2 → b.rb2 → r.rb2"), "{cycle}");
    assert!(cycle.contains("imports b.rb2") && cycle.contains("imports r.rb2"), "{cycle}");
}

#[test]
fn profiles_and_params_of_the_command_line_are_checked() {
    let catalogue = catalogue();
    let text = "recipe \"x\"\nparam n: Rows in 5rows..10rows = 6rows\nparam scale: enum { small, big } = \"small\"\nparam lr: Float = 0.1\n\
                let a = if scale == \"small\" then n * lr else n\nexpect a > 0rows\nprofile full { n: 7rows }\n";
    let run = |profile: Option<&str>, params: &[(&str, &str)]| {
        let settings = Settings {
            profile: profile.map(str::to_owned),
            params: params.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect(),
        };
        let found = problems_of(&catalogue, &[("r.rb2", text.to_owned())], &settings);
        found.iter().map(|(_, d)| format!("{} {}", d.code, everything(d))).collect::<Vec<_>>().join("\n")
    };
    assert_eq!(run(Some("full"), &[("n", "8rows"), ("scale", "big"), ("lr", "1e-3")]), "");
    for (profile, params, pieces) in [
        (Some("ful"), &[][..], ["E0215", "`--profile full`"]),
        (None, &[("m", "1")], ["E0215", "the params are `lr`, `n` and `scale`"]),
        (None, &[("n", "80rows")], ["E0214", "5rows..10rows"]),
        (None, &[("n", "8")], ["E0120", "`-p n=8rows`"]),
        (None, &[("scale", "bigg")], ["E0213", "did you mean `big`"]),
        (None, &[("lr", "fast")], ["E0304", "`-p lr=0.5`"]),
    ] {
        let told = run(profile, params);
        assert!(pieces.iter().all(|p| told.contains(p)), "{params:?}: {told}");
    }
}
