//! What a training writes loads in transformers, and means the same there: `tests/parity/roundtrip.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

/// A Python that has transformers and torch: `RBPIPE_PYTHON`, or the one that there is. They are too large to be installed for a test.
fn python() -> Option<PathBuf> {
    let named = std::env::var_os("RBPIPE_PYTHON").map(PathBuf::from);
    named.into_iter().chain([PathBuf::from("python3")]).find(|python| {
        let tried = Command::new(python).args(["-c", "import torch, transformers, PIL"]).output();
        tried.is_ok_and(|out| out.status.success())
    })
}

#[test]
fn what_is_saved_means_the_same_in_transformers() {
    let Some(python) = python() else {
        eprintln!("left out: neither RBPIPE_PYTHON nor python3 has torch, transformers and pillow");
        return;
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/parity/roundtrip.py");
    let store = tempfile::tempdir().expect("a folder");
    let out = Command::new(python)
        .arg(script)
        .arg(env!("CARGO_BIN_EXE_rbpipe"))
        .env("RBPIPE_ENGINE", env!("CARGO_BIN_EXE_rbpipe-engine"))
        .env("RBPIPE_CACHE", store.path())
        .output()
        .expect("it starts");
    let (said, wrong) = (String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    assert!(out.status.success(), "{said}{wrong}");
    for dtype in ["f32", "bf16"] {
        assert!(said.contains(&format!("{dtype}: 48 replies")), "{said}{wrong}");
    }
}
