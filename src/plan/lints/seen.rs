//! Columns as the lock has seen them, followed from the files through the steps that leave them as they are.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use serde_json::Value as Json;

use super::Facts;
use crate::base::phrase;
use crate::plan::artifact::NodeId;
use crate::plan::graph::{Input, Node};
use crate::spec::observed::Column;
use crate::spec::{Columns, Effect, RowExpr};

/// Follows columns through a graph.
pub(super) struct Seen<'a> {
    pub(super) facts: &'a Facts<'a>,
    /// What is known of each node's columns: every step of a chain asks for all before it.
    undeclared: RefCell<HashMap<NodeId, Option<Rc<[String]>>>>,
}

/// What a condition was decided by.
pub(super) struct Why {
    /// In words.
    pub(super) seen: String,
    /// The value that was probably meant.
    pub(super) near: Option<String>,
}

impl<'a> Seen<'a> {
    pub(super) fn new(facts: &'a Facts<'a>) -> Self {
        Self { facts, undeclared: RefCell::default() }
    }

    fn rule(&self, node: &Node) -> Option<Columns> {
        self.facts.catalogue.get(&node.op).map(|op| op.spec.columns)
    }

    /// Says whether the rows of a node are its input's, some of them or all, with the columns that stay as they were.
    fn passes(&self, node: &Node) -> bool {
        let rule = self.rule(node);
        let moves = matches!(rule, Some(Columns::Derive | Columns::Rename | Columns::Select | Columns::Drop));
        node.effect == Effect::RowSubset
            || moves
            || node.op.starts_with("dedup.")
            || matches!(node.op.as_str(), "data.split" | "data.shuffle" | "data.sample" | "data.sort" | "data.top")
    }

    /// Returns what the files of some rows hold in a column, one entry a file; nothing where a step may have changed it.
    pub(super) fn values(&self, from: &Input, column: &str) -> Option<Vec<&'a Column>> {
        let node = self.facts.graph.node(from.node);
        let listed = |name: &str| node.args[name].as_array().is_some_and(|l| l.iter().any(|c| c == column));
        if node.effect == Effect::Source && node.inputs.is_empty() {
            let files = node.paths.iter().filter(|p| !p.media && !p.model);
            let seen: Option<Vec<&Column>> = files.map(|f| self.facts.known.columns(f)?.get(column)).collect();
            return seen.filter(|all| !all.is_empty());
        }
        if matches!(node.op.as_str(), "data.concat" | "data.blend") {
            let label = node.args["label"].as_str() == Some(column);
            let rows = node.inputs.iter().filter(|_| !label);
            let parts: Option<Vec<Vec<&Column>>> = rows.map(|input| self.values(input, column)).collect();
            return parts
                .map(Vec::into_iter)
                .map(Iterator::flatten)
                .map(Iterator::collect)
                .filter(|all: &Vec<_>| !all.is_empty());
        }
        let input = node.input("d").filter(|_| self.passes(node))?;
        match self.rule(node)? {
            Columns::Derive if node.args["columns"].get(column).is_some() => None,
            Columns::Rename => match node.args["columns"].get(column) {
                Some(old) => self.values(input, old.as_str()?),
                None => self.values(input, column),
            },
            Columns::Select if !listed("columns") => None,
            Columns::Drop if listed("columns") => None,
            _ => self.values(input, column),
        }
    }

    /// Returns the columns of rows that nobody has declared, where the lock and the steps since tell all of them.
    pub(super) fn undeclared(&self, from: &Input) -> Option<Rc<[String]>> {
        if let Some(known) = self.undeclared.borrow().get(&from.node) {
            return known.clone();
        }
        let found = self.undeclared_after(from).map(Rc::from);
        self.undeclared.borrow_mut().insert(from.node, found.clone());
        found
    }

    fn undeclared_after(&self, from: &Input) -> Option<Vec<String>> {
        let node = self.facts.graph.node(from.node);
        let rule = self.rule(node)?;
        if node.effect == Effect::Source && node.inputs.is_empty() {
            let files = node.paths.iter().filter(|p| !p.media && !p.model && rule == Columns::FromFile);
            let seen: Option<Vec<Vec<String>>> =
                files.map(|f| Some(self.facts.known.columns(f)?.keys().cloned().collect())).collect();
            return seen.filter(|all| !all.is_empty()).map(|all| all.concat());
        }
        let mut columns = self.undeclared(node.input("d").filter(|_| self.passes(node))?)?.to_vec();
        let given = &node.args["columns"];
        let listed = |column: &String| given.as_array().is_some_and(|l| l.iter().any(|c| c == column));
        match rule {
            Columns::Derive => columns.extend(given.as_object()?.keys().cloned()),
            Columns::Rename => {
                let renamed = given.as_object()?;
                columns.retain(|c| !renamed.values().any(|old| old == c));
                columns.extend(renamed.keys().cloned());
            }
            Columns::Select => columns.retain(listed),
            Columns::Drop => columns.retain(|c| !listed(c)),
            Columns::Signature if node.effect == Effect::RowSubset => {}
            _ => return None,
        }
        Some(columns)
    }

    /// Names the file that rows are read from.
    pub(super) fn source(&self, from: &Input) -> Option<String> {
        let node = self.facts.graph.node(from.node);
        match node.inputs.is_empty() {
            true => node.paths.iter().find(|p| !p.media).map(|p| p.path.display().to_string()),
            false => self.source(node.input("d")?),
        }
    }
}

