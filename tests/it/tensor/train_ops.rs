//! Training operators end to end on a few rendered scenes: tokenizer, fresh model, SFT, DPO, scores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rbpipe::base::{Digest, OpError};
use rbpipe::engine::node::context::Fate;
use rbpipe::engine::outputs::publish;
use rbpipe::engine::storage::dataset;
use rbpipe::engine::storage::record::{self, Record};
use rbpipe::engine::{Artifact, Context, Output, Store};
use rbpipe::eval::benchmark::items_dataset;
use rbpipe::eval::{ItemKind, item};
use rbpipe::ops::BUILTINS;
use rbpipe::train::encoder::{Encoder, Limits};
use rbpipe::train::rows::TextRow;
use serde_json::{Value as Json, json};

/// A store and a scratch folder, in which operators are run one by one.
pub struct Bench {
    pub root: tempfile::TempDir,
    pub store: Store,
    /// What the last operator said of rows.
    fates: std::sync::Mutex<Vec<Fate>>,
}

impl Bench {
    pub fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let store = Store::open(root.path().join("store")).expect("a store");
        Self { root, store, fates: Default::default() }
    }

    pub fn run(&self, name: &str, args: Json, inputs: &[(&str, &Artifact)]) -> Result<Artifact, OpError> {
        self.run_with(name, args, json!({ "log": 1 }), inputs).0
    }

    /// Runs an operator and returns what became of rows.
    pub fn fates(&self, name: &str, args: Json, inputs: &[(&str, &Artifact)]) -> Vec<Fate> {
        self.run(name, args, inputs).unwrap_or_else(|e| panic!("{name}: {e}"));
        self.fates.lock().expect("nobody panicked").clone()
    }

    /// Runs an operator under some `with`; also returns what it said.
    pub fn run_with(
        &self,
        name: &str,
        args: Json,
        with: Json,
        inputs: &[(&str, &Artifact)],
    ) -> (Result<Artifact, OpError>, Vec<String>) {
        let said = std::sync::Mutex::new(Vec::new());
        let emit = |event: &str, fields: Json| {
            if event == "node_log" {
                said.lock().expect("nobody panicked").push(fields["text"].as_str().expect("a text").to_owned());
            }
        };
        let made = self.made(name, args, with, inputs, &emit);
        (made, said.into_inner().expect("nobody panicked"))
    }

    fn made(
        &self,
        name: &str,
        args: Json,
        with: Json,
        inputs: &[(&str, &Artifact)],
        emit: &(dyn Fn(&str, Json) + Sync),
    ) -> Result<Artifact, OpError> {
        let mark = format!("op {name}(");
        let op =
            BUILTINS.iter().find(|b| b.spec.signature.contains(&mark)).unwrap_or_else(|| panic!("no operator {name}"));
        let scratch = tempfile::tempdir_in(self.root.path()).expect("a folder");
        let cancelled = AtomicBool::new(false);
        let mut cx = Context {
            args,
            inputs: inputs.iter().map(|(slot, a)| ((*slot).to_owned(), (*a).clone())).collect(),
            with,
            store: &self.store,
            scratch: scratch.path().to_owned(),
            folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes"),
            secrets: BTreeMap::new(),
            seed: 42,
            stream: Digest::of(b"test"),
            threads: 2,
            checkpoints: None,
            rowwise: None,
            emit,
            cancelled: &cancelled,
            fates: Vec::new(),
            counts: BTreeMap::new(),
        };
        let run = op.spec.signature.contains(&mark).then_some(op.run).flatten().expect("it has code");
        let (_, output) = run(&mut cx)?.swap_remove(0);
        *self.fates.lock().expect("nobody panicked") = std::mem::take(&mut cx.fates);
        Ok(match output {
            Output::Artifact(artifact) => artifact,
            Output::Table(table) => dataset::save(&self.store, &table)?,
            Output::Folder { kind, meta, path, attached } => {
                let mut artifact = Artifact { kind, meta, files: BTreeMap::new() };
                self.take(&scratch.path().join(path), PathBuf::new(), &mut artifact)?;
                let inner = attached.unwrap_or_else(|| PathBuf::from("none"));
                for (path, file) in &mut artifact.files {
                    file.attached = Path::new(path).starts_with(&inner);
                }
                artifact
            }
        })
    }

    fn take(&self, root: &Path, inner: PathBuf, artifact: &mut Artifact) -> Result<(), OpError> {
        for entry in std::fs::read_dir(root.join(&inner))? {
            let relative = inner.join(entry?.file_name());
            if root.join(&relative).is_dir() {
                self.take(root, relative, artifact)?;
            } else {
                let file = self.store.put_file(&root.join(&relative))?;
                artifact.files.insert(relative.to_string_lossy().into_owned(), file);
            }
        }
        Ok(())
    }

    pub fn text(&self, artifact: &Artifact, path: &str) -> String {
        String::from_utf8(self.store.read(artifact.files[path].digest).expect("stored")).expect("text")
    }
}

