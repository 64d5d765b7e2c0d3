//! What a training needs of memory: exact numbers of weights, the published arithmetic of 7B, and what `plan` says of it.

use std::path::Path;

use rbpipe::base::world::{MemoryWorld, OsWorld};
use rbpipe::plan::memory::formula::{self, Memory, Precision, Sharing, Work};
use rbpipe::plan::memory::ladder::{Forward, Plan, Rung};
use rbpipe::plan::memory::recompute::Recompute;
use rbpipe::plan::memory::shape::Shape;
use serde_json::{Value as Json, json};

use rbpipe::base::{Digest, SourceMap};
use rbpipe::engine::storage::record::{self, Record};
use rbpipe::engine::storage::store::Store;

use crate::engine::Place;

/// The configuration of Qwen2.5-VL-7B, as far as memory depends on it.
pub const SEVEN_B: &str = r#"{"model_type":"qwen2_5_vl","hidden_size":3584,"intermediate_size":18944,"num_hidden_layers":28,
"num_attention_heads":28,"num_key_value_heads":4,"vocab_size":152064,"tie_word_embeddings":false,"max_position_embeddings":128000,
"vision_config":{"depth":32,"hidden_size":1280,"intermediate_size":3420,"num_heads":16,"in_chans":3,"patch_size":14,"temporal_patch_size":2,
"spatial_merge_size":2,"window_size":112,"fullatt_block_indexes":[7,15,23,31],"out_hidden_size":3584}}"#;

fn seven() -> Shape {
    Shape::of(&serde_json::from_str(SEVEN_B).unwrap(), None).unwrap()
}

#[test]
fn weights_are_counted_exactly_by_part() {
    let shape = seven();
    let part = |name: &str| shape.weights[name];
    assert_eq!(shape.all(), 8_292_166_656);
    assert_eq!((part("language"), part("embeddings")), (6_525_621_760, 2 * 544_997_376));
    assert_eq!(part("vision") + part("projector"), 676_550_144);
    assert_eq!(shape.largest, 544_997_376);
    // The headers of real files say what the configuration says.
    for model in ["recipes/models/tiny-base", "recipes/models/tiny-small", "tests/goldens/dev/model"] {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join(model);
        let counted = Shape::read(&OsWorld, &folder).unwrap();
        let config: Json = serde_json::from_str(&std::fs::read_to_string(folder.join("config.json")).unwrap()).unwrap();
        let told = Shape::of(&config, None).unwrap();
        assert!(counted.counted && !told.counted);
        assert_eq!((counted.all(), &counted.weights), (told.all(), &told.weights), "{model}");
    }
}

#[test]
fn sharded_files_are_read_by_their_index_and_odd_ones_are_no_model() {
    let header = |name: &str, shape: &str| {
        let json = format!(
            r#"{{"__metadata__":{{"format":"pt"}},"{name}":{{"dtype":"BF16","shape":{shape},"data_offsets":[0,8]}}}}"#
        );
        // 288 bytes: a length whose bytes are text.
        let len = String::from_utf8(288_u64.to_le_bytes().to_vec()).unwrap();
        format!("{len}{json:288}tensors")
    };
    let mut world = MemoryWorld::default();
    let mut put = |name: &str, text: String| world.files.insert(format!("m/{name}").into(), text);
    put("config.json", SEVEN_B.replace("qwen2_5_vl", "another"));
    put("a.safetensors", header("model.language_model.layers.0.mlp.up_proj.weight", "[10,20]"));
    put("b.safetensors", header("visual.merger.mlp.0.bias", "[7]"));
    let index = r#"{"weight_map":{"x":"a.safetensors","y":"b.safetensors"}}"#;
    put("model.safetensors.index.json", index.to_owned());
    let shape = Shape::read(&world, Path::new("m")).unwrap();
    assert_eq!((shape.weights["language"], shape.weights["projector"], shape.all()), (200, 7, 207));
    // A shard that is not there yet, a header that is none, another family without files: nothing is made up.
    for (name, text) in [("b.safetensors", None), ("b.safetensors", Some("xxxxxxxx{")), ("config.json", Some("{}"))] {
        let mut broken = world.clone();
        match text {
            Some(text) => broken.files.insert(format!("m/{name}").into(), text.to_owned()),
            None => broken.files.remove(Path::new(&format!("m/{name}"))),
        };
        assert_eq!(Shape::read(&broken, Path::new("m")), None, "{name}: {text:?}");
    }
}