/// Decides a condition that has one value for all rows, as far as the values that were seen tell. Only literals that stand in the text count.
pub(super) fn decided<'c>(
    condition: &RowExpr,
    written: &str,
    seen: &dyn Fn(&str) -> Option<Vec<&'c Column>>,
) -> Option<(bool, Why)> {
    match condition {
        RowExpr::Unary(op, inner) if op == "not" => decided(inner, written, seen).map(|(v, why)| (!v, why)),
        RowExpr::Binary(op, a, b) if op == "and" || op == "or" => {
            let settles = op == "or";
            match (decided(a, written, seen), decided(b, written, seen)) {
                (Some((v, why)), _) | (_, Some((v, why))) if v == settles => Some((v, why)),
                (Some((v, why)), Some(_)) => Some((v, why)),
                _ => None,
            }
        }
        RowExpr::Binary(op, a, b) => {
            let (RowExpr::Col(name), value) = (&**a, &**b) else { return None };
            let (positive, wanted) = match (op.as_str(), value) {
                ("==" | "!=", RowExpr::Lit(value)) => (op == "==", vec![value]),
                ("in" | "not_in", RowExpr::Lit(Json::Array(values))) => (op == "in", values.iter().collect()),
                ("in" | "not_in", RowExpr::List(items)) => {
                    (op == "in", items.iter().map(literal).collect::<Option<Vec<&Json>>>()?)
                }
                _ => return None,
            };
            let columns = seen(name)?;
            let (equal, why) = equals(name, &wanted, written, &columns)?;
            Some((equal == positive, why))
        }
        _ => None,
    }
}

/// Says whether all rows, or none, hold one of some values.
fn equals(name: &str, wanted: &[&Json], written: &str, columns: &[&Column]) -> Option<(bool, Why)> {
    let why = |seen: String, near| Some(Why { seen, near });
    if let [Json::Null] = wanted {
        return match () {
            () if columns.iter().all(|c| c.absent == 0.0) => {
                Some((false, why(format!("`.{name}` is there in every row that the lock has seen"), None)?))
            }
            () if columns.iter().all(|c| c.absent == 1.0) => {
                Some((true, why(format!("`.{name}` is there in no row that the lock has seen"), None)?))
            }
            () => None,
        };
    }
    let texts: Option<Vec<&str>> = wanted.iter().map(|v| v.as_str().filter(|t| !t.is_empty())).collect();
    let texts = texts?;
    if columns.iter().any(|c| c.values.is_empty()) || !texts.iter().all(|t| written.contains(&format!("\"{t}\""))) {
        return None;
    }
    let mut values: Vec<&str> = columns.iter().flat_map(|c| c.values.iter().map(String::as_str)).collect();
    values.sort_unstable();
    values.dedup();
    let told = format!("the lock has seen {} in `.{name}`", phrase::quoted(&values));
    if !texts.iter().any(|t| values.contains(t)) {
        let near = texts.iter().find_map(|t| phrase::nearest(t, values.iter().copied())).map(str::to_owned);
        return Some((false, Why { seen: told, near }));
    }
    let all = values.iter().all(|v| texts.contains(v)) && columns.iter().all(|c| c.absent == 0.0);
    all.then_some((true, Why { seen: told, near: None }))
}

fn literal(item: &RowExpr) -> Option<&Json> {
    match item {
        RowExpr::Lit(value) => Some(value),
        _ => None,
    }
}
