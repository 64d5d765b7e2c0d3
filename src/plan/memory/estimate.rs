//! One training's need of memory, term by term, with what is asked for and with less.

use serde_json::Value as Json;

use super::formula::{self, Memory, Precision, Sharing, States, Step, Work};
use super::ladder::{Forward, Plan, Rung};
use super::recompute::Recompute;
use super::shape::Shape;
use crate::plan::graph::{Graph, Input, Node};

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
    /// What of that lies in main memory beside a GPU; nothing where it is not offloaded.
    pub host: States,
    /// Main memory that there is for it, where somebody said.
    pub main: Option<u64>,
    /// What a step takes on top at its peak.
    pub step: Step,
    /// What would need less, and how many bytes it saves.
    pub remedies: Vec<(String, u64)>,
    /// The steps down the ladder of memory with which a run begins.
    pub steps: Vec<Rung>,
    /// It fits once they are taken.
    pub fits_then: bool,
}

impl Estimate {
    /// Returns all of it that lies where the model is, for each rank.
    pub fn sum(&self) -> u64 {
        self.states.sum() + self.step.sum()
    }

    /// Returns the bytes that tensors of a rank can have of what there is.
    pub fn usable(&self) -> Option<u64> {
        self.limit.map(|limit| usable(limit, self.gpus, self.ranks))
    }

    /// Says whether it is more than there is, where somebody said how much that is.
    pub fn too_much(&self) -> bool {
        self.usable().is_some_and(|usable| self.sum() > usable) || self.beside_too_much()
    }

    /// Says whether what the ranks keep in main memory beside their GPUs is more than there is.
    pub fn beside_too_much(&self) -> bool {
        self.main.is_some_and(|main| self.host.sum() * self.ranks > main)
    }

    /// Says with which steps down the ladder a run begins, if with any, and what comes of it.
    pub fn beginning(&self) -> Option<String> {
        let steps: Vec<&str> = self.steps.iter().map(|step| step.words()).collect();
        let then = if self.fits_then { "then it fits" } else { "may run out of memory all the same" };
        (!steps.is_empty()).then(|| format!("a run begins with {}, and {then}", steps.join(", ")))
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

/// What the need of a training depends on, besides its plan.
struct Case<'a> {
    shape: &'a Shape,
    weights: u64,
    memory: Memory,
    /// Copies of the weights in f32 that are kept besides.
    kept: u64,
    pictures: bool,
    preference: bool,
    scores: bool,
    /// Rows of several samples have masks.
    masked: bool,
    /// Rows of a step.
    batch: u64,
}

/// What it needs.
struct Need {
    work: Work,
    states: States,
    host: States,
    step: Step,
}

impl Need {
    fn sum(&self) -> u64 {
        self.states.sum() + self.step.sum()
    }
}

impl Case<'_> {
    fn need(&self, plan: &Plan, cutoff: u64, precision: Precision) -> Need {
        let sharing = plan.sharing();
        let (mut states, mut host) = if plan.offload {
            formula::offloaded(self.weights, precision, self.memory, self.kept, sharing)
        } else {
            (formula::states(self.weights, precision, self.memory, self.kept, sharing), States::default())
        };
        if plan.gpus == 0 {
            states = states.and(std::mem::take(&mut host));
        }
        let work = self.work(plan, cutoff);
        let mut step = formula::shared_step(self.shape, precision, &work, sharing, plan.recompute);
        if precision == Precision::Half && plan.gpus == 0 && sharing.stage < 2 {
            // A CPU casts the gradients of a micro-batch as a whole before they are added up.
            step.under_way += (4 * self.weights).saturating_sub(step.sum());
        }
        Need { work, states, host, step }
    }

    /// Returns the largest forward.
    fn work(&self, plan: &Plan, cutoff: u64) -> Work {
        let row = if self.preference || self.scores { 2 * cutoff } else { cutoff };
        let (rows, most) = match plan.forward {
            Forward::Asked => (plan.micro_batch, MOST_TOKENS),
            Forward::Quarter => (plan.micro_batch.map(|rows| rows.div_ceil(4)), MOST_TOKENS / 4),
            Forward::Row => (Some(1), MOST_TOKENS),
        };
        let tokens = rows.map_or(most, |rows| rows * cutoff).max(row);
        let step = self.batch.div_ceil(plan.ranks.max(1)) * row;
        let tokens = tokens.min(step);
        Work {
            tokens,
            patches: if self.pictures { PATCHES_OF_A_TOKEN * tokens } else { 0 },
            labels: if self.scores { 0 } else { tokens },
            masked_row: if self.masked { row } else { 0 },
            preference: self.preference,
            gpu: plan.gpus > 0,
        }
    }
}

