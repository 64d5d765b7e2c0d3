//! The tensor engine: one task in (a JSON file), events out (JSON lines), started by the scheduler in a process group of its own.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rbpipe::base::OpError;
use rbpipe::dist::Launch;
use rbpipe::engine::node::in_process;
use rbpipe::engine::node::task::{Made, Outcome, Task, line};
use rbpipe::engine::{Builtin, Store};
use rbpipe::model::{cuda, keep_memory};
use rbpipe::ops;
use rbpipe::spec::Pool;
use serde_json::Value as Json;
use tch::Device;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        ["info"] => info(),
        ["verify", dir] => verify(Path::new(dir), Device::Cpu),
        ["verify", dir, "--gpu"] => verify(Path::new(dir), Device::Cuda(0)),
        [task] => task_file(Path::new(task)),
        _ => {
            eprintln!("usage: rbpipe-engine TASK.json | info | verify DIR [--gpu]   (`rbpipe run` starts it)");
            ExitCode::from(2)
        }
    }
}

fn info() -> ExitCode {
    let catalogue = ops::catalogue();
    let runs = |b: &Builtin| b.run.is_some() && b.spec.pool == Pool::Engine;
    // The built-in operators come first in the catalogue, in their order; benchmark values follow.
    let named = catalogue.operators.iter().zip(ops::BUILTINS);
    let names: Vec<&str> = named.filter(|(_, b)| runs(b)).map(|(o, _)| o.name.as_str()).collect();
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    println!("version        {}", env!("CARGO_PKG_VERSION"));
    println!("device         cpu, {threads} threads");
    println!("gpus           {}", if cuda::available() { tch::Cuda::device_count() } else { 0 });
    println!("operators      {}", names.join(" "));
    ExitCode::SUCCESS
}

fn verify(dir: &Path, device: Device) -> ExitCode {
    if device.is_cuda() && !cuda::available() {
        eprintln!("error: {}", cuda::ABSENT);
        return ExitCode::FAILURE;
    }
    match rbpipe::verify::verify(dir, device) {
        Ok(rows) => {
            print!("{}", rbpipe::verify::table(&rows));
            if rows.iter().all(|r| r.ok) { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(e) => {
            eprintln!("error: {}", e.message);
            ExitCode::FAILURE
        }
    }
}

fn task_file(path: &Path) -> ExitCode {
    end_with_the_scheduler();
    keep_memory();
    let cancelled = Arc::new(AtomicBool::new(false));
    if let Err(e) = signal_hook::flag::register(signal_hook::consts::SIGTERM, Arc::clone(&cancelled)) {
        eprintln!("cannot listen for SIGTERM: {e}");
    }
    let outcome = Outcome::of(run(path, &cancelled));
    let worked = matches!(outcome, Outcome::Result(_));
    say(&serde_json::to_value(outcome).unwrap_or(Json::Null));
    if worked { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn run(path: &Path, cancelled: &AtomicBool) -> Result<Made, OpError> {
    let mut task: Task = serde_json::from_slice(&std::fs::read(path)?)?;
    let launch = Launch::from_env()?;
    if launch.rank > 0 {
        // Ranks of one task that lay their inputs out are not to meet there.
        task.scratch = task.scratch.join(format!("rank-{}", launch.rank));
        std::fs::create_dir_all(&task.scratch)?;
    }
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text)?;
    let secrets: BTreeMap<String, String> = serde_json::from_str(&text).unwrap_or_default();
    let store = Store::open(&task.store)?;
    let catalogue = ops::catalogue();
    let at = catalogue.operators.iter().position(|o| o.name == task.op).ok_or_else(|| {
        OpError::new("E0204", format!("this engine has no operator `{}`", task.op))
            .help("it is older than `rbpipe`: build it again with `rbpipe engine install`")
    })?;
    let emit = |event: &str, fields: Json| say(&line(event, fields));
    let made = in_process::execute(ops::BUILTINS[at], &task, secrets, &store, &emit, cancelled)?;
    // The scheduler records what is on the disk.
    store.commit()?;
    Ok(made)
}

fn say(line: &Json) {
    let mut out = std::io::stdout().lock();
    // A scheduler that is no more has no use for it.
    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
}

/// Asks the system to end this process when the scheduler dies, so that `kill -9` of a run leaves nothing behind.
#[allow(unsafe_code)]
fn end_with_the_scheduler() {
    // SAFETY: sets a flag of this process; no memory is touched.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGTERM) };
}
