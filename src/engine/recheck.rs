//! Executes recorded nodes again and compares what they make with what is recorded: shows what differs from run to run.

use std::collections::BTreeMap;

use super::artifact::{Artifact, Kind};
use super::run::decide::Forecast;
use super::run::forecast::{Elsewhere, Forecaster};
use super::run::job;
use super::run::setup::Setup;
use super::storage::dataset;
use super::storage::identity::{self, Identity, Results};
use super::storage::record::Record;
use super::storage::store::Store;
use crate::base::{Digest, OpError};
use crate::plan::select::Selection;
use crate::plan::{Graph, NodeId};
use crate::spec::Class;

/// What executing a node again gave.
#[derive(Debug)]
pub enum Verdict {
    /// The bytes that are recorded.
    Same,
    /// Others: what differs, in words.
    Diverges(Vec<String>),
    /// It could not be executed.
    Failed(OpError),
}

/// Returns the recorded nodes of a selection that promise the same bytes each time, a share of them (0 to 1) drawn by `salt`, at least one.
pub fn sample(
    graph: &Graph,
    selection: &Selection,
    setup: &Setup,
    share: f64,
    salt: u64,
) -> (Vec<(NodeId, Identity)>, BTreeMap<NodeId, Results>) {
    let Setup { store, files, .. } = setup;
    let (last, elsewhere): (_, Elsewhere) = (BTreeMap::new(), &|_| None);
    let (lines, results) = Forecaster { graph, selection, store, files, last, elsewhere }.all();
    let promises = |id: NodeId| graph.node(id).class == Class::Deterministic && graph.node(id).gate.is_none();
    let hits = lines.into_iter().filter(|l| l.forecast == Forecast::Hit && promises(l.node));
    let mut found: Vec<_> = hits.filter_map(|l| Some((l.node, l.identity?))).collect();
    found.sort_by_key(|(_, identity)| Digest::of(&[&identity.key.0[..], &salt.to_le_bytes()].concat()));
    let wanted = (found.len() as f64 * share).ceil() as usize;
    found.truncate(wanted.max(1));
    found.sort_by_key(|(id, _)| *id);
    (found, results)
}

/// Executes a node again. What is recorded stays as it is.
pub fn again(
    graph: &Graph,
    id: NodeId,
    identity: &Identity,
    results: &BTreeMap<NodeId, Results>,
    setup: &Setup,
) -> Verdict {
    let made = match job::execute_again(graph, id, identity, results, setup) {
        Ok(made) => made,
        Err(e) => return Verdict::Failed(e),
    };
    let Some((record, recorded)) = identity::recorded(setup.store, identity.key) else {
        return Verdict::Failed(OpError::new("E0503", "its record is gone"));
    };
    let differ: Vec<String> = made
        .outputs
        .iter()
        .filter(|(field, artifact)| digest(artifact) != recorded_digest(&record, field))
        .flat_map(|(field, now)| {
            let Some((_, then)) = recorded.get(field) else { return vec![format!("`{field}` is new")] };
            let place = if field.is_empty() { String::new() } else { format!("`{field}`: ") };
            differences(setup.store, then, now).into_iter().map(|what| format!("{place}{what}")).collect()
        })
        .collect();
    if differ.is_empty() { Verdict::Same } else { Verdict::Diverges(differ) }
}

fn digest(artifact: &Artifact) -> Option<Digest> {
    // As the store gives it back.
    let mut artifact = artifact.clone();
    artifact.meta.sort_all_objects();
    Some(artifact.digest())
}

fn recorded_digest(record: &Record, field: &str) -> Option<Digest> {
    record.outputs.get(field).copied()
}

/// Says how two results differ: columns with the first row, files, facts.
fn differences(store: &Store, then: &Artifact, now: &Artifact) -> Vec<String> {
    let (then, now) = (then.bare(), now.bare());
    let mut out = Vec::new();
    if then.rows() != now.rows() {
        let count = |a: &Artifact| a.rows().map_or("no".to_owned(), |n| n.to_string());
        out.push(format!("{} rows, then {}", count(&now), count(&then)));
    }
    let names: std::collections::BTreeSet<&String> = then.files.keys().chain(now.files.keys()).collect();
    for name in names.into_iter().filter(|name| then.files.get(*name) != now.files.get(*name)) {
        let column = name.strip_prefix("columns/").and_then(|n| n.strip_suffix(".arrow"));
        out.push(match column.filter(|_| now.kind == Kind::Dataset) {
            Some(column) => format!("column `{column}`{}", first_row(store, &then, &now, column)),
            None => format!("file `{name}`"),
        });
    }
    if out.is_empty() {
        out.push("what is told about it".to_owned());
    }
    out
}

fn first_row(store: &Store, then: &Artifact, now: &Artifact, column: &str) -> String {
    let cells = |artifact: &Artifact| -> Option<Vec<String>> {
        let table = dataset::load_only(store, artifact, |name| name == column).ok()?;
        Some(table.cells(column).ok()?.iter().map(|cell| cell.to_json().to_string()).collect())
    };
    let (Some(then), Some(now)) = (cells(then), cells(now)) else { return String::new() };
    let at = then.iter().zip(&now).position(|(a, b)| a != b);
    at.map_or(String::new(), |at| {
        let short = |text: &String| text.chars().take(60).collect::<String>();
        format!(" from row {at} on: {}, then {}", short(&now[at]), short(&then[at]))
    })
}
