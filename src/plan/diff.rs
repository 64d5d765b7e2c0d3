//! What changes between two graphs, and what would run anew for it.

use std::collections::{BTreeMap, BTreeSet};

use super::artifact::NodeId;
use super::explain;
use super::graph::Graph;
use super::key::{self, Reads, preimage};
use super::select::Selection;
use super::serving;
use crate::base::Digest;

/// One side of a comparison.
pub struct Side<'a> {
    /// All nodes.
    pub graph: &'a Graph,
    /// Those that outputs and expectations need.
    pub selection: &'a Selection,
    /// Digests of the files that a source reads, by argument.
    pub files: &'a dyn Fn(NodeId) -> BTreeMap<String, Digest>,
}

/// What became of a node that is not the same on both sides.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// It is only in the second.
    Added,
    /// It is only in the first.
    Removed,
    /// It differs by itself: what, in words.
    Changed(Vec<String>),
}

/// The differences of two graphs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diff {
    /// Name, operator and change of each node that differs by itself, in the order of the graphs.
    pub changes: Vec<(String, String, Change)>,
    /// Names of the second side's nodes that are not on the first: what runs anew where all of the first is recorded. Less runs where a
    /// node gives the same bytes as before.
    pub reruns: Vec<String>,
    /// How many nodes of the second side are on the first, whatever they are called.
    pub same: usize,
}

/// Compares two graphs. What a thing is called, where it stands and what `with` says makes no difference.
pub fn diff(first: &Side, second: &Side) -> Diff {
    let (old, new) = (Keyed::of(first), Keyed::of(second));
    let mut found = Diff::default();
    for id in new.nodes() {
        let node = second.graph.node(id);
        if old.all.contains(&new.keys[&id]) {
            found.same += 1;
            continue;
        }
        found.reruns.push(node.name.clone());
        let change = match old.names.get(node.name.as_str()) {
            None => Change::Added,
            Some(&before) => {
                let own = own_changes((first, &old, before), (second, &new, id));
                if own.is_empty() {
                    continue; // only what it reads differs
                }
                Change::Changed(own)
            }
        };
        found.changes.push((node.name.clone(), node.op.clone(), change));
    }
    for id in old.nodes() {
        let node = first.graph.node(id);
        if !new.all.contains(&old.keys[&id]) && !new.names.contains_key(node.name.as_str()) {
            found.changes.push((node.name.clone(), node.op.clone(), Change::Removed));
        }
    }
    found
}

/// A side with the plan keys of its nodes.
struct Keyed<'a> {
    keys: BTreeMap<NodeId, Digest>,
    all: BTreeSet<Digest>,
    names: BTreeMap<&'a str, NodeId>,
    order: Vec<NodeId>,
}

impl<'a> Keyed<'a> {
    fn of(side: &Side<'a>) -> Self {
        let keys = key::plan(side.graph, side.files);
        let counts = |id: &NodeId| side.selection.nodes.contains(id) && side.graph.node(*id).gate.is_none();
        let order: Vec<NodeId> = side.graph.order().into_iter().filter(counts).collect();
        let all = order.iter().map(|id| keys[id]).collect();
        let names = order.iter().map(|&id| (side.graph.node(id).name.as_str(), id)).collect();
        Self { keys, all, names, order }
    }

    fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.order.iter().copied()
    }
}

/// Says in what two nodes of one name differ, beside the content of what they read.
fn own_changes((first, old, a): (&Side, &Keyed, NodeId), (second, new, b): (&Side, &Keyed, NodeId)) -> Vec<String> {
    let (was, is) = (first.graph.node(a), second.graph.node(b));
    let own = |side: &Side, id| {
        let numerics = key::some_numerics(side.graph);
        let node = side.graph.node(id);
        let server = serving::said(side.graph, node);
        preimage(node, &Reads { files: (side.files)(id), numerics, server, ..Reads::default() })
    };
    let changes = explain::diff(&own(first, a), &own(second, b));
    let mut said: Vec<String> = changes.iter().map(explain::sentence).collect();
    for input in &is.inputs {
        let before = was.inputs.iter().find(|i| i.slot == input.slot);
        let name = &second.graph.node(input.node).name;
        match before {
            None => said.push(format!("reads `{name}` too, as `{}`", input.slot)),
            Some(before) => {
                let other = &first.graph.node(before.node).name;
                let differs = other != name || before.field != input.field;
                if differs && old.keys[&before.node] != new.keys[&input.node] {
                    said.push(format!("reads `{name}` instead of `{other}`, as `{}`", input.slot));
                }
            }
        }
    }
    for input in was.inputs.iter().filter(|i| is.inputs.iter().all(|other| other.slot != i.slot)) {
        said.push(format!("no longer reads `{}`, as `{}`", first.graph.node(input.node).name, input.slot));
    }
    said
}
