//! Reads what the last run of a recipe used while the recipe is still being compiled, so that a run with nothing to do does not wait for the disk.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::record::{self, Claimed};
use super::store::Store;
use super::{gc, journal};
use crate::base::Digest;

/// How long a record that was claimed may wait to be used: half of the time for which no collection takes it.
const FRESH: Duration = Duration::from_secs(gc::LEAST_GRACE.as_secs() / 2);
/// Fewer are read as fast when they are asked for.
const WORTH: usize = 64;

type Found = BTreeMap<Digest, Claimed>;

/// Records that were claimed ahead of time.
#[derive(Debug, Default)]
pub(super) struct Ahead(Mutex<State>);

#[derive(Debug)]
enum State {
    Reading(JoinHandle<Found>),
    Read(Found),
}

impl Default for State {
    fn default() -> Self {
        Self::Read(Found::new())
    }
}

impl Ahead {
    /// Takes a record that was claimed before; also says whether that was moments ago.
    pub(super) fn take(&self, key: Digest) -> Option<(Claimed, bool)> {
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut found = match std::mem::take(&mut *state) {
            State::Reading(reading) => reading.join().unwrap_or_default(),
            State::Read(found) => found,
        };
        let taken = found.remove(&key);
        *state = State::Read(found);
        let fresh = taken.as_ref()?.at.elapsed() < FRESH;
        Some((taken?, fresh))
    }

    /// Forgets everything: records were taken away.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }
}

/// Begins to claim the records that the last run of a recipe used.
pub fn read_ahead(store: &Store, recipe: &Path) {
    let Some(last) = journal::runs(store, recipe).into_iter().next() else { return };
    let mine = store.clone();
    let reading = std::thread::Builder::new().name("ahead".into()).spawn(move || {
        let keys = journal::used(&last);
        if keys.len() < WORTH {
            return Found::new();
        }
        let mut found = Found::new();
        record::claim_many(&mine, &keys, &mut |key, claimed| drop(found.insert(key, claimed)));
        found
    });
    // Without a thread they are read when they are asked for.
    if let Ok(reading) = reading {
        *store.ahead.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Reading(reading);
    }
}
