//! The graph: nodes, what feeds what, and what people call them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, Hash, Hasher};
use std::path::{Path, PathBuf};

use petgraph::Direction;
use petgraph::graph::DiGraph;
use serde_json::{Map, Value as Json};

use super::artifact::{Artifact, NodeId};
use super::metric::Metric;
use super::val::Val;
use crate::base::{Digest, Span};
use crate::semantics::Package;
use crate::spec::{Class, Effect, Pool};

/// One step of work.
#[derive(Clone, Debug)]
pub struct Node {
    /// What people call it.
    pub name: String,
    /// The operator; `expect` or `warn` for a gate.
    pub op: String,
    /// The operator's semantic version.
    pub version: u32,
    /// What may be assumed of the result.
    pub class: Class,
    /// What it does to rows.
    pub effect: Effect,
    /// Where it runs.
    pub pool: Pool,
    /// Arguments in canonical form, artifacts as `{"$input": "slot"}`.
    pub args: Json,
    /// What it reads.
    pub inputs: Vec<Input>,
    /// Which columns it looks at, of those inputs that it does not look at as a whole.
    pub looks: Vec<Look>,
    /// The fields of its result; one empty name for a single result.
    pub fields: Vec<String>,
    /// The seed of a sampled operator.
    pub seed: Option<i64>,
    /// How many equal operators stand upstream; set by [`Graph::finish`].
    pub ordinal: u32,
    /// Options of `with` that the operator accepts. Never part of a key.
    pub with: Map<String, Json>,
    /// The call in the source.
    pub span: Span,
    /// Where each argument stands that the call gives, by parameter; a spread one where it is spread.
    pub places: Vec<(String, Span)>,
    /// The folder that relative paths in the arguments start from.
    pub folder: PathBuf,
    /// Files and folders that a source reads.
    pub paths: Vec<PathArg>,
    /// A milestone.
    pub stage: bool,
    /// Runs although inputs are missing, and is then not recorded as complete.
    pub takes_holes: bool,
    /// Arguments whose history it tells.
    pub history: &'static [&'static str],
    /// What an `expect` or `warn` asks.
    pub gate: Option<Gate>,
    /// Secrets that it uses, by name.
    pub secrets: Vec<String>,
}

impl Node {
    /// Returns where an argument stands, if the call gives it.
    pub fn place(&self, parameter: &str) -> Option<Span> {
        self.places.iter().find(|(name, _)| name == parameter).map(|(_, span)| *span)
    }

    /// Says whether it trains a language model.
    pub fn trains(&self) -> bool {
        matches!(self.op.as_str(), "train.sft" | "train.dpo" | "train.reward")
    }

    /// Returns what is given in a slot.
    pub fn input(&self, slot: &str) -> Option<&Input> {
        self.inputs.iter().find(|i| i.slot == slot)
    }

    /// Returns the rows that a training learns from.
    pub fn training_rows(&self) -> Option<&Input> {
        self.input("data").or_else(|| self.input("pairs"))
    }

    /// Says whether another node does the same.
    fn equals(&self, other: &Self) -> bool {
        (&self.op, self.seed, &self.inputs) == (&other.op, other.seed, &other.inputs)
            && (&self.args, &self.paths) == (&other.args, &other.paths)
    }

    /// Returns a number that nodes which do the same share, and hardly any others.
    fn digest(&self) -> u64 {
        let mut hasher = foldhash::fast::FixedState::default().build_hasher();
        (&self.op, &self.args, self.seed).hash(&mut hasher);
        self.inputs.iter().for_each(|input| input.node.hash(&mut hasher));
        hasher.finish()
    }

    /// Returns in how many processes `with` asks for it: `ranks`, else one for each of its `gpus`, else one.
    pub fn asked_ranks(&self) -> u64 {
        let asked = |name: &str| self.with.get(name).and_then(Json::as_u64).filter(|n| *n > 0);
        asked("ranks").or_else(|| asked("gpus")).unwrap_or(1)
    }
}

/// One input of a node.
#[derive(Clone, Debug, PartialEq)]
pub struct Input {
    /// The argument: `d`, `of[0]`, `inputs.ego4d`.
    pub slot: String,
    /// Who makes it.
    pub node: NodeId,
    /// Which field of the result.
    pub field: String,
}

/// What an operator looks at of the dataset in a slot. Where a node has none of a slot, it looks at all of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The argument.
    pub slot: String,
    /// The columns named.
    pub names: BTreeSet<String>,
    /// It looks at those that are *not* named instead.
    pub others: bool,
    /// Each row of the result is one of the dataset's, and has its other columns as they are.
    pub passes: bool,
}

