//! `rbpipe node`: the far end of an executor. The scheduler starts it on another machine; people do not.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufRead as _, BufReader, Write};
use std::path::Path;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde_json::Value as Json;

use super::args::NodeArgs;
use super::{Exit, engine, recipe};
use crate::base::{Digest, OpError};
use crate::engine::Store;
use crate::engine::capacity::Machine;
use crate::engine::executors::carry;
use crate::engine::executors::slurm::folder::{events_file, order_file};
use crate::engine::executors::ssh::About;
use crate::engine::executors::worker::{Grant, Hands, Order, VERSION};
use crate::engine::stop::Stop;

/// How long something that was told to end may take, once nobody listens any more.
const GRACE: Duration = Duration::from_secs(25);

/// Runs the command.
pub(super) fn run(args: &NodeArgs) -> Exit {
    let done = match args {
        NodeArgs { facts: true, .. } => facts(),
        NodeArgs { lacks: Some(store), .. } => lacks(store),
        NodeArgs { take: Some(store), .. } => take(store),
        NodeArgs { give: Some(store), .. } => give(store),
        NodeArgs { log: Some(log), .. } => show(log),
        NodeArgs { folder: Some(folder), .. } if folder.as_os_str() == "-" => piped(),
        NodeArgs { folder: Some(folder), rank, .. } => job(folder, *rank),
        NodeArgs { folder: None, .. } => return Exit::Usage,
    };
    match done {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::Node,
        Err(e) => {
            eprintln!("error: {}", e.message);
            Exit::Node
        }
    }
}

fn facts() -> Result<bool, OpError> {
    let Machine { cpus, mem, gpus, .. } = Machine::this();
    println!("{}", serde_json::to_string(&About { version: VERSION.into(), cpus, mem, gpus })?);
    Ok(true)
}

fn lacks(store: &Path) -> Result<bool, OpError> {
    let lacking = carry::lacking(&Store::open(store)?, &mut std::io::stdin().lock())?;
    let text: String = lacking.iter().map(|digest| format!("{}\n", digest.hex())).collect();
    std::io::stdout().write_all(text.as_bytes())?;
    Ok(true)
}

fn take(store: &Path) -> Result<bool, OpError> {
    carry::take(&Store::open(store)?, &mut std::io::stdin().lock())?;
    Ok(true)
}

fn give(store: &Path) -> Result<bool, OpError> {
    let asked: Vec<Digest> =
        std::io::stdin().lock().lines().map_while(Result::ok).filter_map(|l| Digest::parse(&l)).collect();
    carry::give(&Store::open(store)?, asked.into_iter(), &mut std::io::stdout().lock())?;
    Ok(true)
}

fn show(log: &Path) -> Result<bool, OpError> {
    std::io::stdout().write_all(&std::fs::read(log).unwrap_or_default())?;
    Ok(true)
}

/// Executes the order that comes from standard input, and says there what happens. When that closes, nobody wants the result any more.
fn piped() -> Result<bool, OpError> {
    let mut input = BufReader::new(std::io::stdin());
    let mut line = move || {
        let mut text = String::new();
        input.read_line(&mut text).map(|_| text)
    };
    let order: Order = serde_json::from_str(&line()?)?;
    let secrets: BTreeMap<String, String> = serde_json::from_str(&line()?)?;
    let stop = Arc::new(Stop::default());
    let asked = Arc::clone(&stop);
    std::thread::spawn(move || {
        // Each line asks to stop.
        let _ = line();
        asked.soon.store(true, Ordering::Relaxed);
        while line().is_ok_and(|text| !text.is_empty()) {}
        std::thread::sleep(GRACE);
        asked.now.store(true, Ordering::Relaxed);
        std::thread::sleep(Duration::from_secs(2));
        std::process::exit(i32::from(Exit::Interrupted as u8));
    });
    let say = |line: &Json| {
        let mut out = std::io::stdout().lock();
        // A scheduler that is no more has no use for it.
        let _ = writeln!(out, "{line}").and_then(|()| out.flush());
    };
    Ok(carry_out(order, Grant::default(), secrets, &stop, &say))
}

