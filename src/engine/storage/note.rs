//! The note beside an output: what was written there, and where it comes from.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::base::{Digest, OpError};
use crate::engine::crash::step;

/// How the note beside an output ends.
pub const SIDECAR: &str = ".rbpipe.json";

/// The note beside an output: what lies there, so that a user's own change is seen.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Note {
    /// What was published.
    pub artifact: Digest,
    /// Relative path to what was written; an empty path for a single file.
    pub files: BTreeMap<String, Written>,
    /// Where it comes from.
    pub provenance: Json,
    /// It is about to be put there: the note is written before and after, so that a target without one is a user's own.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub underway: bool,
}

impl Note {
    /// Puts the note where it belongs, whole or not at all.
    pub(crate) fn write(&self, temporary: &Path, note: &Path) -> Result<(), OpError> {
        let mut file = tempfile::NamedTempFile::new_in(temporary)?;
        file.write_all(&serde_json::to_vec_pretty(self)?)?;
        step();
        file.as_file().sync_all()?;
        file.as_file().set_permissions(std::os::unix::fs::PermissionsExt::from_mode(0o644))?;
        file.persist(note).map_err(|e| at(note, &e.error))?;
        step();
        Ok(())
    }
}

#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Written {
    pub digest: Digest,
    pub size: u64,
    pub time: i64,
}

/// Returns where the note beside a target lies.
pub fn sidecar(target: &Path) -> PathBuf {
    let mut name = target.file_name().map(std::ffi::OsStr::to_os_string).unwrap_or_default();
    name.push(SIDECAR);
    target.with_file_name(name)
}

/// Returns the key that the note beside a target tells, which may be none; nothing where neither the target nor a note lies.
pub(super) fn noted(target: &Path) -> Option<Option<Digest>> {
    let note: Note = serde_json::from_slice(&std::fs::read(sidecar(target)).ok()?).ok()?;
    target.exists().then(|| note.provenance["key"].as_str().and_then(Digest::parse))
}

/// Returns the files that were published at a target, with size and digest, as the note beside it tells; nothing without such a note.
pub fn published(target: &Path) -> Option<Vec<(PathBuf, u64, Digest)>> {
    let target = std::path::absolute(target).ok()?;
    let note: Note = serde_json::from_slice(&std::fs::read(sidecar(&target)).ok()?).ok()?;
    if note.underway {
        return None;
    }
    let files = note.files.iter().map(|(path, written)| (place(&target, path), written.size, written.digest));
    Some(files.filter(|(path, ..)| path.is_file()).collect())
}

/// A path of a piece: the target itself, inside it, or (`../`) beside it.
pub(crate) fn place(target: &Path, path: &str) -> PathBuf {
    match path.strip_prefix("../") {
        Some(beside) => target.with_file_name("").join(beside),
        None if path.is_empty() => target.to_path_buf(),
        None => target.join(path),
    }
}

pub(crate) fn at(path: &Path, e: &io::Error) -> OpError {
    OpError::of_io(e, format!("cannot write `{}`: {e}", path.display()))
}
