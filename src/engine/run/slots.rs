//! Who runs next: the nodes that wait at each executor, and how much of it is free.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value as Json;

use super::place;
use crate::engine::capacity::Capacity;
use crate::engine::executors::Executors;
use crate::engine::node::service;
use crate::plan::{Graph, Node, NodeId};
use crate::spec::Pool;

/// Requests to servers at the same time: they mostly wait.
const REQUESTS: usize = 16;

/// A place in a queue: higher `priority` first, then what most must wait for, then the order of the graph.
type Rank = (Reverse<i64>, Reverse<usize>, NodeId);

/// What a running node has.
struct Room {
    executor: String,
    pool: Pool,
    op: String,
    /// Cores; 0 for one that needs no tensors and names none.
    cores: usize,
    mem: u64,
    gpus: Vec<String>,
    /// The server that it asks.
    service: Option<String>,
}

/// The executors of a run.
pub struct Slots<'a> {
    executors: &'a Executors<'a>,
    /// What those have that a node has waited at: to ask may mean to connect.
    known: BTreeMap<String, Capacity>,
    /// Nodes from here to the farthest end of the graph.
    heights: BTreeMap<NodeId, usize>,
    waiting: BTreeMap<(String, Pool), BTreeSet<Rank>>,
    running: BTreeMap<NodeId, Room>,
    /// The servers that waiting and running nodes ask.
    asks: BTreeMap<NodeId, String>,
    /// Servers that may be up, with their GPUs. Several nodes share one; it goes when others need its place, and at the end.
    services: BTreeMap<String, Vec<String>>,
}

impl<'a> Slots<'a> {
    /// Makes empty slots for a graph.
    pub fn new(graph: &Graph, executors: &'a Executors<'a>) -> Self {
        let mut heights: BTreeMap<NodeId, usize> = BTreeMap::new();
        for id in graph.order().into_iter().rev() {
            let own = heights.get(&id).copied().unwrap_or(0);
            for input in &graph.node(id).inputs {
                let below = heights.entry(input.node).or_insert(0);
                *below = (*below).max(own + 1);
            }
        }
        let (known, waiting, running) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let (asks, services) = (BTreeMap::new(), BTreeMap::new());
        Self { executors, known, heights, waiting, running, asks, services }
    }

    /// Returns how many threads a node gets: `with { cpus }`, else all cores of the machine; a queue decides itself, and gets 0 for no wish.
    pub fn threads(&self, executor: &str, node: &Node) -> usize {
        let asked = place::needs(node, self.executors).cpus;
        match self.known.get(executor) {
            Some(Capacity::Machine(machine, _)) => asked.unwrap_or(machine.cpus).clamp(1, machine.cpus),
            _ => asked.unwrap_or(0),
        }
    }

    /// Returns the GPUs that a running node has.
    pub fn gpus(&self, id: NodeId) -> Vec<String> {
        self.running.get(&id).map_or_else(Vec::new, |room| room.gpus.clone())
    }

    /// Queues a node at an executor; `service` is the server that it asks, if one is started for it.
    pub fn wait(&mut self, id: NodeId, node: &Node, executor: &str, service: Option<String>) {
        if let Some(service) = service {
            self.asks.insert(id, service);
        }
        if let (false, Some(there)) = (self.known.contains_key(executor), self.executors.get(executor)) {
            self.known.insert(executor.to_owned(), there.capacity());
        }
        let priority = node.with.get("priority").and_then(Json::as_i64).unwrap_or(0);
        let height = self.heights.get(&id).copied().unwrap_or(0);
        let queue = self.waiting.entry((executor.to_owned(), node.pool)).or_default();
        queue.insert((Reverse(priority), Reverse(height), id));
    }

    /// Takes the next node for which there is room, and the room; also says at which executor. The first of a queue is not overtaken, so that one
    /// that needs the whole machine gets it; those of an operator that runs `at_most` so often already stand aside meanwhile.
    pub fn next(&mut self, graph: &Graph) -> Option<(NodeId, String)> {
        loop {
            if let Some(next) = self.next_with_room(graph) {
                return Some(next);
            }
            // What a server holds that nobody asks just now may be what a node waits for.
            let idle =
                (!self.empty()).then(|| self.services.keys().find(|name| !self.asked(name)).cloned()).flatten()?;
            service::stop(&idle);
            self.services.remove(&idle);
        }
    }

