//! What earlier runs tell of nodes that are to run: what they took, where the same operator ran with arguments of the same shape, and why they failed.

use std::cell::LazyCell;
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::decide::{Forecast, Line};
use crate::base::phrase;
use crate::engine::storage::journal;
use crate::engine::storage::record::{self, Record};
use crate::engine::storage::store::Store;
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

/// An argument that time grows with: twice as many take twice as long.
const GROWS: &str = "epochs";

/// Gives lines of nodes of the tensor engine that have no time the one of the newest record like them. Reads every record of the store if there is such
/// a line: for those who show times, not for those who only ask what would run.
pub fn fill(graph: &Graph, store: &Store, lines: &mut [Line]) {
    let records = LazyCell::new(|| record::all(store));
    for line in lines.iter_mut().filter(|l| l.seconds.is_none() && graph.node(l.node).pool == Pool::Engine) {
        let like = like(&records, graph.node(line.node));
        line.seconds = like.map(|(r, times)| r.seconds * times);
        line.like = like.map(|(r, _)| r.name.clone());
    }
}

/// Says of nodes that run again because they failed when and why they did.
pub fn failures(graph: &Graph, store: &Store, recipe: &Path, lines: &mut [Line]) {
    let failed = LazyCell::new(|| journal::failures(store, recipe));
    for line in lines.iter_mut().filter(|l| l.forecast == Forecast::Run) {
        let Some(key) = line.identity.as_ref().map(|i| i.key.hex()) else { continue };
        // With another key it is another node by now, and why that is so is the better answer.
        let same = failed.get(&graph.node(line.node).name).filter(|e| e.key.as_ref() == Some(&key));
        if let Some(event) = same {
            let message = event.text("message").unwrap_or_default();
            let first = message.lines().next().unwrap_or_default();
            line.why = format!("failed at {}: {}", event.t, phrase::shortened(first, 160));
        }
    }
}

/// Returns the newest record of the same operator, version and arguments, those aside that time does not hang on, and how many times as long the node
/// takes. One with as many epochs comes before others.
fn like<'r>(records: &'r [Record], node: &Node) -> Option<(&'r Record, f64)> {
    let wanted = Map::from_iter(node.args.as_object().into_iter().flatten().filter_map(|(name, value)| {
        let file = node.paths.iter().any(|p| p.arg == *name);
        (!file && name != GROWS && !FREE.contains(&name.as_str())).then(|| (format!("arg.{name}"), value.clone()))
    }));
    let epochs = node.args.get(GROWS);
    let alike = records.iter().filter_map(|r| {
        let same = r.began.is_none() // its time is that of its last steps alone
            && r.preimage.get("op").and_then(Json::as_str) == Some(&node.op)
            && r.preimage.get("version").and_then(Json::as_u64) == Some(u64::from(node.version))
            && wanted.iter().all(|(name, value)| r.preimage.get(name) == Some(value));
        let times = match (epochs.and_then(Json::as_f64), r.preimage.get("arg.epochs").and_then(Json::as_f64)) {
            (Some(now), Some(then)) if now > 0.0 && then > 0.0 => now / then,
            (None, None) => 1.0,
            _ => return None,
        };
        same.then_some((r, times))
    });
    // The first of the nearest: records come newest first.
    alike.min_by(|a, b| (a.1 - 1.0).abs().total_cmp(&(b.1 - 1.0).abs()))
}