pub fn shared(steps: u64) -> Json {
    json!({
        "method": "full", "rank": 8, "alpha": 16.0, "targets": [], "freeze": [], "template": null, "thinking": false, "system": null,
        "epochs": 50.0, "max_steps": steps, "max_rows": 24, "batch": 8, "cutoff": 512, "long": "cut",
        "pixels": { "from": 1024, "to": 12544 }, "video_pixels": { "from": 256, "to": 12544 }, "frames": { "from": 4, "to": 8 }, "fps": 2.0,
        "lr": 2e-3, "schedule": "cosine", "warmup": { "ratio": 0.1 }, "floor": 0.0, "cooldown": { "ratio": 0.1 }, "optimizer": "adamw",
        "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "decay": "hf", "clip": 1.0, "dtype": "f32", "master": "f32",
        "validation": { "ratio": 0.1 }, "evaluate": { "steps": 10 }, "best": false, "ema": null, "amplify": null,
    })
}

pub fn with(base: Json, more: Json) -> Json {
    let (Json::Object(mut base), Json::Object(more)) = (base, more) else { panic!("objects") };
    base.extend(more);
    Json::Object(base)
}

pub fn sft_args(steps: u64) -> Json {
    let own = json!({
        "m": { "$input": "m" }, "data": { "$input": "data" }, "packing": false, "loss": "token_mean", "per_device": null,
        "history": false, "smoothing": 0.0, "cells": null, "cells_weight": 1.0, "cells_after": null,
        "phrases": null, "phrases_weight": 1.0, "phrases_after": null, "order": "rows",
    });
    with(shared(steps), own)
}

pub fn config() -> String {
    json!({
        "model_type": "qwen2_5_vl", "architectures": ["Qwen2_5_VLForConditionalGeneration"], "hidden_act": "silu", "torch_dtype": "float32",
        "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "max_position_embeddings": 4096, "rms_norm_eps": 1e-6, "rope_theta": 1_000_000.0, "use_sliding_window": false,
        "tie_word_embeddings": true, "rope_scaling": { "type": "mrope", "mrope_section": [2, 3, 3] },
        "vision_config": {
            "model_type": "qwen2_5_vl", "depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "in_chans": 3,
            "patch_size": 14, "spatial_merge_size": 2, "temporal_patch_size": 2, "tokens_per_second": 2, "window_size": 112,
            "out_hidden_size": 64, "hidden_act": "silu", "fullatt_block_indexes": [1],
        },
    })
    .to_string()
}

fn rows(bench: &Bench, path: &str, columns: Json) -> Artifact {
    let args = json!({ "path": path, "as": { "columns": columns }, "media": "data/tabletop", "bad": "skip" });
    bench.run("data.jsonl", args, &[]).expect("the vendored rows load")
}

/// A fresh tiny model with a tokenizer.
fn fresh(bench: &Bench, tokenizer: &Artifact) -> Artifact {
    let random = json!({ "config": config(), "tokenizer": { "$input": "tokenizer" }, "dtype": "f32" });
    bench.run("model.random", random, &[("tokenizer", tokenizer)]).unwrap()
}

/// A fresh tiny model whose tokenizer knows the rows.
pub fn base(bench: &Bench, rows: &Artifact) -> Artifact {
    let texts = json!({ "on": ["instruction", "output"], "vocab": 600 });
    fresh(bench, &bench.run("train.tokenizer", texts, &[("d", rows)]).unwrap())
}

pub fn losses(bench: &Bench, model: &Artifact, key: &str) -> Vec<f64> {
    let log = bench.text(model, "training/log.jsonl");
    log.lines().filter_map(|line| serde_json::from_str::<Json>(line).expect("JSON")[key].as_f64()).collect()
}

