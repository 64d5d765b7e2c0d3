//! What Slurm's own commands say: submitting, asking for states, cancelling.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::base::OpError;

/// What goes with a job from the environment of rbpipe: where programs and libraries are found, and whose home it is. Not the rest: secrets may be in it,
/// and Slurm writes the environment of a job to its disk.
const INHERITED: &[&str] = &[
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "LANG",
    "LD_LIBRARY_PATH",
    "VIRTUAL_ENV",
    "CONDA_PREFIX",
    "SSL_CERT_FILE",
    "LIBTORCH",
    "SLURM_CONF",
];

/// Where a job is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// In Slurm's words: `PENDING`, `RUNNING`, `NODE_FAIL`.
    pub word: String,
    /// Why it waits or has ended, in Slurm's words: `Resources`, `NonZeroExitCode`.
    pub reason: String,
    /// The nodes that it runs on.
    pub nodes: String,
}

impl State {
    /// Says whether nothing will change any more.
    pub fn is_final(&self) -> bool {
        let ends = ["COMPLETED", "FAILED", "TIMEOUT", "OUT_OF_MEMORY", "NODE_FAIL", "PREEMPTED", "BOOT_FAIL"];
        ends.contains(&self.word.as_str()) || ["DEADLINE", "CANCELLED", "REVOKED"].contains(&self.word.as_str())
    }

    /// Says whether it waits for its turn.
    pub fn waits(&self) -> bool {
        self.word == "PENDING"
    }
}

/// Slurm, asked for all jobs of this run at once and not more often than every so many seconds.
pub struct Queue {
    poll: Duration,
    seen: Mutex<Seen>,
}

#[derive(Default)]
struct Seen {
    at: Option<Instant>,
    /// By job, or by job and part: `17`, `17_3`.
    states: BTreeMap<String, State>,
    /// What Slurm said when it was asked last and gave no answer.
    silent: Option<String>,
}

impl Queue {
    /// Makes a queue that nobody has asked yet.
    pub fn new(poll: Duration) -> Self {
        Self { poll, seen: Mutex::default() }
    }

    /// Returns the state of a job or part of one, not older than the poll interval; nothing if Slurm does not know it. `fresh` asks in any case.
    ///
    /// # Errors
    /// What Slurm says when it does not answer; it may do so again later.
    pub fn state(&self, job: &str, fresh: bool) -> Result<Option<State>, String> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if fresh || seen.at.is_none_or(|at| at.elapsed() >= self.poll) {
            match ask("squeue", &["--me", "-h", "-r", "-t", "all", "-o", "%i|%T|%r|%N"]) {
                Ok(text) => (seen.states, seen.silent) = (states(&text), None),
                Err(why) => seen.silent = Some(why),
            }
            seen.at = Some(Instant::now());
        }
        match &seen.silent {
            Some(why) => Err(why.clone()),
            None => Ok(seen.states.get(job).cloned()),
        }
    }
}

fn states(text: &str) -> BTreeMap<String, State> {
    let line = |line: &str| {
        let mut parts = line.trim().split('|').map(str::to_owned);
        Some((
            parts.next()?,
            State { word: parts.next()?, reason: parts.next()?, nodes: parts.next().unwrap_or_default() },
        ))
    };
    text.lines().filter_map(line).collect()
}

/// Returns how a job ended that the controller has forgotten, by the accounting if the site keeps one.
pub fn remembered(job: &str) -> Option<State> {
    let text = ask("sacct", &["-n", "-X", "-P", "-j", job, "-o", "State,ExitCode,NodeList"]).ok()?;
    let mut parts = text.lines().next()?.trim().split('|');
    // `CANCELLED by 1000`
    let word = parts.next()?.split(' ').next()?.to_owned();
    let state = State { word, reason: parts.next()?.to_owned(), nodes: parts.next().unwrap_or_default().to_owned() };
    state.is_final().then_some(state)
}

