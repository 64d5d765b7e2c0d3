//! Checkpoints: everything that continuing bit for bit needs, with a manifest written last.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use tch::{Device, Tensor};

use super::log::Record;
use super::shards::Shards;
use crate::base::{Digest, OpError};
use crate::dist::Group;
use crate::engine::storage::store::digest_of_file;

/// How many checkpoints of a run are kept.
pub const KEEP: usize = 2;
/// What the name of a tensor begins with that is not shared out: every rank has all of it.
const WHOLE: &str = "whole.";
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
    /// The step of a shorter training after which this one began.
    #[serde(default)]
    pub began: Option<u64>,
    /// BLAKE3 of each rank's tensor file.
    #[serde(default)]
    pub parts: Vec<Digest>,
    /// How the tensors are shared out over these files.
    #[serde(default)]
    pub shards: Option<Shards>,
}

impl State {
    /// Before the first step.
    pub fn new(fingerprint: Digest) -> Self {
        Self {
            fingerprint,
            step: 0,
            tokens: 0,
            seconds: 0.0,
            window: Window::default(),
            best: None,
            records: Vec::new(),
            began: None,
            parts: Vec::new(),
            shards: None,
        }
    }
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
    /// Their floating-point operations.
    #[serde(default)]
    pub flops: f64,
}

/// Writes a checkpoint under `folder` and deletes those beyond the newest two; each rank its own parts. Returns why there is none, where it cannot
/// be written: then no rank has one.
///
/// The folder appears under its final name only when all tensors and the manifest are on disk, so a checkpoint is whole or absent.
///
/// # Errors
/// Class `peer` when another rank is gone.
pub fn save(
    folder: &Path,
    state: &State,
    shards: &Shards,
    tensors: &[(&str, &Tensor)],
    group: &Group,
) -> Result<Option<String>, OpError> {
    let name = folder_of(state.step);
    let draft = folder.join(format!("draft-{name}"));
    let mut failed = None;
    if group.first() {
        let _ = fs::remove_dir_all(&draft);
        failed = fs::create_dir_all(&draft).err().map(OpError::from);
    }
    group.meet()?;
    // A rank that holds what rank 0 holds has nothing to add.
    let mut digests = vec![0.0; 1 + 32 * shards.world];
    if failed.is_none() && group.rank() < shards.world {
        match write(&draft.join(file_of(group.rank())), tensors) {
            Ok(digest) => {
                let at = 1 + 32 * group.rank();
                digests[at..at + 32].iter_mut().zip(digest.0).for_each(|(slot, byte)| *slot = f64::from(byte));
            }
            Err(e) => failed = Some(e),
        }
    }
    digests[0] = f64::from(u8::from(failed.is_some()));
    group.sum(&mut digests)?;
    if digests[0] == 0.0 && group.first() {
        let parts = digests[1..].chunks(32).map(|bytes| Digest(std::array::from_fn(|i| bytes[i] as u8))).collect();
        let state = State { parts, shards: Some(shards.clone()), ..state.clone() };
        failed = publish(&draft, &folder.join(&name), &state).err();
    }
    let mut broken = [f64::from(u8::from(digests[0] > 0.0 || failed.is_some()))];
    group.follow(&mut broken)?;
    if broken[0] > 0.0 {
        if group.first() {
            let _ = fs::remove_dir_all(&draft);
        }
        return Ok(Some(failed.map_or_else(|| "another rank could not write its part".into(), |e| e.message)));
    }
    if group.first() {
        for old in all(folder).into_iter().rev().skip(KEEP) {
            let _ = fs::remove_dir_all(old);
        }
    }
    Ok(None)
}

/// Returns where the checkpoint after a step lies, and the part of it that is not tensors; nothing where there is none of `fingerprint`. Its tensors are
/// not looked at.
pub fn at_step(folder: &Path, step: u64, fingerprint: Digest) -> Option<(PathBuf, State)> {
    let path = folder.join(folder_of(step));
    let state: State = serde_json::from_slice(&fs::read(path.join(MANIFEST)).ok()?).ok()?;
    (state.fingerprint == fingerprint).then_some((path, state))
}

