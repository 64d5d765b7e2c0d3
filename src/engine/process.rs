//! Executes one node in a process group of `rbpipe-engine`, so that a crash or an out-of-memory kill takes down nothing else.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::evidence;
use super::task::{Made, Outcome, Task};
use crate::base::OpError;

/// How OpenMP threads wait for the next small operation: awake for up to a millisecond. Forward and backward have a pool of threads each, so by default
/// they count as too many and go to sleep after every operation; a tiny model then trains a third slower.
const WAITING: [(&str, &str); 2] = [("OMP_WAIT_POLICY", "active"), ("GOMP_SPINCOUNT", "100000")];

/// How long a process that was asked to stop may take to write its checkpoint.
const GRACE: Duration = Duration::from_secs(20);

/// Events that are kept for the log of a process that hangs.
const LAST_EVENTS: usize = 20;

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

/// Two stages of being asked to stop.
#[derive(Default, Debug)]
pub struct Stop {
    /// Stop soon.
    pub soon: AtomicBool,
    /// Stop now.
    pub now: AtomicBool,
}

/// Runs a task in a process of its own. Secrets go in through its standard input, since a file would outlive it.
///
/// # Errors
/// What the operator reports; class `oom` when the process was killed, `preempted` when it was asked to stop.
pub fn execute(
    engine: &Path,
    task: &Task,
    secrets: &Json,
    log: &Path,
    emit: &(dyn Fn(&str, Json) + Sync),
    stop: &Stop,
    limits: Limits,
) -> Result<Made, OpError> {
    let file = task.scratch.join("task.json");
    std::fs::write(&file, serde_json::to_vec(task)?)?;
    let mut child = Command::new(engine)
        .arg(&file)
        .current_dir(&task.scratch)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(std::fs::File::create(log)?)
        .process_group(0)
        .env("CUDA_VISIBLE_DEVICES", task.gpus.join(","))
        .envs(WAITING.iter().filter(|(name, _)| std::env::var_os(name).is_none()).copied())
        .spawn()
        .map_err(|e| OpError::new("E0612", format!("cannot start `{}`: {e}", engine.display())))?;
    if let Some(mut stdin) = child.stdin.take() {
        // A process that ends before it reads them says why on its own.
        let _ = stdin.write_all(secrets.to_string().as_bytes());
    }
    let stdout = child.stdout.take().ok_or_else(|| OpError::new("E0612", "the engine has no output"))?;
    let (send, events) = mpsc::channel::<String>();
    let reader = std::thread::spawn(move || {
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if send.send(line).is_err() {
                break;
            }
        }
    });
    let guard = Group(Mutex::new(child));
    let (status, outcome) = watch(&guard, &events, emit, stop, limits, log)?;
    let _ = reader.join();
    match outcome {
        Some(Outcome::Result(made)) if status.success() => Ok(made),
        Some(Outcome::Error { code, class, message, help }) => {
            let code = crate::base::codes::lookup(&code).map_or("E0612", |(c, _)| c.0);
            let class =
                ["oom", "preempted", "flaky", "budget", "damaged"].into_iter().find(|c| *c == class).unwrap_or("bug");
            let e = OpError::new(code, message).class(class);
            Err(if let Some(help) = help { e.help(help) } else { e })
        }
        _ => Err(ended(&task.op, status, log)),
    }
}

fn watch(
    group: &Group,
    events: &mpsc::Receiver<String>,
    emit: &(dyn Fn(&str, Json) + Sync),
    stop: &Stop,
    limits: Limits,
    log: &Path,
) -> Result<(ExitStatus, Option<Outcome>), OpError> {
    let started = Instant::now();
    let mut last: VecDeque<String> = VecDeque::new();
    let (mut heard, mut asked) = (Instant::now(), None::<Instant>);
    let mut outcome = None;
    loop {
        match events.recv_timeout(Duration::from_millis(100)) {
            Ok(line) => {
                heard = Instant::now();
                if last.len() == LAST_EVENTS {
                    last.pop_front();
                }
                last.push_back(line.clone());
                let Ok(mut json) = serde_json::from_str::<Json>(&line) else { continue };
                match json["event"].as_str() {
                    Some("result" | "error") => outcome = serde_json::from_value(json).ok(),
                    Some(name) => {
                        let name = name.to_owned();
                        if let Some(map) = json.as_object_mut() {
                            map.remove("event");
                        }
                        emit(&name, json);
                    }
                    None => {}
                }
                continue;
            }
            Err(mpsc::RecvTimeoutError::Disconnected) => {
                // Its output is closed: it ends now, or hangs on the way out and is ended below.
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(mpsc::RecvTimeoutError::Timeout) => {}
        }
        if let Some(status) = group.try_wait()? {
            // Lines that arrived between the last look and the end.
            for line in events.try_iter() {
                if let Ok(json) = serde_json::from_str::<Json>(&line)
                    && matches!(json["event"].as_str(), Some("result" | "error"))
                {
                    outcome = serde_json::from_value(json).ok();
                }
            }
            if asked.is_some() && outcome.is_none() {
                return Err(OpError::new("E0612", "stopped on request").class("preempted"));
            }
            return Ok((status, outcome));
        }
        if stop.now.load(Ordering::Relaxed) || asked.is_some_and(|at| at.elapsed() > GRACE) {
            group.signal(libc::SIGKILL);
        } else if stop.soon.load(Ordering::Relaxed) && asked.is_none() {
            group.signal(libc::SIGTERM);
            asked = Some(Instant::now());
        }
        for (limit, since, what) in [(limits.timeout, started, "timeout"), (limits.stall, heard, "stall")] {
            if limit.is_some_and(|l| since.elapsed() > l) {
                let seconds = since.elapsed().as_secs();
                let heading = format!("\n--- rbpipe: `{what}` was over after {seconds} s; what was running then\n");
                let evidence = heading + &evidence::of_group(group.id());
                group.signal(libc::SIGKILL);
                let told = last.iter().map(|line| format!("{line}\n")).collect::<String>();
                let text = format!("{evidence}--- its last events\n{told}");
                let kept = OpenOptions::new().append(true).open(log).and_then(|mut f| f.write_all(text.as_bytes()));
                let place =
                    if kept.is_ok() { format!("; {} tells what it was doing", log.display()) } else { String::new() };
                return Err(OpError::new("E0612", format!("stopped after {seconds} s: `{what}` is over"))
                    .class("flaky")
                    .help(format!("raise `{what}` in `with`, which never changes a key{place}")));
            }
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

/// Says why a process ended without an outcome.
fn ended(op: &str, status: ExitStatus, log: &Path) -> OpError {
    let mut text = String::new();
    let _ = std::fs::File::open(log).and_then(|mut f| f.read_to_string(&mut text));
    let last: Vec<&str> = text.lines().rev().filter(|l| !l.trim().is_empty()).take(5).collect();
    let last = last.into_iter().rev().collect::<Vec<_>>().join("\n");
    let said = if last.is_empty() { String::new() } else { format!("; it said last:\n{last}") };
    match status.signal() {
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
