//! What earlier runs took, for nodes that have not run yet: only where the same operator ran with arguments of the same shape.

use std::cell::LazyCell;

use serde_json::{Map, Value as Json};

use super::decide::Line;
use super::record::{self, Record};
use super::store::Store;
use crate::plan::{Graph, Node};
use crate::spec::Pool;

/// Arguments that change what comes out and not how long it takes.
const FREE: &[&str] = &[
    "lr",
    "beta",
    "gamma",
    "smoothing",
    "weight_decay",
    "betas",
    "eps",
    "clip",
    "floor",
    "warmup",
    "schedule",
    "temperature",
    "top_p",
];

/// Gives lines of nodes of the tensor engine that have no time the one of the newest record like them. Reads every record of the store if there is such
/// a line: for those who show times, not for those who only ask what would run.
pub fn fill(graph: &Graph, store: &Store, lines: &mut [Line]) {
    let records = LazyCell::new(|| record::all(store));
    for line in lines.iter_mut().filter(|l| l.seconds.is_none() && graph.node(l.node).pool == Pool::Engine) {
        let like = like(&records, graph.node(line.node));
        line.seconds = like.map(|r| r.seconds);
        line.like = like.map(|r| r.name.clone());
    }
}

/// Returns the first record of the same operator, version and arguments, those aside that time does not hang on.
fn like<'r>(records: &'r [Record], node: &Node) -> Option<&'r Record> {
    let wanted = Map::from_iter(node.args.as_object().into_iter().flatten().filter_map(|(name, value)| {
        let file = node.paths.iter().any(|p| p.arg == *name);
        (!file && !FREE.contains(&name.as_str())).then(|| (format!("arg.{name}"), value.clone()))
    }));
    records.iter().find(|r| {
        r.preimage.get("op").and_then(Json::as_str) == Some(&node.op)
            && r.preimage.get("version").and_then(Json::as_u64) == Some(u64::from(node.version))
            && wanted.iter().all(|(name, value)| r.preimage.get(name) == Some(value))
    })
}