/// Works out what a node needs that trains a model of this shape.
pub(super) fn estimate(graph: &Graph, node: &Node, shape: &Shape) -> Estimate {
    let (gpus, limit) = (gpus(node), limit(node));
    let main = option(node, "mem").filter(|_| gpus > 0);
    let precision = if node.args["dtype"] == "f32" { Precision::F32 } else { Precision::Half };
    let kept = u64::from(!node.args["ema"].is_null()) * 2 + u64::from(node.args["best"] == true);
    let gate = if node.args["amplify"].is_null() { 0 } else { GATE * shape.text.width + 2 * GATE + 1 };
    let scores = node.op == "train.reward";
    let head = if scores { shape.text.width + 1 } else { 0 };
    let weights = shape.all() + gate + head;
    let wide = shape.text.width;
    let fresh = if gate > 0 { wide + 3 * GATE + 4 } else { 0 } + if scores { wide + 3 } else { 0 };
    let means = Memory::Means(shape.lines + fresh);
    let memory = if node.args["optimizer"] == "adafactor" { means } else { Memory::Moments };
    let preference = node.op == "train.dpo";
    let case = Case {
        shape,
        weights,
        memory,
        kept,
        pictures: shape.vision.is_some() && node.training_rows().is_none_or(|rows| has_pictures(graph, rows)),
        preference,
        scores,
        masked: preference || node.args["packing"] == true || node.args["order"] == "pictures",
        batch: node.args["batch"].as_u64().unwrap_or(1).max(1),
    };
    let plan = Plan::asked(&node.with, node.asked_ranks());
    let ranks = plan.ranks;
    let cutoff = node.args["cutoff"].as_u64().unwrap_or(2048);
    let now = case.need(&plan, cutoff, precision);
    let fits = |need: &Need| {
        limit.is_none_or(|limit| need.sum() <= usable(limit, gpus, ranks))
            && main.is_none_or(|main| need.host.sum() * ranks <= main)
    };
    let all = plan.rungs().len() as u64;
    let there = (0..=all).find(|&steps| fits(&case.need(&plan.down(steps).0, cutoff, precision)));
    let less = |plan: Plan| now.sum().saturating_sub(case.need(&plan, cutoff, precision).sum());
    let mut remedies = Vec::new();
    let fewest = if preference { 2 } else { 1 };
    // Half as many rows until they fit.
    let smaller = std::iter::successors(Some(plan.micro_batch.unwrap_or(2 * fewest) / 2), |rows| Some(rows / 2));
    let smaller: Vec<u64> = smaller.take_while(|rows| *rows >= fewest).collect();
    let of = |rows: u64| Plan { micro_batch: Some(rows), ..plan };
    let room = |rows: &&u64| fits(&case.need(&of(**rows), cutoff, precision));
    if let Some(&rows) = smaller.iter().find(room).or(smaller.last()) {
        remedies.push((format!("`with {{ micro_batch: {rows} }}`, same result"), less(of(rows))));
    }
    let shorter = case.need(&plan, cutoff / 2, precision).sum();
    remedies.push((format!("`cutoff: {}tok`, another result", cutoff / 2), now.sum().saturating_sub(shorter)));
    for stage in (plan.stage + 1..=3).filter(|_| ranks > 1) {
        remedies.push((format!("`with {{ shard: \"zero{stage}\" }}`, same result"), less(Plan { stage, ..plan })));
    }
    if plan.recompute != Recompute::All && plan.stage < 3 {
        let what = "`with { recompute: \"all\" }`, same result, a third more work".to_owned();
        remedies.push((what, less(Plan { recompute: Recompute::All, ..plan })));
    }
    if memory == Memory::Moments {
        let other = Case { memory: means, ..case };
        let saved = now.sum().saturating_sub(other.need(&plan, cutoff, precision).sum());
        remedies.push(("`optimizer: \"adafactor\"`, another result".to_owned(), saved));
    }
    if precision == Precision::F32 {
        let saved = now.sum().saturating_sub(case.need(&plan, cutoff, Precision::Half).sum());
        remedies.push(("`dtype: \"bf16\"`, another result".to_owned(), saved));
    }
    if gpus > 0 && !plan.offload {
        let what = "`with { offload: true }`, same result, states in main memory".to_owned();
        remedies.push((what, less(Plan { offload: true, ..plan })));
    }
    if ranks == 1 && gpus == 1 {
        let what = format!("`with {{ gpus: {EIGHT}, shard: \"zero2\" }}`, same result");
        let eight = Plan { gpus: EIGHT, ranks: EIGHT, stage: 2, ..plan };
        remedies.push((what, less(eight)));
    }
    if kept > 0 {
        remedies.push(("no `ema` and no `best`, another result".to_owned(), now.states.kept));
    }
    remedies.retain(|(_, bytes)| *bytes > 0);
    remedies.sort_by(|a, b| b.1.cmp(&a.1));
    Estimate {
        weights,
        counted: shape.counted,
        precision,
        gpus,
        ranks,
        sharing: plan.sharing(),
        limit,
        work: now.work,
        states: now.states,
        host: now.host,
        main,
        step: now.step,
        remedies,
        steps: plan.down(there.unwrap_or(all)).1,
        fits_then: there.is_some(),
    }
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
