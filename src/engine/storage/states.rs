//! Which states of trainings are kept for longer ones: `states/PREFIX/STEP-KEY`, an empty file for each. The record under the key tells whether the
//! state is there; a file that is lost makes a longer training begin anew, and nothing else.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::record;
use super::store::Store;
use crate::base::Digest;

/// Where they lie in a store.
pub const FOLDER: &str = "states";

/// Notes that the state after so many steps has its record under `key`, or is about to.
///
/// # Errors
/// The store cannot be written.
pub fn note(store: &Store, prefix: Digest, step: u64, key: Digest) -> io::Result<()> {
    let folder = store.root().join(FOLDER).join(prefix.hex());
    store.write_whole(&folder.join(format!("{step:012}-{}", key.hex())), b"")
}

/// Returns the steps after which a state of this beginning was kept, and their keys; the longest first.
pub fn kept(store: &Store, prefix: Digest) -> Vec<(u64, Digest)> {
    let entries = fs::read_dir(store.root().join(FOLDER).join(prefix.hex())).into_iter().flatten().flatten();
    let mut out: Vec<(u64, Digest)> = entries.filter_map(|entry| named(&entry.path())).collect();
    out.sort_unstable_by(|a, b| b.cmp(a));
    out
}

/// Says whether the state that a file of this folder names has a record still.
pub(super) fn is_there(store: &Store, path: &Path) -> bool {
    named(path).is_some_and(|(_, key)| record::path(store, key).exists())
}

/// Returns all files of this folder.
pub(super) fn all(store: &Store) -> Vec<PathBuf> {
    let inner = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    inner(store.root().join(FOLDER)).flat_map(inner).collect()
}

fn named(path: &Path) -> Option<(u64, Digest)> {
    let (step, key) = path.file_name()?.to_str()?.split_once('-')?;
    Some((step.parse().ok()?, Digest::parse(key)?))
}