/// Returns the name of the folder of the checkpoint after a step.
pub fn folder_of(step: u64) -> String {
    format!("step-{step:08}")
}

fn file_of(rank: usize) -> String {
    format!("rank-{rank:04}.safetensors")
}

fn write(path: &Path, tensors: &[(&str, &Tensor)]) -> Result<Digest, OpError> {
    let tensors: Vec<(&str, Tensor)> = tensors.iter().map(|(name, t)| (*name, t.to_device(Device::Cpu))).collect();
    Tensor::write_safetensors(&tensors, path).map_err(|e| OpError::new("E0612", format!("{}: {e}", path.display())))?;
    fs::File::open(path)?.sync_all()?;
    Ok(digest_of_file(path)?)
}

fn publish(draft: &Path, target: &Path, state: &State) -> Result<(), OpError> {
    fs::write(draft.join(MANIFEST), serde_json::to_vec(state)?)?;
    fs::File::open(draft.join(MANIFEST))?.sync_all()?;
    let _ = fs::remove_dir_all(target);
    Ok(fs::rename(draft, target)?)
}

/// Finds the newest valid checkpoint of `fingerprint` under `folder`: its state, and this rank's parts of its tensors by name, however many ranks wrote it.
///
/// # Errors
/// `E0503` when rank 0 finds one that this rank cannot read; class `peer` when another rank is gone.
pub fn newest(
    folder: &Path,
    fingerprint: Digest,
    shards: &Shards,
    group: &Group,
) -> Result<Option<(State, Vec<(String, Tensor)>)>, OpError> {
    // Rank 0 looks at all bytes of all parts, and all ranks take the one that it finds.
    let found =
        group.first().then(|| all(folder).into_iter().rev().find_map(|path| valid(&path, fingerprint))).flatten();
    let mut step = [found.map_or(-1.0, |step| step as f64)];
    group.follow(&mut step)?;
    if step[0] < 0.0 {
        return Ok(None);
    }
    let path = folder.join(folder_of(step[0] as u64));
    let unread = |why: String| OpError::new("E0503", format!("checkpoint {}: {why}", path.display()));
    let state: State = serde_json::from_slice(&fs::read(path.join(MANIFEST))?)?;
    let written = state.shards.clone().ok_or_else(|| unread("it does not say how it is shared out".into()))?;
    let read = |rank: usize| Tensor::read_safetensors(path.join(file_of(rank))).map_err(|e| unread(e.to_string()));
    if written == *shards {
        return Ok(Some((state, read(shards.rank(group))?)));
    }
    let mut own: Vec<(String, Tensor)> = Vec::new();
    for rank in 0..written.world {
        for (name, theirs) in read(rank)? {
            if name.starts_with(WHOLE) {
                if rank == 0 {
                    own.push((name, theirs));
                }
                continue;
            }
            let at = own.iter().position(|(known, _)| *known == name).unwrap_or_else(|| {
                own.push((name, Tensor::zeros([shards.len()], (theirs.kind(), Device::Cpu))));
                own.len() - 1
            });
            written.translate(rank, &theirs, shards, shards.rank(group), &own[at].1);
        }
    }
    Ok(Some((state, own)))
}

/// Returns the step of a checkpoint whose manifest and parts belong together and to `fingerprint`.
fn valid(path: &Path, fingerprint: Digest) -> Option<u64> {
    let state: State = serde_json::from_slice(&fs::read(path.join(MANIFEST)).ok()?).ok()?;
    let whole = |(rank, digest): (usize, &Digest)| digest_of_file(&path.join(file_of(rank))).ok() == Some(*digest);
    let ranks = state.shards.as_ref()?.world;
    let good = state.fingerprint == fingerprint && state.parts.len() == ranks;
    (good && state.parts.iter().enumerate().all(whole)).then_some(state.step)
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
