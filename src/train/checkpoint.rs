//! Checkpoints: everything that continuing bit for bit needs, with a manifest written last.

use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::log::Record;
use crate::base::{Digest, OpError};

/// How many checkpoints of a run are kept.
const KEEP: usize = 2;
const TENSORS: &str = "state.safetensors";
const MANIFEST: &str = "state.json";

/// The part of a checkpoint that is not tensors. The data position and the random order follow from `step` alone, because every
/// epoch's order is a function of the seed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct State {
    /// What the checkpoint belongs to: settings, rows and shape of the model. A checkpoint of something else is passed over.
    pub fingerprint: Digest,
    /// Optimizer steps done.
    pub step: u64,
    /// Input tokens seen.
    pub tokens: u64,
    /// Seconds of training so far.
    pub seconds: f64,
    /// Sum of the losses of the steps since the last log line, and their number.
    pub window: Window,
    /// Lowest evaluation loss so far and its step.
    pub best: Option<(f64, u64)>,
    /// All log lines so far.
    pub records: Vec<Record>,
    /// BLAKE3 of the tensor file.
    pub tensors: Option<Digest>,
}

/// Sums over the optimizer steps since the last log line.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Window {
    /// Number of steps.
    pub steps: u64,
    /// Sum of their losses.
    pub loss: f64,
    /// Sums of their measures.
    pub measures: Vec<(String, f64)>,
    /// Seconds that they waited for their batches.
    #[serde(default)]
    pub waited: f64,
}

/// Writes a checkpoint under `folder` and deletes those beyond the newest two.
///
/// The folder appears under its final name only when tensors and manifest are on disk, so a checkpoint is whole or absent.
pub fn save(folder: &Path, state: &State, tensors: &[(&str, &Tensor)]) -> Result<(), OpError> {
    let name = format!("step-{:08}", state.step);
    let draft = folder.join(format!("draft-{name}"));
    let _ = fs::remove_dir_all(&draft);
    fs::create_dir_all(&draft)?;
    let path = draft.join(TENSORS);
    let tensors: Vec<(&str, Tensor)> = tensors.iter().map(|(name, t)| (*name, t.to_device(Device::Cpu))).collect();
    Tensor::write_safetensors(&tensors, &path)
        .map_err(|e| OpError::new("E0612", format!("checkpoint {}: {e}", path.display())))?;
    fs::File::open(&path)?.sync_all()?;
    let state = State { tensors: Some(digest_of(&path)?), ..state.clone() };
    fs::write(draft.join(MANIFEST), serde_json::to_vec(&state)?)?;
    fs::File::open(draft.join(MANIFEST))?.sync_all()?;
    let target = folder.join(&name);
    let _ = fs::remove_dir_all(&target);
    fs::rename(&draft, &target)?;
    for old in all(folder).into_iter().rev().skip(KEEP) {
        let _ = fs::remove_dir_all(old);
    }
    Ok(())
}

/// Returns the newest valid checkpoint of `fingerprint` under `folder`: its state and its tensors by name.
pub fn newest(folder: &Path, fingerprint: Digest) -> Option<(State, Vec<(String, Tensor)>)> {
    all(folder).into_iter().rev().find_map(|path| open(&path, fingerprint))
}

fn open(path: &Path, fingerprint: Digest) -> Option<(State, Vec<(String, Tensor)>)> {
    let state: State = serde_json::from_slice(&fs::read(path.join(MANIFEST)).ok()?).ok()?;
    let tensors = path.join(TENSORS);
    if state.fingerprint != fingerprint || state.tensors != digest_of(&tensors).ok() {
        return None;
    }
    Some((state, Tensor::read_safetensors(tensors).ok()?))
}

/// Returns the finished checkpoint folders, oldest first.
fn all(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = entries
        .map(|entry| entry.path())
        .filter(|p| p.file_name().is_some_and(|n| n.to_string_lossy().starts_with("step-")))
        .collect();
    found.sort();
    found
}

fn digest_of(path: &Path) -> std::io::Result<Digest> {
    let mut file = fs::File::open(path)?;
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        let n = file.read(&mut buffer)?;
        if n == 0 {
            return Ok(Digest(*hasher.finalize().as_bytes()));
        }
        hasher.update(&buffer[..n]);
    }
}
