//! Steps after which a run can be made to die, so that tests can ask what a crash at each of them leaves behind.
//!
//! `RBPIPE_DIE_AFTER=17` ends the process with SIGKILL after the 17th step. Without the variable a step is one look at an atomic, beside a
//! system call that takes a thousand times as long.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

static AT: OnceLock<u64> = OnceLock::new();
static DONE: AtomicU64 = AtomicU64::new(0);

/// Marks a system call that changes what lies on the disk as done.
#[allow(unsafe_code)]
pub fn step() {
    let at = *AT.get_or_init(|| std::env::var("RBPIPE_DIE_AFTER").ok().and_then(|v| v.parse().ok()).unwrap_or(0));
    if at != 0 && DONE.fetch_add(1, Ordering::Relaxed) + 1 == at {
        // SAFETY: `kill` touches no memory.
        unsafe { libc::kill(libc::getpid(), libc::SIGKILL) };
    }
}
