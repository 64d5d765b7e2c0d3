//! What a training needs of memory, from files alone: each term, and what each remedy would save.

pub mod formula;
pub mod recompute;
pub mod shape;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::artifact::NodeId;
use super::graph::{Graph, Input, Node};
use crate::base::World;
use formula::{Memory, Precision, Sharing, States, Step, Work};
use recompute::Recompute;
use shape::Shape;

/// The part of a GPU's memory that tensors can have; contexts, workspaces of kernels and gaps take the rest.
const USABLE: f64 = 0.9;
/// Tokens of one forward without `micro_batch`: longer ones are no faster.
const MOST_TOKENS: u64 = 8192;
/// Patches of a picture behind one token of text.
const PATCHES_OF_A_TOKEN: u64 = 4;
/// Weights of an amplifier's gate: 64 hidden units over `d` features, and one output.
const GATE: u64 = 64;
/// GPUs of the machine that a training on one GPU is compared with.
const EIGHT: u64 = 8;
/// The operator that makes a model from a configuration alone.
const RANDOM: &str = "model.random";

/// What a training needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Estimate {
    /// Weights of the model.
    pub weights: u64,
    /// They were counted in the headers of its files; else by its configuration.
    pub counted: bool,
    /// Type of weights and activations.
    pub precision: Precision,
    /// GPUs that the node takes; 0 for the CPU.
    pub gpus: u64,
    /// Processes that share the training, each on its own GPU if there are GPUs.
    pub ranks: u64,
    /// What they share out.
    pub sharing: Sharing,
    /// Memory that there is: of each GPU, or of the machine for a node on the CPU; where somebody said.
    pub limit: Option<u64>,
    /// The largest forward: rows that all reach `cutoff`.
    pub work: Work,
    /// What stays from step to step.
    pub states: States,
    /// What a step takes on top at its peak.
    pub step: Step,
    /// What would need less, and how many bytes it saves.
    pub remedies: Vec<(String, u64)>,
}

impl Estimate {
    /// Returns all of it, for each rank.
    pub fn sum(&self) -> u64 {
        self.states.sum() + self.step.sum()
    }

    /// Returns the bytes that tensors of a rank can have of what there is.
    pub fn usable(&self) -> Option<u64> {
        self.limit.map(|limit| usable(limit, self.gpus, self.ranks))
    }

    /// Says whether it is more than there is, where somebody said how much that is.
    pub fn too_much(&self) -> bool {
        self.usable().is_some_and(|usable| self.sum() > usable)
    }

    /// Returns the terms that are not zero, in the order in which they come about, each with what it is.
    pub fn terms(&self) -> Vec<(&'static str, u64)> {
        let (states, step) = (&self.states, &self.step);
        let all = [
            ("weights", states.weights),
            ("master weights", states.master),
            ("gradients", states.gradients),
            ("optimizer", states.optimizer),
            ("average and best", states.kept),
            ("activations, text", step.text),
            ("activations, pictures", step.vision),
            ("logits", step.logits),
            ("gradients under way", step.under_way),
        ];
        // That a preference loss needs no second model is worth a word.
        let reference = self.work.preference.then_some(("reference model", 0));
        all.into_iter().filter(|(_, bytes)| *bytes > 0).chain(reference).collect()
    }
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
        Some(estimate(self.graph, node, &shape))
    }
}

/// Returns the memory that somebody said there is for a node: of each of its GPUs, or of the machine for one on the CPU.
pub fn limit(node: &Node) -> Option<u64> {
    option(node, if gpus(node) > 0 { "gpu_mem" } else { "mem" })
}

fn gpus(node: &Node) -> u64 {
    option(node, "gpus").unwrap_or(0)
}

