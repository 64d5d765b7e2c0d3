//! The journal of a run: one JSON line per event with a checksum, appended as it happens. A line that a crash cut off, or
//! that is damaged, ends what is read; nothing before it is lost.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::store::Store;
use crate::base::Digest;
use crate::engine::crash::step;
use crate::engine::event::{CROWD, Event, Listener, in_crowds};

/// Writes a run's events.
pub struct Journal {
    lines: Mutex<Lines>,
    path: PathBuf,
}

struct Lines {
    file: File,
    /// Whole lines of results that were there, not written yet: losing one costs nothing.
    gathered: Vec<u8>,
}

impl Lines {
    fn write(&mut self) {
        if self.gathered.is_empty() {
            return;
        }
        // A journal that cannot be written must not stop the run: results are in the records.
        let _ = self.file.write_all(&self.gathered);
        self.gathered.clear();
        step();
    }
}

impl Journal {
    /// Starts the journal of a new run of a recipe.
    pub fn create(store: &Store, recipe: &Path) -> io::Result<Self> {
        let folder = folder(store, recipe);
        std::fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{}-{}.jsonl", crate::engine::event::stamp(), std::process::id()));
        let file = OpenOptions::new().create_new(true).append(true).open(&path)?;
        step();
        // Held as long as this process lives: what a run that goes on has used is no garbage, see `is_open`.
        let _ = file.lock();
        Ok(Self { lines: Mutex::new(Lines { file, gathered: Vec::new() }), path })
    }

    /// Returns where it lies.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn lines(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Listener for Journal {
    fn hear(&self, event: &Event) {
        if event.event == "node_progress" {
            return;
        }
        if let Ok(json) = serde_json::to_string(event) {
            let mut lines = self.lines();
            for part in [&Digest::of(json.as_bytes()).short(), " ", &json, "\n"] {
                lines.gathered.extend_from_slice(part.as_bytes());
            }
            if !in_crowds(event) || lines.gathered.len() >= CROWD {
                lines.write();
            }
            if event.event == "run_finished" {
                let _ = lines.file.sync_all();
            }
        }
    }

    fn settled(&self) {
        self.lines().write();
    }
}

impl Drop for Journal {
    fn drop(&mut self) {
        self.lines().write();
    }
}

/// Says whether the run of a journal goes on.
pub fn is_open(path: &Path) -> bool {
    File::open(path).is_ok_and(|file| matches!(file.try_lock_shared(), Err(std::fs::TryLockError::WouldBlock)))
}

/// Returns the folder of a recipe's journals.
pub fn folder(store: &Store, recipe: &Path) -> PathBuf {
    let path = std::path::absolute(recipe).unwrap_or_else(|_| recipe.to_path_buf());
    store.root().join("runs").join(Digest::of(path.as_os_str().as_encoded_bytes()).short())
}

/// Reads a journal up to the first line that is not whole.
pub fn read(path: &Path) -> Vec<Event> {
    read_as(path)
}

/// Reads of each line what `T` asks for.
fn read_as<T: DeserializeOwned>(path: &Path) -> Vec<T> {
    let bytes = std::fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let mut out = Vec::new();
    for line in text.split_inclusive('\n') {
        let Some((checksum, json)) = line.strip_suffix('\n').and_then(|l| l.split_once(' ')) else { break };
        if Digest::of(json.as_bytes()).short() != checksum {
            break;
        }
        let Ok(event) = serde_json::from_str(json) else { break };
        out.push(event);
    }
    out
}

/// Returns the keys of the results that a run used, in the order in which it did.
pub fn used(path: &Path) -> Vec<Digest> {
    made(path).map(|(_, key)| key).collect()
}

/// Returns the journals of a recipe, newest first.
pub fn runs(store: &Store, recipe: &Path) -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = std::fs::read_dir(folder(store, recipe))
        .into_iter()
        .flatten()
        .flatten()
        .map(|e| e.path())
        .filter(|p| p.extension().is_some_and(|e| e == "jsonl"))
        .collect();
    out.sort_by(|a, b| b.cmp(a));
    out
}

/// So many runs are looked at, at most, for what became of a node before.
const BACK: usize = 8;

/// Returns the last key that each node of a recipe had, by name; reads no further back than the nodes called `names` ask for.
pub fn last_keys(store: &Store, recipe: &Path, names: &BTreeSet<&str>) -> BTreeMap<String, Digest> {
    keys_of(&runs(store, recipe), names)
}

/// As [`last_keys`], of some journals, newest first.
pub fn keys_of(journals: &[PathBuf], names: &BTreeSet<&str>) -> BTreeMap<String, Digest> {
    let mut out = BTreeMap::new();
    for path in journals.iter().take(BACK) {
        for (node, key) in made(path) {
            if let Some(node) = node {
                out.entry(node).or_insert(key);
            }
        }
        if names.iter().all(|name| out.contains_key(*name)) {
            break;
        }
    }
    out
}

/// Returns the failures of nodes that failed when they were last heard of, by name.
pub fn failures(store: &Store, recipe: &Path) -> BTreeMap<String, Event> {
    let mut last: BTreeMap<String, Event> = BTreeMap::new();
    for path in runs(store, recipe).into_iter().take(BACK) {
        let ended = |e: &Event| matches!(e.event.as_str(), "node_finished" | "node_hit" | "node_failed");
        for event in read(&path).into_iter().rev().filter(ended) {
            if let Some(name) = event.node.clone() {
                last.entry(name).or_insert(event);
            }
        }
    }
    last.retain(|_, event| event.event == "node_failed");
    last
}

/// What is read of an event to know whether a result was used.
#[derive(Deserialize)]
struct Used {
    event: String,
    node: Option<String>,
    key: Option<String>,
}

/// Nodes whose results a run made or found, with their keys.
fn made(path: &Path) -> impl Iterator<Item = (Option<String>, Digest)> {
    let made = |used: &Used| matches!(used.event.as_str(), "node_finished" | "node_hit");
    read_as(path).into_iter().filter(made).filter_map(|used| Some((used.node, Digest::parse(&used.key?)?)))
}
