//! Expectations that hold whatever happens.

use serde_json::Value as Json;

use super::{Facts, rows};
use crate::base::codes::{W0401, W0404};
use crate::base::{Diagnostic, Problems};
use crate::plan::artifact::Artifact;
use crate::plan::graph::{Input, Node};
use crate::plan::metric::Metric;

/// Looks at an `expect` or `warn`.
pub(super) fn lint(facts: &Facts, node: &Node, found: &mut Problems) {
    let Some(gate) = &node.gate else { return };
    if let Some((name, most)) = never(facts, &gate.cond) {
        let message = format!("`{} {}` cannot hold: `{name}.rows` is {most} at most", node.op, gate.text);
        let d = Diagnostic::new(W0404, node.span, message, "asks for more rows than there are");
        found.push(d.help("the lock knows the rows of each file: ask for what is there, or find the rest"));
        return;
    }
    let why = match &gate.cond {
        Metric::Const(Json::Bool(true)) if has_no_name(&gate.text) => "it asks nothing of the run".to_owned(),
        cond => match always(facts, cond) {
            Some(why) => why,
            None => return,
        },
    };
    let message = format!("`{} {}` cannot fail: {why}", node.op, gate.text);
    let d = Diagnostic::new(W0401, node.span, message, "always holds");
    found.push(d.help("ask for a number that a failed run would miss"));
}

/// A number of rows that is asked for and that the files do not have: whose, and how many there are at most.
fn never(facts: &Facts, cond: &Metric) -> Option<(String, u64)> {
    let Metric::Binary(op, a, b) = cond else { return None };
    let (Metric::Meta { of, path }, Metric::Const(least)) = (&**a, &**b) else { return None };
    if path != "rows" || of.kind != "Dataset" {
        return None;
    }
    let input = Input { slot: String::new(), node: of.node, field: of.field.clone() };
    let most = rows::of(facts, &input)?.most;
    let least = least.as_f64()?;
    let more = match op.as_str() {
        ">=" | "==" => least > most as f64,
        ">" => least >= most as f64,
        _ => false,
    };
    more.then(|| (facts.graph.node(of.node).name.clone(), most))
}

/// Why a question has one answer.
fn always(facts: &Facts, cond: &Metric) -> Option<String> {
    let Metric::Binary(op, a, b) = cond else { return None };
    let number = |m: &Metric| match m {
        Metric::Const(v) => v.as_f64(),
        _ => None,
    };
    if matches!(op.as_str(), ">=" | "<=" | "==") && a == b && !matches!(**a, Metric::Const(_)) {
        return Some("both sides are the same".to_owned());
    }
    match (op.as_str(), number(a), number(b)) {
        (">=", None, Some(least)) if least <= 0.0 && never_negative(facts, a) => Some("it is never below 0".to_owned()),
        (">", None, Some(least)) if least < 0.0 && never_negative(facts, a) => Some("it is never below 0".to_owned()),
        ("<=", Some(least), None) if least <= 0.0 && never_negative(facts, b) => Some("it is never below 0".to_owned()),
        ("<=", None, Some(most)) if most >= 1.0 && is_share(facts, a) => Some("it is never above 100 %".to_owned()),
        ("<", None, Some(most)) if most > 1.0 && is_share(facts, a) => Some("it is never above 100 %".to_owned()),
        _ => None,
    }
}

fn never_negative(facts: &Facts, m: &Metric) -> bool {
    is_share(facts, m)
        || matches!(m, Metric::Meta { of, path } if path == "rows" && of.kind == "Dataset" || path == "n" && of.kind == "Score")
}

fn is_share(facts: &Facts, m: &Metric) -> bool {
    let shares = ["value", "low", "high", "unparsed"];
    let loss = |of: &Artifact| facts.graph.node(of.node).op == "eval.loss";
    matches!(m, Metric::Meta { of, path } if of.kind == "Score" && shares.contains(&path.as_str()) && !loss(of))
}

/// A question of literals alone; one that names a param is asked for other values of it.
fn has_no_name(text: &str) -> bool {
    let words = text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|w| !w.is_empty());
    words
        .into_iter()
        .all(|w| w.starts_with(|c: char| c.is_ascii_digit()) || ["true", "false", "and", "or", "not"].contains(&w))
}
