//! What became of one row: where it was read, what each operator did with it, and why it was dropped.

use std::collections::BTreeMap;

use petgraph::Direction;
use serde_json::{Map, Value as Json};

use super::artifact::{Artifact, Kind};
use super::node::context::{Fate, QUARANTINED};
use super::run::decide::Line;
use super::storage::identity::Results;
use super::storage::store::Store;
use super::storage::{dataset, record};
use crate::base::{Digest, OpError};
use crate::plan::{Graph, Node, NodeId};
use crate::spec::{Effect, user_op};

/// A row's way through a recipe.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Trace {
    /// What each operator that met the row did with it, in the order of the graph.
    pub steps: Vec<Step>,
    /// Some row that is there, to show what names look like.
    pub example: Option<String>,
    /// How many nodes have no recorded result, so that nobody knows whether they meet the row.
    pub unknown: usize,
}

/// What one operator did with the row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What people call the node.
    pub node: String,
    /// The operator.
    pub op: String,
    /// In words: `read`, `passed`, `dropped: …`.
    pub says: String,
}

/// Follows the row whose column `id` is `row`. Rows without an `id` have no name that lasts, so datasets without one are passed over.
///
/// # Errors
/// A recorded dataset that cannot be read.
pub fn trace(
    graph: &Graph,
    lines: &[Line],
    results: &BTreeMap<NodeId, Results>,
    store: &Store,
    row: &str,
) -> Result<Trace, OpError> {
    let mut found = Trace::default();
    let mut seen = Seen { store, row, rows: BTreeMap::new(), example: None };
    for line in lines {
        let node = graph.node(line.node);
        if node.gate.is_some() {
            continue;
        }
        let Some(made) = results.get(&line.node) else {
            found.unknown += 1;
            continue;
        };
        // What became of the row in an operator of the user's is said where the other columns join again.
        if is_part(graph, line.node) {
            continue;
        }
        let program = program(graph, node);
        let given = node.inputs.iter().filter_map(|i| results.get(&i.node)?.get(&i.field));
        let (before, after) = (seen.first(given)?, seen.first(made.values())?);
        let rows: Vec<&Artifact> = made.values().map(|(_, a)| a).filter(|a| a.kind == Kind::Dataset).collect();
        let named = |artifact: &&Artifact| {
            artifact.meta["columns"].as_array().is_none_or(|c| c.iter().any(|c| c["name"] == "id"))
        };
        let makes = match (rows.is_empty(), rows.iter().any(named)) {
            (true, _) => Makes::Other,
            (false, true) => Makes::Rows,
            (false, false) => Makes::Nameless,
        };
        let lines = lines.iter().filter(|l| l.node == line.node || Some(l.node) == program);
        let records = lines.filter_map(|l| record::read(store, l.identity.as_ref()?.key));
        let told: Vec<Fate> = records.flat_map(|record| record.told(store)).collect();
        // A row that was never read is named by its place; any other fate is this row's only where the row came in.
        let own: Vec<&Fate> =
            told.iter().filter(|f| f.row == row && (before.is_some() || f.what == QUARANTINED)).collect();
        if let Some(says) = says(node, before.as_ref(), after.as_ref(), makes, &own) {
            let node = program.map_or(node, |of| graph.node(of));
            found.steps.push(Step { node: node.name.clone(), op: node.op.clone(), says });
        }
    }
    found.example = seen.example;
    Ok(found)
}

/// Returns the user's program whose rows a node joins with the other columns.
fn program(graph: &Graph, node: &Node) -> Option<NodeId> {
    let joins = node.op == user_op::JOIN;
    node.inputs.iter().map(|i| i.node).find(|of| joins && graph.node(*of).op == user_op::RUN)
}

/// Says whether a node is a program whose rows are joined with other columns, or picks the columns for it alone.
fn is_part(graph: &Graph, id: NodeId) -> bool {
    let all = |of: NodeId, op: &str| {
        let mut after = graph.dag.neighbors_directed(of, Direction::Outgoing).peekable();
        after.peek().is_some() && after.all(|next| graph.node(next).op == op)
    };
    let runs = |of: NodeId| graph.node(of).op == user_op::RUN && all(of, user_op::JOIN);
    let after = |of: NodeId| graph.dag.neighbors_directed(of, Direction::Outgoing);
    runs(id) || (all(id, user_op::RUN) && after(id).all(runs))
}

