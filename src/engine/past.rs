//! What earlier runs took, for nodes that have not run yet: only where the same operator ran with arguments of the same shape.

use std::cell::OnceCell;

use serde_json::{Map, Value as Json};

use super::record::{self, Record};
use super::store::Store;
use crate::plan::Node;

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

/// The records of a store, read when they are first asked for.
pub struct Past<'a> {
    store: &'a Store,
    records: OnceCell<Vec<Record>>,
}

impl<'a> Past<'a> {
    /// Starts with nothing read.
    pub fn new(store: &'a Store) -> Self {
        Self { store, records: OnceCell::new() }
    }

    /// Returns the newest record of the same operator, version and arguments, those aside that time does not hang on.
    pub fn like(&self, node: &Node) -> Option<&Record> {
        let records = self.records.get_or_init(|| record::all(self.store));
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
}
