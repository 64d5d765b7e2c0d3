//! What a node is, once what it reads is known: its key, and the result that is recorded under it.

use std::collections::BTreeMap;
use std::io;

use serde_json::{Map, Value as Json};

use super::files::FileIndex;
use super::record::{self, Record};
use super::store::Store;
use super::{history, looked};
use crate::base::Digest;
use crate::engine::artifact::Artifact;
use crate::engine::hardware;
use crate::plan::graph::Input;
use crate::plan::key::{Reads, action, preimage};
use crate::plan::{Graph, Node, NodeId, serving};

/// The results of one node: by field, digest and description.
pub type Results = BTreeMap<String, (Digest, Artifact)>;

/// A node's identity, now that what it reads is known.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The action key.
    pub key: Digest,
    /// Digests of the files that it reads.
    pub reads: Reads,
}

impl Identity {
    /// Returns the fields that the key of `node` hashes.
    pub fn preimage(&self, node: &Node) -> Map<String, Json> {
        preimage(node, &self.reads)
    }
}

/// Returns a node's identity. `key` gives the action keys of nodes upstream.
///
/// # Errors
/// A file that it reads is not there or cannot be read.
pub fn identify(
    graph: &Graph,
    id: NodeId,
    inputs: BTreeMap<String, Digest>,
    files: &FileIndex,
    store: &Store,
    key: &dyn Fn(NodeId) -> Option<Digest>,
) -> io::Result<Identity> {
    let node = graph.node(id);
    let numerics = graph.strict_numerics.then(|| hardware::class().clone());
    let mut reads = Reads { inputs, numerics, server: serving::said(graph, node), ..Reads::default() };
    if !node.history.is_empty() {
        let told = node.history.iter().map(|slot| ((*slot).to_owned(), history::of(graph, id, slot, key, store)));
        reads.history = Some(serde_json::to_value(told.collect::<BTreeMap<_, _>>())?);
    }
    for arg in &node.paths {
        let digest = files
            .argument(arg)
            .map_err(|e| io::Error::new(e.kind(), format!("cannot read `{}`: {e}", arg.path.display())))?;
        reads.files.insert(arg.arg.clone(), digest);
    }
    Ok(Identity { key: action(node, &reads), reads })
}

/// Returns the digests of what a node reads, those inputs that have a result.
pub fn inputs(node: &Node, results: &BTreeMap<NodeId, Results>) -> BTreeMap<String, Digest> {
    let one = |i: &Input| {
        let (digest, artifact) = results.get(&i.node)?.get(&i.field)?;
        Some((i.slot.clone(), looked::given(node, &i.slot, artifact).map_or(*digest, |given| given.digest())))
    };
    node.inputs.iter().filter_map(one).collect()
}

/// Returns a recorded result with all its bytes.
pub fn recorded(store: &Store, key: Digest) -> Option<(Record, Results)> {
    record::lookup(store, key).map(with_digests)
}

/// As [`recorded`], for a run that goes on to use it.
pub fn claimed(store: &Store, key: Digest) -> Option<(Record, Results)> {
    record::claim(store, key).map(with_digests)
}

fn with_digests((record, artifacts): (Record, BTreeMap<String, Artifact>)) -> (Record, Results) {
    let results = artifacts.into_iter().map(|(field, a)| (field.clone(), (record.outputs[&field], a))).collect();
    (record, results)
}

/// Returns what a node is given, by slot, as far as it is there.
pub(crate) fn given(node: &Node, results: &BTreeMap<NodeId, Results>) -> BTreeMap<String, Artifact> {
    let one = |i: &Input| {
        let whole = &results.get(&i.node)?.get(&i.field)?.1;
        Some((i.slot.clone(), looked::given(node, &i.slot, whole).unwrap_or_else(|| whole.clone())))
    };
    node.inputs.iter().filter_map(one).collect()
}
