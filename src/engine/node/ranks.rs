//! Executes one node of the tensor engine in its processes: one, or the ranks of a training, which end together.

use std::collections::VecDeque;
use std::fs::OpenOptions;
use std::io::Write;
use std::net::TcpListener;
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus};
use std::sync::atomic::Ordering;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value as Json, json};

use super::process::{self, Limits, Running};
use super::task::{self, Made, Outcome, Said, Task};
use super::{evidence, peak};
use crate::base::OpError;
use crate::engine::event::MEMORY;
use crate::engine::stop::Stop;

/// How long processes that were asked to stop may take to write their checkpoint.
const GRACE: Duration = Duration::from_secs(20);
/// How long the other ranks may take to end by themselves once one has failed: long enough to say why they do.
const AFTER_A_FAILURE: Duration = Duration::from_secs(3);
/// How long they may take once rank 0 has handed the result over.
const AFTER_THE_RESULT: Duration = Duration::from_secs(10);
/// Events that are kept for the log of a process that hangs.
const LAST_EVENTS: usize = 20;
/// Between two looks at the processes.
const LOOK: Duration = Duration::from_millis(50);

/// The variables by which a launcher tells a process its place among others.
const LAUNCHER: [&str; 7] =
    ["RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT", "RBPIPE_MASTER_FD"];

/// One process and what is known of it.
struct Rank {
    running: Running,
    log: PathBuf,
    heard: Instant,
    /// What it said last of what it does.
    last: String,
    /// Its last events, for the log of a process that hangs.
    events: VecDeque<String>,
    outcome: Option<Outcome>,
    ended: Option<(Instant, ExitStatus)>,
    /// The most memory that it was seen with.
    memory: u64,
    /// It was killed because another one had failed or the time was over.
    killed: bool,
}

impl Rank {
    fn worked(&self) -> bool {
        self.ended.is_some_and(|(_, status)| status.success()) && matches!(self.outcome, Some(Outcome::Result(_)))
    }

    /// Writes down what the process is doing, before it is ended. Returns where.
    fn testify(&self, what: &str, seconds: u64) -> std::io::Result<PathBuf> {
        let heading = format!("\n--- rbpipe: `{what}` was over after {seconds} s; what was running then\n");
        let evidence = heading + &evidence::of_group(self.running.group.id());
        let told = self.events.iter().map(|line| format!("{line}\n")).collect::<String>();
        let text = format!("{evidence}--- its last events\n{told}");
        OpenOptions::new().append(true).open(&self.log)?.write_all(text.as_bytes())?;
        Ok(self.log.clone())
    }

    fn kill(&mut self) {
        if self.ended.is_none() {
            self.killed = true;
            self.running.group.signal(libc::SIGKILL);
        }
    }
}

/// Runs a task in processes of its own, as many as it has ranks. The result is that of rank 0; when one rank ends badly, all do.
///
/// # Errors
/// What the operator reports; class `oom` when a process was killed for memory, `flaky` when it was killed from outside or is silent for too long,
/// `preempted` when it was asked to stop. With several ranks the message says what each of them did last.
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
    let kills = process::memory_kills();
    // Open before the first rank starts, so that nobody else can take the port.
    let meeting = (task.ranks > 1).then(|| TcpListener::bind("127.0.0.1:0")).transpose()?;
    let (send, events) = mpsc::channel();
    let mut ranks = Vec::new();
    for rank in 0..task.ranks.max(1) {
        let mut command = Command::new(engine);
        command.current_dir(&task.scratch).env("CUDA_VISIBLE_DEVICES", task.gpus.join(","));
        LAUNCHER.iter().filter(|_| !task.launched).for_each(|name| {
            command.env_remove(name);
        });
        if let Some(meeting) = &meeting {
            place(&mut command, rank, task.ranks, meeting)?;
        }
        let log = if rank == 0 { log.to_path_buf() } else { log.with_extension(format!("rank-{rank}.log")) };
        let running = process::start(command, &file, secrets, &log, rank, send.clone())?;
        ranks.push(Rank {
            running,
            log,
            heard: Instant::now(),
            last: "has said nothing yet".into(),
            events: VecDeque::new(),
            outcome: None,
            ended: None,
            memory: 0,
            killed: false,
        });
    }
    drop((send, meeting));
    let over = watch(&mut ranks, &events, emit, stop, limits);
    if let Some(most) = ranks.iter().map(|rank| rank.memory).max().filter(|most| *most > 0) {
        emit(MEMORY, json!({ "bytes": most }));
    }
    if let Some(Rank { outcome: Some(Outcome::Result(made)), .. }) = ranks.first().filter(|first| first.worked()) {
        return Ok(made.clone());
    }
    Err(with_last(over.unwrap_or_else(|| failure(&task.op, &ranks, kills)), &ranks))
}

