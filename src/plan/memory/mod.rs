//! What a training needs of memory, from files alone: each term, and what each remedy would save.

mod estimate;
pub mod formula;
pub mod ladder;
pub mod recompute;
pub mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::artifact::NodeId;
use super::graph::{Graph, Input, Node};
use crate::base::World;
pub use estimate::{Estimate, limit};
use shape::Shape;

/// The operator that makes a model from a configuration alone.
const RANDOM: &str = "model.random";

/// Returns how many steps down the ladder a training begins, because what it is asked for does not fit into the memory that somebody said there is: the
/// fewest after which it fits, all of them if it never does; 0 where nobody said.
pub fn foreseen(graph: &Graph, node: &Node, world: &dyn World) -> u64 {
    let said = node.trains() && limit(node).is_some();
    said.then(|| Models::new(graph, world).estimate(node)).flatten().map_or(0, |e| e.steps.len() as u64)
}

/// The models that a graph's trainings start from, each read once.
pub struct Models<'a> {
    graph: &'a Graph,
    world: &'a dyn World,
    read: BTreeMap<PathBuf, Option<Shape>>,
    positions: BTreeMap<NodeId, Option<u64>>,
}

impl<'a> Models<'a> {
    /// Starts with no model read.
    pub fn new(graph: &'a Graph, world: &'a dyn World) -> Self {
        Self { graph, world, read: BTreeMap::new(), positions: BTreeMap::new() }
    }

    /// Returns the shape of the model that an input brings; nothing if its files are not there or tell none.
    pub fn shape(&mut self, input: &Input) -> Option<Shape> {
        let (node, world) = (self.graph.node(start(self.graph, input)), self.world);
        if node.op == RANDOM {
            return Shape::of(&config(world, node)?, None);
        }
        let folder = folder(node)?;
        self.read.entry(folder.to_owned()).or_insert_with(|| Shape::read(world, folder)).clone()
    }

    /// Returns the longest position that the model of an input was made for; only its configuration is read.
    pub fn positions(&mut self, input: &Input) -> Option<u64> {
        let (graph, world) = (self.graph, self.world);
        let id = start(graph, input);
        *self.positions.entry(id).or_insert_with(|| shape::positions(&config(world, graph.node(id))?))
    }

    /// Returns what a node needs; nothing for one that does not train, or whose model is not known.
    pub fn estimate(&mut self, node: &Node) -> Option<Estimate> {
        if !node.trains() || node.args["method"] == "lora" {
            return None;
        }
        let shape = self.shape(node.input("m")?)?;
        Some(estimate::estimate(self.graph, node, &shape))
    }
}

/// Returns the folder of a model that files bring.
fn folder(node: &Node) -> Option<&Path> {
    node.paths.iter().find(|p| p.model).map(|p| p.path.as_path())
}

/// Returns the configuration of a model: written out or a file of its own for a random one, else in its folder.
fn config(world: &dyn World, node: &Node) -> Option<Json> {
    let file = match node.args["config"].as_str().filter(|_| node.op == RANDOM) {
        Some(written) if written.trim_start().starts_with('{') => return serde_json::from_str(written).ok(),
        Some(file) => node.folder.join(file),
        None => folder(node)?.join("config.json"),
    };
    serde_json::from_str(&world.read(&file).ok()?).ok()
}

/// Returns the source of a model: where the trainings before it started.
fn start(graph: &Graph, input: &Input) -> NodeId {
    let mut at = input.node;
    while let Some(before) = graph.node(at).input("m") {
        at = before.node;
    }
    at
}