#[test]
fn states_and_activations_are_those_of_the_published_arithmetic() {
    let n = seven().all();
    // bf16 with f32 master weights and sums: 2 + 4 + (2 + 4) + 8 bytes a weight; f32: 4 + 4 + 8.
    assert_eq!(formula::states(n, Precision::Half, Memory::Moments, 0, Sharing::NONE).sum(), 20 * n);
    assert_eq!(formula::states(n, Precision::F32, Memory::Moments, 0, Sharing::NONE).sum(), 16 * n);
    assert_eq!(formula::states(n, Precision::F32, Memory::Moments, 2, Sharing::NONE).sum(), 24 * n);
    // The table of `docs/training.md`, for eight ranks.
    let eight = |stage: u8| Sharing { stage, ranks: 8 };
    for (stage, half, single) in [(1, 2 + 2 + 4 + 2, 4 + 4 + 2), (2, 2 + 2, 4 + 2), (0, 20, 16)] {
        let of = |precision| formula::states(n, precision, Memory::Moments, 0, eight(stage)).sum();
        assert_eq!((of(Precision::Half), of(Precision::F32)), (half * n, single * n), "stage {stage}");
    }
    let zero3 = |precision| formula::states(n, precision, Memory::Moments, 0, eight(3)).sum();
    assert_eq!((zero3(Precision::Half), zero3(Precision::F32)), (18 * n / 8, 2 * n));
    // Adafactor: of each of the 28 blocks q, k, v, o, gate, up, down with biases and norms, worked by hand; every rank has all of it.
    let block = (3584 + 3584) * 2 + (512 + 3584) * 2 + 3 * (18_944 + 3584) + (1 + 3584) * 3 + (1 + 512) * 2;
    let vision =
        32 * ((3840 + 1280) + (1280 + 1280) + 3 * (3420 + 1280) + (1 + 3840) + 4 * (1 + 1280) + 2 * (1 + 3420));
    let merger = (1 + 1280) + (5120 + 5120) + (1 + 5120) + (3584 + 5120) + (1 + 3584);
    let lines = 28 * block + 2 * (152_064 + 3584) + (1 + 3584) + vision + merger + 1280 * 3 * 2 * (14 + 14);
    assert_eq!(seven().lines, lines);
    let of = |sharing| formula::states(n, Precision::Half, Memory::Means(lines), 0, sharing);
    assert_eq!(of(Sharing::NONE).sum(), 12 * n + 4 * lines);
    assert_eq!(of(eight(3)).optimizer, 4 * lines);
    let work = Work { tokens: 8192, patches: 0, labels: 512, masked_row: 0, preference: false, gpu: true };
    let step = formula::step(&seven(), Precision::Half, &work);
    // 8 d + 4 kv + 4 i + 4 h + 8 bytes a token and block, worked by hand; the last norm and the labelled rows come on top.
    let block = 8 * 3584 + 4 * 512 + 4 * 18944 + 4 * 28 + 8;
    assert_eq!(step.text, 8192 * (28 * block + 4 * 3584 + 4) + 512 * 2 * 3584);
    assert_eq!(step.logits, (4 + 2) * 512 * 152_064);
    let pairs = Work { preference: true, labels: 4096, ..work };
    assert_eq!(formula::step(&seven(), Precision::Half, &pairs).logits, 4 * 152_064 * (4096 + 2 * 882));
}

