//! Rehearsals: a graph that reads made-up rows and tiny random models and does two steps where the real one does thousands, so that what is wrong
//! with it shows before the first GPU starts.

mod actor;
mod judge;
mod models;
mod rows;
mod small;
mod sources;

pub use actor::{ALIKE, Actor, Notes};
pub use judge::Judge;

use std::collections::BTreeMap;
use std::path::Path;

use crate::base::OpError;
use crate::plan::graph::Edge;
use crate::plan::select::Selection;
use crate::plan::{Graph, NodeId};

/// What takes the place of the outside world.
#[derive(Debug, Default)]
pub struct Stage {
    /// What stands in for each source, in words.
    pub stand_ins: BTreeMap<NodeId, String>,
    /// Sources for which nothing can be made up, and why; whatever reads them is left out.
    pub unknown: BTreeMap<NodeId, String>,
}

impl Stage {
    /// Says whether rows that were made up without anybody having described them reach a node as a benchmark.
    pub fn guessed(&self, graph: &Graph, id: NodeId) -> bool {
        let node = graph.node(id);
        let guessed = |of: &NodeId| self.stand_ins.get(of).is_some_and(|what| what.ends_with(sources::GUESSED));
        let asks = ["bench.", "eval.", "grid.", "score."].iter().any(|module| node.op.starts_with(module));
        let from = node.inputs.iter().filter(|i| i.slot != "m").map(|i| i.node);
        asks && graph.ancestors(from).iter().any(guessed)
    }
}

/// Changes the selected nodes of a graph in place: sources read files under `folder`, trainings take two steps, expectations stop nothing, and
/// judges and models behind servers are asked at `judge`.
///
/// # Errors
/// When a file cannot be written.
pub fn prepare(graph: &mut Graph, selection: &Selection, folder: &Path, judge: &Judge) -> Result<Stage, OpError> {
    let mut stage = Stage::default();
    // Nothing waits for an expectation: it is asked, and its answer says nothing about the real rows.
    graph.dag.retain_edges(|g, edge| g[edge] != Edge::Gate);
    // The lock tells of the real ones.
    graph.servers.clear();
    let media = rows::Media::write(&folder.join("media"))?;
    for &id in &selection.nodes {
        match sources::replace(graph, id, folder, &media)? {
            Some(Ok(what)) => {
                stage.stand_ins.insert(id, what);
            }
            Some(Err(why)) => {
                stage.unknown.insert(id, why);
            }
            None => {}
        }
        small::make(graph.dag.node_weight_mut(id), &judge.url());
    }
    Ok(stage)
}
