//! One process of `rbpipe-engine` in a process group of its own, so that a crash or an out-of-memory kill takes down nothing else.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::mpsc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use crate::base::{OpError, phrase};

/// How OpenMP threads wait for the next small operation: awake for up to a millisecond. Forward and backward have a pool of threads each, so by default
/// they count as too many and go to sleep after every operation; a tiny model then trains a third slower.
const WAITING: [(&str, &str); 2] = [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "100000")];

/// When a process must end.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// After so long in all.
    pub timeout: Option<Duration>,
    /// After so long without an event.
    pub stall: Option<Duration>,
}

impl Limits {
    /// Reads the limits from the options of `with`.
    pub fn of(with: &Json) -> Self {
        let seconds = |name: &str| with[name].as_f64().filter(|s| *s > 0.0).map(Duration::from_secs_f64);
        Self { timeout: seconds("timeout"), stall: seconds("stall") }
    }
}

/// A process of the engine at its work.
pub(super) struct Running {
    /// The process and what it may have started.
    pub(super) group: Group,
    /// Ends when the process has said all.
    reader: JoinHandle<()>,
}

/// Starts a process of the engine on a task file; each line that it says goes to `heard`, under its number. Secrets go in through its standard input,
/// since a file would outlive it.
pub(super) fn start(
    mut command: Command,
    file: &Path,
    secrets: &Json,
    log: &Path,
    number: usize,
    heard: mpsc::Sender<(usize, String)>,
) -> Result<Running, OpError> {
    command
        .arg(file)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(log)?)
        .process_group(0)
        .envs(WAITING.iter().filter(|(name, _)| std::env::var_os(name).is_none()).copied());
    let program = command.get_program().to_string_lossy().into_owned();
    let mut child = command.spawn().map_err(|e| OpError::new("E0612", format!("cannot start `{program}`: {e}")))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A process that ends before it reads them says why on its own.
        let _ = stdin.write_all(secrets.to_string().as_bytes());
    }
    let stdout = child.stdout.take();
    let group = Group(Mutex::new(child));
    let stdout = stdout.ok_or_else(|| OpError::new("E0612", "the engine has no output"))?;
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if heard.send((number, line)).is_err() {
                break;
            }
        }
    });
    Ok(Running { group, reader })
}

impl Running {
    /// Waits a little for the last lines of a process that has ended.
    pub(super) fn said_all(&self) {
        let since = Instant::now();
        while !self.reader.is_finished() && since.elapsed() < Duration::from_secs(1) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// A process group that does not outlive its owner.
pub(super) struct Group(pub(super) Mutex<Child>);

impl Group {
    pub(super) fn try_wait(&self) -> std::io::Result<Option<ExitStatus>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).try_wait()
    }

    pub(super) fn id(&self) -> u32 {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).id()
    }

    #[allow(unsafe_code)]
    pub(super) fn signal(&self, signal: i32) {
        let child = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Ok(id) = i32::try_from(child.id()) {
            // SAFETY: `kill` touches no memory; the group is that of a child that has not been waited for.
            unsafe { libc::kill(-id, signal) };
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        if matches!(self.try_wait(), Ok(None)) {
            self.signal(libc::SIGKILL);
            let _ = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).wait();
        }
    }
}

/// How often the kernel has killed for want of memory so far; none where it does not tell.
pub(super) fn memory_kills() -> Option<u64> {
    let text = std::fs::read_to_string("/proc/vmstat").ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// Says why a process ended without an outcome; `kills` is [`memory_kills`] from before it was started.
pub(super) fn ended(op: &str, status: ExitStatus, log: &Path, kills: Option<u64>) -> OpError {
    let mut text = String::new();
    let _ = std::fs::File::open(log).and_then(|mut f| f.read_to_string(&mut text));
    let said = phrase::said_last(&text, 5);
    let from_outside = kills.is_some() && kills == memory_kills();
    match status.signal() {
        Some(libc::SIGKILL) if from_outside => OpError::new(
            "E0612",
            format!("the process of `{op}` was killed, and not by the kernel for memory{said}"),
        )
        .class("flaky")
        .help("somebody or something ended it; a new run, or `retries` in `with`, goes on from its last checkpoint"),
        Some(libc::SIGKILL) => {
            OpError::new("E0612", format!("the process of `{op}` was killed, most likely for memory{said}"))
                .class("oom")
                .help("a smaller `micro_batch` in `with` needs less memory and changes no key")
        }
        Some(signal) => OpError::new("E0612", format!("the process of `{op}` ended by signal {signal}{said}"))
            .help(format!("its whole output lies in {}", log.display())),
        None => OpError::new("E0612", format!("the process of `{op}` ended without a result ({status}){said}"))
            .help(format!("its whole output lies in {}", log.display())),
    }
}
