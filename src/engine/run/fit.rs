//! Whether every node that may run has somewhere to run, asked before the first one starts.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json};

use super::decide::{Forecast, Line};
use super::place;
use crate::base::{Diagnostic, Problems, codes, phrase};
use crate::engine::capacity::Capacity;
use crate::engine::executors::{Executors, LOCAL};
use crate::plan::select::Selection;
use crate::plan::{Graph, Node, NodeId};

/// Reports selected nodes whose executor the site does not have (E0621).
pub fn unknown(graph: &Graph, selection: &Selection, executors: &Executors) -> Problems {
    let mut problems = Problems::default();
    for node in selection.nodes.iter().map(|&id| graph.node(id)) {
        let name = place::asked(node);
        if executors.contains_key(name) {
            continue;
        }
        let message = format!("`{}` asks for the executor `{name}`, which this site does not have", node.name);
        let names: Vec<&str> = executors.keys().map(String::as_str).collect();
        let d = Diagnostic::new(codes::E0621, node.span, message, "made here");
        problems.push(match phrase::nearest(name, names.iter().copied()) {
            Some(near) => d.help(format!("did you mean `{near}`?")),
            None => {
                d.help(format!("there is {}; a site file describes others (docs/placement.md)", phrase::quoted(&names)))
            }
        });
    }
    problems
}

/// Reports selected nodes that would run elsewhere although their keys tell of this machine's hardware (E0621).
pub fn other_numerics(graph: &Graph, selection: &Selection, executors: &Executors) -> Problems {
    let mut problems = Problems::default();
    let nodes = selection.nodes.iter().filter(|_| graph.strict_numerics).map(|&id| graph.node(id));
    for node in nodes.filter(|node| place::of(node, executors) != LOCAL) {
        let message =
            format!("`{}` asks for the executor `{}`, whose hardware is in no key", node.name, place::asked(node));
        problems.push(Diagnostic::new(codes::E0621, node.span, message, "made here").help(
            "with `strict_numerics` keys tell of the machine that `rbpipe` runs on: run it there, or leave `strict_numerics` out",
        ));
    }
    problems
}

/// Returns what a node asks for and its executor never has: the option, what is asked for, what there is.
pub fn lacking(node: &Node, executors: &Executors) -> Vec<(&'static str, String, String)> {
    match executors.get(place::of(node, executors)).map(|e| e.capacity()) {
        Some(Capacity::Machine(machine, _)) => machine.lacks(&place::needs(node, executors)),
        _ => Vec::new(),
    }
}

/// Reports nodes that would run, or may, and that no executor ever has room for (E0620). `forecast` is asked only if there is a node too large.
pub fn too_large(
    graph: &Graph,
    selection: &Selection,
    executors: &Executors,
    forecast: &dyn Fn() -> Vec<Line>,
) -> Problems {
    let mut problems = Problems::default();
    // Others are asked only about nodes that are no hits: to ask may mean to connect.
    let asks = |node: &Node| place::of(node, executors) != LOCAL;
    let doubtful = |id: &NodeId| asks(graph.node(*id)) || !lacking(graph.node(*id), executors).is_empty();
    let doubtful: Vec<NodeId> = selection.nodes.iter().copied().filter(doubtful).collect();
    if doubtful.is_empty() {
        return problems;
    }
    let lines = forecast().into_iter();
    let hits: BTreeSet<NodeId> = lines.filter(|l| l.forecast == Forecast::Hit).map(|l| l.node).collect();
    // A queue is asked once for all nodes that ask it for the same.
    let mut asked: Vec<(&str, &str, &Map<String, Json>)> = Vec::new();
    for node in doubtful.into_iter().filter(|id| !hits.contains(id)).map(|id| graph.node(id)) {
        let (at, what) = (place::of(node, executors), (place::of(node, executors), node.op.as_str(), &node.with));
        let refused = match executors.get(at) {
            Some(e) if asks(node) && !asked.contains(&what) => e.refuses(node),
            _ => None,
        };
        asked.push(what);
        if refused.is_none() && !lacking(node, executors).is_empty() {
            let d = Diagnostic::new(codes::E0620, node.span, words(node, executors), "can never start");
            problems.push(d.help(help(node)));
        }
        if let Some(e) = refused {
            let code = codes::lookup(e.code).map_or(codes::E0620, |(code, _)| code);
            let d = Diagnostic::new(
                code,
                node.span,
                format!("`{}` at `{at}`: {}", node.name, e.message),
                "can never start",
            );
            problems.push(Diagnostic { help: e.help, ..d });
        }
    }
    problems
}

/// Says in words what a node asks for and what there is.
pub fn words(node: &Node, executors: &Executors) -> String {
    let place = match place::of(node, executors) {
        LOCAL => "this machine".to_owned(),
        name => format!("`{name}`"),
    };
    let parts: Vec<String> = lacking(node, executors)
        .into_iter()
        .map(|(option, asked, there)| format!("`{option}: {asked}`, {place} has {there}"))
        .collect();
    format!("`{}` asks for {}", node.name, parts.join(", and for "))
}

/// The next step.
pub fn help(node: &Node) -> String {
    let options: Vec<&str> = ["cpus", "mem", "gpus"].into_iter().filter(|o| node.with.contains_key(*o)).collect();
    format!(
        "ask for less: {} in `with` never changes a result (`-w {}=…` for one run); or run it elsewhere with `with {{ executor }}`",
        phrase::quoted(&options),
        options.first().unwrap_or(&"cpus"),
    )
}