#[test]
fn a_model_is_made_trained_aligned_and_scored() {
    let bench = Bench::new();
    let sft_rows = rows(
        &bench,
        "data/tabletop/raw/host.jsonl",
        json!([
            { "name": "id", "type": "Str" }, { "name": "instruction", "type": "Str" }, { "name": "input", "type": "Str?" },
            { "name": "output", "type": "Str" }, { "name": "images", "type": "[Image]" },
        ]),
    );
    let pairs = rows(
        &bench,
        "data/tabletop/pairs/fail_fix.jsonl",
        json!([
            { "name": "id", "type": "Str" }, { "name": "prompt", "type": "Str" }, { "name": "images", "type": "[Image]" },
            { "name": "chosen", "type": "Str" }, { "name": "rejected", "type": "Str" },
        ]),
    );
    let tokenizer = bench
        .run("train.tokenizer", json!({ "on": ["instruction", "output"], "vocab": 600 }), &[("d", &sft_rows)])
        .unwrap();
    assert!(tokenizer.files.contains_key("tokenizer.json"));
    let again = bench
        .run("train.tokenizer", json!({ "on": ["instruction", "output"], "vocab": 600 }), &[("d", &sft_rows)])
        .unwrap();
    assert_eq!(tokenizer, again, "the same texts give the same tokenizer");

    let base = fresh(&bench, &tokenizer);
    let tuned = bench.run("train.sft", sft_args(30), &[("m", &base), ("data", &sft_rows)]).unwrap();
    let loss = losses(&bench, &tuned, "loss");
    assert!(loss.len() == 30 && loss[29] < 0.7 * loss[0], "{loss:?}");
    assert!(!losses(&bench, &tuned, "eval_loss").is_empty());
    assert!(bench.text(&tuned, "training/loss.svg").contains("<svg"));
    assert!(
        bench.text(&tuned, "training/trainer_log.jsonl").starts_with(r#"{"current_steps":1,"total_steps":30,"loss":"#)
    );
    for name in [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "preprocessor_config.json",
        "generation_config.json",
        "chat_template.jinja",
    ] {
        assert!(tuned.files.contains_key(name), "{name}");
    }
    let packed = bench
        .run("train.sft", with(sft_args(30), json!({ "packing": true })), &[("m", &base), ("data", &sft_rows)])
        .unwrap();
    for (a, b) in loss.iter().zip(losses(&bench, &packed, "loss")).take(5) {
        assert!((a - b).abs() < 1e-4, "packing changes nothing: {a} and {b}");
    }

    let dpo = json!({
        "m": { "$input": "m" }, "pairs": { "$input": "pairs" }, "beta": 0.1, "loss": "sigmoid", "smoothing": 0.0, "gamma": 0.5, "sft": 0.0,
        "reference": "start", "lr": 5e-4,
    });
    let aligned = bench.run("train.dpo", with(shared(20), dpo), &[("m", &tuned), ("pairs", &pairs)]).unwrap();
    let loss = losses(&bench, &aligned, "loss");
    assert!((loss[0] - std::f64::consts::LN_2).abs() < 1e-5, "the policy starts at the reference: {}", loss[0]);
    assert!(loss[19] < loss[0], "{loss:?}");

    let score = |model: &Artifact| {
        bench.run("eval.preference", json!({ "by": "sum" }), &[("m", model), ("pairs", &pairs)]).unwrap()
    };
    let (before, after) = (score(&tuned), score(&aligned));
    let items = dataset::load(&bench.store, &items_dataset(&after)).unwrap();
    let kinds: Vec<ItemKind> = item::from_table(&items).unwrap().iter().map(|i| i.kind).collect();
    assert!(!kinds.is_empty() && kinds.iter().all(|kind| *kind == ItemKind::Pair), "{kinds:?}");
    let [before, after] = [before, after].map(|s| rbpipe::eval::score::load(&bench.store, &s).unwrap());
    assert_eq!(after.units.len(), after.meta["n"].as_u64().unwrap() as usize);
    let right = after.units.iter().map(|u| u.score()).sum::<f64>() / after.units.len() as f64;
    assert!((after.meta["value"].as_f64().unwrap() - right).abs() < 1e-12 && after.meta["chance"] == 0.5);
    // The same pairs under two models are compared pair by pair.
    let found = rbpipe::eval::compare::paired(&before, &after).unwrap().unwrap();
    let moved = right - before.meta["value"].as_f64().unwrap();
    assert!(found.n == after.units.len() && (found.value - moved).abs() < 1e-12, "{found:?}, {moved}");
    assert!(after.units.iter().any(|u| u.cluster != u.id), "pairs about a picture belong together");
}

#[test]
fn an_expert_gets_an_amplifier() {
    let bench = Bench::new();
    let data = host_rows(&bench);
    let base = base(&bench, &data);
    let train =
        |change: Json, m: &Artifact| bench.run("train.sft", with(sft_args(6), change), &[("m", m), ("data", &data)]);
    let expert = train(json!({ "amplify": { "gain": 3.0, "attention": 0.5, "on": null } }), &base).unwrap();
    assert_eq!(expert.meta["amplifier"], json!({ "gain": 3.0, "attention": 0.5 }));
    let gate = |model: &Artifact| bench.store.read(model.files["amplifier.safetensors"].digest).unwrap();
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("a.safetensors"), gate(&expert)).unwrap();
    let weights = rbpipe::model::weights::read(&folder.path().join("a.safetensors")).unwrap();
    let learned = weights["amplifier.gate.2.weight"].abs().max().double_value(&[]);
    assert!(learned > 1e-4, "the gate moved from its zeros: {learned}");

    let second = train(json!({}), &expert).unwrap();
    assert_eq!(gate(&second), gate(&expert), "it is kept as it is where nobody asks for more");
    assert_ne!(second.files["model.safetensors"], expert.files["model.safetensors"]);
    let third = train(json!({ "amplify": { "gain": 3.0, "attention": 0.5, "on": null } }), &expert).unwrap();
    assert_ne!(gate(&third), gate(&expert));
    assert!(!train(json!({}), &base).unwrap().files.contains_key("amplifier.safetensors"));

    let never = json!({ "binary": ["==", { "col": "risk" }, { "lit": "none such" }] });
    let unknown = json!({ "binary": ["==", { "col": "danger" }, { "lit": "high" }] });
    for (amplify, word) in [
        (json!({ "gain": 0.5, "attention": null, "on": null }), "gain: 0.5"),
        (json!({ "gain": null, "attention": null, "on": never }), "none of the training rows"),
        (json!({ "gain": null, "attention": null, "on": unknown }), "danger"),
    ] {
        let error = train(json!({ "amplify": amplify }), &base).expect_err("refused");
        assert!(error.message.contains(word) && error.help.is_some(), "{error:?}");
    }
}

