//! The edge to libtorch: turns its panics into operator failures and sets its threads.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Mutex, PoisonError};

use crate::base::OpError;

/// Runs tensor code and turns a libtorch failure inside it into an [`OpError`]; out of memory gets class `oom`.
///
/// # Errors
/// `E0612` with libtorch's own message, first line only.
pub fn guard<T>(what: &str, f: impl FnOnce() -> T) -> Result<T, OpError> {
    catch_unwind(AssertUnwindSafe(f)).map_err(|panic| {
        let text = panic
            .downcast_ref::<String>()
            .cloned()
            .or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).to_owned()))
            .unwrap_or_else(|| "unknown failure".to_owned());
        let line = first_line(&text);
        let error = OpError::new("E0612", format!("{what}: {line}"));
        if text.contains("out of memory") || text.contains("not enough memory") {
            return error.class("oom").help("use a smaller micro-batch, fewer pixels or a shorter cutoff");
        }
        error
    })
}

/// Returns the first line of a panic's message; of libtorch's failures, which `tch` quotes with its own backtrace, their first line.
fn first_line(text: &str) -> &str {
    let quoted = text.split_once("Torch(\"").map_or(text, |(_, quoted)| quoted);
    let line = quoted.lines().next().unwrap_or("");
    line.split("\\n").next().unwrap_or("")
}

/// Draws from libtorch's generator on a processor, which all threads share: one at a time, from `seed` on.
pub fn seeded<T>(seed: i64, draw: impl FnOnce() -> T) -> T {
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _alone = GENERATOR.lock().unwrap_or_else(PoisonError::into_inner);
    tch::manual_seed(seed);
    draw()
}

/// Sets the number of threads that one tensor operation uses. Results are the same bytes for the same number.
pub fn set_threads(threads: usize) {
    tch::set_num_threads(i32::try_from(threads.max(1)).unwrap_or(1));
}

/// Keeps the memory of large tensors on a processor for the next ones, up to the most that they ever held at once; for a process that trains.
#[allow(unsafe_code)]
pub fn keep_memory() {
    unsafe extern "C" {
        fn rb_keep_memory();
    }
    // SAFETY: takes nothing; tensors that are there already are freed as they were made.
    unsafe { rb_keep_memory() };
}
