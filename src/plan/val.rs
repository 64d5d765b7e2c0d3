//! What expressions evaluate to while the graph is built: plain values, artifacts to come, and mixtures of both.

use std::path::PathBuf;
use std::sync::Arc;

use super::artifact::Artifact;
use super::metric::Metric;
use crate::spec::{RowExpr, Value};
use serde_json::Value as Json;

/// The result of an expression at compile time.
#[derive(Clone, Debug)]
pub enum Val {
    /// A scalar.
    Value(Value),
    /// A schema used as a value.
    Schema(Schema),
    /// `a..b`
    Range(Option<Box<Val>>, Option<Box<Val>>),
    /// `[a, b]`
    List(Vec<Val>),
    /// `(a, b)`
    Tuple(Vec<Val>),
    /// `{ a: 1 }`
    Record(Vec<(String, Val)>),
    /// An expression over a row.
    Row(RowExpr),
    /// A plain value made by an operator, such as `read.choice()`.
    Verb {
        /// The operator.
        op: String,
        /// Its arguments, defaults filled.
        args: Vec<(String, Val)>,
    },
    /// Something that a node makes.
    Artifact(Artifact),
    /// Named benchmarks.
    Suite(Vec<(String, Val)>),
    /// A sweep's cells.
    Grid(Arc<Grid>),
    /// A number known only after running.
    Metric(Metric),
}

/// A schema as a loader needs it.
#[derive(Clone, Debug, PartialEq)]
pub struct Schema {
    /// Columns and their types as written.
    pub columns: Vec<(String, String)>,
}

impl Schema {
    /// Returns the canonical JSON form.
    pub fn to_json(&self) -> Json {
        let columns: Vec<Json> =
            self.columns.iter().map(|(n, t)| serde_json::json!({ "name": n, "type": t })).collect();
        serde_json::json!({ "columns": columns })
    }
}

/// The cells of a sweep.
#[derive(Clone, Debug)]
pub struct Grid {
    /// Axis names, in order.
    pub axes: Vec<String>,
    /// The labels of each axis, in order.
    pub labels: Vec<Vec<String>>,
    /// Each cell with its labels, one per axis.
    pub cells: Vec<(Vec<String>, Val)>,
}

/// Where an expression stands: which module's folder its relative paths start from.
#[derive(Clone, Debug, PartialEq)]
pub struct Place {
    /// The module.
    pub module: usize,
    /// Its folder.
    pub folder: PathBuf,
}

impl Val {
    /// Wraps a text.
    pub fn str(text: impl Into<String>) -> Self {
        Val::Value(Value::Str(text.into()))
    }

    /// Wraps a Bool.
    pub fn bool(b: bool) -> Self {
        Val::Value(Value::Bool(b))
    }

    /// Says what this is, for messages.
    pub fn describe(&self) -> String {
        match self {
            Val::Value(v) => match v {
                Value::None => "`none`".into(),
                Value::Bool(_) => "a Bool".into(),
                Value::Int(_) => "a plain Int".into(),
                Value::Float(_) => "a plain Float".into(),
                Value::Str(_) => "a Str".into(),
                Value::Quantity(dim, _) => format!("{dim:?}"),
                Value::Top(_) => "a `top(n)`".into(),
                Value::Secret(_) => "a Secret".into(),
                _ => "a value".into(),
            },
            Val::Schema(_) => "a schema".into(),
            Val::Range(..) => "a range".into(),
            Val::List(_) => "a list".into(),
            Val::Tuple(_) => "a tuple".into(),
            Val::Record(_) => "a record".into(),
            Val::Row(_) => "a row expression".into(),
            Val::Verb { op, .. } => format!("`{op}(…)`"),
            Val::Artifact(a) => format!("a {}", a.kind),
            Val::Suite(_) => "a Suite".into(),
            Val::Grid(_) => "a Grid".into(),
            Val::Metric(_) => "a Metric (known only after running)".into(),
        }
    }

    /// Returns the plain value when nothing in it waits for a run or a row.
    pub fn constant(&self) -> Option<Value> {
        Some(match self {
            Val::Value(v) => v.clone(),
            Val::Schema(s) => Value::Schema(s.to_json()),
            Val::Range(a, b) => {
                let end = |v: &Option<Box<Val>>| match v {
                    None => Some(None),
                    Some(v) => v.constant().map(|c| Some(Box::new(c))),
                };
                Value::Range(end(a)?, end(b)?)
            }
            Val::List(items) => Value::List(items.iter().map(Val::constant).collect::<Option<_>>()?),
            Val::Tuple(items) => Value::Tuple(items.iter().map(Val::constant).collect::<Option<_>>()?),
            Val::Record(fields) => {
                Value::Record(fields.iter().map(|(k, v)| Some((k.clone(), v.constant()?))).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// Returns this as an expression over a row: constants become literals.
    pub fn row(&self) -> Option<RowExpr> {
        if let Val::Row(e) = self {
            return Some(e.clone());
        }
        if let Val::Range(a, b) = self {
            let end = |v: &Option<Box<Val>>| match v {
                None => Some(None),
                Some(v) => v.row().map(|r| Some(Box::new(r))),
            };
            return Some(RowExpr::Range(end(a)?, end(b)?));
        }
        if let Some(v) = self.constant() {
            return Some(RowExpr::Lit(v.to_json()));
        }
        Some(match self {
            Val::List(items) | Val::Tuple(items) => RowExpr::List(items.iter().map(Val::row).collect::<Option<_>>()?),
            Val::Record(fields) => {
                RowExpr::Record(fields.iter().map(|(k, v)| Some((k.clone(), v.row()?))).collect::<Option<_>>()?)
            }
            _ => return None,
        })
    }

    /// Says whether a row expression occurs in this.
    pub fn has_row(&self) -> bool {
        match self {
            Val::Row(_) => true,
            Val::Range(a, b) => a.iter().chain(b).any(|v| v.has_row()),
            Val::List(items) | Val::Tuple(items) => items.iter().any(Val::has_row),
            Val::Record(fields) => fields.iter().any(|(_, v)| v.has_row()),
            _ => false,
        }
    }

    /// Returns this as a metric: a constant, a metric, or the number that a score or metric artifact holds.
    pub fn metric(&self) -> Option<Metric> {
        match self {
            Val::Metric(m) => Some(m.clone()),
            Val::Artifact(a) if a.kind == "Score" || a.kind == "Metric" => {
                Some(Metric::Meta { of: a.clone(), path: "value".into() })
            }
            Val::Value(v) => Some(Metric::Const(v.to_json())),
            Val::Range(..) => self.constant().map(|v| Metric::Const(v.to_json())),
            Val::List(_) => self.constant().map(|v| Metric::Const(v.to_json())),
            _ => None,
        }
    }

    /// Collects every artifact in this, in order.
    pub fn artifacts(&self, out: &mut Vec<Artifact>) {
        match self {
            Val::Artifact(a) => out.push(a.clone()),
            Val::Metric(m) => m.artifacts(out),
            Val::List(items) | Val::Tuple(items) => items.iter().for_each(|v| v.artifacts(out)),
            Val::Record(fields) | Val::Suite(fields) => fields.iter().for_each(|(_, v)| v.artifacts(out)),
            Val::Grid(grid) => grid.cells.iter().for_each(|(_, v)| v.artifacts(out)),
            Val::Verb { args, .. } => args.iter().for_each(|(_, v)| v.artifacts(out)),
            _ => {}
        }
    }
}