/// The table "What is offloaded" of `docs/training.md`, in bytes for each weight: where the model is, and in main memory.
#[test]
fn offloaded_states_are_counted_where_they_lie() {
    let n = seven().all();
    for (shard, ranks, half, single, host) in [
        ("none", 1, 4, 8, 16),
        ("none", 8, 8, 8, 16),
        ("zero1", 8, 8, 8, 2),
        ("zero2", 8, 2, 4, 2),
        ("zero2", 1, 2, 4, 16),
    ] {
        let with = json!({ "gpus": ranks, "shard": shard, "offload": true });
        let plan = Plan::asked(with.as_object().unwrap(), ranks);
        let sharing = plan.sharing();
        for (precision, bytes) in [(Precision::Half, half), (Precision::F32, single)] {
            let (there, beside) = formula::offloaded(n, precision, Memory::Moments, 0, sharing);
            assert_eq!((there.sum(), beside.sum()), (bytes * n, host * n), "{shard}, {ranks} ranks, {precision:?}");
        }
    }
    let (there, beside) = formula::offloaded(n, Precision::Half, Memory::Moments, 1, Sharing { stage: 3, ranks: 8 });
    assert_eq!((there.sum(), beside.sum()), (n / 4, 2 * n + n / 2));
}

#[test]
fn the_ladder_has_the_steps_that_change_anything() {
    let rungs = |with: Json, ranks: u64| Plan::asked(with.as_object().unwrap(), ranks).rungs();
    let few = [Rung::Quarter, Rung::Row, Rung::Recompute];
    let all = [&few[..], &[Rung::Gradients, Rung::Weights, Rung::Offload]].concat();
    assert_eq!(rungs(json!({}), 1), few);
    assert_eq!(rungs(json!({ "gpus": 1 }), 1), [&few[..], &[Rung::Offload]].concat());
    assert_eq!(rungs(json!({ "gpus": 8, "shard": "zero1" }), 8), all);
    assert_eq!(rungs(json!({ "ranks": 8 }), 8), all[..5]);
    let shared = json!({ "gpus": 8, "shard": "zero2", "micro_batch": 4, "recompute": "text" });
    assert_eq!(rungs(shared, 8), [Rung::Row, Rung::Recompute, Rung::Weights, Rung::Offload]);
    let least = json!({ "gpus": 8, "shard": "zero3", "micro_batch": 1, "offload": true });
    assert_eq!(rungs(least, 8), []);
    let asked = json!({ "gpus": 1, "micro_batch": 8 });
    let (plan, taken) = Plan::asked(asked.as_object().unwrap(), 1).down(9);
    assert_eq!(taken.len(), 4);
    assert_eq!((plan.forward, plan.recompute, plan.stage, plan.offload), (Forward::Row, Recompute::All, 2, true));
}