/// Returns the signal that ended a job, if one did.
pub fn signal(job: &str) -> Option<i32> {
    let text = ask("scontrol", &["show", "job", "-o", job]).ok()?;
    let code = text.split_whitespace().find_map(|word| word.strip_prefix("ExitCode="))?;
    code.split(':').nth(1)?.parse().ok().filter(|signal| *signal != 0)
}

/// Returns live jobs of this user by name.
pub fn named(name: &str) -> Vec<String> {
    let text = ask("squeue", &["--me", "-h", "-n", name, "-o", "%A"]).unwrap_or_default();
    let mut out: Vec<String> = text.lines().map(|l| l.trim().to_owned()).filter(|l| !l.is_empty()).collect();
    out.dedup();
    out
}

/// Submits a script; returns the job's number.
///
/// # Errors
/// `E0620` with Slurm's words where it can never run, `flaky` where the controller does not answer.
pub fn submit(args: &[String], script: &str) -> Result<String, OpError> {
    let said = sbatch(args, script)?;
    // `17` or `17;cluster`
    let job = said.trim().split(';').next().unwrap_or_default().to_owned();
    if !job.is_empty() && job.bytes().all(|b| b.is_ascii_digit()) {
        return Ok(job);
    }
    Err(OpError::new("E0612", format!("sbatch answered `{}` instead of a job number", said.trim())))
}

/// Asks Slurm whether a script could ever run.
///
/// # Errors
/// Slurm's words why not.
pub fn could_run(args: &[String], script: &str) -> Result<(), OpError> {
    let mut args = args.to_vec();
    args.insert(0, "--test-only".into());
    sbatch(&args, script).map(|_| ())
}

fn sbatch(args: &[String], script: &str) -> Result<String, OpError> {
    let mut command = Command::new("sbatch");
    command.args(args).env_clear();
    command.envs(INHERITED.iter().filter_map(|name| Some((name, std::env::var_os(name)?))));
    command.envs(std::env::vars_os().filter(|(name, _)| name.to_string_lossy().starts_with("SBATCH_")));
    let started = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = started.map_err(|e| absent("sbatch", &e))?;
    if let Some(mut stdin) = child.stdin.take() {
        // One that ends before it has read the script says why.
        let _ = stdin.write_all(script.as_bytes());
    }
    let out = child.wait_with_output()?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&out.stderr);
    let said = said.lines().last().unwrap_or_default().trim_start_matches("sbatch: error: ").trim().to_owned();
    let silent = ["Unable to contact", "Socket timed out", "Zero Bytes", "Connection refused"];
    if silent.iter().any(|s| said.contains(s)) {
        return Err(OpError::new("E0612", format!("Slurm does not answer: {said}")).class("flaky"));
    }
    Err(OpError::new("E0620", format!("Slurm refuses it: {said}"))
        .help("ask for less in `with`, or let the site file name another partition"))
}

/// Cancels a job with all its parts; with a signal, sends that instead: to the script alone, or to what it started with `srun`.
pub fn cancel(job: &str, signal: Option<(&str, bool)>) {
    let mut args = Vec::new();
    if let Some((signal, script)) = signal {
        args.extend(["--signal", signal]);
        args.extend(script.then_some("--batch"));
    }
    args.push(job);
    let _ = ask("scancel", &args);
}

/// Returns what a command of Slurm's prints.
pub fn ask(program: &str, args: &[&str]) -> Result<String, String> {
    let out =
        Command::new(program).args(args).stdin(Stdio::null()).output().map_err(|e| absent(program, &e).message)?;
    if out.status.success() {
        return Ok(String::from_utf8_lossy(&out.stdout).into_owned());
    }
    Err(String::from_utf8_lossy(&out.stderr).trim().to_owned())
}

fn absent(program: &str, e: &std::io::Error) -> OpError {
    OpError::new("E0623", format!("cannot start `{program}`: {e}"))
        .help("Slurm's commands must be in PATH on the machine that runs `rbpipe run`")
}
