//! Values known before anything runs, and their canonical JSON form.
//!
//! The JSON form is what operators receive and what keys are hashed from:
//! quantities in base units as plain numbers, ranges as `{"from":…,"to":…}` with `null` for an open end, enum variants and
//! columns as strings, row expressions as [`RowExpr`] trees. Where a parameter's type is a union of dimensions, the value is
//! tagged with the dimension: `{"steps":80}`, `{"ratio":0.05}`; `top(n)` is `{"top":n}`.

use serde_json::{Map, Value as Json, json};

use super::rowexpr::RowExpr;
use super::types::Dim;

/// A value known before anything runs.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Value {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(String),
    /// A number in the base unit of its dimension.
    Quantity(Dim, f64),
    Range(Option<Box<Value>>, Option<Box<Value>>),
    /// `top(n)`
    Top(u64),
    List(Vec<Value>),
    Tuple(Vec<Value>),
    Record(Vec<(String, Value)>),
    /// `.col`
    Column(String),
    RowExpr(RowExpr),
    Regex(String),
    /// A schema: column names and type names, for loaders.
    Schema(Json),
    /// A plain value made by an operator of effect [`super::Effect::Value`], such as `read.choice()`.
    Verb {
        op: String,
        args: Vec<(String, Value)>,
    },
    /// The name of a secret; never its text.
    Secret(String),
}

impl Value {
    /// Returns the canonical JSON form.
    pub fn to_json(&self) -> Json {
        match self {
            Value::None => Json::Null,
            Value::Bool(b) => json!(b),
            Value::Int(i) => json!(i),
            Value::Float(f) => json!(f),
            Value::Str(s) | Value::Column(s) | Value::Regex(s) => json!(s),
            Value::Quantity(dim, q) => match dim {
                Dim::Tokens | Dim::Steps | Dim::Rows | Dim::Pixels | Dim::Bytes => json!(*q as i64),
                _ => json!(q),
            },
            Value::Range(a, b) => {
                let end = |v: &Option<Box<Value>>| v.as_ref().map_or(Json::Null, |v| v.to_json());
                json!({ "from": end(a), "to": end(b) })
            }
            Value::Top(n) => json!({ "top": n }),
            Value::List(items) | Value::Tuple(items) => Json::Array(items.iter().map(Value::to_json).collect()),
            Value::Record(fields) => {
                Json::Object(fields.iter().map(|(k, v)| (k.clone(), v.to_json())).collect::<Map<_, _>>())
            }
            Value::RowExpr(e) => serde_json::to_value(e).expect("a row expression is plain data"),
            Value::Schema(s) => s.clone(),
            Value::Verb { op, args } => {
                let args: Map<_, _> = args.iter().map(|(k, v)| (k.clone(), v.to_json())).collect();
                json!({ "verb": op, "args": args })
            }
            Value::Secret(name) => json!({ "secret": name }),
        }
    }

    /// Returns the JSON form tagged with its dimension, for parameters whose type is a union.
    pub fn to_tagged_json(&self) -> Json {
        match self {
            Value::Quantity(dim, _) => {
                let mut map = Map::new();
                map.insert(format!("{dim:?}").to_lowercase(), self.to_json());
                Json::Object(map)
            }
            other => other.to_json(),
        }
    }
}
