//! How a dataset came about: for each operator upstream, rows in, rows out, and why rows were left behind. Reports show it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use regex::Regex;
use serde::{Deserialize, Serialize};

use super::record::{self, Record};
use super::recorded::Fate;
use super::store::Store;
use crate::base::Digest;
use crate::plan::graph::{Input, Node};
use crate::plan::{Graph, NodeId};

/// Reasons listed by name; rarer ones are counted together.
const MOST_REASONS: usize = 6;

/// One operator upstream.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// The operator.
    pub op: String,
    /// What the reader calls this branch: the label of a joined source.
    pub label: Option<String>,
    /// The steps whose rows it reads, by place in the list.
    pub from: Vec<usize>,
    /// Rows that it read; none for a source.
    pub rows_in: Option<u64>,
    /// Rows that it gave on; none where no record says so.
    pub rows_out: Option<u64>,
    /// What it counted.
    pub counts: BTreeMap<String, u64>,
    /// What became of rows and why, the most frequent first: `dropped`, the reason, rows.
    pub reasons: Vec<(String, String, u64)>,
}

/// Returns the steps that lead to the artifact in a slot of a node, in the order in which rows pass them. What an operator
/// only looks things up in (a model, scenes) is left out. `key` gives the action key of a node, where it is known.
pub fn of(graph: &Graph, at: NodeId, slot: &str, key: &dyn Fn(NodeId) -> Option<Digest>, store: &Store) -> Vec<Step> {
    let Some(input) = graph.node(at).input(slot) else { return Vec::new() };
    let mut wanted = BTreeSet::new();
    let mut open = vec![input.node];
    while let Some(id) = open.pop() {
        if wanted.insert(id) {
            open.extend(passing(graph.node(id)).map(|i| i.node));
        }
    }
    let records: BTreeMap<NodeId, Record> =
        wanted.iter().filter_map(|&id| Some((id, record::read(store, key(id)?)?))).collect();
    let rows = |id: NodeId, field: &str| -> Option<u64> {
        let digest = records.get(&id)?.outputs.get(field)?;
        store.artifact(*digest)?.rows()
    };
    let mut places: BTreeMap<NodeId, usize> = BTreeMap::new();
    let mut steps: Vec<Step> = Vec::new();
    for id in graph.order().into_iter().filter(|id| wanted.contains(id)) {
        let node = graph.node(id);
        let Some(record) = records.get(&id).filter(|r| r.rows.is_some()) else { continue };
        // What the wanted branch of several results took is what counts.
        let field = if id == input.node { &input.field } else { node.fields.first().unwrap_or(&input.field) };
        let read: Vec<_> = passing(node).filter(|i| places.contains_key(&i.node)).collect();
        let counted: Option<Vec<u64>> = read.iter().map(|i| rows(i.node, &i.field)).collect();
        for i in &read {
            if let Some((_, label)) = i.slot.split_once('.')
                && steps[places[&i.node]].label.is_none()
            {
                steps[places[&i.node]].label = Some(label.to_owned());
            }
        }
        steps.push(Step {
            op: node.op.clone(),
            label: None,
            from: read.iter().map(|i| places[&i.node]).collect(),
            rows_in: counted.filter(|c| !c.is_empty()).map(|c| c.iter().sum()),
            rows_out: rows(id, field).or(record.rows),
            counts: record.counts.clone(),
            reasons: reasons(record, store),
        });
        places.insert(id, steps.len() - 1);
    }
    steps
}

/// The inputs whose rows an operator passes on: those of its first argument.
fn passing(node: &Node) -> impl Iterator<Item = &Input> {
    let argument = |i: &Input| i.slot.split(['.', '[']).next().unwrap_or_default().to_owned();
    let first = node.inputs.first().map(argument);
    node.inputs.iter().filter(move |i| Some(argument(i)) == first)
}

/// Counts the reasons of a record's fates. Reasons that differ in names and numbers alone are one.
fn reasons(record: &Record, store: &Store) -> Vec<(String, String, u64)> {
    static OWN: LazyLock<Option<Regex>> = LazyLock::new(|| Regex::new(r#"`[^`]*`|"[^"]*"|-?\d+(?:\.\d+)?"#).ok());
    let mut counts: BTreeMap<(String, String), u64> = BTreeMap::new();
    for Fate { what, why, .. } in record.told(store) {
        let why = OWN.as_ref().map_or(why.clone(), |own| own.replace_all(&why, "…").into_owned());
        *counts.entry((what, why)).or_default() += 1;
    }
    let mut list: Vec<(String, String, u64)> = counts.into_iter().map(|((what, why), n)| (what, why, n)).collect();
    list.sort_by(|a, b| b.2.cmp(&a.2).then_with(|| a.cmp(b)));
    if list.len() > MOST_REASONS {
        let rest = list.split_off(MOST_REASONS).iter().map(|r| r.2).sum();
        list.push(("other".into(), "other reasons".into(), rest));
    }
    list
}
