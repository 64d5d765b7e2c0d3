//! The texts of the recipes that ran, beside their journals: each once, under its digest.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::journal;
use super::store::Store;
use crate::base::Digest;
use crate::engine::crash::step;

/// Keeps the files of a recipe; returns their names and digests, as the journal tells them. What is there already is not written again.
///
/// # Errors
/// The store cannot be written.
pub fn keep<'a>(store: &Store, recipe: &Path, files: impl Iterator<Item = (&'a str, &'a str)>) -> io::Result<Json> {
    let folder = folder(store, recipe);
    let mut out = Vec::new();
    for (name, text) in files {
        let digest = Digest::of(text.as_bytes());
        let path = folder.join(digest.hex());
        // A file of another length was cut off by a crash of the machine.
        if !std::fs::metadata(&path).is_ok_and(|m| m.len() == text.len() as u64) {
            std::fs::create_dir_all(&folder)?;
            let mut file = store.temporary()?;
            file.write_all(text.as_bytes())?;
            step();
            file.persist(&path).map_err(|e| e.error)?;
            step();
        }
        out.push(json!({ "name": name, "digest": digest }));
    }
    Ok(Json::Array(out))
}

/// Returns the text of a file of a recipe that ran, if it is still there.
pub fn read(store: &Store, recipe: &Path, digest: Digest) -> Option<String> {
    let text = std::fs::read_to_string(folder(store, recipe).join(digest.hex())).ok()?;
    (Digest::of(text.as_bytes()) == digest).then_some(text)
}

/// The names and digests in what [`keep`] returned.
pub fn listed(files: &Json) -> impl Iterator<Item = (&str, Digest)> {
    let all = files.as_array().into_iter().flatten();
    all.filter_map(|file| Some((file["name"].as_str()?, Digest::parse(file["digest"].as_str()?)?)))
}

/// Returns where the texts beside the journals of a folder lie.
pub fn beside(journals: &Path) -> PathBuf {
    journals.join("texts")
}

fn folder(store: &Store, recipe: &Path) -> PathBuf {
    beside(&journal::folder(store, recipe))
}
