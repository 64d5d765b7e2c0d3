//! What passes between the scheduler and a job: a folder of the shared store, one for each key. It outlives both, so that a later run finds the job.

use std::io::{Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::base::{Digest, OpError};
use crate::engine::executors::worker::{self, Order};
use crate::engine::node::task::Outcome;
use crate::engine::storage::store::Store;

/// What is known of a job that was submitted.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Ticket {
    /// Slurm's number of it.
    pub job: String,
    /// The executor of the site file that submitted it.
    pub executor: String,
    /// The recipe that needs it.
    pub recipe: PathBuf,
    /// The node.
    pub node: String,
    /// Its action key.
    pub key: Digest,
    /// The parts that it executes; none for a job in one piece.
    pub parts: Vec<usize>,
}

/// The folder of a key's job.
pub struct Folder(PathBuf);

impl Folder {
    /// Returns where the job of a key has its folder; it need not be there.
    pub fn of(store: &Store, key: Digest) -> Self {
        Self(store.root().join("jobs").join(key.hex()))
    }

    /// Returns all folders of a store.
    pub fn all(store: &Store) -> Vec<Self> {
        let entries = std::fs::read_dir(store.root().join("jobs")).into_iter().flatten().flatten();
        entries.map(|entry| Self(entry.path())).collect()
    }

    /// Where it lies.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Returns the ticket of the job that was submitted last.
    pub fn ticket(&self) -> Option<Ticket> {
        serde_json::from_slice(&std::fs::read(self.0.join("ticket.json")).ok()?).ok()
    }

    /// Keeps a ticket: from now on a later run finds the job.
    pub fn keep(&self, store: &Store, ticket: &Ticket) -> Result<(), OpError> {
        Ok(store.write_whole(&self.0.join("ticket.json"), &serde_json::to_vec(ticket)?)?)
    }

    /// Forgets the ticket.
    pub fn forget(&self) {
        let _ = std::fs::remove_file(self.0.join("ticket.json"));
    }

    /// Removes everything.
    pub fn clear(&self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }

    /// Writes the order.
    pub fn order(&self, store: &Store, order: &Order) -> Result<(), OpError> {
        Ok(store.write_whole(&order_file(&self.0), &serde_json::to_vec(order)?)?)
    }

    /// Returns the order that was written last.
    pub fn ordered(&self) -> Option<Order> {
        serde_json::from_slice(&std::fs::read(order_file(&self.0)).ok()?).ok()
    }

    /// Returns into how many parts the rows of that order are cut.
    pub fn parts(&self) -> Option<usize> {
        self.ordered()?.parts
    }

    /// Where Slurm writes what the script prints.
    pub fn log(&self, part: Option<usize>) -> PathBuf {
        self.0.join(part.map_or("slurm.log".into(), |part| format!("slurm-{part}.log")))
    }

    /// Returns the outcome that a part has written.
    pub fn outcome(&self, part: Option<usize>) -> Option<Outcome> {
        let mut tail = Tail::new(events_file(&self.0, part));
        tail.read(&|_, _| {});
        tail.outcome
    }
}

/// Where the order of a job stands.
pub fn order_file(folder: &Path) -> PathBuf {
    folder.join("order.json")
}

/// Where a job, or a part of one, writes its events.
pub fn events_file(folder: &Path, part: Option<usize>) -> PathBuf {
    folder.join(part.map_or("events.jsonl".into(), |part| format!("events-{part}.jsonl")))
}

/// Follows a file of events as it grows; one that was begun anew is read anew.
pub struct Tail {
    path: PathBuf,
    offset: u64,
    rest: Vec<u8>,
    /// The outcome, once it stands there.
    pub outcome: Option<Outcome>,
}

impl Tail {
    /// Starts at the beginning.
    pub fn new(path: PathBuf) -> Self {
        Self { path, offset: 0, rest: Vec::new(), outcome: None }
    }

    /// Reads what is new.
    pub fn read(&mut self, emit: &dyn Fn(&str, Json)) {
        let Ok(mut file) = std::fs::File::open(&self.path) else { return };
        if file.metadata().is_ok_and(|m| m.len() < self.offset) {
            *self = Self::new(std::mem::take(&mut self.path));
        }
        if file.seek(SeekFrom::Start(self.offset)).is_err() {
            return;
        }
        let mut fresh = Vec::new();
        // What cannot be read now is read next time.
        let _ = file.read_to_end(&mut fresh);
        self.offset += fresh.len() as u64;
        self.rest.extend(fresh);
        while let Some(end) = self.rest.iter().position(|&b| b == b'\n') {
            let line: Vec<u8> = self.rest.drain(..=end).collect();
            if let Some(outcome) = worker::hear(&String::from_utf8_lossy(&line), emit) {
                self.outcome = Some(outcome);
            }
        }
    }
}
