//! The engine's numbers against the golden tensors.

use std::path::{Path, PathBuf};

use rbpipe::model::guard;
use rbpipe::verify::{Row, table, verify};
use serde_json::Value as Json;
use tch::{Device, Tensor};

/// A golden set of this repository.
fn goldens(set: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens").join(set)
}

fn failing(rows: &[Row]) -> Vec<String> {
    rows.iter().filter(|r| !r.ok).map(|r| format!("{}: {}", r.name, r.note)).collect()
}

fn agree(set: &str) {
    let rows = verify(&goldens(set), Device::Cpu).expect("a golden set");
    println!("{}", table(&rows));
    let bad = failing(&rows);
    assert!(bad.is_empty(), "{} of {} rows fail:\n{}", bad.len(), rows.len(), bad.join("\n"));
}

#[test]
fn goldens_agree() {
    agree("dev");
}

#[test]
fn goldens_of_another_shape_agree() {
    agree("odd");
}

/// A set in which something is wrong or absent does not pass.
#[test]
fn goldens_that_differ_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    let to = folder.path();
    copied(&goldens("odd"), to);
    let edit = |file: &str, change: &dyn Fn(&mut Json)| {
        let mut json: Json = serde_json::from_slice(&std::fs::read(to.join(file)).expect("a file")).expect("JSON");
        change(&mut json);
        std::fs::write(to.join(file), json.to_string()).expect("a scratch file");
    };
    edit("generate.json", &|json| json["text"]["new_tokens"][0][3] = 7.into());
    edit("train.json", &|json| json["run_token_mean"]["log"][1]["loss"] = 7.0.into());
    edit("dpo.json", &|json| {
        json.as_object_mut().expect("an object").remove("steps_lr5e-4");
    });
    std::fs::remove_file(to.join("images/frame1.png")).expect("a frame");
    let bad = failing(&verify(to, Device::Cpu).expect("a golden set"));
    for row in ["train: no golden `steps_lr*`", "processor.video.pixel_values:", "generate.text: ours"] {
        assert!(bad.iter().any(|b| b.starts_with(row)), "{row} is missing of {bad:#?}");
    }
}

fn copied(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let to = to.join(entry.file_name());
        if entry.path().is_dir() {
            copied(&entry.path(), &to);
        } else {
            std::fs::copy(entry.path(), to).expect("a copy");
        }
    }
}

#[test]
fn a_failure_of_libtorch_is_told_in_one_line() {
    let error = guard("a product", || Tensor::from_slice(&[1.0]).matmul(&Tensor::from_slice(&[1.0, 2.0])));
    let message = error.err().map(|e| e.message).unwrap_or_default();
    assert!(message.starts_with("a product: ") && message.len() < 200, "{message}");
    assert!(!message.contains("frame #0") && !message.contains("unwrap"), "{message}");
}