fn host_rows(bench: &Bench) -> Artifact {
    rows(
        bench,
        "data/tabletop/raw/host.jsonl",
        json!([
            { "name": "id", "type": "Str" }, { "name": "instruction", "type": "Str" }, { "name": "output", "type": "Str" },
            { "name": "images", "type": "[Image]" }, { "name": "risk", "type": "Str" },
        ]),
    )
}

#[test]
fn options_are_followed_refused_or_spoken_of() {
    let bench = Bench::new();
    let data = host_rows(&bench);
    let base = base(&bench, &data);
    let train = |change: Json, with: Json| {
        bench.run_with("train.sft", self::with(sft_args(2), change), with, &[("m", &base), ("data", &data)])
    };
    // As the default profile of the mission's recipe has it.
    let usual = json!({
        "gpus": 0, "shard": "none", "attention": "sdpa", "checkpoint": 50, "log": 5, "timeout": 1800.0, "retries": 1,
    });
    let (plain, said) = train(json!({}), usual.clone());
    let plain = plain.unwrap();
    assert_eq!(said, Vec::<String>::new());
    let (same, said) = train(
        json!({ "history": true, "thinking": true }),
        with(usual.clone(), json!({ "attention": "flash", "workers": 1, "shard": "zero2" })),
    );
    assert_eq!(same.unwrap().digest(), plain.digest(), "none of it changes the result");
    for name in ["history", "thinking", "attention", "shard"] {
        assert!(said.iter().any(|line| line.starts_with(name) && line.contains("no effect here")), "{name}: {said:?}");
    }
    for shard in ["none", "zero2"] {
        let (same, said) = train(json!({}), with(usual.clone(), json!({ "offload": true, "shard": shard })));
        assert_eq!(same.unwrap().digest(), plain.digest(), "states apart from the model are the same states");
        assert!(said.len() == 1 && said[0].starts_with("offload: true saves nothing here"), "{said:?}");
    }
    for recompute in ["half", "vision", "text", "all"] {
        let (same, said) = train(json!({}), with(usual.clone(), json!({ "recompute": recompute })));
        assert_eq!(same.unwrap().digest(), plain.digest(), "{recompute}: blocks computed again are the same blocks");
        assert_eq!(said, Vec::<String>::new());
    }
    let error = train(json!({}), with(usual.clone(), json!({ "gpus": 2 }))).0.expect_err("refused");
    assert!(error.code == "E0712" && error.message.contains("gpus: 2") && error.help.is_some(), "{error:?}");
    // No prompt with a picture is that short.
    let error = train(json!({ "cutoff": 16 }), usual).0.expect_err("refused");
    assert!(error.code == "E0711" && error.message.contains("trainable label") && error.help.is_some(), "{error:?}");
}

