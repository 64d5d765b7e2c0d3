//! What is found before the first step, and signs while steps go on; references of preferences that are brought along.

use std::path::Path;

use rbpipe::engine::Artifact;
use rbpipe::train::log::Record;
use rbpipe::train::watch::signs;
use serde_json::{Value as Json, json};
use tch::{Device, Kind};

use super::train_ops::{Bench, base, losses, sft_args, shared, with};

fn texts(bench: &Bench, name: &str, rows: &[Json]) -> Artifact {
    let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
    let path = bench.root.path().join(name);
    std::fs::write(&path, lines).expect("a scratch file");
    let kinds = |value: &Json| if value.is_number() { "Float" } else { "Str" };
    let columns: Vec<Json> = rows[0]
        .as_object()
        .expect("a row")
        .iter()
        .map(|(name, value)| json!({ "name": name, "type": kinds(value) }))
        .collect();
    let args = json!({ "path": path, "as": { "columns": columns }, "media": null, "bad": "fail" });
    bench.run("data.jsonl", args, &[]).expect("the rows load")
}

fn sayings(bench: &Bench) -> Artifact {
    let rows: Vec<Json> = (0..12)
        .map(|i| json!({ "id": format!("r{i}"), "instruction": format!("Where is cup {i}?"), "output": format!("Cup {i} is left") }))
        .collect();
    texts(bench, "rows.jsonl", &rows)
}

fn plain() -> Json {
    json!({ "max_rows": null, "batch": 4, "validation": { "ratio": 0.0 }, "evaluate": null })
}

#[test]
fn weights_that_are_no_numbers_are_named() {
    let bench = Bench::new();
    let folder = bench.root.path().join("model");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev/model");
    let model = rbpipe::model::QwenVl::load(&source, Device::Cpu, Kind::Float).expect("a model");
    let name = "model.layers.1.mlp.up_proj.weight";
    let _ = model.params.get(name).expect("a weight").view([-1]).narrow(0, 77, 1).fill_(f64::NAN);
    model.save(&folder, &source).expect("saved");
    let error = rbpipe::model::QwenVl::load(&folder, Device::Cpu, Kind::Float).err().expect("refused");
    assert!(error.code == "E0503" && error.message.contains(name) && error.help.is_some(), "{error:?}");
}

#[test]
fn rows_that_are_cut_and_tokens_that_are_unknown_are_named() {
    let bench = Bench::new();
    let data = sayings(&bench);
    let base = base(&bench, &data);
    let long = texts(
        &bench,
        "long.jsonl",
        &[
            json!({ "id": "short", "instruction": "Where is cup 1?", "output": "left" }),
            json!({ "id": "long", "instruction": "Where is cup 1?", "output": "left ".repeat(90) }),
        ],
    );
    let args = with(with(sft_args(1), plain()), json!({ "cutoff": 64 }));
    let fates = bench.fates("train.sft", args, &[("m", &base), ("data", &long)]);
    let cut: Vec<_> = fates.iter().filter(|f| f.what == "cut").collect();
    assert!(cut.len() == 1 && cut[0].row == "long" && cut[0].why.ends_with("cut to 64"), "{fates:?}");

    // An embedding with fewer rows than the tokenizer has ids.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev/model");
    let mut config = rbpipe::model::Config::load(&folder).expect("a model");
    config.text.vocab = 300;
    let encoder = rbpipe::train::encoder::Encoder::open(&folder, &config, Default::default()).expect("a tokenizer");
    let row = rbpipe::train::rows::TextRow {
        name: "row".into(),
        system: None,
        messages: rbpipe::train::rows::asked("hello"),
        replies: vec!["yes".into()],
        images: Vec::new(),
        videos: Vec::new(),
        cells: None,
        phrases: Vec::new(),
    };
    let (_, _, lost) = encoder.encode(&[row], &bench.store, &|_| {}).expect("a store");
    assert!(lost[0].1.contains("none of the 300"), "{lost:?}");
}

