//! Runs a command of the user's in a process group of its own and stays with it: limits, requests to stop, and nothing left running afterwards.

use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::process::{Group, Limits};
use super::{evidence, peak};

/// How long a command that was asked to stop may take.
const GRACE: Duration = Duration::from_secs(5);
/// The longest wait between two looks at it.
const PATIENCE: Duration = Duration::from_millis(50);

/// How a command ended.
#[derive(Clone, Debug)]
pub enum End {
    /// By itself.
    Exited(ExitStatus),
    /// Because it was asked to.
    Stopped,
    /// A limit was over.
    Over {
        /// `timeout` or `stall`.
        limit: &'static str,
        /// After how many seconds.
        seconds: u64,
        /// What its processes were doing.
        evidence: String,
    },
}

/// Runs a command to its end. It is asked to stop once one of `stop` is set. What it writes to the files `heard` counts as a sign of life. What it started
/// and left behind ends with it, also when this process is killed. Also returns the most memory that it was seen with, in bytes.
///
/// # Errors
/// It cannot be started.
pub fn run(command: &mut Command, heard: &[&Path], limits: Limits, stop: &[&AtomicBool]) -> io::Result<(End, u64)> {
    let started = Instant::now();
    let child = command.process_group(0).spawn()?;
    let guardian = Guardian::of(child.id());
    let group = Group(Mutex::new(child));
    let mut most = 0;
    let end = watch(&group, started, heard, limits, stop, &mut most);
    // The guardian keeps the group's number from being given to others, so this reaches only what the command left behind.
    if guardian.is_some() || !matches!(end, Ok(End::Exited(_))) {
        group.signal(libc::SIGKILL);
    }
    end.map(|end| (end, most))
}

fn watch(
    group: &Group,
    started: Instant,
    heard: &[&Path],
    limits: Limits,
    stop: &[&AtomicBool],
    most: &mut u64,
) -> io::Result<End> {
    let mut wait = Duration::from_millis(1);
    let mut asked: Option<Instant> = None;
    let (mut size, mut last) = (0, started);
    loop {
        if let Some(status) = group.try_wait()? {
            return Ok(if asked.is_some() { End::Stopped } else { End::Exited(status) });
        }
        *most = (*most).max(peak::of(group.id()));
        if stop.iter().any(|s| s.load(Ordering::Relaxed)) && asked.is_none() {
            group.signal(libc::SIGTERM);
            asked = Some(Instant::now());
        }
        if asked.is_some_and(|at| at.elapsed() > GRACE) {
            return Ok(End::Stopped);
        }
        let now = heard.iter().filter_map(|f| Some(std::fs::metadata(f).ok()?.len())).sum::<u64>();
        if now != size {
            (size, last) = (now, Instant::now());
        }
        for (limit, since, what) in [(limits.timeout, started, "timeout"), (limits.stall, last, "stall")] {
            if limit.is_some_and(|l| since.elapsed() > l) {
                let (seconds, evidence) = (since.elapsed().as_secs(), evidence::of_group(group.id()));
                return Ok(End::Over { limit: what, seconds, evidence });
            }
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(PATIENCE);
    }
}

/// A process in the group that ends the whole group when this one is gone: its input closes then, whatever the reason.
pub(super) struct Guardian(Child);

impl Guardian {
    pub(super) fn of(group: u32) -> Option<Self> {
        Command::new("/bin/sh")
            .args(["-c", "trap '' TERM INT HUP; read end; kill -KILL 0"])
            .process_group(i32::try_from(group).ok()?)
            .env_clear()
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .ok()
            .map(Self)
    }
}

impl Drop for Guardian {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