impl Look {
    /// Says whether a column is looked at.
    pub fn at(&self, column: &str) -> bool {
        self.names.contains(column) != self.others
    }
}

/// A file or folder that a source reads. Its bytes are in the key, its path is not.
#[derive(Clone, Debug, PartialEq)]
pub struct PathArg {
    /// The parameter.
    pub arg: String,
    /// Where it lies.
    pub path: PathBuf,
    /// A folder of pictures and videos that rows refer to: only media files count.
    pub media: bool,
    /// The source is a model.
    pub model: bool,
    /// The repository of the hub that is looked for there.
    pub repository: Option<Repository>,
    /// The argument in the source.
    pub span: Span,
}

/// A text that `from_file` read.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Text {
    /// Of its bytes.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// The path in the source.
    pub span: Span,
}

/// A repository of the hub.
#[derive(Clone, Debug, PartialEq)]
pub struct Repository {
    /// As the recipe names it.
    pub name: String,
    /// The branch, tag or commit that is asked for; none for a dataset in a mirror.
    pub revision: Option<String>,
}

/// What an `expect` or `warn` asks.
#[derive(Clone, Debug)]
pub struct Gate {
    /// The question.
    pub cond: Metric,
    /// What the author says when the answer is no.
    pub message: Option<String>,
    /// The question as written.
    pub text: String,
    /// `warn`: the run goes on.
    pub warn: bool,
}

/// An `output` item.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its name.
    pub name: String,
    /// What it publishes.
    pub value: Val,
    /// Where to, if anywhere.
    pub to: Option<PathBuf>,
    /// The item in the source.
    pub span: Span,
}

/// How one node depends on another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Edge {
    /// Reads its result.
    Data,
    /// Waits for a gate.
    Gate,
}

/// All nodes of a recipe.
#[derive(Clone, Debug, Default)]
pub struct Graph {
    /// The nodes and edges.
    pub dag: DiGraph<Node, Edge, u32>,
    /// What top-level names of the recipe stand for, as far as they were needed.
    pub names: BTreeMap<String, Val>,
    /// What to publish.
    pub outputs: Vec<Output>,
    /// `expect` and `warn` items.
    pub gates: Vec<NodeId>,
    /// Packages that the recipe or what it imports imports, by name.
    pub packages: BTreeMap<String, Package>,
    /// Texts that `from_file` read.
    pub texts: BTreeMap<PathBuf, Text>,
    /// `stage` items, in order.
    pub stages: Vec<String>,
    /// `strict_numerics`: the class of the hardware and the builds of the libraries are part of every key.
    pub strict_numerics: bool,
    /// What servers said of themselves when they were pinned, by their names in the lock ([`super::serving`]): part of the keys of those nodes that ask them.
    pub servers: BTreeMap<String, BTreeMap<String, String>>,
    /// Nodes already made, by [`Node::digest`].
    made: HashMap<u64, Vec<NodeId>>,
}

