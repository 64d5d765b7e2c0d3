//! Records that were claimed before anybody asked for them.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::gate::LEAST_GRACE;
use super::recorded::Claimed;
use crate::base::Digest;

/// How long a record that was claimed may wait to be used: half of the time for which no collection takes it.
const FRESH: Duration = Duration::from_secs(LEAST_GRACE.as_secs() / 2);

/// Records by key.
pub(super) type Found = BTreeMap<Digest, Claimed>;

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

    /// Waits for what a thread claims when it is asked.
    pub(super) fn expect(&self, reading: JoinHandle<Found>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::Reading(reading);
    }

    /// Forgets everything: records were taken away.
    pub(super) fn forget(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = State::default();
    }
}