/// An engine without memory: it writes down how far down it was asked to be, and fails. GPUs are those of a site file.
#[test]
fn a_training_begins_where_it_fits_and_goes_down_to_the_end() {
    let place = Place::new();
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/models/tiny-small");
    place.write("rows.jsonl", "{\"id\": \"1\", \"instruction\": \"count\", \"output\": \"one\"}\n");
    place.write("site.rb2", "let machine = { cpus: 4, mem: 8GiB, gpus: [\"0\", \"1\"] }\n");
    let told = place.path("told");
    let out = r#"{"event":"error","code":"E0612","class":"oom","message":"out of memory","help":null}"#;
    let asked = "grep -o '\"$squeeze\":[0-9]*' \"$1\" || echo asked";
    place.write(
        "engine.sh",
        &format!(
            "#!/bin/sh\n[ \"${{RANK:-0}}\" != 0 ] || {{ {asked}; }} >> {}\necho '{out}'\nexit 1\n",
            told.display()
        ),
    );
    std::process::Command::new("chmod").arg("+x").arg(place.path("engine.sh")).status().unwrap();
    let recipe = |with: &str| {
        let text = format!(
            "recipe \"small\" requires \">=0.1\"\nimport std.{{data, model, train}}\nparam seed: Int = 1\n\
             schema Sample {{ id: Str, instruction: Str, output: Str }}\nlet rows = data.jsonl(\"rows.jsonl\", as: Sample)\n\
             stage tuned = model.hf(\"{}\") |> train.sft(data: rows, batch: 64) with {{ {with} }}\noutput out = tuned\n",
            model.display()
        );
        place.write_quietly("recipe.rb2", &text);
    };
    let site = place.path("site.rb2");
    let plan = || -> Json {
        let out = place.command(&["plan", "recipe.rb2", "--json"]).env("RBPIPE_SITE", &site).output().unwrap();
        let said: Json = serde_json::from_slice(&out.stdout).expect("a plan");
        said["nodes"].as_array().unwrap().iter().find(|n| n["name"] == "tuned").unwrap()["memory"].clone()
    };
    // Returns the key, what the engine was told each time, and what the events say was foreseen.
    let run = || -> (String, Vec<String>, Vec<u64>) {
        let _ = std::fs::remove_file(&told);
        let engine = place.path("engine.sh");
        let ran =
            place.run_in(&[("RBPIPE_SITE", site.to_str().unwrap()), ("RBPIPE_ENGINE", engine.to_str().unwrap())], &[]);
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        let key = ran.said("node_failed")[0]["key"].as_str().expect("a key").to_owned();
        let told = std::fs::read_to_string(&told).expect("it was started");
        let foreseen = ran.said("node_foreseen").iter().map(|e| e["squeeze"].as_u64().unwrap()).collect();
        (key, told.lines().map(|line| line.replace("\"$squeeze\":", "")).collect(), foreseen)
    };
    recipe("gpus: 1, gpu_mem: 64GiB");
    let (key, steps, foreseen) = run();
    assert_eq!((steps, foreseen), (["asked", "1", "2", "3", "4"].map(str::to_owned).to_vec(), vec![]));
    recipe("gpus: 2");
    let (several, steps, foreseen) = run();
    assert_eq!((steps.len(), foreseen, &several), (7, vec![], &key), "zero2, zero3 and offload are steps too: no key");
    // A tenth too little: the first step does.
    recipe("gpus: 1, gpu_mem: 64GiB");
    let bytes = plan()["bytes"].as_u64().expect("bytes");
    recipe(&format!("gpus: 1, gpu_mem: {bytes}B"));
    assert_eq!(plan()["begins"], json!(["a quarter as much in each forward"]));
    let (same, steps, foreseen) = run();
    assert_eq!((steps, foreseen, &same), (["1", "2", "3", "4"].map(str::to_owned).to_vec(), vec![1], &key));
    // Nothing does: it begins at the end.
    recipe("gpus: 2, gpu_mem: 1MB");
    let (same, steps, foreseen) = run();
    assert_eq!((steps, foreseen, &same), (vec!["6".to_owned()], vec![6], &key));
}