fn option(node: &Node, name: &str) -> Option<u64> {
    node.with.get(name).and_then(Json::as_u64)
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

fn estimate(graph: &Graph, node: &Node, shape: &Shape) -> Estimate {
    let (gpus, limit) = (gpus(node), limit(node));
    let precision = if node.args["dtype"] == "f32" { Precision::F32 } else { Precision::Half };
    let kept = u64::from(!node.args["ema"].is_null()) * 2 + u64::from(node.args["best"] == true);
    let gate = if node.args["amplify"].is_null() { 0 } else { GATE * shape.text.width + 2 * GATE + 1 };
    let scores = node.op == "train.reward";
    let head = if scores { shape.text.width + 1 } else { 0 };
    let weights = shape.all() + gate + head;
    let ranks = node.asked_ranks();
    let sharing = Sharing::of(node.with.get("shard").and_then(Json::as_str), ranks);
    let again: Recompute =
        node.with.get("recompute").and_then(|r| serde_json::from_value(r.clone()).ok()).unwrap_or_default();
    let wide = shape.text.width;
    let fresh = if gate > 0 { wide + 3 * GATE + 4 } else { 0 } + if scores { wide + 3 } else { 0 };
    let means = Memory::Means(shape.lines + fresh);
    let memory = if node.args["optimizer"] == "adafactor" { means } else { Memory::Moments };
    let states = formula::states(weights, precision, memory, kept, sharing);
    let preference = node.op == "train.dpo";
    let pictures = shape.vision.is_some() && node.training_rows().is_none_or(|rows| has_pictures(graph, rows));
    let at = |cutoff: u64, micro: Option<u64>| {
        let row = if preference || scores { 2 * cutoff } else { cutoff };
        let work = |tokens: u64| Work {
            tokens,
            patches: if pictures { PATCHES_OF_A_TOKEN * tokens } else { 0 },
            labels: if scores { 0 } else { tokens },
            masked_row: if preference || node.args["packing"] == true || node.args["order"] == "pictures" {
                row
            } else {
                0
            },
            preference,
            gpu: gpus > 0,
        };
        let step = node.args["batch"].as_u64().unwrap_or(1).max(1).div_ceil(ranks) * row;
        let tokens = match micro {
            Some(rows) => (rows.max(1) * cutoff).max(row),
            None => MOST_TOKENS.max(row),
        };
        let work = work(tokens.min(step));
        let mut step = formula::shared_step(shape, precision, &work, sharing, again);
        if precision == Precision::Half && gpus == 0 && sharing.stage < 2 {
            // A CPU casts the gradients of a micro-batch as a whole before they are added up.
            step.under_way += (4 * weights).saturating_sub(step.sum());
        }
        (work, step)
    };
    let cutoff = node.args["cutoff"].as_u64().unwrap_or(2048);
    let micro = option(node, "micro_batch");
    let (work, step) = at(cutoff, micro);
    let mut remedies = Vec::new();
    let saved = |(_, less): (Work, Step)| step.sum().saturating_sub(less.sum());
    let without = |precision: Precision, sharing: Sharing, again: Recompute| {
        let less = formula::states(weights, precision, memory, kept, sharing).sum()
            + formula::shared_step(shape, precision, &work, sharing, again).sum();
        (states.sum() + step.sum()).saturating_sub(less)
    };
    let fewest = if preference { 2 } else { 1 };
    // Half as many rows until they fit.
    let smaller = std::iter::successors(Some(micro.unwrap_or(2 * fewest) / 2), |rows| Some(rows / 2));
    let smaller: Vec<u64> = smaller.take_while(|rows| *rows >= fewest).collect();
    let room =
        |rows: &&u64| limit.is_none_or(|l| states.sum() + at(cutoff, Some(**rows)).1.sum() <= usable(l, gpus, ranks));
    if let Some(&rows) = smaller.iter().find(room).or(smaller.last()) {
        remedies.push((format!("`with {{ micro_batch: {rows} }}`, same result"), saved(at(cutoff, Some(rows)))));
    }
    remedies.push((format!("`cutoff: {}tok`, another result", cutoff / 2), saved(at(cutoff / 2, micro))));
    for stage in (sharing.stage + 1..=3).filter(|_| ranks > 1) {
        let what = format!("`with {{ shard: \"zero{stage}\" }}`, same result");
        remedies.push((what, without(precision, Sharing { stage, ranks }, again)));
    }
    if again != Recompute::All && sharing.stage < 3 {
        let what = "`with { recompute: \"all\" }`, same result, a third more work".to_owned();
        remedies.push((what, without(precision, sharing, Recompute::All)));
    }
    if memory == Memory::Moments {
        let less = formula::states(weights, precision, means, kept, sharing).optimizer;
        remedies.push(("`optimizer: \"adafactor\"`, another result".to_owned(), states.optimizer.saturating_sub(less)));
    }
    if precision == Precision::F32 {
        remedies.push(("`dtype: \"bf16\"`, another result".to_owned(), without(Precision::Half, sharing, again)));
    }
    if ranks == 1 && gpus == 1 {
        let what = format!("`with {{ gpus: {EIGHT}, shard: \"zero2\" }}`, same result");
        remedies.push((what, without(precision, Sharing { stage: 2, ranks: EIGHT }, again)));
    }
    if kept > 0 {
        remedies.push(("no `ema` and no `best`, another result".to_owned(), states.kept));
    }
    remedies.retain(|(_, bytes)| *bytes > 0);
    remedies.sort_by(|a, b| b.1.cmp(&a.1));
    Estimate { weights, counted: shape.counted, precision, gpus, ranks, sharing, limit, work, states, step, remedies }
}

fn usable(limit: u64, gpus: u64, ranks: u64) -> u64 {
    if gpus > 0 { (limit as f64 * USABLE) as u64 } else { limit / ranks.max(1) }
}

/// Says whether rows may have pictures: a source says so, or says nothing.
fn has_pictures(graph: &Graph, rows: &Input) -> bool {
    graph
        .ancestors([rows.node])
        .into_iter()
        .map(|id| graph.node(id))
        .filter(|n| n.inputs.is_empty() && !n.paths.is_empty())
        .any(|n| {
            let columns = n.args["as"]["columns"].as_array();
            columns.is_none_or(|all| {
                all.iter().any(|c| c["type"].as_str().is_some_and(|t| t.contains("Image") || t.contains("Video")))
            })
        })
}
