//! Where the outputs of a recipe come from, as its records tell it, for formats that others read. One file each; they are pure functions of a [`Story`].

pub mod openlineage;
pub mod ro_crate;
pub mod spdx;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Map, Value as Json};

use super::artifact::{Artifact, Kind};
use super::inputs::terms::{self, Flowed, Terms};
use super::run::decide::Line;
use super::storage::files::FileIndex;
use super::storage::identity::Results;
use super::storage::record::{self, Record};
use super::storage::store::Store;
use crate::base::Digest;
use crate::plan::val::Val;
use crate::plan::{Graph, NodeId};
use crate::spec::Effect;

/// What there is to tell.
#[derive(Debug)]
pub struct Story {
    /// The recipe's file name.
    pub recipe: String,
    /// Its name, or that of its file.
    pub title: String,
    /// Params that held.
    pub params: Vec<(String, String)>,
    /// What was read from outside, by name.
    pub sources: Vec<Source>,
    /// What was executed, inputs first.
    pub steps: Vec<Step>,
    /// What was published.
    pub outputs: Vec<Published>,
    /// When the last step was done, RFC 3339; the recipe's own time without steps.
    pub finished: String,
    /// Nodes without a record.
    pub absent: usize,
}

/// Something that was read from outside.
#[derive(Debug)]
pub struct Source {
    /// As the lock names it.
    pub name: String,
    /// Of its bytes.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// It is a model; otherwise rows or media.
    pub model: bool,
    /// Under which terms.
    pub terms: Terms,
    /// The step that reads it.
    pub reader: NodeId,
}

/// One node with its record.
#[derive(Debug)]
pub struct Step {
    /// The node.
    pub id: NodeId,
    /// What people call it.
    pub name: String,
    /// The operator and its semantic version.
    pub op: String,
    /// Its semantic version.
    pub version: u32,
    /// What it does to rows.
    pub effect: Effect,
    /// Arguments as they stand in the key.
    pub args: Map<String, Json>,
    /// What it read: the slot, and the result of another step.
    pub inputs: Vec<(String, Made)>,
    /// What it made.
    pub outputs: Vec<Made>,
    /// Its record.
    pub record: Record,
    /// The terms of what flowed into it.
    pub terms: Flowed,
}

/// A result.
#[derive(Clone, Debug)]
pub struct Made {
    /// The step that made it, and the field of its result where it has several.
    pub name: String,
    /// What it is.
    pub digest: Digest,
    /// Its description.
    pub artifact: Artifact,
}

/// An output of the recipe.
#[derive(Debug)]
pub struct Published {
    /// Its name.
    pub name: String,
    /// Where it lies, from the folder of the recipe.
    pub path: String,
    /// It is a folder.
    pub folder: bool,
    /// What lies there.
    pub made: Made,
    /// Its files with size and digest, pictures beside it included; named from the folder of the recipe.
    pub files: Vec<(String, u64, Digest)>,
    /// The terms of what flowed into it.
    pub terms: Flowed,
}

/// What is told about a recipe besides its graph.
pub struct About<'a> {
    /// The recipe's file name.
    pub recipe: String,
    /// Its name.
    pub title: String,
    /// Params that held.
    pub params: Vec<(String, String)>,
    /// Names an input as the lock does.
    pub source: &'a dyn Fn(&Path) -> String,
    /// Names a file of an output.
    pub output: &'a dyn Fn(&Path) -> String,
}