#[test]
fn conversations_are_learned_as_rows_are() {
    let bench = Bench::new();
    let data = host_rows(&bench);
    let base = base(&bench, &data);
    let talk = bench.run("data.layout", json!({ "to": "messages" }), &[("d", &data)]).unwrap();
    let columns = json!({ "columns": ["instruction", "output"] });
    let talk = bench.run("data.drop", columns, &[("d", &talk)]).unwrap();
    let train = |data: &Artifact| bench.run("train.sft", sft_args(3), &[("m", &base), ("data", data)]).unwrap();
    assert_eq!(train(&talk).digest(), train(&data).digest());
}

#[test]
fn a_conversation_is_learned_in_all_replies_or_the_last() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev/model");
    let config = rbpipe::model::Config::load(&folder).unwrap();
    let tokenizer = rbpipe::model::Tokenizer::load(&folder).unwrap();
    let store = Bench::new();
    let message = |role: &str, text: &str| (role.to_owned(), text.to_owned());
    let talk = vec![message("user", "hello"), message("assistant", "good day"), message("user", "and now?")];
    let row = |messages: Vec<(String, String)>, replies: &[&str]| TextRow {
        name: "talk".into(),
        system: None,
        messages,
        replies: replies.iter().map(|&r| r.to_owned()).collect(),
        images: Vec::new(),
        videos: Vec::new(),
        cells: None,
        phrases: Vec::new(),
    };
    let learned = |history: bool, row: &TextRow| -> Result<String, String> {
        let limits = Limits { history, ..Limits::default() };
        let encoder = Encoder::open(&folder, &config, limits).unwrap();
        let (encoded, _, lost) = encoder.encode(std::slice::from_ref(row), &store.store, &|_| {}).unwrap();
        if let Some((_, why)) = lost.into_iter().next() {
            return Err(why);
        }
        let sample = &encoded[0].examples[0].sample;
        let labels: Vec<i64> = sample.labels.iter().copied().filter(|&l| l != rbpipe::model::collate::IGNORE).collect();
        let whole = tokenizer.text(&sample.ids, false).unwrap();
        assert!(
            whole.contains("hello") && whole.contains("good day") && whole.ends_with("later<|im_end|>\n"),
            "{whole}"
        );
        Ok(tokenizer.text(&labels, false).unwrap())
    };
    let whole = row(talk.clone(), &["later"]);
    assert_eq!(learned(false, &whole).unwrap(), "good day<|im_end|>\nlater<|im_end|>\n");
    assert_eq!(learned(true, &whole).unwrap(), "later<|im_end|>\n");
    let open = row(talk[..1].to_vec(), &[]);
    assert!(learned(false, &open).unwrap_err().contains("does not end with a reply"));
    let odd = row(vec![talk[0].clone(), talk[2].clone()], &["later"]);
    let why = learned(false, &odd).unwrap_err();
    assert!(why.contains("messages") || why.contains("roles"), "{why}");
}

