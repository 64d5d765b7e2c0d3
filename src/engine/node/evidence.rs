//! What the processes of a group are doing, written down before a group that hangs is ended.

use std::fs;
use std::path::Path;

/// Lines of `/proc/PID/status` that tell something about a hang.
const TOLD: [&str; 6] = ["State:", "Threads:", "VmRSS:", "VmSwap:", "voluntary_ctxt_switches:", "SigCgt:"];

/// Describes each process of a group: its command, memory, and for each thread its state and what it waits for in the kernel.
pub(super) fn of_group(group: u32) -> String {
    let mut out = String::new();
    for entry in fs::read_dir("/proc").into_iter().flatten().flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse::<u32>().ok()) else { continue };
        let folder = entry.path();
        if group_of(&folder) == Some(group) {
            out.push_str(&process(pid, &folder));
        }
    }
    out
}

fn process(pid: u32, folder: &Path) -> String {
    let command = fs::read(folder.join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&command).replace('\0', " ");
    let mut out = format!("process {pid}: {}\n", command.trim_end());
    let status = fs::read_to_string(folder.join("status")).unwrap_or_default();
    for line in status.lines().filter(|line| TOLD.iter().any(|t| line.starts_with(t))) {
        out.push_str(&format!("  {}\n", line.replace('\t', " ")));
    }
    for thread in fs::read_dir(folder.join("task")).into_iter().flatten().flatten() {
        let read = |name: &str| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let state = read("stat").rsplit(") ").next().and_then(|s| s.chars().next()).unwrap_or('?');
        let (name, waits, call) = (read("comm"), read("wchan"), read("syscall"));
        let call = call.split_whitespace().next().unwrap_or("?").to_owned();
        let id = thread.file_name().to_string_lossy().into_owned();
        out.push_str(&format!("  thread {id} ({}): {state}, waits in {waits}, system call {call}\n", name.trim()));
        // Only the superuser may read it.
        for frame in read("stack").lines() {
            out.push_str(&format!("    {frame}\n"));
        }
    }
    out
}

/// The group of a process: the third field after its name, which may hold blanks and brackets itself.
fn group_of(folder: &Path) -> Option<u32> {
    let stat = fs::read_to_string(folder.join("stat")).ok()?;
    stat.rsplit(") ").next()?.split(' ').nth(2)?.parse().ok()
}