/// Tells a process which rank it is, as torchrun does.
#[allow(unsafe_code)]
fn place(command: &mut Command, rank: usize, world: usize, meeting: &TcpListener) -> Result<(), OpError> {
    let text = |n: usize| n.to_string();
    command.env("RANK", text(rank)).env("LOCAL_RANK", text(rank));
    command.env("WORLD_SIZE", text(world)).env("LOCAL_WORLD_SIZE", text(world));
    command.env("MASTER_ADDR", "127.0.0.1").env("MASTER_PORT", text(meeting.local_addr()?.port().into()));
    if rank == 0 {
        let socket = meeting.as_raw_fd();
        command.env("RBPIPE_MASTER_FD", socket.to_string());
        // SAFETY: between fork and exec, one call that takes no lock and no memory: the child keeps the open socket.
        unsafe {
            command.pre_exec(move || match libc::fcntl(socket, libc::F_SETFD, 0) {
                -1 => Err(std::io::Error::last_os_error()),
                _ => Ok(()),
            });
        }
    }
    Ok(())
}

/// Stays with the ranks until all have ended. Returns why it ended them, if it did.
fn watch(
    ranks: &mut [Rank],
    events: &mpsc::Receiver<(usize, String)>,
    emit: &(dyn Fn(&str, Json) + Sync),
    stop: &Stop,
    limits: Limits,
) -> Option<OpError> {
    let started = Instant::now();
    let (mut asked, mut over) = (None::<Instant>, None);
    loop {
        let looked = Instant::now();
        while let Some(left) = LOOK.checked_sub(looked.elapsed()) {
            match events.recv_timeout(left) {
                Ok((rank, line)) => hear(&mut ranks[rank], rank == 0, &line, emit),
                Err(mpsc::RecvTimeoutError::Timeout) => break,
                // All outputs are closed: they end now, or hang on the way out and are ended below.
                Err(mpsc::RecvTimeoutError::Disconnected) => std::thread::sleep(LOOK / 5),
            }
        }
        for rank in ranks.iter_mut().filter(|rank| rank.ended.is_none()) {
            rank.memory = rank.memory.max(peak::of(rank.running.group.id()));
            if let Ok(Some(status)) = rank.running.group.try_wait() {
                rank.running.said_all();
                rank.ended = Some((Instant::now(), status));
            }
        }
        // Lines that arrived between the last look and the end.
        for (rank, line) in events.try_iter() {
            hear(&mut ranks[rank], rank == 0, &line, emit);
        }
        if ranks.iter().all(|rank| rank.ended.is_some()) {
            if asked.is_some() && over.is_none() && ranks.iter().all(|rank| rank.outcome.is_none()) {
                over = Some(OpError::stopped());
            }
            return over;
        }
        let failed = ranks.iter().filter(|rank| !rank.worked()).filter_map(|rank| Some(rank.ended?.0)).min();
        let done = ranks.first().filter(|first| first.worked()).and_then(|first| Some(first.ended?.0));
        if failed.is_some_and(|at| at.elapsed() > AFTER_A_FAILURE)
            || done.is_some_and(|at| at.elapsed() > AFTER_THE_RESULT)
        {
            ranks.iter_mut().for_each(Rank::kill);
        }
        if stop.now.load(Ordering::Relaxed) || asked.is_some_and(|at| at.elapsed() > GRACE) {
            ranks.iter_mut().for_each(Rank::kill);
        } else if stop.soon.load(Ordering::Relaxed) && asked.is_none() {
            ranks.iter().filter(|r| r.ended.is_none()).for_each(|rank| rank.running.group.signal(libc::SIGTERM));
            asked = Some(Instant::now());
        }
        let silent = ranks.iter().filter(|rank| rank.ended.is_none()).map(|rank| rank.heard).min().unwrap_or(started);
        for (limit, since, what) in [(limits.timeout, started, "timeout"), (limits.stall, silent, "stall")] {
            if over.is_none() && limit.is_some_and(|l| since.elapsed() > l) {
                let seconds = since.elapsed().as_secs();
                let kept: Vec<PathBuf> = ranks.iter().filter_map(|rank| rank.testify(what, seconds).ok()).collect();
                ranks.iter_mut().for_each(Rank::kill);
                let place =
                    kept.first().map_or_else(String::new, |log| format!("; {} tells what it was doing", log.display()));
                over = Some(
                    OpError::new("E0612", format!("stopped after {seconds} s: `{what}` is over"))
                        .class("flaky")
                        .help(format!("raise `{what}` in `with`, which never changes a key{place}")),
                );
            }
        }
    }
}

