//! Rows that are trained on and measured with.

use std::collections::BTreeSet;

use super::Facts;
use crate::base::codes::{W0506, W0511};
use crate::base::{Diagnostic, Problems};
use crate::plan::artifact::NodeId;
use crate::plan::graph::{Input, Node};
use crate::spec::user_op;

/// One result of a node.
type Result = (NodeId, String);

/// Looks at every evaluation of a trained model.
pub(super) fn lint(facts: &Facts, found: &mut Problems) {
    let graph = facts.graph;
    let gates = gates(facts);
    let mut ungated: Option<(&Node, &Node)> = None;
    for id in graph.dag.node_indices() {
        let node = graph.node(id);
        let slot = match node.op.as_str() {
            "eval.run" => "on",
            "eval.preference" => "pairs",
            "eval.loss" => "data",
            _ => continue,
        };
        let (Some(model), Some(items)) = (node.input("m"), node.input(slot)) else { continue };
        let trainings: Vec<&Node> =
            graph.ancestors([model.node]).into_iter().map(|id| graph.node(id)).filter(|n| n.trains()).collect();
        if trainings.is_empty() {
            continue;
        }
        let asked = Way::of(facts, items);
        let mut gated = false;
        for training in &trainings {
            let Some(rows) = training.training_rows() else { continue };
            let learned = Way::of(facts, rows);
            gated |= gates.iter().any(|(a, b)| {
                let compares = |a: &Way, b: &Way| a.meets(facts, &learned) && b.meets(facts, &asked);
                compares(a, b) || compares(b, a)
            });
            if let Some(same) = learned.shares(facts, &asked) {
                let message = format!("`{}` measures with rows that `{}` trains on: {same}", node.op, training.name);
                let d = Diagnostic::new(W0511, node.span, message, "measures what was learned by heart")
                    .also(training.span, "trained on here")
                    .help("hold rows out before training: `data.split(validation: 5%, apart: [.images])`");
                found.push(d);
            }
        }
        // Rows that the training holds out itself have no benchmark that could be in them.
        if node.op == "eval.run" && !gated && ungated.is_none_or(|(first, _)| node.span < first.span) {
            ungated = Some((node, trainings[0]));
        }
    }
    if let Some((node, training)) = ungated {
        let message = "nothing checks that the questions are not among the training rows";
        let rows = training.training_rows().and_then(|i| named(facts, i)).unwrap_or_else(|| "rows".to_owned());
        let items = node.input("on").and_then(|i| named(facts, i));
        let items = items.map_or_else(|| "suite.items".to_owned(), |name| format!("bench.items({name}: {name})"));
        let gate = format!("expect data.disjoint({rows}, from: {items}, on: [\"phash\", \"13gram\"], match: \"all\")");
        let d = Diagnostic::new(W0506, node.span, message, "a trained model is measured here")
            .also(training.span, "trained here")
            .help(format!("add `{gate}`"));
        found.push(d);
    }
}

/// How a recipe writes a result that is a value of its own, with no other file's name or part of a chain in it.
fn named(facts: &Facts, from: &Input) -> Option<String> {
    let name = &facts.graph.node(from.node).name;
    let own = name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    own.then(|| facts.graph.result_name(from.node, &from.field))
}

/// What the nodes that compare two datasets compare.
fn gates(facts: &Facts) -> Vec<(Way, Way)> {
    let graph = facts.graph;
    let compares = |node: &&Node| matches!(node.op.as_str(), "data.disjoint" | "data.overlap");
    let nodes = graph.dag.node_indices().map(|id| graph.node(id)).filter(compares);
    nodes.filter_map(|n| Some((Way::of(facts, n.input("d")?), Way::of(facts, n.input("from")?)))).collect()
}

/// The results that rows come through.
struct Way {
    /// Back to where they are read, or chosen: what lies behind a split or a filter may have gone either way.
    whole: BTreeSet<Result>,
    /// Back to where they are read.
    all: BTreeSet<Result>,
}

impl Way {
    fn of(facts: &Facts, from: &Input) -> Self {
        Self { whole: reached(facts, from, false), all: reached(facts, from, true) }
    }

    /// What rows of both ways are of for sure: all of one, and those of the other or some chosen of them.
    fn shares(&self, facts: &Facts, other: &Self) -> Option<String> {
        same(facts, &self.whole, &other.all).or_else(|| same(facts, &self.all, &other.whole))
    }

    /// Says whether rows of both may be of one origin.
    fn meets(&self, facts: &Facts, other: &Self) -> bool {
        same(facts, &self.all, &other.all).is_some()
    }
}

/// The results that rows come through; `behind` says whether also those behind a choice of rows.
fn reached(facts: &Facts, from: &Input, behind: bool) -> BTreeSet<Result> {
    let mut out = BTreeSet::new();
    let mut open = vec![from];
    while let Some(at) = open.pop() {
        let fresh = out.insert((at.node, at.field.clone()));
        let node = facts.graph.node(at.node);
        let chooses =
            matches!(node.op.as_str(), "data.split" | "filter.rule" | "data.sample" | "data.top" | "data.quantile");
        if fresh && (behind || !chooses) {
            open.extend(
                node.inputs
                    .iter()
                    .filter(|i| i.slot != "m" && i.slot != "by" && i.slot != "embed" && i.slot != "scenes"),
            );
        }
    }
    out
}

/// What two sets of results share: one of them, or a file that both read.
fn same(facts: &Facts, a: &BTreeSet<Result>, b: &BTreeSet<Result>) -> Option<String> {
    let graph = facts.graph;
    if let Some((id, field)) = a.intersection(b).next() {
        return Some(format!("`{}`", graph.result_name(*id, field)));
    }
    let files = |set: &BTreeSet<Result>| -> BTreeSet<std::path::PathBuf> {
        let paths = set.iter().flat_map(|(id, _)| &graph.node(*id).paths);
        paths.filter(|p| !p.media && !p.model && !p.arg.starts_with(user_op::FILES)).map(|p| p.path.clone()).collect()
    };
    let shared = files(a).intersection(&files(b)).next().cloned()?;
    Some(format!("`{}`", shared.display()))
}
