//! How much memory processes have had, for reports: asked while they live, since nothing tells afterwards.

use std::fs;
use std::path::PathBuf;

use crate::engine::capacity::kernel_bytes;

/// Returns the most bytes that a process, or one of those that it has started, has had in memory so far; 0 where the system does not tell.
pub(super) fn of(process: u32) -> u64 {
    let folder = PathBuf::from(format!("/proc/{process}"));
    let own = kernel_bytes(folder.join("status"), "VmHWM").unwrap_or(0);
    let threads = fs::read_dir(folder.join("task")).into_iter().flatten().flatten();
    let started = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    let started: Vec<u32> =
        started.flat_map(|ids| ids.split_whitespace().filter_map(|id| id.parse().ok()).collect::<Vec<_>>()).collect();
    let below = started.into_iter().map(of).max().unwrap_or(0);
    below.max(own)
}