/// Blocks that are computed again keep their inputs, and one at a time everything.
#[test]
fn blocks_that_are_computed_again_keep_their_inputs() {
    let work = Work { tokens: 4096, patches: 16_384, labels: 512, masked_row: 0, preference: false, gpu: true };
    let of = |stage: u8, recompute| {
        formula::shared_step(&seven(), Precision::Half, &work, Sharing { stage, ranks: 8 }, recompute)
    };
    let kept = formula::step(&seven(), Precision::Half, &work);
    let plain = of(0, Recompute::None);
    assert_eq!((plain.text, plain.vision), (kept.text, kept.vision));
    // 28 blocks of width 3584 over tokens, 32 of width 1280 over patches, two bytes a number.
    let (text, vision) = (4096 * 3584 * 2, 16_384 * 1280 * 2);
    let all = of(0, Recompute::All);
    assert_eq!((all.text, all.vision), (kept.text / 28 + 28 * text, kept.vision / 32 + 32 * vision));
    let half = of(0, Recompute::Half);
    assert_eq!((half.text, half.vision), (15 * (kept.text / 28) + 14 * text, 17 * (kept.vision / 32) + 16 * vision));
    assert_eq!((of(0, Recompute::Text).text, of(0, Recompute::Text).vision), (all.text, kept.vision));
    assert_eq!((of(0, Recompute::Vision).text, of(0, Recompute::Vision).vision), (kept.text, all.vision));
    // Weights that are shared out are gone before the backward, whatever is asked for.
    assert_eq!(of(3, Recompute::None).text, all.text);
}

#[test]
fn plan_tells_each_term_and_what_helps() {
    let place = Place::new();
    std::fs::create_dir_all(place.path("m")).unwrap();
    place.write("m/config.json", SEVEN_B);
    place.write("rows.jsonl", "");
    place.write("pairs.jsonl", "");
    place.write(
        "recipe.rb2",
        r#"recipe "big" requires ">=0.1"
import std.{data, model, train}
param seed: Int = 1
schema Sample { id: Str, instruction: Str, output: Str, images: [Image] }
let rows = data.jsonl("rows.jsonl", as: Sample)
stage align = model.hf("./m") |> train.sft(data: rows, batch: 256, cutoff: 4096tok) with { gpus: 1, gpu_mem: 288GB, micro_batch: 8 }
schema Pair { id: Str, prompt: Str, chosen: Str, rejected: Str }
let pairs = data.jsonl("pairs.jsonl", as: Pair)
let how = { batch: 64, cutoff: 2048tok, lr: 5e-7 }
stage taste = align |> train.dpo(pairs: pairs, ..how) with { gpus: 8, gpu_mem: 80GB, shard: "zero2", micro_batch: 2 }
output out = taste to "out"
profile laptop {} with { gpu_mem: 24GiB }
"#,
    );
    let out = place.command(&["plan", "recipe.rb2"]).env("NO_COLOR", "1").output().unwrap();
    insta::assert_snapshot!(String::from_utf8(out.stdout).unwrap() + &String::from_utf8(out.stderr).unwrap());
    let out = place.command(&["plan", "recipe.rb2", "--json", "-w", "gpu_mem=2TiB"]).output();
    let out = out.unwrap();
    let said: Json =
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    let align = said["nodes"].as_array().unwrap().iter().find(|n| n["name"] == "align").unwrap();
    let memory = &align["memory"];
    let sum: u64 = memory["terms"].as_object().unwrap().values().map(|v| v.as_u64().unwrap()).sum();
    assert_eq!((memory["bytes"].as_u64(), memory["weights"].as_u64()), (Some(sum), Some(8_292_166_656)));
    assert_eq!((&memory["fits"], &memory["limit"]), (&Json::from(true), &Json::from(2_u64 << 40)));
    assert!((align["gpu_gib"].as_f64().unwrap() - sum as f64 / f64::from(1 << 30)).abs() < 0.01);
    assert_eq!((&align["seconds"], &said["totals"]["gpu_hours"]), (&Json::Null, &Json::from(0.0)));
}

#[test]
fn plan_tells_time_and_gpu_hours_of_what_ran_in_another_form() {
    let text = r#"recipe "timed" requires ">=0.1"
import std.{bench, data, model, train, eval, read, mark, total}
param seed: Int = 1
schema Sample { id: Str, instruction: Str, output: Str }
schema Pair { id: Str, prompt: Str, chosen: Str, rejected: Str }
let rows = data.jsonl("rows.jsonl", as: Sample)
let pairs = data.jsonl("pairs.jsonl", as: Pair)
stage sft = model.hf("./m") |> train.sft(data: rows, epochs: 3, lr: 1e-5) with { gpus: 8 }
stage dpo = sft |> train.dpo(pairs: pairs, beta: 0.2) with { gpus: 4 }
let exam = bench.json("exam.jsonl")
  |> bench.sample(id: .id, kind: "choice", question: .q, options: .o, key: .a)
  |> bench.ask(choice: "Answer with the letter only.")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())
