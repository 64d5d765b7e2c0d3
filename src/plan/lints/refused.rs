//! Values that the signature of an operator has a place for and that this version refuses when it runs.

use serde_json::Value as Json;

use super::{Facts, at};
use crate::base::codes::{E0801, E0803, W0521};
use crate::base::{Diagnostic, Problems};
use crate::plan::graph::Node;

/// When a value is refused.
type When = fn(&Json) -> bool;

/// Operator (a prefix), argument, when it is refused, what is refused, what to write.
const REFUSED: &[(&str, &str, When, &str, &str)] = &[
    ("train.", "method", |a| a["method"] == "lora", "adapters are not there yet", "write `method: \"full\"`"),
    (
        "train.",
        "optimizer",
        |a| given(&a["optimizer"], "adamw") && given(&a["optimizer"], "adafactor"),
        "AdamW and Adafactor are there",
        "write `optimizer: \"adamw\"`, or \"adafactor\"",
    ),
    ("train.", "dtype", |a| a["dtype"] == "f16", "f16 is not there yet", "write `dtype: \"bf16\"`, or \"f32\""),
    (
        "train.",
        "master",
        |a| a["master"] == "same" && a["dtype"] != "f32",
        "master weights are always f32",
        "write `master: \"f32\"`",
    ),
    (
        "train.",
        "template",
        |a| given(&a["template"], "qwen2_vl"),
        "`qwen2_vl` alone is there",
        "write `template: \"qwen2_vl\"`, or leave it out: the model's own is used",
    ),
    (
        "train.",
        "cutoff",
        |a| a["cutoff"].as_u64().is_some_and(|n| n < 16),
        "no room for a reply",
        "give 16tok at least",
    ),
    (
        "train.",
        "betas",
        |a| a["betas"].as_array().is_some_and(|b| b.len() != 2),
        "there are two of them",
        "write `betas: [0.9, 0.999]`",
    ),
    (
        "train.sft",
        "loss",
        |a| a["loss"] == "micro_mean" && a["per_device"].is_null(),
        "`micro_mean` needs the rows of a micro-batch",
        "add `per_device: 4`, or write `loss: \"token_mean\"`",
    ),
];

/// Looks at the values that a call gives.
pub(super) fn lint(facts: &Facts, node: &Node, found: &mut Problems) {
    by_operator(facts, node, found);
    for (op, argument, when, why, help) in REFUSED {
        if node.op.starts_with(op) && when(&node.args) {
            let message = format!("`{argument}` of `{}` will be refused when it runs: {why}", node.op);
            found.push(Diagnostic::new(W0521, at(node, argument), message, "refused").help(*help));
        }
    }
}

/// What the operator itself finds wrong in its call and in those before it.
fn by_operator(facts: &Facts, node: &Node, found: &mut Problems) {
    let Some(refuses) = facts.catalogue.get(&node.op).and_then(|op| op.spec.refuses) else { return };
    let mut calls = vec![(node.op.as_str(), &node.args)];
    let mut call = node;
    while let Some(input) = call.inputs.first() {
        call = facts.graph.node(input.node);
        calls.push((&call.op, &call.args));
    }
    let Err(wrong) = refuses(&calls) else { return };
    // What else may be wrong is said where the operator runs.
    let Some(code) = [E0801, E0803].into_iter().find(|c| c.0 == wrong.code) else { return };
    let d = Diagnostic::new(code, at(node, "of"), wrong.message, "refused");
    found.push(match wrong.help {
        Some(help) => d.help(help),
        None => d,
    });
}

/// A text other than the one that there is.
fn given(value: &Json, there: &str) -> bool {
    value.as_str().is_some_and(|v| v != there)
}