#[test]
fn two_trainings_are_the_same_model() {
    let bench = Bench::new();
    let data = host_rows(&bench);
    let base = base(&bench, &data);
    let amplify = json!({ "amplify": { "gain": null, "attention": 0.5, "on": null } });
    let train =
        || bench.run("train.sft", with(sft_args(3), amplify.clone()), &[("m", &base), ("data", &data)]).unwrap();
    let (first, second) = (train(), train());
    assert_eq!(first.digest(), second.digest());
    let log = first.files["training/log.jsonl"];
    assert!(log.attached && bench.text(&first, "training/log.jsonl").contains("seconds"), "clock times go beside it");
    assert!(!first.files["model.safetensors"].attached);

    // A record keeps attachments, and does without them when they are lost.
    let key = Digest::of(b"a training");
    let outputs = BTreeMap::from([(String::new(), bench.store.put_artifact(&first).unwrap())]);
    assert_eq!(outputs[""], first.digest());
    let record = Record {
        key,
        outputs,
        attachments: BTreeMap::from([(String::new(), first.attachments())]),
        preimage: serde_json::Map::new(),
        seconds: 1.0,
        rows: None,
        bytes: first.bytes(),
        counts: BTreeMap::new(),
        fates: None,
        of_rows: None,
        kept: None,
        began: None,
        name: "tuned".into(),
        made: "today".into(),
        build: "this".into(),
    };
    record::publish(&bench.store, &record).unwrap();
    let found = |why: &str| record::lookup(&bench.store, key).unwrap_or_else(|| panic!("{why}")).1[""].clone();
    assert_eq!(found("a record"), first);
    let folder = bench.root.path().join("out/tuned");
    publish::publish(&bench.store, &found("a record"), &folder, json!({}), false).unwrap();
    assert!(folder.join("training/loss.svg").is_file() && folder.join("amplifier.safetensors").is_file());
    std::fs::remove_file(bench.store.path(log.digest)).unwrap();
    let without = found("a log is no reason to train again");
    assert!(!without.files.contains_key("training/log.jsonl"));
    assert_eq!(without.digest(), first.digest());
}

#[test]
fn what_is_not_there_is_refused() {
    let bench = Bench::new();
    let nothing = Artifact { kind: rbpipe::engine::Kind::Model, meta: json!({}), files: BTreeMap::new() };
    for (change, word) in [
        (json!({ "method": "lora" }), "lora"),
        (json!({ "optimizer": "muon" }), "optimizer"),
        (json!({ "dtype": "f16" }), "f16"),
        (json!({ "loss": "micro_mean" }), "per_device"),
        (json!({ "template": "llama3" }), "template"),
    ] {
        let error = bench.run("train.sft", with(sft_args(1), change), &[("m", &nothing)]).expect_err("refused");
        assert!(error.message.contains(word) && error.help.is_some(), "{error:?}");
    }
}

/// A mean over rows is a mean over micro-batches of one row each, however rows are laid out; and no mean over tokens.
#[test]
fn each_row_weighs_the_same_in_a_mean_over_rows() {
    let bench = Bench::new();
    let data = host_rows(&bench);
    let base = base(&bench, &data);
    let loss = |change: Json, on: Json| {
        let model = bench
            .run_with(
                "train.sft",
                with(sft_args(6), change),
                with(json!({ "log": 1 }), on),
                &[("m", &base), ("data", &data)],
            )
            .0
            .expect("it trains");
        losses(&bench, &model, "loss")
    };
    let near = |a: &[f64], b: &[f64]| a.len() == 6 && a.iter().zip(b).all(|(a, b)| (a - b).abs() < 2e-4 * b.abs());
    let alone = loss(json!({ "loss": "micro_mean", "per_device": 1 }), json!({}));
    let rows = loss(json!({ "loss": "row_mean" }), json!({}));
    assert!(near(&rows, &alone), "{rows:?}, {alone:?}");
    for (change, on) in [(json!({}), json!({ "micro_batch": 3 })), (json!({ "packing": true }), json!({}))] {
        let laid_out = loss(with(json!({ "loss": "row_mean" }), change), on);
        assert!(near(&laid_out, &rows), "{laid_out:?}, {rows:?}");
    }
    assert!(!near(&loss(json!({}), json!({})), &rows), "rows of one length show nothing");
}

/// Questions about a few rendered scenes, with cells and phrases.
fn grounded_rows(bench: &Bench) -> Artifact {
    let path = "data/tabletop/annotations/scene_graphs.json";
    let scenes = bench
        .run("data.visual_genome", json!({ "path": path, "media": "data/tabletop", "bad": "fail" }), &[])
        .expect("the vendored scenes load");
    let few = json!({ "n": { "rows": 6 }, "by": null, "weights": null, "equal": false });
    let few = bench.run("data.sample", few, &[("d", &scenes)]).expect("some scenes");
    let ask =
        json!({ "ask": ["cell", "point", "what", "side"], "per_scene": 4, "grid": 4, "letters": 0.0, "varied": false });
    bench.run("cot.questions", ask, &[("scenes", &few)]).expect("questions")
}