let score = eval.run(dpo, on: exam) with { gpus: 1 }
expect score >= 0%
output out = dpo to "out"
"#;
    let place = Place::new();
    std::fs::create_dir_all(place.path("m")).unwrap();
    place.write("m/config.json", SEVEN_B);
    for (file, line) in [("rows.jsonl", ""), ("pairs.jsonl", ""), ("exam.jsonl", "")] {
        place.write(file, line);
    }
    place.write("recipe.rb2", text);
    let catalogue = rbpipe::ops::catalogue();
    let mut sources = SourceMap::default();
    let at = place.path("recipe.rb2");
    let (program, problems) = rbpipe::semantics::load(&OsWorld, &catalogue, &mut sources, &at);
    assert!(!problems.has_errors());
    let options = rbpipe::plan::Options::default();
    let (planned, _) = rbpipe::plan::evaluate(&program, &catalogue, &mut sources, &OsWorld, &options);
    let graph = planned.unwrap().graph;
    // What ran before: one epoch at another rate, other weights before the preferences, the same questions of another model.
    let store = Store::open(place.cache()).unwrap();
    let ran = |op: &str, name: &str, seconds: f64, change: &[(&str, Json)]| {
        let node =
            graph.order().into_iter().map(|id| graph.node(id)).find(|n| n.op == op).unwrap_or_else(|| panic!("{op}"));
        let mut preimage = serde_json::Map::from_iter(
            node.args.as_object().unwrap().iter().map(|(name, value)| (format!("arg.{name}"), value.clone())),
        );
        preimage.insert("op".into(), op.into());
        preimage.insert("version".into(), node.version.into());
        preimage.extend(change.iter().map(|(name, value)| (format!("arg.{name}"), value.clone())));
        let made = json!({ "key": Digest::of(name.as_bytes()).hex(), "preimage": preimage, "outputs": {}, "seconds": seconds, "rows": null,
            "bytes": 0, "counts": {}, "fates": null, "name": name, "made": "2026-01-01T00:00:00Z", "build": "1" });
        let made: Record = serde_json::from_value(made).unwrap();
        record::publish(&store, &made).unwrap();
    };
    ran("train.sft", "first", 1200.0, &[("epochs", json!(1.0)), ("lr", json!(3e-5))]);
    ran("train.sft", "wider", 9.0, &[("batch", json!(7))]);
    ran("train.dpo", "taste", 1800.0, &[("beta", json!(0.1))]);
    ran("eval.run", "asked", 360.0, &[]);
    let out = place.command(&["plan", "recipe.rb2", "--json"]).output().unwrap();
    let said: Json =
        serde_json::from_slice(&out.stdout).unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&out.stderr)));
    let line = |op: &str| {
        let nodes = said["nodes"].as_array().unwrap();
        let node = nodes.iter().find(|n| n["op"] == op).unwrap_or_else(|| panic!("{op}: {said}"));
        (node["seconds"].as_f64(), node["seconds_as"].as_str().map(str::to_owned), node["gpu_hours"].as_f64())
    };
    // Three epochs take three times as long as one.
    assert_eq!(line("train.sft"), (Some(3600.0), Some("first".to_owned()), Some(8.0)));
    assert_eq!(line("train.dpo"), (Some(1800.0), Some("taste".to_owned()), Some(2.0)));
    assert_eq!(line("eval.run"), (Some(360.0), Some("asked".to_owned()), Some(0.1)));
    assert_eq!(said["totals"]["gpu_hours"].as_f64(), Some(10.1));
}
