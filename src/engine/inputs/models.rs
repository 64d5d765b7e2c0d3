//! Which files of a folder belong to a model.

use std::io;
use std::path::{Path, PathBuf};

/// File kinds that belong to a model; weights in other formats, READMEs and logs stay out of its identity.
const KINDS: [&str; 5] = ["json", "safetensors", "txt", "jinja", "model"];

/// Returns the model files under `folder` by relative name, sorted.
pub fn files(folder: &Path) -> io::Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut open = vec![PathBuf::new()];
    while let Some(inner) = open.pop() {
        for entry in std::fs::read_dir(folder.join(&inner))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let relative = inner.join(&name);
            let path = entry.path();
            if name.starts_with('.') {
                continue;
            }
            if path.is_dir() {
                if name != "training" && relative.components().count() < 3 {
                    open.push(relative);
                }
            } else if KINDS.iter().any(|kind| path.extension().is_some_and(|e| e == *kind)) {
                found.push((relative.to_string_lossy().into_owned(), path));
            }
        }
    }
    found.sort();
    Ok(found)
}
