//! Expectations that hold whatever happens.

use serde_json::Value as Json;

use crate::base::codes::W0401;
use crate::base::{Diagnostic, Problems};
use crate::plan::graph::Node;
use crate::plan::metric::Metric;

/// Looks at an `expect` or `warn`.
pub(super) fn lint(node: &Node, found: &mut Problems) {
    let Some(gate) = &node.gate else { return };
    let why = match &gate.cond {
        Metric::Const(Json::Bool(true)) if has_no_name(&gate.text) => "it asks nothing of the run".to_owned(),
        cond => match always(cond) {
            Some(why) => why,
            None => return,
        },
    };
    let message = format!("`{} {}` cannot fail: {why}", node.op, gate.text);
    let d = Diagnostic::new(W0401, node.span, message, "always holds");
    found.push(d.help("ask for a number that a failed run would miss"));
}

/// Why a question has one answer.
fn always(cond: &Metric) -> Option<String> {
    let Metric::Binary(op, a, b) = cond else { return None };
    let number = |m: &Metric| match m {
        Metric::Const(v) => v.as_f64(),
        _ => None,
    };
    if matches!(op.as_str(), ">=" | "<=" | "==") && a == b && !matches!(**a, Metric::Const(_)) {
        return Some("both sides are the same".to_owned());
    }
    match (op.as_str(), number(a), number(b)) {
        (">=", None, Some(least)) if least <= 0.0 && never_negative(a) => Some("it is never below 0".to_owned()),
        (">", None, Some(least)) if least < 0.0 && never_negative(a) => Some("it is never below 0".to_owned()),
        ("<=", Some(least), None) if least <= 0.0 && never_negative(b) => Some("it is never below 0".to_owned()),
        ("<=", None, Some(most)) if most >= 1.0 && is_share(a) => Some("it is never above 100 %".to_owned()),
        ("<", None, Some(most)) if most > 1.0 && is_share(a) => Some("it is never above 100 %".to_owned()),
        _ => None,
    }
}

fn never_negative(m: &Metric) -> bool {
    is_share(m)
        || matches!(m, Metric::Meta { of, path } if path == "rows" && of.kind == "Dataset" || path == "n" && of.kind == "Score")
}

fn is_share(m: &Metric) -> bool {
    let shares = ["value", "low", "high", "unparsed"];
    matches!(m, Metric::Meta { of, path } if of.kind == "Score" && shares.contains(&path.as_str()))
}

/// A question of literals alone; one that names a param is asked for other values of it.
fn has_no_name(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    words
        .into_iter()
        .all(|w| w.starts_with(|c: char| c.is_ascii_digit()) || ["true", "false", "and", "or", "not"].contains(&w))
}