/// Takes a line of a process: its outcome, what it does, or an event, which rank 0 has for all of them.
fn hear(rank: &mut Rank, first: bool, line: &str, emit: &(dyn Fn(&str, Json) + Sync)) {
    rank.heard = Instant::now();
    if rank.events.len() == LAST_EVENTS {
        rank.events.pop_front();
    }
    rank.events.push_back(line.to_owned());
    match task::hear(line) {
        None => {}
        Some(Said::Ended(outcome)) => rank.outcome = Some(outcome),
        Some(Said::Event(name, told)) if name == "node_rank" => {
            told["text"].as_str().unwrap_or_default().clone_into(&mut rank.last);
        }
        Some(Said::Event(name, told)) => {
            // What a rank says of its steps is finer.
            if let (Some(done), Some(total), Some(unit)) =
                (told["done"].as_u64(), told["total"].as_u64(), told["unit"].as_str().filter(|unit| *unit != "steps"))
            {
                rank.last = format!("{done} of {total} {unit}");
            }
            if first {
                emit(&name, told);
            }
        }
    }
}

/// Finds why a group ended: the first rank that failed of itself, and not because another one was gone.
fn failure(op: &str, ranks: &[Rank], kills: Option<u64>) -> OpError {
    let mut order: Vec<usize> = (0..ranks.len()).filter(|&r| !ranks[r].worked()).collect();
    order.sort_by_key(|&r| (ranks[r].ended.map(|(at, _)| at), r));
    let several = |e: OpError, rank: usize| match ranks.len() {
        1 => e,
        world => OpError { message: format!("rank {rank} of {world}: {}", e.message), ..e },
    };
    let mut waited = None;
    for &r in &order {
        match (ranks[r].outcome.clone().map(Outcome::made), ranks[r].ended) {
            (Some(Err(e)), _) if e.class == "peer" => waited = waited.or(Some((r, e.message))),
            (Some(Err(e)), _) => return several(e, r),
            (_, Some((_, status))) if !ranks[r].killed => {
                return several(process::ended(op, status, &ranks[r].log, kills), r);
            }
            _ => {}
        }
    }
    let hung: Vec<String> = order.iter().filter(|&&r| ranks[r].killed).map(usize::to_string).collect();
    let message = match (waited, hung.is_empty()) {
        (Some((r, why)), false) => {
            format!("rank {} of {} does not answer any more; rank {r}: {why}", hung.join(", "), ranks.len())
        }
        (Some((r, why)), true) => format!("rank {r} of {}: {why}", ranks.len()),
        (None, _) => format!("the processes of `{op}` were ended before they had a result"),
    };
    OpError::new("E0612", message)
        .class("flaky")
        .help("a new run, or `retries` in `with`, goes on from the last checkpoint; `stall` in `with` says how long a rank may be silent")
}

/// Adds to a message what each rank did last.
fn with_last(e: OpError, ranks: &[Rank]) -> OpError {
    if ranks.len() == 1 {
        return e;
    }
    let line = |(r, rank): (usize, &Rank)| format!("\n  rank {r}: {}", rank.last);
    let last: String = ranks.iter().enumerate().map(line).collect();
    OpError { message: format!("{}; what each rank did last:{last}", e.message), ..e }
}