/// What a node makes of rows.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Makes {
    /// Rows with an `id`.
    Rows,
    /// Rows without one.
    Nameless,
    /// Something else.
    Other,
}

/// The cells of a row by column.
type Cells = Map<String, Json>;

/// Datasets looked through so far: the row in each.
struct Seen<'a> {
    store: &'a Store,
    row: &'a str,
    rows: BTreeMap<Digest, Option<Cells>>,
    example: Option<String>,
}

impl Seen<'_> {
    /// Returns the row as the first of some artifacts has it.
    fn first<'r>(&mut self, all: impl Iterator<Item = &'r (Digest, Artifact)>) -> Result<Option<Cells>, OpError> {
        for (digest, artifact) in all {
            if let Some(row) = self.row(*digest, artifact)? {
                return Ok(Some(row));
            }
        }
        Ok(None)
    }

    fn row(&mut self, digest: Digest, artifact: &Artifact) -> Result<Option<Cells>, OpError> {
        if artifact.kind != Kind::Dataset {
            return Ok(None);
        }
        if let Some(known) = self.rows.get(&digest) {
            return Ok(known.clone());
        }
        let table = dataset::load(self.store, artifact)?;
        let mut cells = None;
        if table.column("id").is_ok() {
            let at = (0..table.rows()).find(|&at| table.name(at) == self.row);
            if self.example.is_none() && table.rows() > 0 {
                self.example = Some(table.name(0));
            }
            if let Some(at) = at {
                let mut row = Cells::new();
                for (name, _) in table.columns() {
                    row.insert(name.clone(), table.cell(&name, at)?.to_json());
                }
                cells = Some(row);
            }
        }
        self.rows.insert(digest, cells.clone());
        Ok(cells)
    }
}

/// Says what a node did with a row; nothing if it never met it.
fn says(node: &Node, before: Option<&Cells>, after: Option<&Cells>, makes: Makes, fates: &[&Fate]) -> Option<String> {
    let told: Vec<String> = fates.iter().map(|f| format!("{}: {}", f.what, f.why)).collect();
    let told = told.join("; ");
    Some(match (before, after) {
        (None, None) if told.is_empty() => return None,
        (None, None) => told,
        (None, Some(_)) if node.effect == Effect::Source => "read".to_owned(),
        (None, Some(_)) => "made here".to_owned(),
        (Some(before), Some(after)) => {
            let mut parts = changes(before, after);
            parts.extend((!told.is_empty()).then_some(told));
            if parts.is_empty() { "passed".to_owned() } else { format!("passed; {}", parts.join("; ")) }
        }
        (Some(_), None) if !told.is_empty() => told,
        (Some(_), None) if makes == Makes::Rows => "left out".to_owned(),
        (Some(_), None) if makes == Makes::Nameless => "not followed further: its rows have no `id`".to_owned(),
        (Some(_), None) if node.effect == Effect::Train => "trained on".to_owned(),
        (Some(_), None) => "looked at".to_owned(),
    })
}

/// Says which cells are new or other than before.
fn changes(before: &Cells, after: &Cells) -> Vec<String> {
    let mut said = Vec::new();
    for (name, value) in after {
        match before.get(name) {
            Some(old) if old == value => {}
            Some(old) => said.push(match (short(old), short(value)) {
                (Some(old), Some(new)) => format!(".{name} {old} -> {new}"),
                _ => format!(".{name} changed"),
            }),
            None => said.push(match short(value) {
                Some(new) => format!("+ .{name} {new}"),
                None => format!("+ .{name}"),
            }),
        }
    }
    said.extend(before.keys().filter(|name| !after.contains_key(*name)).map(|name| format!("- .{name}")));
    said
}

/// Returns a cell as it fits into a line; nothing for lists and records.
fn short(value: &Json) -> Option<String> {
    const MOST: usize = 40;
    if value.is_array() || value.is_object() {
        return None;
    }
    let text = value.to_string();
    if text.chars().count() <= MOST {
        return Some(text);
    }
    Some(text.chars().take(MOST).chain("…".chars()).collect())
}
