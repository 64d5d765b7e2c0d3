//! Encoders of pictures and texts against transformers, and the filter that judges by them.

use std::path::{Path, PathBuf};

use rbpipe::data::table::Table;
use rbpipe::model::{DualEncoder, Picture, weights};
use serde_json::{Value as Json, json};
use tch::Tensor;

use crate::bench::{Bench, rows};

const TEXTS: [&str; 4] =
    ["a red cup", "take the cup and put it into the drawer beside the red can, then close the drawer", "", "open"];

fn goldens(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(name)
}

fn pictures() -> Vec<PathBuf> {
    (0..3).map(|i| goldens("dev").join(format!("images/img{i}.png"))).collect()
}

fn far(a: &Tensor, b: &Tensor) -> f64 {
    assert_eq!(a.size(), b.size());
    (a - b).abs().max().double_value(&[])
}

#[test]
fn vectors_and_logits_are_those_of_transformers() {
    for name in ["clip", "siglip"] {
        let wanted = weights::read(&goldens(&format!("clip/{name}.safetensors"))).expect("goldens");
        let model = DualEncoder::load(&goldens(&format!("clip/{name}"))).expect("the model");
        let decode = |path: &PathBuf| Picture::decode(&std::fs::read(path).unwrap()).unwrap();
        let seen = model.pictures(&pictures().iter().map(decode).collect::<Vec<_>>()).unwrap();
        let read = model.texts(&TEXTS.map(str::to_owned)).unwrap();
        assert!(far(&seen, &wanted["pictures"]) < 1e-4, "{name}: pictures {}", far(&seen, &wanted["pictures"]));
        assert!(far(&read, &wanted["texts"]) < 1e-4, "{name}: texts {}", far(&read, &wanted["texts"]));
        for t in 0..4 {
            for p in 0..3 {
                let cosine = (read.get(t) * seen.get(p)).sum(tch::Kind::Double).double_value(&[]);
                let logit = wanted["logits"].double_value(&[t, p]);
                assert!((model.logit(cosine) - logit).abs() < 1e-3, "{name} [{t}, {p}]: {logit}");
            }
        }
    }
}

fn looked_at(bench: &Bench) -> Table {
    let medium = |path: &PathBuf| {
        let (width, height) = image::image_dimensions(path).unwrap();
        let digest = bench.store().put_file(path).unwrap().digest.hex();
        json!({ "digest": digest, "media": "image/png", "width": width, "height": height, "origin": digest })
    };
    let all: Vec<Json> = pictures().iter().map(medium).collect();
    rows(json!([
        { "id": "one", "said": "a red cup", "names": ["red", "cup", "cup"], "images": [all[0]] },
        { "id": "two", "said": "open", "names": ["take", "the"], "images": [all[1], all[2]] },
        { "id": "blind", "said": "open", "names": ["cup"], "images": [] },
        { "id": "mute", "said": " ", "names": ["cup"], "images": [all[0]] },
        { "id": "nameless", "said": "now", "names": [], "images": [all[0]] },
    ]))
}

fn args(backend: &str, labels: Json) -> Json {
    json!({
        "images": "images", "text": "said", "by": { "$input": "by" }, "backend": backend, "given": [], "labels": labels,
        "keep": { "from": null, "to": null }, "within": [], "where": { "lit": true },
    })
}

#[test]
fn rows_are_kept_by_what_the_encoder_sees() {
    let bench = Bench::new();
    let d = looked_at(&bench);
    for name in ["clip", "siglip"] {
        let folder = goldens(&format!("clip/{name}"));
        let wanted = weights::read(&goldens(&format!("clip/{name}.safetensors"))).expect("goldens");
        let fit = |text: i64, picture: i64| match name {
            "siglip" => 1.0 / (1.0 + (-wanted["logits"].double_value(&[text, picture])).exp()),
            _ => {
                let product = wanted["texts"].get(text) * wanted["pictures"].get(picture);
                (2.5 * product.sum(tch::Kind::Double).double_value(&[])).clamp(0.0, 1.0)
            }
        };
        let made = bench.run_model("filter.consistent", args("clip", Json::Null), &d, "by", &folder).unwrap();
        assert_eq!(made.ids(), ["one", "two", "nameless"]);
        let scores: Vec<f64> = made.column("consistency").iter().map(|v| v.as_f64().unwrap()).collect();
        for (score, wanted) in scores.iter().zip([fit(0, 0), (fit(3, 1) + fit(3, 2)) / 2.0]) {
            assert!((score - wanted).abs() < 1e-4, "{name}: {score}, not {wanted}");
        }
        let whys: Vec<&str> = made.fates.iter().map(|fate| fate.why.as_str()).collect();
        assert_eq!(whys, [".images has no picture", ".said is empty"]);
    }
    let error = bench.run_model("filter.consistent", args("clip", Json::Null), &d, "by", &goldens("dev/model"));
    let error = error.err().expect("refused");
    assert!(error.code == "E0503" && error.message.contains("not clip or siglip"), "{error:?}");
}

#[test]
fn names_stand_for_pictures_where_there_is_no_such_encoder() {
    let bench = Bench::new();
    let d = looked_at(&bench);
    let model = super::embed::tiny(&bench);
    let made = bench.run_model("filter.consistent", args("labels", json!("names")), &d, "by", &model).unwrap();
    assert_eq!(made.ids(), ["one", "two"]);
    let whys: Vec<&str> = made.fates.iter().map(|fate| fate.why.as_str()).collect();
    assert_eq!(whys, [".images has no picture", ".said is empty", ".names is empty"]);
    let texts = rows(json!([{ "id": "1", "t": "a red cup" }, { "id": "2", "t": "red, cup" }]));
    let by = json!({ "on": ["t"], "by": { "$input": "by" }, "into": "v" });
    let vectors = bench.run_model("embed.text", by, &texts, "by", &model).unwrap().column("v");
    let number = |v: &Json, i: usize| v[i].as_f64().unwrap();
    let cosine: f64 = (0..32).map(|i| number(&vectors[0], i) * number(&vectors[1], i)).sum();
    let score = made.column("consistency")[0].as_f64().unwrap();
    assert!((score - cosine.max(0.0)).abs() < 1e-5, "{score}, not {cosine}");

    let error =
        bench.run_model("filter.consistent", args("labels", Json::Null), &d, "by", &model).err().expect("refused");
    assert!(error.code == "E0211" && error.message.contains("`labels`"), "{error:?}");
}