fn carry_out(
    order: Order,
    grant: Grant,
    secrets: BTreeMap<String, String>,
    stop: &Stop,
    say: &(dyn Fn(&Json) + Sync),
) -> bool {
    let operators = recipe::operators();
    let find = || engine::find(&|message| eprintln!("{message}"));
    Hands { operators: &operators, engine: &find, stop, say }.carry_out(order, grant, secrets)
}

/// Executes the order in a job's folder, or a part of it, and writes what happens beside it.
fn job(folder: &Path, rank: bool) -> Result<bool, OpError> {
    let number = |name: &str| std::env::var(name).ok()?.trim().parse::<usize>().ok();
    let order: Order = serde_json::from_slice(&std::fs::read(order_file(folder))?)?;
    let part = order.parts.and_then(|_| number("SLURM_ARRAY_TASK_ID"));
    let rank = if rank { Some(as_rank(&number)?) } else { None };
    // An earlier attempt may have left a file: what it says counts no more.
    let out = Mutex::new(File::create(events_file(folder, part.or(rank)))?);
    let say = |line: &Json| {
        let mut file = out.lock().unwrap_or_else(PoisonError::into_inner);
        // A full disk must not end a training; what cannot be told is in the log.
        let _ = file.write_all(format!("{line}\n").as_bytes());
    };
    let gpus = std::env::var("CUDA_VISIBLE_DEVICES").unwrap_or_default();
    let gpus = gpus.split(',').map(str::trim).filter(|g| !g.is_empty() && *g != "NoDevFiles").map(str::to_owned);
    // Ranks share out the cores of their machine.
    let beside = if rank.is_some() { number("LOCAL_WORLD_SIZE").unwrap_or(1) } else { 1 };
    let cpus = number("SLURM_CPUS_PER_TASK").map(|cpus| cpus * beside).or_else(|| number("SLURM_CPUS_ON_NODE"));
    let grant = Grant { cpus, gpus: Some(gpus.collect()), part, rank };
    let stop = Arc::new(Stop::default());
    stop_on_signals(&stop);
    let worked = carry_out(order, grant, BTreeMap::new(), &stop, &say);
    out.lock().unwrap_or_else(PoisonError::into_inner).sync_all()?;
    Ok(worked)
}

/// Tells the engine which rank this is, by the variables that launchers set; returns the rank.
#[allow(unsafe_code)]
fn as_rank(number: &dyn Fn(&str) -> Option<usize>) -> Result<usize, OpError> {
    let needed = |name: &str| number(name).ok_or_else(|| OpError::new("E0612", format!("srun did not set {name}")));
    let (rank, world, local) = (needed("SLURM_PROCID")?, needed("SLURM_NTASKS")?, needed("SLURM_LOCALID")?);
    let beside = number("SLURM_NTASKS_PER_NODE").unwrap_or(world);
    // `srun` is started on the machine of rank 0, and says by which address the others reach it.
    let host = std::env::var("SLURM_LAUNCH_NODE_IPADDR")
        .map_err(|_| OpError::new("E0612", "srun did not set SLURM_LAUNCH_NODE_IPADDR"))?;
    let port = 20_000 + number("SLURM_JOB_ID").unwrap_or(0) % 10_000;
    let numbers = [
        ("RANK", rank),
        ("WORLD_SIZE", world),
        ("LOCAL_RANK", local),
        ("LOCAL_WORLD_SIZE", beside),
        ("MASTER_PORT", port),
    ];
    // SAFETY: no other thread exists yet.
    unsafe {
        numbers.iter().for_each(|(name, value)| std::env::set_var(name, value.to_string()));
        std::env::set_var("MASTER_ADDR", host);
    }
    Ok(rank)
}

/// The first request to stop lets a training keep a checkpoint, the second ends it.
fn stop_on_signals(stop: &Arc<Stop>) {
    let Ok(mut signals) = signal_hook::iterator::Signals::new([signal_hook::consts::SIGTERM]) else { return };
    let stop = Arc::clone(stop);
    std::thread::spawn(move || {
        for _ in signals.forever() {
            if stop.soon.swap(true, Ordering::Relaxed) {
                stop.now.store(true, Ordering::Relaxed);
            }
        }
    });
}