#[test]
fn a_reference_may_come_with_the_pairs() {
    let bench = Bench::new();
    let base = base(&bench, &sayings(&bench));
    let pair = |i: usize| {
        let worse = if i == 3 { format!("Cup {i} is left") } else { format!("Cup {i} is red") };
        json!({ "id": format!("p{i}"), "prompt": format!("Where is cup {i}?"), "chosen": format!("Cup {i} is left"), "rejected": worse })
    };
    let pairs = texts(&bench, "pairs.jsonl", &(0..8).map(pair).collect::<Vec<_>>());
    let own = |reference: &str| {
        let dpo = json!({
            "m": { "$input": "m" }, "pairs": { "$input": "pairs" }, "beta": 0.1, "loss": "sigmoid", "smoothing": 0.0, "gamma": 0.5,
            "sft": 0.0, "reference": reference, "lr": 5e-4,
        });
        with(with(shared(4), plain()), dpo)
    };
    let train =
        |reference: &str, pairs: &Artifact| bench.run("train.dpo", own(reference), &[("m", &base), ("pairs", pairs)]);
    let logps = json!({ "m": { "$input": "m" }, "pairs": { "$input": "pairs" }, "template": null, "cutoff": 512, "pixels": { "from": 1024, "to": 12544 } });
    let scored =
        |by: &Artifact| bench.run("train.logps", logps.clone(), &[("m", by), ("pairs", &pairs)]).expect("scores");
    let start = train("start", &pairs).expect("a model");
    let brought = train("columns", &scored(&base)).expect("a model");
    let (a, b) = (losses(&bench, &start, "loss"), losses(&bench, &brought, "loss"));
    assert!(a.len() == 4 && a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-5), "{a:?} {b:?}");

    // Another model than the start: the rewards of the first step are not nothing.
    let other = bench
        .run("train.sft", with(sft_args(6), plain()), &[("m", &base), ("data", &sayings(&bench))])
        .expect("a model");
    let away = train("columns", &scored(&other)).expect("a model");
    assert!(losses(&bench, &away, "rewards/chosen")[0].abs() > 0.01);
    let error = train("columns", &pairs).expect_err("refused");
    assert!(error.message.contains("logp_chosen") && error.help.is_some_and(|h| h.contains("train.logps")));
    let (_, said) = bench.run_with("train.dpo", own("start"), json!({ "log": 1 }), &[("m", &base), ("pairs", &pairs)]);
    assert!(
        said.iter().any(|line| line.starts_with("1 pairs have the same reply twice") && line.ends_with("p3")),
        "{said:?}"
    );
}

#[test]
fn signs_of_a_training_that_goes_wrong_are_told() {
    let line = |step: usize, loss: f64, norm: f64, chosen: f64, right: f64| Record {
        step: step as u64,
        loss: Some(loss),
        grad_norm: Some(norm),
        measures: vec![("logps/chosen".into(), chosen), ("rewards/accuracies".into(), right)],
        ..Record::default()
    };
    let log = |of: &dyn Fn(usize) -> (f64, f64, f64, f64)| -> Vec<Record> {
        (0..9).map(|i| (i, of(i))).map(|(i, (a, b, c, d))| line(i, a, b, c, d)).collect()
    };
    let names = |records: &[Record]| signs(records).into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert!(names(&log(&|i| (0.7 - 0.05 * i as f64, 1.0, -40.0 - i as f64, 0.5 + 0.05 * i as f64))).is_empty());
    let wrong = |i: usize, from: f64, to: f64| if i < 6 { from } else { to };
    assert_eq!(names(&log(&|i| (wrong(i, 0.7, 3.0), 1.0, -40.0, 0.6))), ["loss"]);
    assert_eq!(names(&log(&|i| (0.7, wrong(i, 1.0, 500.0), -40.0, 0.6))), ["norm"]);
    assert_eq!(names(&log(&|i| (0.7, 1.0, wrong(i, -40.0, -90.0), 0.9))), ["logps"]);
    assert_eq!(names(&log(&|i| (0.7, 1.0, -40.0, wrong(i, 0.5, 0.1)))), ["accuracy"]);
    // One line may be anything.
    assert!(names(&log(&|i| (if i == 8 { 9.0 } else { 0.7 }, 1.0, -40.0, 0.6))).is_empty());
}

#[test]
fn arithmetic_is_counted_by_hand() {
    use rbpipe::model::collate::{IGNORE, Padding, Sample, collate};
    use rbpipe::train::flops::{named, of_batch};

    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev/model");
    let config = rbpipe::model::Config::load(&folder).expect("a model");
    let sample = |n: usize| Sample { ids: vec![40; n], labels: vec![IGNORE; n], ..Sample::default() };
    let batch = collate(&config, &[&sample(5), &sample(3)], Padding::right(504)).expect("a batch");
    // Three blocks: q and o 64 x 64, k and v 64 x 32, the MLP three times 64 x 128; 640 words.
    let weights = 3.0 * (2.0 * 64.0 * 64.0 + 2.0 * 64.0 * 32.0 + 3.0 * 64.0 * 128.0);
    let attention = 3.0 * 6.0 * 64.0 * (25.0 + 9.0);
    assert_eq!(of_batch(&config, &batch, 2), 6.0 * weights * 8.0 + attention + 6.0 * 640.0 * 64.0 * 2.0);
    assert_eq!(named("Model: \t\t NVIDIA H100 80GB HBM3\nIRQ: 12"), Some(9.89e14));
    assert_eq!(named("Model: NVIDIA A100-SXM4-80GB"), Some(3.12e14));
    assert_eq!(named("Model: NVIDIA GeForce GTX 970"), None);
}
