//! The ten benchmarks of the tabletop data: they load, are asked, scored and laid out as a table, with a scripted model.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use rbpipe::base::{Digest, OpError};
use rbpipe::engine::{Artifact, Context, Output, Store};
use rbpipe::eval::coords::{Coords, Space};
use rbpipe::eval::marker::Masks;
use rbpipe::eval::{Benchmark, Decoding, Generate, Item, ItemKind, Part, Prompt, Reply, score};
use rbpipe::ops::eval::asked::ask;
use rbpipe::ops::{BUILTINS, catalogue};
use serde_json::{Value as Json, json};

pub(super) struct Room {
    folder: tempfile::TempDir,
    pub store: Store,
}

impl Room {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        Self { folder, store }
    }

    fn with_context<T>(&self, args: Json, inputs: &[(&str, &Artifact)], f: impl FnOnce(&mut Context) -> T) -> T {
        let cancelled = AtomicBool::new(false);
        let scratch = tempfile::tempdir_in(self.folder.path()).unwrap(); // Emptied after each operator, as the engine does.
        let mut cx = Context {
            args,
            inputs: inputs.iter().map(|(slot, a)| ((*slot).to_owned(), (*a).clone())).collect(),
            with: json!({}),
            store: &self.store,
            scratch: scratch.path().to_owned(),
            folder: Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/lib"),
            secrets: BTreeMap::new(),
            seed: 7,
            stream: Digest::of(b"test"),
            threads: 2,
            checkpoints: None,
            rowwise: None,
            emit: &|_, _| {},
            cancelled: &cancelled,
            fates: Vec::new(),
            counts: BTreeMap::new(),
        };
        f(&mut cx)
    }

    /// A file in the room's own folder.
    pub fn path(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    /// Runs an operator with its defaults filled from `args` alone.
    pub fn run(&self, op: &str, args: Json, inputs: &[(&str, &Artifact)]) -> Result<Artifact, OpError> {
        let head = format!("op {op}(");
        let builtin = BUILTINS.iter().find(|b| b.spec.signature.contains(&head)).expect(op);
        let mut outputs = self.with_context(args, inputs, |cx| builtin.run.expect(op)(cx))?;
        match outputs.remove(0).1 {
            Output::Artifact(artifact) => Ok(artifact),
            Output::Table(table) => Ok(rbpipe::engine::storage::dataset::save(&self.store, &table)?),
            Output::Folder { .. } => panic!("{op} makes no folder"),
        }
    }
}

fn col(name: &str) -> Json {
    json!({ "col": name })
}

fn call(name: &str, recv: Json, args: Json) -> Json {
    json!({ "call": { "name": name, "recv": recv, "args": args } })
}

fn record(fields: &[(&str, &str)]) -> Json {
    json!({ "record": fields.iter().map(|(k, c)| json!([k, col(c)])).collect::<Vec<_>>() })
}

