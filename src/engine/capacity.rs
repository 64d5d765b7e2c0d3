//! What a machine has for nodes, and what a node asks for in `with`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

/// What one machine has.
#[derive(Clone, Debug, PartialEq)]
pub struct Machine {
    /// Cores.
    pub cpus: usize,
    /// Memory, in bytes.
    pub mem: u64,
    /// GPUs, by the names that CUDA knows them by.
    pub gpus: Vec<String>,
    /// Operators of which only so many nodes run here at a time.
    pub at_most: BTreeMap<String, usize>,
}

impl Machine {
    /// Returns what this machine has: cores and memory that this process may use, GPUs that it may see.
    pub fn this() -> Self {
        let cpus = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cpus, mem: memory(), gpus: gpus(), at_most: BTreeMap::new() }
    }

    /// Says what of a node's wishes this machine can never grant: the option, what is asked for, what there is.
    pub fn lacks(&self, needs: &Needs) -> Vec<(&'static str, String, String)> {
        let mut out = Vec::new();
        if needs.cpus.is_some_and(|cpus| cpus > self.cpus) {
            out.push(("cpus", needs.cpus.unwrap_or(0).to_string(), self.cpus.to_string()));
        }
        if needs.mem > self.mem {
            out.push(("mem", gibibytes(needs.mem), gibibytes(self.mem)));
        }
        if needs.gpus > self.gpus.len() {
            out.push(("gpus", needs.gpus.to_string(), self.gpus.len().to_string()));
        }
        out
    }
}

/// How much an executor takes at a time.
#[derive(Clone, Debug)]
pub enum Capacity {
    /// A machine whose cores, memory and GPUs are counted here; so many nodes that need no tensors run at a time.
    Machine(Machine, usize),
    /// A queue with a scheduler of its own, which gets so many nodes at a time.
    Queue(usize),
}

/// What a site file says of a machine; the rest is found.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct Facts {
    cpus: Option<usize>,
    mem: Option<u64>,
    gpus: Option<Vec<String>>,
    at_most: Map<String, Json>,
}

impl Facts {
    /// What the file says, over what was found.
    pub fn over(&self, found: Machine) -> Machine {
        Machine {
            cpus: self.cpus.unwrap_or(found.cpus),
            mem: self.mem.unwrap_or(found.mem),
            gpus: self.gpus.clone().unwrap_or(found.gpus),
            at_most: self.at_most.iter().flat_map(|(name, count)| flat(name, count)).collect(),
        }
    }
}

fn flat(name: &str, count: &Json) -> Vec<(String, usize)> {
    match count {
        Json::Object(inner) => inner.iter().flat_map(|(n, c)| flat(&format!("{name}.{n}"), c)).collect(),
        other => other.as_u64().map(|n| (name.to_owned(), n as usize)).into_iter().collect(),
    }
}

/// What a node asks for.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Needs {
    /// Cores, if it names them.
    pub cpus: Option<usize>,
    /// Memory in bytes; 0 if it names none.
    pub mem: u64,
    /// GPUs.
    pub gpus: usize,
}

impl Needs {
    /// Reads them from the options of `with`.
    pub fn of(with: &Map<String, Json>) -> Self {
        let number = |name: &str| with.get(name).and_then(Json::as_u64);
        Self {
            cpus: number("cpus").map(|n| (n as usize).max(1)),
            mem: number("mem").unwrap_or(0),
            gpus: number("gpus").map_or(0, |n| n as usize),
        }
    }
}

/// Prints bytes as a recipe writes them.
pub fn gibibytes(bytes: u64) -> String {
    let gib = bytes as f64 / f64::from(1 << 30);
    if gib >= 100.0 || gib.fract() == 0.0 { format!("{gib:.0}GiB") } else { format!("{gib:.1}GiB") }
}

/// Returns a number of the kernel's account of memory, such as `MemAvailable`, in bytes.
pub fn meminfo(name: &str) -> Option<u64> {
    kernel_bytes("/proc/meminfo", name)
}

/// Returns the amount that a file of the kernel gives in KiB under a name, such as `VmHWM` in `/proc/self/status`, in bytes.
pub fn kernel_bytes(file: impl AsRef<std::path::Path>, name: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    let rest = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?;
    rest.split_whitespace().next()?.parse::<u64>().ok().map(|kib| kib * 1024)
}

/// Returns the memory of the machine, or of the container if that has less.
fn memory() -> u64 {
    let number = |path: &str| std::fs::read_to_string(path).ok()?.trim().parse::<u64>().ok();
    let total = meminfo("MemTotal");
    let limits = ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"];
    limits.into_iter().filter_map(number).chain(total).min().unwrap_or(u64::MAX)
}

/// Returns the GPUs of the machine: those that `CUDA_VISIBLE_DEVICES` names, else those that the driver shows.
fn gpus() -> Vec<String> {
    if let Ok(named) = std::env::var("CUDA_VISIBLE_DEVICES") {
        return named.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect();
    }
    let shown = |entry: std::fs::DirEntry| {
        let name = entry.file_name();
        Some(name.to_str()?.strip_prefix("nvidia")?.parse::<usize>().ok()?.to_string())
    };
    let mut found: Vec<String> = std::fs::read_dir("/dev").into_iter().flatten().flatten().filter_map(shown).collect();
    found.sort_by_key(|gpu| gpu.parse::<usize>().unwrap_or(0));
    found
}
