//! Options that a call gives and that nothing reads beside the others it gives.

use serde_json::Value as Json;

use super::at;
use crate::base::codes::W0402;
use crate::base::{Diagnostic, Problems};
use crate::plan::graph::Node;

/// When an option is not read.
type When = fn(&Json) -> bool;

/// Operator (a prefix), option, when it is not read, and why.
const UNREAD: &[(&str, &str, When, &str)] = &[
    ("train.", "rank", |a| a["method"] == "full", "`method: \"full\"` has no adapters"),
    ("train.", "alpha", |a| a["method"] == "full", "`method: \"full\"` has no adapters"),
    ("train.", "targets", |a| a["method"] == "full", "`method: \"full\"` has no adapters"),
    ("train.", "cooldown", |a| a["schedule"] != "wsd", "only `schedule: \"wsd\"` cools down"),
    ("train.", "floor", |a| a["schedule"] == "constant", "a constant rate has no floor"),
    ("train.dpo", "gamma", |a| a["loss"] != "simpo", "only `loss: \"simpo\"` has a margin"),
    ("train.dpo", "reference", |a| a["loss"] == "simpo" || a["loss"] == "orpo", "this loss has no reference"),
    ("train.dpo", "smoothing", |a| a["loss"] != "sigmoid" && a["loss"] != "simpo", "this loss takes no smoothing"),
    ("eval.run", "top_p", |a| a["temperature"] == 0.0, "`temperature: 0.0` draws nothing"),
    ("eval.run", "seed", |a| a["temperature"] == 0.0, "`temperature: 0.0` draws nothing"),
    ("eval.run", "epochs", |a| a["temperature"] == 0.0, "`temperature: 0.0` gives the same replies each time"),
];

/// Looks at the options that a call gives, those aside that have the value they would have anyway.
pub(super) fn lint(node: &Node, found: &mut Problems) {
    for (op, option, when, why) in UNREAD {
        let given = node.place(option).is_some() && !is_nothing(&node.args[option]);
        if given && node.op.starts_with(op) && when(&node.args) {
            let message = format!("`{option}` of `{}` has no effect: {why}", node.op);
            found.push(Diagnostic::new(W0402, at(node, option), message, "not read").help("leave it out"));
        }
    }
}

/// What a record for several trainings may carry along.
fn is_nothing(value: &Json) -> bool {
    match value {
        Json::Null => true,
        Json::Number(n) => n.as_f64() == Some(0.0) || n.as_i64() == Some(1),
        Json::Array(items) => items.is_empty(),
        _ => false,
    }
}