/// What `recipes/lib/tabletop.rb2` says of each benchmark, as the operators receive it.
pub(super) fn declared() -> Vec<(&'static str, Json, &'static [&'static str], Json)> {
    let micro = json!({ "verb": "total.micro", "args": {} });
    let nested = |by: &[&str]| json!({ "verb": "total.nested", "args": { "by": by } });
    let images = |name: &str| json!({ "list": [col(name)] });
    let plain = |name: &str, recv: &str| call(name, col(recv), json!([]));
    let point = |id: &str, question: Json, groups: Json| {
        json!({ "id": col(id), "kind": { "lit": "point" }, "question": question, "images": images("image"), "mask": col("mask"),
                "cluster": col("image"), "groups": groups })
    };
    let yes_no = json!({ "if": [
        call("matches", col("answer"), json!([[null, { "lit": r"(?i)^\s*(yes|no)\s*$" }]])), { "lit": "yes_no" }, { "lit": "point" }
    ]});
    vec![
        (
            "cvbench",
            json!({ "id": col("idx"), "kind": { "lit": "choice" }, "question": col("prompt"), "options": col("choices"),
            "options_in_question": true, "key": plain("paren_letter", "answer"), "images": images("image"), "cluster": col("filename"),
            "groups": record(&[("dim", "type"), ("source", "source"), ("task", "task")]) }),
            &["choice"],
            nested(&["dim", "source"]),
        ),
        (
            "embspatial",
            json!({ "id": col("question_id"), "kind": { "lit": "choice" }, "question": col("question"),
            "options": col("answer_options"), "key": plain("index0_letter", "answer"), "images": images("image"),
            "cluster": col("image"), "groups": record(&[("relation", "relation")]) }),
            &["choice"],
            micro.clone(),
        ),
        (
            "sat",
            json!({ "id": col("question_id"), "kind": { "lit": "choice" }, "question": col("question"), "options": col("answers"),
            "key": call("index_in", col("correct_answer"), json!([[null, col("answers")]])), "images": col("images"),
            "permute": "cyclic", "groups": record(&[("task", "question_type")]) }),
            &["choice"],
            micro.clone(),
        ),
        (
            "egoplan",
            json!({ "id": col("sample_id"), "kind": { "lit": "choice" }, "question": col("question"),
            "options": { "list": [col("choice_a"), col("choice_b"), col("choice_c"), col("choice_d")] },
            "key": plain("letter", "golden_choice_idx"), "images": col("frames"), "cluster": col("video_id"),
            "groups": record(&[("scenario", "scenario")]) }),
            &["choice"],
            micro.clone(),
        ),
        (
            "erqa",
            json!({ "id": col("question_id"), "kind": { "lit": "choice" }, "question": plain("drop_last_instruction", "question"),
            "options": plain("inline_options", "question"), "options_in_question": true, "key": plain("letter", "answer"),
            "images": call("media.at_offsets", json!({ "lit": null }), json!([[null, col("images")], ["chars", col("visual_indices")]])),
            "groups": record(&[("task", "question_type")]) }),
            &["choice"],
            micro.clone(),
        ),
        (
            "risk",
            json!({ "id": col("id"), "kind": { "lit": "choice" }, "question": { "list": [col("rule"), col("question")] },
            "options": col("options"), "key": call("index_in", col("answer"), json!([[null, col("options")]])),
            "images": images("image"), "groups": record(&[("tier", "answer")]) }),
            &["choice"],
            micro.clone(),
        ),
        (
            "vsibench",
            json!({ "id": col("id"), "kind": { "if": [
                { "binary": ["==", col("options"), { "lit": null }] }, { "lit": "number" }, { "lit": "choice" }] },
            "question": col("question"),
            "options": call("strip_labels", json!({ "binary": ["??", col("options"), { "lit": [] }] }), json!([])),
            "key": col("ground_truth"), "images": col("frames"), "cluster": col("scene_name"),
            "groups": record(&[("task", "question_type")]) }),
            &["choice", "number"],
            nested(&["task"]),
        ),
        (
            "where2place",
            point("question_id", col("question"), record(&[("relation", "question_type")])),
            &["point"],
            micro.clone(),
        ),
        (
            "refspatial",
            point(
                "id",
                json!({ "list": [col("prompt"), col("suffix")] }),
                record(&[("part", "split"), ("step", "step")]),
            ),
            &["point"],
            micro.clone(),
        ),
        (
            "robo_spatial",
            json!({ "id": col("row_number"), "kind": yes_no, "question": plain("drop_last_instruction", "question"),
            "images": images("img"), "key": col("answer"), "polygon": col("answer"), "cluster": col("img"),
            "groups": record(&[("category", "category")]) }),
            &["yes_no", "point"],
            micro,
        ),
    ]
}

pub(super) fn declare(room: &Room, name: &str, sample: &Json, kinds: &[&str], headline: &Json) -> Artifact {
    declare_from(room, name, &format!("../data/tabletop/eval/{name}.jsonl"), sample, kinds, headline)
}

/// Declares a benchmark whose rows lie in another file; their pictures are those of the tabletop.
pub(super) fn declare_from(
    room: &Room,
    name: &str,
    path: &str,
    sample: &Json,
    kinds: &[&str],
    headline: &Json,
) -> Artifact {
    let here = "../data/tabletop";
    let rows = room.run("bench.json", json!({ "path": path, "media": here, "rows": null }), &[]).unwrap();
    let mut args = json!({ "options": { "lit": [] }, "options_in_question": false, "images": { "lit": [] }, "permute": "none",
        "missing_media": "error", "allow_train_split": false });
    args.as_object_mut().unwrap().extend(sample.as_object().unwrap().clone());
    let items = room.run("bench.sample", args, &[("d", &rows)]).unwrap_or_else(|e| panic!("{name}: {}", e.message));
    let verb = |name: &str, args: Json| json!({ "verb": name, "args": args });
    let (mut ask, mut read, mut mark, mut compat) = (json!({}), json!({}), json!({}), json!({}));
    for kind in kinds {
        let (text, reader, marker, old) = match *kind {
            "choice" => (
                "Answer with the letter only.",
                verb("read.choice", json!({})),
                verb("mark.letter", json!({})),
                verb("read.choice_flagevalmm", json!({})),
            ),
            "number" => (
                "Answer with a number only.",
                verb("read.number", json!({ "words": true, "signed": false, "thousands": true })),
                verb("mark.mra", json!({})),
                verb("read.number_flagevalmm", json!({})),
            ),
            "yes_no" => (
                "Answer yes or no.",
                verb("read.yes_no", json!({ "mode": "labelled_then_only_one" })),
                verb("mark.yes_no", json!({})),
                verb("read.yes_no", json!({ "mode": "last_line_starts_with" })),
            ),
            _ => (
                "Answer with one point as [(x, y)]. {coord_hint}",
                verb("read.points", json!({ "box": "center", "take": "all" })),
                if name == "robo_spatial" {
                    verb("mark.polygon", json!({ "take": "first", "rule": "even_odd" }))
                } else {
                    verb("mark.mask", json!({ "take": "mean", "threshold": 0.5, "via": null }))
                },
                json!({ "read": verb("read.points_flagevalmm", json!({})),
                        "mark": verb("mark.mask", json!({ "take": "mean", "threshold": 0.5, "via": "jpeg" })) }),
            ),
        };
        ask[kind] = json!(text);
        read[kind] = reader;
        mark[kind] = marker;
        compat[kind] = old;
    }
    let d = room.run(
        "bench.ask",
        json!({ "by": ask, "system": null, "option_style": "A. text", "generate": null }),
        &[("d", &items)],
    );
    let d = room.run("bench.read", json!({ "by": read }), &[("d", &d.unwrap())]).unwrap();
    let d = room.run("bench.mark", json!({ "by": mark }), &[("d", &d)]).unwrap();
    let b = room
        .run("bench.total", json!({ "headline": headline, "also": [] }), &[("d", &d)])
        .unwrap_or_else(|e| panic!("{name}: {}", e.message));
    room.run("bench.compat", json!({ "by": compat, "total": null }), &[("b", &b)]).unwrap()
}

/// Replies in the order in which they are asked for.
struct Script(std::vec::IntoIter<String>);

impl Generate for Script {
    fn generate(&mut self, prompts: &[Prompt], _: &Decoding) -> Result<Vec<Result<Reply, String>>, OpError> {
        Ok(prompts.iter().map(|_| Ok(Reply { text: self.0.next().unwrap(), ..Reply::default() })).collect())
    }
}

pub(super) fn right(room: &Room, item: &Item) -> String {
    if item.kind != ItemKind::Point {
        return item.key.clone();
    }
    let mask = Masks::new(&room.store).of(item, false).unwrap();
    // A place whose surroundings are in the area too, so that rounding does not leave it.
    let at = |x: u32, y: u32| mask.at((i64::from(x), i64::from(y)), Some(0.5)) > 0.0;
    let inner = |x: u32, y: u32| (x.max(2) - 2..=x + 2).all(|i| (y.max(2) - 2..=y + 2).all(|j| at(i, j)));
    let place =
        (0..mask.height).flat_map(|y| (0..mask.width).map(move |x| (x, y))).find(|(x, y)| inner(*x, *y)).unwrap();
    let part = |p: u32, size: u32| (f64::from(p) + 0.5) / f64::from(size);
    format!("[({:.3}, {:.3})]", part(place.0, mask.width), part(place.1, mask.height))
}

pub(super) fn answered(room: &Room, bench: &Artifact, reply: impl Fn(&Item) -> String) -> Artifact {
    let bench = Benchmark::load(&room.store, bench).unwrap();
    let replies: Vec<String> = bench.items.iter().map(reply).collect();
    let decoding = Decoding {
        max_tokens: 8,
        temperature: 0.0,
        top_p: 1.0,
        top_k: 0,
        beams: 0,
        seed: 0,
        stop: Vec::new(),
        option_p: false,
    };
    let coords = Coords { space: Space::Auto, ..Coords::default() };
    let mut script = Script(replies.into_iter());
    let answers = room
        .with_context(json!({}), &[], |cx| ask(cx, &bench, &mut script, &decoding, &coords, usize::MAX, 1, 32))
        .unwrap();
    let scores = score::score(&bench, answers, coords, &room.store).unwrap();
    score::save(&room.store, &bench, &scores, &json!({})).unwrap()
}

#[test]
fn every_signature_parses() {
    let all = catalogue();
    for name in [
        "bench.sample",
        "read.points",
        "mark.pass",
        "total.weighted",
        "media.frames",
        "grid.table",
        "report.page",
        "eval.run",
    ] {
        assert!(all.get(name).is_some(), "{name}");
    }
}

#[test]
fn ten_benchmarks_score_as_they_should() {
    let room = Room::new();
    let mut cells = serde_json::Map::new();
    let mut inputs: Vec<(String, Artifact)> = Vec::new();
    let mut names = Vec::new();
    let mut benches = Vec::new();
    for (name, sample, kinds, headline) in declared() {
        let bench = declare(&room, name, &sample, kinds, &headline);
        let (chance, majority) = (bench.meta["chance"].as_f64().unwrap(), bench.meta["majority"].as_f64().unwrap());
        assert!((0.0..=1.0).contains(&chance) && (0.0..0.9).contains(&majority), "{name}: {chance} {majority}");
        if kinds == ["choice"] {
            assert!(majority + 0.12 >= chance, "{name}: majority {majority} under chance {chance}");
        }
        let perfect = answered(&room, &bench, |item| right(&room, item));
        let value = |a: &Artifact, key: &str| a.meta[key].as_f64().unwrap();
        assert_eq!(value(&perfect, "value"), 1.0, "{name}");
        assert!(value(&perfect, "compat") > 0.9, "{name}: compat {}", value(&perfect, "compat"));
        assert_eq!(value(&perfect, "unparsed"), 0.0, "{name}");
        let silent = answered(&room, &bench, |_| String::new());
        assert_eq!((value(&silent, "value"), value(&silent, "unparsed")), (0.0, 1.0), "{name}");
        for (label, score) in [("silent", &silent), ("perfect", &perfect)] {
            let slot = format!("g.cells.{label}|{name}");
            cells.insert(format!("{label}|{name}"), json!({ "$input": slot }));
            inputs.push((slot, score.clone()));
        }
        names.push(name);
        benches.push((name, bench));
    }
    let grid = json!({ "axes": ["m", "b"], "labels": { "m": ["silent", "perfect"], "b": names }, "cells": cells });
    let given: Vec<(&str, &Artifact)> = inputs.iter().map(|(s, a)| (s.as_str(), a)).collect();
    let args = json!({ "g": grid, "rows": "b", "cols": "m", "over": [], "baseline": "silent",
        "show": ["ci", "delta", "n", "unparsed"], "adjust": "holm", "shared": "both" });
    let table = room.run("grid.table", args, &given).unwrap();
    let text = String::from_utf8(room.store.read(table.files["table.md"].digest).unwrap()).unwrap();
    assert!(text.contains("| cvbench | 0.0 ±") && text.contains("▲+100.0 [+100.0, +100.0] ***"), "{text}");
    let drop = room.run("grid.worst_drop", json!({ "g": grid, "from": "perfect", "to": "silent" }), &given).unwrap();
    assert_eq!(drop.meta["value"], json!(1.0));
    let best = room.run("grid.best", json!({ "g": grid, "by": "m" }), &given).unwrap();
    assert_eq!(best.meta["label"], json!("perfect"));

    let mut paged = grid.clone();
    let scores: Vec<(String, Artifact)> =
        inputs.iter().map(|(s, a)| (s.replacen("g.", "scores.", 1), a.clone())).collect();
    for (key, cell) in paged["cells"].as_object_mut().unwrap() {
        *cell = json!({ "$input": format!("scores.cells.{key}") });
    }
    let given: Vec<(&str, &Artifact)> = scores.iter().map(|(s, a)| (s.as_str(), a)).collect();
    let page = room
        .run(
            "report.page",
            json!({ "scores": paged, "over": [], "baseline": null, "title": "Test", "theme": "auto" }),
            &given,
        )
        .unwrap();
    let html = room.store.read(page.files["report.html"].digest).unwrap();
    assert!(html.len() < 6 << 20, "{} bytes", html.len());

    let of: Vec<(String, Artifact)> = benches.into_iter().map(|(n, b)| (format!("of.{n}"), b)).collect();
    let given: Vec<(&str, &Artifact)> = of.iter().map(|(s, a)| (s.as_str(), a)).collect();
    let items = room.run("bench.items", json!({}), &given).unwrap();
    assert_eq!(items.rows(), Some(140 + 120 + 116 + 96 + 92 + 102 + 71 + 80 + 107 + 126));
}

#[test]
fn prompts_look_like_training_rows() {
    let room = Room::new();
    for (name, sample, kinds, headline) in declared() {
        if !["embspatial", "erqa", "where2place"].contains(&name) {
            continue;
        }
        let bench = Benchmark::load(&room.store, &declare(&room, name, &sample, kinds, &headline)).unwrap();
        let prompt = rbpipe::eval::prompt::prompt(&bench.items[0], &bench.declare, &Coords::default()).unwrap();
        let text = prompt.show();
        match name {
            "embspatial" => assert!(
                text.starts_with("<image>Of the listed objects") && text.contains("\nA. lemon\nB. milk carton\n"),
                "{text}"
            ),
            "erqa" => assert!(
                text.starts_with("Here is the first picture <image>")
                    && text.ends_with("\nAnswer with the letter only."),
                "{text}"
            ),
            _ => assert!(text.ends_with("Answer with one point as [(x, y)]. Both between 0 and 1."), "{text}"),
        }
        assert!(prompt.parts.iter().any(|p| matches!(p, Part::Image(_))));
    }
}

#[test]
fn illegal_keys_are_refused() {
    let room = Room::new();
    let sample = json!({ "id": col("question_id"), "kind": { "lit": "choice" }, "question": col("question"), "options": col("answer_options"),
        "key": col("relation"), "images": { "lit": [] }, "options_in_question": false, "permute": "none", "missing_media": "error",
        "allow_train_split": false });
    let rows = room
        .run(
            "bench.json",
            json!({ "path": "../data/tabletop/eval/embspatial.jsonl", "media": "../data/tabletop" }),
            &[],
        )
        .unwrap();
    let error = room.run("bench.sample", sample, &[("d", &rows)]).unwrap_err();
    assert_eq!(error.code, "E0802");
    assert!(error.message.contains("120 of 120 keys"), "{}", error.message);
    let error =
        room.run("bench.json", json!({ "path": "../data/tabletop/eval/sat.jsonl", "rows": 150 }), &[]).unwrap_err();
    assert_eq!(error.code, "E0805");
}

#[test]
fn examples_are_run() {
    let declare = |score: f64| {
        serde_json::from_value(json!({
            "read": { "point": { "verb": "read.points", "args": {} } },
            "mark": { "point": { "verb": "mark.polygon", "args": { "take": "first" } } },
            "examples": [{ "kind": "point", "key": "[(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)]", "reply": "[(0.50, 0.30)]", "score": score }],
        }))
        .unwrap()
    };
    rbpipe::eval::examples::check_examples(&declare(1.0)).unwrap();
    assert_eq!(rbpipe::eval::examples::check_examples(&declare(0.0)).unwrap_err().code, "E0803");
}

#[cfg(feature = "torch")]
mod tensor {
    use super::*;

    /// A real model, alone and fused with itself: replies come back, equal every time, and a fused pair of equals says what one says.
    #[test]
    fn models_answer() {
        let room = Room::new();
        let (name, sample, kinds, headline) = declared().swap_remove(5);
        let bench = declare(&room, name, &sample, kinds, &headline);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/dev/model");
        let model =
            room.run("model.hf", json!({ "name": folder, "revision": null, "coord_space": "unit" }), &[]).unwrap();
        let args = json!({ "temperature": 0.0, "top_p": 1.0, "max_tokens": 6, "max_images": 32, "pixels": { "from": 1024, "to": 50_176 },
            "rows": 4, "seed": 0, "epochs": 1, "confidence": false });
        let alone = room.run("eval.run", args.clone(), &[("m", &model), ("on", &bench)]).unwrap();
        assert_eq!(alone.meta["n"], json!(4));
        assert_eq!(alone.meta["failed"], json!(0.0));
        let again = room.run("eval.run", args.clone(), &[("m", &model), ("on", &bench)]).unwrap();
        assert_eq!(alone.digest(), again.digest());
        let mut sure = args.clone();
        sure["confidence"] = json!(true);
        let sure = room.run("eval.run", sure, &[("m", &model), ("on", &bench)]).unwrap();
        assert_eq!(sure.meta["value"], alone.meta["value"], "how sure a model is changes no mark");
        assert!(sure.meta["calibration"].is_object(), "{}", sure.meta);
        let rows = rbpipe::engine::storage::dataset::load(&room.store, &rbpipe::eval::benchmark::items_dataset(&sure))
            .unwrap();
        for said in rows.strings("option_p").unwrap() {
            let sum: f64 = serde_json::from_str::<Vec<f64>>(said.unwrap()).unwrap().iter().sum();
            assert!((sum - 1.0).abs() < 1e-6, "{said:?}");
        }
        let tiers = room
            .run(
                "model.classifier",
                json!({ "into": ["safe", "low", "high"], "prompt": "Which?", "column": "risk" }),
                &[("m", &model)],
            )
            .unwrap();
        let product = json!({ "binary": ["*", { "field": [{ "col": "base" }, "confidence"] }, { "field": [{ "col": "expert" }, "correction"] }] });
        let fuse = json!({ "when": { "binary": ["!=", col("risk"), { "lit": "none of them" }] }, "score": product });
        let given = [("base", &model), ("expert", &model), ("classify", &tiers)];
        let fused = room.run("fuse.two_tier", fuse, &given).unwrap();
        assert!(fused.files.contains_key("fusion.json") && !fused.files.keys().any(|f| f.starts_with("classifier/")));
        let both = room.run("eval.run", args, &[("m", &fused), ("on", &bench)]).unwrap();
        let rows = rbpipe::engine::storage::dataset::load(&room.store, &rbpipe::eval::benchmark::items_dataset(&both))
            .unwrap();
        let notes = rows.strings("note").unwrap();
        assert!(notes.iter().all(|n| n.is_some_and(|n| n.contains("both heard"))), "{notes:?}");
        assert_eq!(both.meta["unparsed"], json!(0.0));
    }
}
