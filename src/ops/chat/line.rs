//! How many requests may be under way: fewer after the server was busy, one more after as many good answers as there are places.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

use super::request::Class;

/// The places for requests.
pub struct Line {
    state: Mutex<State>,
    free: Condvar,
    most: usize,
}

struct State {
    /// Requests under way.
    under_way: usize,
    /// Places.
    places: usize,
    /// Good answers since the number of places changed.
    good: usize,
}

impl Line {
    /// Opens with `most` places, which is also the bound.
    pub fn new(most: usize) -> Self {
        let most = most.max(1);
        Self { state: Mutex::new(State { under_way: 0, places: most, good: 0 }), free: Condvar::new(), most }
    }

    /// Waits for a place and takes it.
    pub fn enter(&self) {
        let mut state = held(&self.state);
        while state.under_way >= state.places {
            state = self.free.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state.under_way += 1;
    }

    /// Gives a place back; `failed` is the class of a failure.
    pub fn leave(&self, failed: Option<Class>) {
        let mut state = held(&self.state);
        state.under_way -= 1;
        match failed {
            Some(Class::Busy) => (state.places, state.good) = ((state.places * 4 / 5).max(1), 0),
            Some(_) => {}
            None => {
                state.good += 1;
                if state.good >= state.places && state.places < self.most {
                    (state.places, state.good) = (state.places + 1, 0);
                }
            }
        }
        self.free.notify_all();
    }
}

/// Locks a mutex; what a thread that failed left behind is still plain counts.
pub fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
