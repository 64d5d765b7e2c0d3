//! The identity of a node: one walk over everything that decides its result, and two writers that can never disagree —
//! a hash, and the pre-image that people read.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::artifact::NodeId;
use super::graph::{Graph, Node};
use super::serving;
use crate::base::Digest;
use crate::base::digest::canonical;
use crate::spec::Class;

/// The first bytes of every action key.
const ACTION: &str = "rbpipe/action/v1";
/// The first bytes of every key of what was decided of rows.
const ROWS: &str = "rbpipe/rows/v1";
/// The first bytes of every plan key.
const PLAN: &str = "rbpipe/plan/v1";

/// Receives the fields of an identity, in order.
pub trait KeyWriter {
    /// A field that is a text.
    fn text(&mut self, name: &str, value: &str);
    /// A field that is a whole number.
    fn int(&mut self, name: &str, value: i64);
    /// A field that is a JSON value, taken in canonical form.
    fn json(&mut self, name: &str, value: &Json);
    /// A field that is a digest.
    fn digest(&mut self, name: &str, value: Digest);
}

/// Hashes type-tagged, length-prefixed fields, so that no two lists of fields have the same bytes.
pub struct HashWriter {
    hasher: blake3::Hasher,
}

impl HashWriter {
    /// Starts with a domain, so that keys of different kinds never meet.
    pub fn new(domain: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(domain.as_bytes());
        Self { hasher }
    }

    fn field(&mut self, tag: u8, name: &str, value: &[u8]) {
        self.hasher.update(&[tag]);
        for part in [name.as_bytes(), value] {
            self.hasher.update(&(part.len() as u64).to_le_bytes());
            self.hasher.update(part);
        }
    }

    /// Returns the key.
    pub fn finish(self) -> Digest {
        Digest(*self.hasher.finalize().as_bytes())
    }
}

impl KeyWriter for HashWriter {
    fn text(&mut self, name: &str, value: &str) {
        self.field(b't', name, value.as_bytes());
    }

    fn int(&mut self, name: &str, value: i64) {
        self.field(b'i', name, &value.to_le_bytes());
    }

    fn json(&mut self, name: &str, value: &Json) {
        self.field(b'j', name, canonical(value).as_bytes());
    }

    fn digest(&mut self, name: &str, value: Digest) {
        self.field(b'd', name, &value.0);
    }
}

/// Keeps the fields as they are, for the record beside the result and for `why`.
#[derive(Default)]
pub struct ExplainWriter {
    /// Field to value.
    pub fields: Map<String, Json>,
}

impl KeyWriter for ExplainWriter {
    fn text(&mut self, name: &str, value: &str) {
        self.fields.insert(name.into(), json!(value));
    }

    fn int(&mut self, name: &str, value: i64) {
        self.fields.insert(name.into(), json!(value));
    }

    fn json(&mut self, name: &str, value: &Json) {
        self.fields.insert(name.into(), value.clone());
    }

    fn digest(&mut self, name: &str, value: Digest) {
        self.fields.insert(name.into(), json!(value.hex()));
    }
}

/// What decides a node's result besides its declaration: digests of what it reads.
#[derive(Clone, Debug, Default)]
pub struct Reads {
    /// By slot.
    pub inputs: BTreeMap<String, Digest>,
    /// Bytes of the files that a source reads, by argument.
    pub files: BTreeMap<String, Digest>,
    /// How rows came about, for operators that tell it.
    pub history: Option<Json>,
    /// What the server said of itself that it asks, as it is pinned.
    pub server: Option<Json>,
    /// Under `strict_numerics`: what may move the last bits of a computed number.
    pub numerics: Option<Map<String, Json>>,
}

/// Writes everything that decides a node's result. Names, paths and `with` are not among it.
pub fn walk(node: &Node, reads: &Reads, to: &mut dyn KeyWriter) {
    to.text("op", &node.op);
    to.int("version", i64::from(node.version));
    if let Json::Object(args) = &node.args {
        let mut names: Vec<&String> = args.keys().collect();
        names.sort();
        for name in names {
            if !reads.files.contains_key(name) {
                to.json(&format!("arg.{name}"), &args[name]);
            }
        }
    }
    for (name, digest) in &reads.files {
        to.digest(&format!("file.{name}"), *digest);
    }
    for (slot, digest) in &reads.inputs {
        to.digest(&format!("input.{slot}"), *digest);
    }
    if let Some(history) = &reads.history {
        to.json("history", history);
    }
    if let Some(server) = &reads.server {
        to.json("server", server);
    }
    for (name, value) in reads.numerics.iter().flatten() {
        to.json(&format!("numerics.{name}"), value);
    }
    if node.class == Class::Sampled {
        to.int("seed", node.seed.unwrap_or(0));
        to.int("ordinal", i64::from(node.ordinal));
    }
}

/// Returns the action key of a node.
pub fn action(node: &Node, reads: &Reads) -> Digest {
    let mut hash = HashWriter::new(ACTION);
    walk(node, reads, &mut hash);
    hash.finish()
}

/// Returns the key of what a node decides of rows, whose other columns pass: `reads` has digests of those that it looks at.
pub fn rows(node: &Node, reads: &Reads) -> Digest {
    let mut hash = HashWriter::new(ROWS);
    walk(node, reads, &mut hash);
    hash.finish()
}

/// Returns the fields that [`action`] hashes.
pub fn preimage(node: &Node, reads: &Reads) -> Map<String, Json> {
    let mut explain = ExplainWriter::default();
    walk(node, reads, &mut explain);
    explain.fields
}

/// Stands for the numerics of whatever machine is asked, where only recipes are compared.
pub(super) fn some_numerics(graph: &Graph) -> Option<Map<String, Json>> {
    graph.strict_numerics.then(|| Map::from_iter([("strict".to_owned(), Json::Bool(true))]))
}

/// Returns the plan key of each node: as the action key, with upstream plan keys for digests that are not known yet.
pub fn plan(graph: &Graph, files: &dyn Fn(NodeId) -> BTreeMap<String, Digest>) -> BTreeMap<NodeId, Digest> {
    let mut keys = BTreeMap::new();
    for id in graph.order() {
        let node = graph.node(id);
        let mut reads = Reads { files: files(id), numerics: some_numerics(graph), ..Reads::default() };
        reads.server = serving::said(graph, node);
        for input in &node.inputs {
            let upstream: Digest = keys.get(&input.node).copied().unwrap_or(Digest([0; 32]));
            let mut hash = HashWriter::new(PLAN);
            hash.digest("node", upstream);
            hash.text("field", &input.field);
            reads.inputs.insert(input.slot.clone(), hash.finish());
        }
        let mut hash = HashWriter::new(PLAN);
        walk(node, &reads, &mut hash);
        keys.insert(id, hash.finish());
    }
    keys
}

/// Returns the stream of row randomness of a sampled node: seed, operator, arguments, and ordinal among equal operators
/// upstream. What flows in does not matter, so that new rows leave the draws of old ones alone.
pub fn stream(node: &Node) -> Digest {
    let mut hash = HashWriter::new("rbpipe/stream/v1");
    hash.int("seed", node.seed.unwrap_or(0));
    hash.text("op", &node.op);
    let mut args = node.args.clone();
    if let Json::Object(map) = &mut args {
        map.retain(|name, _| !node.paths.iter().any(|p| p.arg == *name));
    }
    hash.json("args", &args);
    hash.int("ordinal", i64::from(node.ordinal));
    hash.finish()
}
