//! Who runs next: the nodes that wait for each pool, and how much of the machine is free.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use crate::plan::{Graph, Node, NodeId};
use crate::spec::Pool;

/// Requests to servers at the same time: they mostly wait.
const REQUESTS: usize = 16;

/// A place in a queue: higher `priority` first, then what most must wait for, then the order of the graph.
type Rank = (Reverse<i64>, Reverse<usize>, NodeId);

/// What a running node has.
struct Room {
    pool: Pool,
    cores: usize,
    gpus: Vec<String>,
}

/// The pools of a run.
pub struct Slots {
    /// Cores of the machine.
    cores: usize,
    /// Its GPUs, by the names that CUDA knows them by.
    gpus: Vec<String>,
    /// Nodes of the scheduler's own process at a time.
    jobs: usize,
    /// Nodes from here to the farthest end of the graph.
    heights: BTreeMap<NodeId, usize>,
    waiting: BTreeMap<Pool, BTreeSet<Rank>>,
    running: BTreeMap<NodeId, Room>,
}

impl Slots {
    /// Makes empty pools for a graph; `jobs` nodes of this process run at a time.
    pub fn new(graph: &Graph, jobs: usize) -> Self {
        let mut heights: BTreeMap<NodeId, usize> = BTreeMap::new();
        for id in graph.order().into_iter().rev() {
            let own = heights.get(&id).copied().unwrap_or(0);
            for input in &graph.node(id).inputs {
                let below = heights.entry(input.node).or_insert(0);
                *below = (*below).max(own + 1);
            }
        }
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self { cores, gpus: gpus(), jobs: jobs.max(1), heights, waiting: BTreeMap::new(), running: BTreeMap::new() }
    }

    /// Returns how many cores a node takes: `with { cpus }`, else all.
    pub fn cores(&self, node: &Node) -> usize {
        let asked = node.with.get("cpus").and_then(Json::as_u64).map(|n| n as usize);
        asked.unwrap_or(self.cores).clamp(1, self.cores)
    }

    /// Returns the GPUs that a running node has.
    pub fn gpus(&self, id: NodeId) -> Vec<String> {
        self.running.get(&id).map_or_else(Vec::new, |room| room.gpus.clone())
    }

    /// Returns GPUs that are free for a node: as many as `with { gpus }` says, or all there are if it asks for more, since the operator knows
    /// best what to say then. None while others have them.
    fn free_gpus(&self, node: &Node) -> Option<Vec<String>> {
        let asked = node.with.get("gpus").and_then(Json::as_u64).map_or(0, |n| n as usize).min(self.gpus.len());
        let taken = |gpu: &&String| self.running.values().any(|room| room.gpus.contains(gpu));
        let free: Vec<String> = self.gpus.iter().filter(|gpu| !taken(gpu)).take(asked).cloned().collect();
        (free.len() == asked).then_some(free)
    }

    /// Queues a node.
    pub fn wait(&mut self, id: NodeId, node: &Node) {
        let priority = node.with.get("priority").and_then(Json::as_i64).unwrap_or(0);
        let height = self.heights.get(&id).copied().unwrap_or(0);
        self.waiting.entry(node.pool).or_default().insert((Reverse(priority), Reverse(height), id));
    }

    /// Takes the next node for which there is room, and the room. The first of a queue is not overtaken, so that one that needs the
    /// whole machine gets it.
    pub fn next(&mut self, graph: &Graph) -> Option<NodeId> {
        for pool in [Pool::Cpu, Pool::Engine, Pool::Net] {
            let Some(&first) = self.waiting.get(&pool).and_then(BTreeSet::first) else { continue };
            let cores = self.cores(graph.node(first.2));
            let Some(gpus) = self.free_gpus(graph.node(first.2)) else { continue };
            let there = self.running.values().filter(|room| room.pool == pool);
            let fits = match pool {
                Pool::Cpu => there.count() < self.jobs,
                Pool::Net => there.count() < REQUESTS,
                Pool::Engine => there.map(|room| room.cores).sum::<usize>() + cores <= self.cores,
            };
            if fits {
                self.waiting.entry(pool).or_default().remove(&first);
                self.running.insert(first.2, Room { pool, cores, gpus });
                return Some(first.2);
            }
        }
        None
    }

    /// Gives back the room of a node that has ended.
    pub fn ended(&mut self, id: NodeId) {
        self.running.remove(&id);
    }

    /// Says whether something runs.
    pub fn busy(&self) -> bool {
        !self.running.is_empty()
    }

    /// Says whether nothing waits.
    pub fn empty(&self) -> bool {
        self.waiting.values().all(BTreeSet::is_empty)
    }
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