#[test]
fn cells_and_phrases_are_learned_however_rows_are_laid_out() {
    let bench = Bench::new();
    let data = grounded_rows(&bench);
    let base = base(&bench, &data);
    let train = |change: Json, with: Json| {
        let on = json!({ "cells": "cells", "cells_after": 1, "phrases": "phrases", "phrases_after": 2, "validation": { "rows": 0 } });
        let args = self::with(self::with(sft_args(40), on), change);
        bench.run_with("train.sft", args, with, &[("m", &base), ("data", &data)]).0.expect("it trains")
    };
    let usual = train(json!({ "order": "pictures" }), json!({ "log": 1 }));
    for name in ["cells_loss", "phrases_loss"] {
        let loss = losses(&bench, &usual, name);
        assert!(loss.len() == 40 && loss[39] < 0.7 * loss[0], "{name}: {loss:?}");
    }
    // One row per forward shares no picture; then cells count once per row, but phrases once in any case.
    let alone = json!({ "cells": null, "max_steps": 3, "order": "pictures" });
    let usual = losses(&bench, &train(alone.clone(), json!({ "log": 1 })), "phrases_loss");
    let single = train(alone.clone(), json!({ "log": 1, "micro_batch": 1 }));
    let packed = train(self::with(alone, json!({ "packing": true })), json!({ "log": 1 }));
    for other in [&single, &packed] {
        let other = losses(&bench, other, "phrases_loss");
        assert!(usual.iter().zip(&other).all(|(a, b)| (a - b).abs() < 1e-3), "{usual:?} and {other:?}");
    }
    let late = json!({ "phrases_after": 3, "max_steps": 1 });
    let args = with(with(sft_args(1), json!({ "phrases": "phrases" })), late);
    let error = bench.run("train.sft", args, &[("m", &base), ("data", &data)]).expect_err("two blocks");
    assert!(error.code == "E0214" && error.message.contains("phrases_after: 3"), "{error:?}");
}

#[test]
fn a_phrase_ends_where_its_last_token_stands() {
    let bench = Bench::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev/model");
    let config = rbpipe::model::Config::load(&folder).unwrap();
    let tokenizer = rbpipe::model::Tokenizer::load(&folder).unwrap();
    let encoder = Encoder::open(&folder, &config, Limits::default()).unwrap();
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/data/tabletop/images/train/000674.jpg");
    let digest = bench.store.put_file(&file).unwrap().digest;
    let picture = rbpipe::train::rows::Medium { digest: digest.to_string(), media: "image/jpeg".into() };
    let cases = [
        ("Is the red cube left of the ball?", "red cube", Some("Is the red cube")),
        ("Is the red cube left of the ball?", "ball", Some("Is the red cube left of the ball")),
        ("How many balls? Point to the ball.", "ball", Some("How many balls? Point to the ball")),
        ("Look: <image> a lemon, the lemon", "lemon", Some(" a lemon")),
        ("Is the lemon left?", "bread", None),
    ];
    for (text, phrase, expected) in cases {
        let row = TextRow {
            name: "row".into(),
            system: None,
            messages: vec![("user".to_owned(), text.to_owned())],
            replies: vec!["yes".to_owned()],
            images: vec![picture.clone()],
            videos: Vec::new(),
            cells: None,
            phrases: vec![(phrase.to_owned(), "c3".to_owned())],
        };
        let (encoded, _, lost) = encoder.encode(&[row], &bench.store, &|_| {}).unwrap();
        assert!(lost.is_empty(), "{lost:?}");
        let example = &encoded[0].examples[0];
        let found = example.phrases.first().map(|(at, label)| {
            assert_eq!(*label, tokenizer.ids(" c3").unwrap());
            tokenizer.text(&example.sample.ids[example.shared..=*at], false).unwrap()
        });
        assert_eq!(found.as_deref(), expected, "{phrase} in {text}");
    }
}

