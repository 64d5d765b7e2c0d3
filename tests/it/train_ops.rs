//! Training operators end to end on a few rendered scenes: tokenizer, fresh model, SFT, DPO, scores.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rbpipe::base::{Digest, OpError};
use rbpipe::engine::{Artifact, Context, Output, Store, dataset};
use rbpipe::ops::BUILTINS;
use serde_json::{Value as Json, json};

/// A store and a scratch folder, in which operators are run one by one.
struct Bench {
    root: tempfile::TempDir,
    store: Store,
}

impl Bench {
    fn new() -> Self {
        let root = tempfile::tempdir().expect("a folder");
        let store = Store::open(root.path().join("store")).expect("a store");
        Self { root, store }
    }

    fn run(&self, name: &str, args: Json, inputs: &[(&str, &Artifact)]) -> Result<Artifact, OpError> {
        let mark = format!("op {name}(");
        let op =
            BUILTINS.iter().find(|b| b.spec.signature.contains(&mark)).unwrap_or_else(|| panic!("no operator {name}"));
        let scratch = tempfile::tempdir_in(self.root.path()).expect("a folder");
        let cancelled = AtomicBool::new(false);
        let mut cx = Context {
            args,
            inputs: inputs.iter().map(|(slot, a)| ((*slot).to_owned(), (*a).clone())).collect(),
            with: json!({ "log": 1 }),
            store: &self.store,
            scratch: scratch.path().to_owned(),
            folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes"),
            secrets: BTreeMap::new(),
            seed: 42,
            stream: Digest::of(b"test"),
            threads: 2,
            checkpoints: None,
            emit: &|_, _| {},
            cancelled: &cancelled,
            fates: Vec::new(),
            counts: BTreeMap::new(),
        };
        let run = op.spec.signature.contains(&mark).then_some(op.run).flatten().expect("it has code");
        let (_, output) = run(&mut cx)?.swap_remove(0);
        Ok(match output {
            Output::Artifact(artifact) => artifact,
            Output::Table(table) => dataset::save(&self.store, &table)?,
            Output::Folder { kind, meta, path, attached: _ } => {
                let mut artifact = Artifact { kind, meta, files: BTreeMap::new() };
                self.take(&scratch.path().join(path), PathBuf::new(), &mut artifact)?;
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

    fn text(&self, artifact: &Artifact, path: &str) -> String {
        String::from_utf8(self.store.read(artifact.files[path].digest).expect("stored")).expect("text")
    }
}

fn shared(steps: u64) -> Json {
    json!({
        "method": "full", "rank": 8, "alpha": 16.0, "targets": [], "freeze": [], "template": null, "thinking": false, "system": null,
        "epochs": 50.0, "max_steps": steps, "max_rows": 24, "batch": 8, "cutoff": 512, "long": "cut",
        "pixels": { "from": 1024, "to": 12544 }, "video_pixels": { "from": 256, "to": 12544 }, "frames": { "from": 4, "to": 8 }, "fps": 2.0,
        "lr": 2e-3, "schedule": "cosine", "warmup": { "ratio": 0.1 }, "floor": 0.0, "cooldown": { "ratio": 0.1 }, "optimizer": "adamw",
        "betas": [0.9, 0.999], "eps": 1e-8, "weight_decay": 0.0, "decay": "hf", "clip": 1.0, "dtype": "f32", "master": "f32",
        "validation": { "ratio": 0.1 }, "evaluate": { "steps": 10 }, "best": false, "ema": null, "amplify": null,
    })
}

fn with(base: Json, more: Json) -> Json {
    let (Json::Object(mut base), Json::Object(more)) = (base, more) else { panic!("objects") };
    base.extend(more);
    Json::Object(base)
}

fn sft_args(steps: u64) -> Json {
    let own = json!({
        "m": { "$input": "m" }, "data": { "$input": "data" }, "packing": false, "loss": "token_mean", "per_device": null,
        "history": false, "smoothing": 0.0, "cells": null, "cells_weight": 1.0, "cells_after": null, "order": "rows",
    });
    with(shared(steps), own)
}

fn config() -> String {
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

fn losses(bench: &Bench, model: &Artifact, key: &str) -> Vec<f64> {
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

    let random = json!({ "config": config(), "tokenizer": { "$input": "tokenizer" }, "dtype": "f32" });
    let base = bench.run("model.random", random, &[("tokenizer", &tokenizer)]).unwrap();
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
    let value = score(&aligned).meta["value"].as_f64().unwrap();
    assert!((0.0..=1.0).contains(&value));
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