impl Graph {
    /// Returns the package that a file lies in, and its way from the package's folder.
    pub fn package_of<'p>(&self, path: &'p Path) -> Option<(&str, &'p Path)> {
        self.packages.iter().find_map(|(name, package)| Some((name.as_str(), path.strip_prefix(&package.folder).ok()?)))
    }

    /// Adds a node, or returns the equal one that is there.
    pub fn add(&mut self, node: Node) -> NodeId {
        let gate = node.gate.is_some();
        let digest = node.digest();
        let mut alike = self.made.get(&digest).into_iter().flatten();
        if !gate && let Some(&id) = alike.find(|&&id| self.dag[id].equals(&node)) {
            return id;
        }
        let mut seen = BTreeSet::new();
        let inputs: Vec<NodeId> = node.inputs.iter().map(|i| i.node).filter(|&from| seen.insert(from)).collect();
        let id = self.dag.add_node(node);
        // It is new, so no edge leads to it yet: nothing to look for among all edges of what it reads.
        for from in inputs {
            self.dag.add_edge(from, id, Edge::Data);
        }
        if !gate {
            self.made.entry(digest).or_default().push(id);
        }
        id
    }

    /// Returns a node.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.dag[id]
    }

    /// Names a result of a node: the node's name, and the field where it has several.
    pub fn result_name(&self, id: NodeId, field: &str) -> String {
        let name = &self.node(id).name;
        if field.is_empty() { name.clone() } else { format!("{name}.{field}") }
    }

    /// Returns all nodes in an order in which inputs come first; ties by creation.
    pub fn order(&self) -> Vec<NodeId> {
        let mut waiting: Vec<usize> =
            self.dag.node_indices().map(|id| self.dag.neighbors_directed(id, Direction::Incoming).count()).collect();
        let mut ready: BTreeSet<NodeId> = self.dag.node_indices().filter(|id| waiting[id.index()] == 0).collect();
        let mut out = Vec::with_capacity(waiting.len());
        while let Some(id) = ready.pop_first() {
            out.push(id);
            for next in self.dag.neighbors_directed(id, Direction::Outgoing) {
                waiting[next.index()] -= 1;
                if waiting[next.index()] == 0 {
                    ready.insert(next);
                }
            }
        }
        out
    }

    /// Returns everything that some nodes need, themselves included.
    pub fn ancestors(&self, roots: impl IntoIterator<Item = NodeId>) -> BTreeSet<NodeId> {
        let mut seen = BTreeSet::new();
        let mut stack: Vec<NodeId> = roots.into_iter().collect();
        while let Some(id) = stack.pop() {
            if seen.insert(id) {
                stack.extend(self.dag.neighbors_directed(id, Direction::Incoming));
            }
        }
        seen
    }

    /// Returns a node by the name that people use: a node's own, or a binding that stands for one artifact.
    pub fn find(&self, name: &str) -> Option<Artifact> {
        if let Some(Val::Artifact(a)) = self.named(name) {
            return Some(a);
        }
        let id = self.dag.node_indices().find(|&id| self.dag[id].name == name)?;
        let kind = String::new();
        Some(Artifact { node: id, field: self.dag[id].fields.first()?.clone(), kind, columns: None })
    }

    /// Returns what a dotted name stands for: `mix`, `parts.train`.
    pub fn named(&self, name: &str) -> Option<Val> {
        let mut parts = name.split('.');
        let first = parts.next()?;
        let mut val = match self.names.get(first) {
            Some(val) => val.clone(),
            None => self.outputs.iter().find(|o| o.name == first)?.value.clone(),
        };
        for part in parts {
            let Val::Record(fields) = val else { return None };
            val = fields.into_iter().find(|(n, _)| n == part)?.1;
        }
        Some(val)
    }

    /// Makes names unique, counts equal operators upstream, and lets consumers wait for gates.
    pub fn finish(&mut self) {
        self.unique_names();
        self.number_equal_operators();
        self.hold_back_consumers();
    }

    fn unique_names(&mut self) {
        let mut seen: BTreeMap<String, u32> = BTreeMap::new();
        for id in self.dag.node_indices().collect::<Vec<_>>() {
            let name = self.dag[id].name.clone();
            let n = seen.entry(name.clone()).or_insert(0);
            *n += 1;
            if *n > 1 {
                self.dag[id].name = format!("{name}#{n}");
            }
        }
    }

    fn number_equal_operators(&mut self) {
        for id in self.order() {
            if self.dag[id].seed.is_none() {
                continue;
            }
            let node = &self.dag[id];
            let equal = |other: &Node| (&other.op, &other.args, other.seed) == (&node.op, &node.args, node.seed);
            let count = self.ancestors([id]).iter().filter(|&&a| a != id && equal(&self.dag[a])).count();
            self.dag[id].ordinal = count as u32;
        }
    }

    /// What reads an artifact that an `expect` mentions waits for it; reductions do not, since a table or a report is
    /// what one wants to look at when an expectation fails.
    fn hold_back_consumers(&mut self) {
        for &gate in &self.gates.clone() {
            if self.dag[gate].gate.as_ref().is_none_or(|g| g.warn) {
                continue;
            }
            let upstream = self.ancestors([gate]);
            let mut mentioned: BTreeSet<NodeId> = BTreeSet::new();
            for input in &self.dag[gate].inputs {
                mentioned.insert(input.node);
                // A question asked by a reduction (`data.disjoint(mix, …)`) mentions what that reduction reads.
                if self.dag[input.node].effect == Effect::Reduce {
                    mentioned.extend(self.dag[input.node].inputs.iter().map(|i| i.node));
                }
            }
            for source in mentioned {
                for consumer in self.dag.neighbors_directed(source, Direction::Outgoing).collect::<Vec<_>>() {
                    let node = &self.dag[consumer];
                    if !upstream.contains(&consumer) && node.gate.is_none() && node.effect != Effect::Reduce {
                        // An earlier gate may already wait for this one's consumers: never close a circle.
                        if !self.ancestors([gate]).contains(&consumer) && !self.dag.contains_edge(gate, consumer) {
                            self.dag.add_edge(gate, consumer, Edge::Gate);
                        }
                    }
                }
            }
        }
    }
}