#[test]
fn the_best_come_in_equal_shares_from_each_group() {
    let bench = Bench::new();
    let data = grounded_rows(&bench);
    let base = base(&bench, &data);
    let kept = |within: &[&str]| {
        let args = json!({
            "d": { "$input": "d" }, "by": { "$input": "by" }, "of": "output", "given": ["instruction"], "keep": { "top": 12 },
            "within": within,
        });
        let made = bench.run("filter.perplexity", args, &[("d", &data), ("by", &base)]).expect("scored rows");
        let table = dataset::load(&bench.store, &made).expect("rows");
        let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
        for kind in table.texts(&["kind".to_owned()]).expect("a column") {
            *kinds.entry(kind).or_default() += 1;
        }
        kinds
    };
    let all: usize = kept(&[]).values().sum();
    let shares = kept(&["kind"]);
    assert!(all == 12 && shares.values().sum::<usize>() == 12, "{shares:?}");
    assert!(
        shares.len() == 4 && shares.values().all(|n| (2..=4).contains(n)),
        "half of the 24 rows, of each kind: {shares:?}"
    );
}

#[test]
fn a_reward_model_learns_which_reply_is_better() {
    let bench = Bench::new();
    // The better reply says where to hold a thing, in words that come in any order; the last pairs are not trained on.
    let things = ["cup", "knife", "pan", "mug", "fork", "plate", "bowl", "jar"];
    let pairs = (0..48).map(|i| {
        let (thing, n) = (things[i % 8], i / 8);
        json!({ "id": format!("p{i}"), "prompt": format!("Where do you take the {thing} number {n}?"),
            "chosen": format!("I take the {thing} by the handle"), "rejected": format!("I take the {thing} by the edge") })
    });
    let pairs: Vec<String> = pairs.map(|pair| format!("{pair}\n")).collect();
    let columns = ["id", "prompt", "chosen", "rejected"].map(|name| json!({ "name": name, "type": "Str" }));
    let load = |name: &str, lines: &[String]| {
        let path = bench.root.path().join(name);
        std::fs::write(&path, lines.concat()).unwrap();
        rows(&bench, path.to_str().unwrap(), json!(columns))
    };
    let (known, unseen) = (load("known.jsonl", &pairs[..32]), load("unseen.jsonl", &pairs[32..]));
    let texts = json!({ "on": ["prompt", "chosen", "rejected"], "vocab": 600 });
    let base = fresh(&bench, &bench.run("train.tokenizer", texts, &[("d", &known)]).unwrap());
    let own = json!({ "m": { "$input": "m" }, "pairs": { "$input": "pairs" }, "center": 0.01, "max_rows": null });
    let args = with(shared(40), own);
    let judge = bench.run("train.reward", args.clone(), &[("m", &base), ("pairs", &known)]).unwrap();
    let (loss, right) = (losses(&bench, &judge, "loss"), losses(&bench, &judge, "rewards/accuracies"));
    assert!(loss[39] < 0.3 * loss[0] && right[39] == 1.0, "{loss:?} {right:?}");
    assert!(losses(&bench, &judge, "rewards/margins")[39] > 1.0 && losses(&bench, &judge, "eval_loss").len() == 4);
    // The head lies beside the weights, where other loaders pass over it.
    assert_eq!(judge.meta["head"], "reward");
    let index = bench.text(&judge, "model.safetensors.index.json");
    assert!(index.contains("model.norm.weight") && !index.contains("v_head"), "{index}");
    let again = bench.run("train.reward", args, &[("m", &base), ("pairs", &known)]).unwrap();
    let head = |model: &Artifact| model.files["value_head.safetensors"].digest;
    assert_eq!(head(&again), head(&judge));

    // `filter.reward` reads what was learned.
    let scores = |reply: &str| -> Vec<f64> {
        let keep = json!({ "from": null, "to": null });
        let args = json!({ "d": { "$input": "d" }, "by": { "$input": "by" }, "prompt": ["prompt"], "reply": reply, "keep": keep, "within": [] });
        let kept = bench.run("filter.reward", args, &[("d", &unseen), ("by", &judge)]).unwrap();
        let table = dataset::load(&bench.store, &kept).unwrap();
        table.cells("reward").unwrap().iter().map(|v| v.as_f64().unwrap()).collect()
    };
    let (chosen, rejected) = (scores("chosen"), scores("rejected"));
    assert_eq!(chosen.len(), 16);
    assert!(chosen.iter().zip(&rejected).all(|(better, worse)| better > worse), "{chosen:?} {rejected:?}");
}
