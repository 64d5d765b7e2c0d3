//! The engine's numbers against the golden tensors.

use std::path::Path;

/// The golden set of this repository.
fn goldens() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/dev")
}

#[test]
fn goldens_agree() {
    let rows = rbpipe::verify::verify(&goldens(), tch::Device::Cpu).expect("a golden set");
    println!("{}", rbpipe::verify::table(&rows));
    let bad: Vec<_> = rows.iter().filter(|r| !r.ok).map(|r| format!("{}: {}", r.name, r.note)).collect();
    assert!(bad.is_empty(), "{} of {} rows fail:\n{}", bad.len(), rows.len(), bad.join("\n"));
}
