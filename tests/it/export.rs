//! Provenance in formats that others read, checked by their own validators; licences and consent that flow to outputs.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value as Json;

use crate::engine::{Place, rows};
use crate::python;

const PACKAGES: [&str; 4] =
    ["roc-validator==0.13.0", "rocrate==0.16.0", "spdx-python-model==0.0.6", "openlineage-python==1.54.0"];

/// Returns the Python of an environment with the validators; says loudly that a test is not done without them.
fn validators() -> Option<PathBuf> {
    let python = python::environment("validators-2", &PACKAGES);
    if python.is_none() {
        eprintln!("SKIPPED: the validators could not be installed from PyPI, no export was validated");
    }
    python
}

/// Returns what a validator says.
fn faults(python: &Path, format: &str, path: &Path) -> String {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/validate.py");
    let out = Command::new(python).arg(script).arg(format).arg(path).output().unwrap();
    let text = [out.stdout, if out.status.success() { Vec::new() } else { out.stderr }].concat();
    String::from_utf8(text).unwrap()
}

fn export(place: &Place, format: &str, out: &str) -> (i32, String) {
    let out = place.command(&["export", "recipe.rb2", "--as", format, "-o", out]).output().unwrap();
    (out.status.code().unwrap(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
}

/// Two sources of different terms, a model, pictures, outputs of several kinds.
fn told() -> Place {
    let place = Place::new();
    let picture = image::RgbImage::from_pixel(4, 3, image::Rgb([1, 2, 3]));
    fs::create_dir_all(place.path("pics")).unwrap();
    picture.save(place.path("pics/a b.png")).unwrap();
    place.write("seen.jsonl", "{\"id\": \"p\", \"view\": \"a b.png\", \"text\": \"w x y z\", \"n\": 1}\n");
    place.write("rows.jsonl", &rows(&["one two three four", "a b c", "x y"]));
    place.write(
        "lib/rule.rb2",
        "import std.{filter}\nfn few(d: Dataset[{ n: Int, ..r }]) -> Dataset[{ n: Int, ..r }] = d |> filter.rule(where: .n < 1000)\n",
    );
    place.write(
        "recipe.rb2",
        "recipe \"told\"\nimport std.{data, filter}\nimport \"./lib/rule.rb2\" as rule\nschema Row { id: Str, text: Str, n: Int }\nschema Seen { id: Str, view: Image, text: Str, n: Int }\n\
         let rows = data.jsonl(\"rows.jsonl\", as: Row) with { licence: \"CC-BY-4.0\", consent: \"research only\" }\n\
         let seen = data.jsonl(\"seen.jsonl\", as: Seen, media: \"pics\") with { licence: \"our own terms\" }\n\
         let long = rows |> rule.few() |> filter.rule(where: .text.words >= 2)\n\
         let both = data.concat(a: long, b: seen |> data.drop(columns: [.view]))\n\
         output kept = both to \"out/kept.jsonl\"\noutput pictures = seen to \"out/seen.jsonl\"\noutput shards = long to \"out/shards\"\n\
         output n = data.count(both) to \"out/n.json\"\n",
    );
    place
}

#[test]
fn exports_pass_their_public_validators_and_say_the_same_each_time() {
    let place = told();
    let (code, text) = export(&place, "spdx", "x.json");
    assert!(code == 5 && text.contains("no result of this recipe is on record"), "{code} {text}");
    place.done();
    let python = validators();
    for (format, out) in [("ro-crate", "crate"), ("spdx", "x/told.spdx3.json"), ("openlineage", "x/told.jsonl")] {
        let (code, text) = export(&place, format, out);
        assert_eq!(code, 0, "{text}");
        assert!(text.contains("3 sources, 7 steps, 4 outputs"), "{text}");
        let written = if format == "ro-crate" { format!("{out}/ro-crate-metadata.json") } else { out.to_owned() };
        let first = place.read(&written);
        assert!(!first.contains(place.root.path().to_str().unwrap()), "no path of this machine");
        assert_eq!(export(&place, format, out).0, 0);
        assert_eq!(first, place.read(&written), "{format}");
        if let Some(python) = &python {
            assert_eq!(faults(python, format, &place.path(out)), "", "{format}");
        }
    }
    // The crate holds what it names, under the names that it gives.
    let crate_file = |name: &str| place.read(&format!("crate/{name}"));
    for name in ["recipe.rb2", "recipe.rb2.lock", "lib/rule.rb2", "out/kept.jsonl", "out/n.json"] {
        assert_eq!(crate_file(name), place.read(name));
    }
    let metadata: Json = serde_json::from_str(&crate_file("ro-crate-metadata.json")).unwrap();
    for entity in metadata["@graph"].as_array().unwrap().iter().filter(|e| e["@type"] == "File") {
        let name = entity["name"].as_str().unwrap();
        let size = fs::metadata(place.path("crate").join(name)).unwrap().len();
        assert_eq!(entity["contentSize"], size.to_string(), "{name}");
    }
    place.write("full/file", "somebody's");
    let (code, text) = export(&place, "ro-crate", "full");
    assert!(code == 5 && text.contains("it is not empty and no crate"), "{text}");
}

/// What is spoilt in a good export, and what its validator then says.
type Spoilt = (&'static str, fn(&str) -> String, &'static str);

const SPOILT: &[Spoilt] = &[
    (
        "ro-crate",
        |text| text.replace("\"endTime\"", "\"endTimes\"").replace("\"instrument\"", "\"instruments\""),
        "process-run-crate",
    ),
    ("spdx", |text| text.replace("\"software_primaryPurpose\"", "\"software_purpose\""), "software_purpose"),
    ("spdx", |text| text.replace("\"hasConcludedLicense\"", "\"hasOtherLicense\""), "hasOtherLicense"),
    ("openlineage", |text| text.replace("\"COMPLETE\"", "\"DONE\""), "DONE"),
    ("openlineage", |text| text.replace("\"datasetVersion\"", "\"version\""), "version"),
];

#[test]
fn the_validators_find_what_is_wrong() {
    let Some(python) = validators() else { return };
    let place = told();
    place.done();
    for (format, spoil, says) in SPOILT {
        let (out, file) = match *format {
            "ro-crate" => ("crate", "crate/ro-crate-metadata.json"),
            _ => ("export.json", "export.json"),
        };
        assert_eq!(export(&place, format, out).0, 0);
        place.write_quietly(file, &spoil(&place.read(file)));
        let faults = faults(&python, format, &place.path(out));
        assert!(faults.contains(says), "{format}: no {says:?} in {faults:?}");
    }
}

#[test]
fn licences_and_consent_of_sources_flow_to_what_is_made_of_them_and_move_no_key() {
    let place = told();
    place.done();
    let note = |output: &str| -> Json {
        serde_json::from_str::<Json>(&place.read(&format!("out/{output}.rbpipe.json"))).unwrap()["provenance"]["terms"]
            .clone()
    };
    assert_eq!(
        note("shards"),
        serde_json::json!({ "licences": ["CC-BY-4.0"], "consent": ["research only"], "unlicensed": 0 })
    );
    assert_eq!(note("seen.jsonl")["licences"], serde_json::json!(["our own terms"]));
    assert_eq!(note("kept.jsonl")["licences"], serde_json::json!(["CC-BY-4.0", "our own terms"]));
    assert_eq!(export(&place, "spdx", "x.json").0, 0);
    let text = place.read("x.json");
    assert!(
        text.contains("CC-BY-4.0 AND LicenseRef-our-own-terms") && text.contains("consent: research only"),
        "{text}"
    );
    // Another licence is drift of the lock, and no reason to run anything.
    let recipe = place.read("recipe.rb2");
    place.write_quietly("recipe.rb2", &recipe.replace("CC-BY-4.0", "CC0-1.0"));
    let ran = place.run(&[]);
    assert_eq!(ran.code, 5, "{}", ran.stderr);
    assert!(ran.stderr.contains("its licence is \"CC0-1.0\", in the lock it is \"CC-BY-4.0\""), "{}", ran.stderr);
    assert!(ran.stderr.contains("accepting it runs 0 nodes"), "{}", ran.stderr);
    let ran = place.run(&["--update", "rows.jsonl"]);
    assert!(ran.code == 0 && ran.executed().is_empty(), "{}", ran.stderr);
    let wrong = recipe.replace(
        "filter.rule(where: .text.words >= 2)",
        "filter.rule(where: .text.words >= 2) with { licence: \"MIT\" }",
    );
    place.write_quietly("recipe.rb2", &wrong);
    let ran = place.run(&[]);
    assert!(ran.code == 1 && ran.stderr.contains("nothing in this expression accepts `licence`"), "{}", ran.stderr);
}