/// Collects what the records of a forecast tell.
///
/// # Errors
/// An input cannot be read.
pub fn tell(
    graph: &Graph,
    (lines, results): &(Vec<Line>, BTreeMap<NodeId, Results>),
    store: &Store,
    files: &FileIndex,
    about: About,
) -> std::io::Result<Story> {
    let flowed = terms::flow(graph);
    let made = |id: NodeId, field: &str| -> Option<Made> {
        let (digest, artifact) = results.get(&id)?.get(field)?;
        Some(Made { name: graph.result_name(id, field), digest: *digest, artifact: artifact.clone() })
    };
    let (mut sources, mut steps, mut absent) = (Vec::new(), Vec::new(), 0);
    let mut named = BTreeSet::new();
    for line in lines.iter().filter(|line| graph.node(line.node).gate.is_none()) {
        let node = graph.node(line.node);
        let record = line.identity.as_ref().and_then(|identity| record::read(store, identity.key));
        let Some(record) = record.filter(|_| results.contains_key(&line.node)) else {
            absent += 1;
            continue;
        };
        for arg in node.paths.iter().filter(|_| node.effect == Effect::Source) {
            let seen = files.seen(arg)?;
            let name = (about.source)(&arg.path);
            if named.insert(name.clone()) {
                let (digest, bytes, model) = (seen.digest, seen.bytes, arg.model);
                sources.push(Source { name, digest, bytes, model, terms: terms::of(node), reader: line.node });
            }
        }
        let inputs = node.inputs.iter().filter_map(|i| Some((i.slot.clone(), made(i.node, &i.field)?)));
        steps.push(Step {
            id: line.node,
            name: node.name.clone(),
            op: node.op.clone(),
            version: node.version,
            effect: node.effect,
            args: arguments(&record.preimage),
            inputs: inputs.collect(),
            outputs: node.fields.iter().filter_map(|field| made(line.node, field)).collect(),
            record,
            terms: flowed.get(&line.node).cloned().unwrap_or_default(),
        });
    }
    let mut outputs = Vec::new();
    for output in &graph.outputs {
        let (Some(target), Val::Artifact(artifact)) = (&output.to, &output.value) else { continue };
        let Some(made) = made(artifact.node, &artifact.field) else { continue };
        let Some(found) = super::storage::note::published(target) else { continue };
        let files = found.into_iter().map(|(path, size, digest)| ((about.output)(&path), size, digest)).collect();
        let terms = flowed.get(&artifact.node).cloned().unwrap_or_default();
        let (path, folder) = ((about.output)(target), target.is_dir());
        outputs.push(Published { name: output.name.clone(), path, folder, made, files, terms });
    }
    let finished = steps.iter().map(|s: &Step| s.record.made.clone()).max();
    Ok(Story {
        recipe: about.recipe,
        title: about.title,
        params: about.params,
        sources,
        steps,
        outputs,
        finished: finished.unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned()),
        absent,
    })
}

/// The arguments of a pre-image, without what only says where an artifact comes in.
fn arguments(preimage: &Map<String, Json>) -> Map<String, Json> {
    let own = preimage.iter().filter_map(|(name, value)| Some((name.strip_prefix("arg.")?.to_owned(), value.clone())));
    own.filter(|(_, value)| !value.get("$input").is_some_and(Json::is_string)).collect()
}

/// The kind of an artifact, in a word for people.
fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Dataset => "dataset",
        Kind::Model => "model",
        Kind::Classifier => "classifier",
        Kind::Benchmark => "benchmark",
        Kind::Score => "score",
        Kind::Table => "table",
        Kind::Report => "report",
        Kind::File => "file",
        Kind::Metric => "metric",
        Kind::State => "state",
    }
}

/// A number of the form that a UUID has, made of a digest: the same thing has the same one each time.
fn uuid(text: &str) -> String {
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&Digest::of(text.as_bytes()).0[..16]);
    // Version 8, made by a rule of one's own.
    bytes[6] = bytes[6] & 0x0f | 0x80;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex: String = bytes.iter().map(|b| format!("{b:02x}")).collect();
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Keeps letters, digits and a few signs, so that a name can stand in an address.
fn plain(name: &str) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || "._-".contains(c);
    name.chars().map(|c| if fits(c) { c.to_string() } else { format!("~{:x}", c as u32) }).collect()
}

/// When a step began: its end less its duration.
fn begun(record: &Record) -> String {
    let end: Option<jiff::Timestamp> = record.made.parse().ok();
    let span = jiff::SignedDuration::try_from_secs_f64(record.seconds).ok();
    let begin = end.zip(span).and_then(|(end, span)| end.checked_sub(span).ok());
    let rounded = begin.map(|t| t.round(jiff::Unit::Millisecond).unwrap_or(t));
    rounded.map_or_else(|| record.made.clone(), |t| t.to_string())
}
