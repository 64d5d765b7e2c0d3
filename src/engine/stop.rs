//! How a run is asked to stop.

use std::sync::atomic::AtomicBool;

/// Two stages of being asked to stop.
#[derive(Default, Debug)]
pub struct Stop {
    /// Stop soon.
    pub soon: AtomicBool,
    /// Stop now.
    pub now: AtomicBool,
}
