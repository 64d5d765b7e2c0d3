//! Why a node runs: the fields in which its identity differs from the nearest one that was recorded.

use serde_json::{Map, Value as Json};

use crate::base::digest::canonical;
use crate::spec::rowexpr::{self, RowExpr};

/// One field that differs.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// The field: `op`, `version`, `arg.similar`, `input.d`, `file.path`, `seed`.
    pub field: String,
    /// What it was.
    pub was: Option<Json>,
    /// What it is.
    pub is: Option<Json>,
}

/// Returns the fields that differ.
pub fn diff(was: &Map<String, Json>, is: &Map<String, Json>) -> Vec<Change> {
    let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
    names.sort();
    names.dedup();
    names
        .into_iter()
        .filter(|n| was.get(*n) != is.get(*n))
        .map(|n| Change { field: n.clone(), was: was.get(n).cloned(), is: is.get(n).cloned() })
        .collect()
}

/// Says a change in words: "arg `similar` changed: 0.8 → 0.7".
pub fn sentence(change: &Change) -> String {
    let show = |v: &Option<Json>| match v {
        None => "–".to_owned(),
        Some(v) => {
            let text = said(v);
            if text.chars().count() > 60 { text.chars().take(57).chain("…".chars()).collect() } else { text }
        }
    };
    match change.field.split_once('.') {
        Some(("input", slot)) => format!("reads other bytes from `{slot}`"),
        Some(("file", arg)) if arg.starts_with("files/") => {
            let verb = match (&change.was, &change.is) {
                (None, _) => "is new",
                (_, None) => "is no longer read",
                _ => "changed",
            };
            format!("the operator's file `{}` {verb}", arg.trim_start_matches("files/"))
        }
        Some(("file", arg)) => format!("the files of `{arg}` changed"),
        Some(("arg", name)) if change.was.is_none() => format!("arg `{name}` is new: {}", show(&change.is)),
        Some(("arg", name)) => format!("arg `{name}` changed: {} → {}", show(&change.was), show(&change.is)),
        _ => format!("{} changed: {} → {}", change.field, show(&change.was), show(&change.is)),
    }
}

/// Writes a value of an identity for people: a row expression as in the language.
pub fn said(value: &Json) -> String {
    let expression = || serde_json::from_value::<RowExpr>(value.clone()).ok();
    match value.is_object().then(expression).flatten() {
        Some(expression) => rowexpr::show(&expression),
        None => canonical(value),
    }
}

/// Says in one line why a node whose identity differs from a recorded one runs.
pub fn why(was: &Map<String, Json>, is: &Map<String, Json>) -> String {
    let changes = diff(was, is);
    match changes.as_slice() {
        [] => "no result is recorded".into(),
        [one] => sentence(one),
        [first, rest @ ..] => format!("{} (and {} more)", sentence(first), rest.len()),
    }
}