    /// Says whether a running node asks a server.
    fn asked(&self, service: &str) -> bool {
        self.running.values().any(|room| room.service.as_deref() == Some(service))
    }

    fn next_with_room(&mut self, graph: &Graph) -> Option<(NodeId, String)> {
        for ((executor, pool), queue) in &self.waiting {
            let Some(capacity) = self.known.get(executor) else { continue };
            let first = queue.iter().find(|rank| self.below_most(executor, capacity, graph.node(rank.2))).copied();
            let Some(first) = first else { continue };
            let node = graph.node(first.2);
            let Some(room) = self.room(first.2, executor, capacity, *pool, node) else { continue };
            let (executor, pool) = (executor.clone(), *pool);
            self.waiting.entry((executor.clone(), pool)).or_default().remove(&first);
            if let Some(service) = &room.service {
                self.services.insert(service.clone(), room.gpus.clone());
            }
            self.running.insert(first.2, room);
            return Some((first.2, executor));
        }
        None
    }

    fn there(&self, executor: &str) -> impl Iterator<Item = &Room> {
        self.running.values().filter(move |room| room.executor == executor)
    }

    fn below_most(&self, executor: &str, capacity: &Capacity, node: &Node) -> bool {
        let Capacity::Machine(machine, _) = capacity else { return true };
        let most = machine.at_most.get(&node.op);
        most.is_none_or(|&most| self.there(executor).filter(|room| room.op == node.op).count() < most)
    }

    /// Returns room for a node, if there is some now.
    fn room(&self, id: NodeId, executor: &str, capacity: &Capacity, pool: Pool, node: &Node) -> Option<Room> {
        let needs = place::needs(node, self.executors);
        let op = node.op.clone();
        let (executor_name, service) = (executor.to_owned(), self.asks.get(&id).cloned());
        let mut room = Room { executor: executor_name, pool, op, cores: 0, mem: needs.mem, gpus: Vec::new(), service };
        let (machine, jobs) = match capacity {
            Capacity::Queue(most) => return (self.there(executor).count() < *most).then_some(room),
            Capacity::Machine(machine, jobs) => (machine, *jobs),
        };
        let of_pool = self.there(executor).filter(|other| other.pool == pool).count();
        let (most, cores) = match pool {
            Pool::Cpu => (jobs, needs.cpus.unwrap_or(0)),
            Pool::Net => (REQUESTS, 0),
            Pool::Engine => (usize::MAX, needs.cpus.unwrap_or(machine.cpus)),
        };
        room.cores = cores.min(machine.cpus);
        let cores = self.there(executor).map(|other| other.cores).sum::<usize>() + room.cores;
        let mem = self.there(executor).map(|other| other.mem).fold(needs.mem, u64::saturating_add);
        if let Some(gpus) = room.service.as_ref().and_then(|name| self.services.get(name)) {
            room.gpus.clone_from(gpus);
            return (of_pool < most).then_some(room);
        }
        // Without GPUs a server has the whole machine: there is one at a time.
        if room.service.is_some() && needs.gpus == 0 && !self.services.is_empty() {
            return None;
        }
        let served = |gpu: &String| self.services.values().any(|gpus| gpus.contains(gpu));
        let taken = |gpu: &&String| served(gpu) || self.there(executor).any(|other| other.gpus.contains(gpu));
        room.gpus = machine.gpus.iter().filter(|gpu| !taken(gpu)).take(needs.gpus).cloned().collect();
        // One that asks for more than there is waits for all that there is: it was refused before, or its operator knows best what to say.
        let fits = of_pool < most
            && cores <= machine.cpus
            && (mem <= machine.mem || mem == needs.mem)
            && room.gpus.len() == needs.gpus.min(machine.gpus.len());
        fits.then_some(room)
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

impl Drop for Slots<'_> {
    fn drop(&mut self) {
        self.services.keys().for_each(|name| service::stop(name));
    }
}

/// Returns in how many processes a node runs: `with { ranks }`, else one for each of its `gpus`, if its operator (which accepts the options `with`) can share
/// its work out; else one.
pub fn ranks(node: &Node, with: &[&str]) -> usize {
    if with.contains(&"ranks") { node.asked_ranks() as usize } else { 1 }
}
