//! Which nodes a command needs: what outputs and expectations read, or what `--to` names.

use std::collections::BTreeSet;

use super::artifact::NodeId;
use super::graph::Graph;

/// What a command works on.
#[derive(Clone, Debug, Default)]
pub struct Selection {
    /// The nodes, with everything they need.
    pub nodes: BTreeSet<NodeId>,
    /// Indices of the outputs to publish.
    pub outputs: Vec<usize>,
}

/// Selects what outputs and expectations need; with `to`, what those names need.
///
/// # Errors
/// The name that is not there.
pub fn select(graph: &Graph, to: &[String]) -> Result<Selection, String> {
    let mut roots = BTreeSet::new();
    let mut outputs = Vec::new();
    if to.is_empty() {
        outputs.extend(0..graph.outputs.len());
        roots.extend(graph.gates.iter().copied());
    }
    for name in to {
        if let Some(at) = graph.outputs.iter().position(|o| o.name == *name) {
            outputs.push(at);
        } else if let Some(val) = graph.named(name) {
            let mut found = Vec::new();
            val.artifacts(&mut found);
            roots.extend(found.iter().map(|a| a.node));
        } else if let Some(a) = graph.find(name) {
            roots.insert(a.node);
        } else {
            return Err(name.clone());
        }
    }
    for &at in &outputs {
        let mut found = Vec::new();
        graph.outputs[at].value.artifacts(&mut found);
        roots.extend(found.iter().map(|a| a.node));
    }
    let mut nodes = graph.ancestors(roots);
    // An expectation about something that is made anyway is asked too, if it needs nothing more.
    for &gate in &graph.gates {
        if graph.node(gate).inputs.iter().all(|i| nodes.contains(&i.node)) && !graph.node(gate).inputs.is_empty() {
            nodes.insert(gate);
        }
    }
    Ok(Selection { nodes, outputs })
}

/// Returns every name that `--to` takes.
pub fn names(graph: &Graph) -> Vec<String> {
    let mut out: BTreeSet<String> = graph.names.keys().cloned().collect();
    out.extend(graph.outputs.iter().map(|o| o.name.clone()));
    out.extend(graph.dag.node_indices().map(|id| graph.node(id).name.clone()));
    out.into_iter().collect()
}
