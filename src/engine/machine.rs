//! What tells this machine, its present boot and its processes from others that share a store.

use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use crate::base::Digest;

/// The name of this machine, as far as it has one.
pub fn host() -> String {
    fs::read_to_string("/proc/sys/kernel/hostname").map(|name| name.trim().to_owned()).unwrap_or_default()
}

/// Names this machine where several have one host name and share a store.
pub const NAME: &str = "RBPIPE_MACHINE";

/// When a process of this machine began, in ticks since the machine did; nothing where there is none.
pub fn began(process: u32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name, in parentheses, may hold anything.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Names this machine; two containers on one machine have different names, since their process ids mean different processes.
pub fn here() -> &'static str {
    static HERE: LazyLock<String> = LazyLock::new(|| {
        if let Ok(name) = std::env::var(NAME) {
            return Digest::of(name.as_bytes()).hex()[..8].to_owned();
        }
        let processes = fs::read_link("/proc/self/ns/pid").map(|p| p.display().to_string()).unwrap_or_default();
        Digest::of(format!("{} {processes}", host()).as_bytes()).hex()[..8].to_owned()
    });
    &HERE
}

/// Names the present boot of this machine; another each time where the system tells nothing.
pub fn boot() -> &'static str {
    static BOOT: LazyLock<String> = LazyLock::new(|| {
        let told = fs::read_to_string("/proc/sys/kernel/random/boot_id");
        let id = told.unwrap_or_else(|_| format!("process {}", std::process::id()));
        Digest::of(format!("{} {id}", host()).as_bytes()).hex()[..8].to_owned()
    });
    &BOOT
}

/// How names of temporary files of this process start.
pub fn mark() -> String {
    format!("run-{}-{}-{}-", here(), boot(), std::process::id())
}

/// Says whether the process that [`mark`]ed a name so is known to be no more. Of another machine's processes nothing is known.
pub fn is_gone(name: &str) -> bool {
    let mut parts = name.strip_prefix("run-").unwrap_or_default().split('-');
    let (Some(machine), Some(since), Some(pid)) = (parts.next(), parts.next(), parts.next()) else { return false };
    machine == here()
        && (since != boot() || !pid.parse::<u32>().is_ok_and(|pid| Path::new(&format!("/proc/{pid}")).exists()))
}
