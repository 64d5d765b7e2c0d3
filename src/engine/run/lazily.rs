//! Results that stay in a remote until somebody reads them: which nodes need their bytes here from the start, and fetching those of the others later.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::setup::Setup;
use crate::base::{Digest, OpError};
use crate::engine::remote::left;
use crate::engine::storage::record;
use crate::plan::artifact::Artifact;
use crate::plan::select::Selection;
use crate::plan::{Graph, NodeId};

/// A result that a node reads and of which only the description is here.
#[derive(Clone, Debug)]
pub(super) struct Promised {
    /// The node that it is of, for messages.
    pub name: String,
    pub key: Digest,
}

/// Returns the nodes whose bytes must be here whoever reads them: what nothing else in the run reads, what is published, and what a report tells the history of.
pub(super) fn needed(graph: &Graph, selection: &Selection) -> BTreeSet<NodeId> {
    let read: BTreeSet<NodeId> =
        selection.nodes.iter().flat_map(|id| &graph.node(*id).inputs).map(|i| i.node).collect();
    let mut out: BTreeSet<NodeId> = selection.nodes.iter().copied().filter(|id| !read.contains(id)).collect();
    let mut published: Vec<Artifact> = Vec::new();
    selection.outputs.iter().for_each(|at| graph.outputs[*at].value.artifacts(&mut published));
    out.extend(published.into_iter().map(|artifact| artifact.node));
    for gate in out.clone().into_iter().filter(|id| graph.node(*id).gate.is_some()) {
        // It asks for facts, which the description has.
        out.remove(&gate);
    }
    let tellers = selection.nodes.iter().copied().filter(|id| !graph.node(*id).history.is_empty());
    for id in tellers {
        out.extend(graph.ancestors([id]));
    }
    out
}

/// Fetches what a node reads and is not here yet.
///
/// # Errors
/// Class `damaged` when the remote does not give it: then it must be made.
pub(super) fn bring(setup: &Setup, promised: &[Promised], emit: &(dyn Fn(&str, Json) + Sync)) -> Result<(), OpError> {
    for Promised { name, key } in promised {
        if record::lookup(setup.store, *key).is_some() {
            continue;
        }
        let fetched = setup.remote.and_then(|remote| remote.fetch(setup.store, *key, emit, &setup.stop.soon));
        if fetched.is_none() && setup.stop.soon.load(std::sync::atomic::Ordering::Relaxed) {
            return Err(OpError::stopped());
        }
        if fetched.is_none() {
            left::forget(setup.store, *key);
            let message = format!("the remote offered the result of `{name}` and did not give its bytes");
            return Err(OpError::new("E0503", message)
                .class("damaged")
                .help("run again: what is missing is made anew"));
        }
    }
    Ok(())
}
