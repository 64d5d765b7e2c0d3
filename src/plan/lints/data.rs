//! Steps of the data half that do nothing, or something else than they seem to.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Facts, at, percent};
use crate::base::codes::{W0302, W0303, W0304, W0305, W0306, W0307, W0517};
use crate::base::{Diagnostic, Problems};
use crate::plan::graph::{Input, Node};

/// Looks at one operator over rows.
pub(super) fn lint(facts: &Facts, node: &Node, found: &mut Problems) {
    let module = node.op.split('.').next().unwrap_or_default();
    idle(facts, node, found);
    match (module, node.op.as_str()) {
        (_, "data.concat") => twice(node, "inputs.", found),
        (_, "data.blend") => {
            twice(node, "of[", found);
            weights(node, found);
        }
        (_, "data.split") => apart(facts, node, found),
        (_, "dedup.image") => {}
        ("dedup", _) => {
            pictures(facts, node, "on", "two rows with the same words about two pictures are no duplicate", found)
        }
        (_, "filter.conflict") => {
            pictures(
                facts,
                node,
                "question",
                "one question about two pictures has two answers, and no conflict",
                found,
            );
        }
        (_, "filter.relevance") => itself(node, "to", found),
        (_, "filter.perplexity") => itself(node, "given", found),
        _ => {}
    }
}

/// A step that keeps every row as it is, or none.
fn idle(facts: &Facts, node: &Node, found: &mut Problems) {
    let written = |name: &str| node.place(name).map(|span| facts.sources.text(span).trim());
    let (argument, does) = match node.op.as_str() {
        // A condition that a param decides is meant to have both values.
        "filter.rule" if written("where") == Some("true") => ("where", "keeps every row"),
        "filter.rule" if written("where") == Some("false") => ("where", "keeps no row"),
        "data.sample" if node.args["n"]["ratio"].as_f64().is_some_and(|r| r >= 1.0) => ("n", "keeps every row"),
        "data.sample" | "data.top" if node.args["n"].as_u64().or(node.args["n"]["rows"].as_u64()) == Some(0) => {
            ("n", "keeps no row")
        }
        "data.quantile" if everything(&node.args["keep"]) => ("keep", "keeps every row"),
        op if op.starts_with("augment.") && node.args["share"].as_f64() == Some(0.0) => ("share", "changes no row"),
        _ => return,
    };
    let d = Diagnostic::new(W0302, at(node, argument), format!("`{}` {does}", node.op), does);
    found.push(d.help("leave the step out, or mend its condition"));
}

fn everything(keep: &Json) -> bool {
    let low = keep["from"].is_null() || keep["from"].as_f64().is_some_and(|f| f <= 0.0);
    let high = keep["to"].is_null() || keep["to"].as_f64().is_some_and(|t| t >= 1.0);
    keep.get("from").is_some() && low && high
}

/// The same rows joined with themselves.
fn twice(node: &Node, slots: &str, found: &mut Problems) {
    let inputs: Vec<&Input> = node.inputs.iter().filter(|i| i.slot.starts_with(slots)).collect();
    let mut seen: BTreeMap<_, &Input> = BTreeMap::new();
    for one in inputs {
        let other = *seen.entry((one.node, &one.field)).or_insert(one);
        if !std::ptr::eq(other, one) {
            let name = |i: &Input| i.slot.trim_start_matches("inputs.").to_owned();
            let message = format!("`{}` and `{}` of `{}` are the same rows", name(other), name(one), node.op);
            let d = Diagnostic::new(W0304, node.span, message, "every row comes twice");
            found.push(d.help("leave one out; `data.blend` with `rows:` repeats rows on purpose"));
        }
    }
}

fn weights(node: &Node, found: &mut Problems) {
    let shares: Vec<f64> = node.args["weights"].as_array().into_iter().flatten().filter_map(Json::as_f64).collect();
    let sum: f64 = shares.iter().sum();
    let count = node.inputs.iter().filter(|i| i.slot.starts_with("of[")).count();
    let wrong = if shares.len() != count {
        format!("{} weights for {count} datasets", shares.len())
    } else if (sum - 1.0).abs() > 1e-6 {
        format!("the weights sum to {}", percent(sum))
    } else {
        return;
    };
    let d = Diagnostic::new(W0307, at(node, "weights"), wrong, "refused when it runs");
    found.push(d.help("give one weight for each dataset, 100 % in all"));
}

/// Rows about one picture, or made from one row, must not stand on both sides of a split.
fn apart(facts: &Facts, node: &Node, found: &mut Problems) {
    if node.args["apart"].as_array().is_some_and(|a| !a.is_empty()) {
        return;
    }
    let Some(from) = node.inputs.first() else { return };
    let before = facts.graph.ancestors([from.node]);
    if let Some(made) = before.iter().map(|&id| facts.graph.node(id)).find(|n| n.op.starts_with("augment.")) {
        let message = "rows that augmentation made from one row may stand on both sides of this split";
        let d = Diagnostic::new(W0306, node.span, message, "splits augmented rows").also(made.span, "augmented here");
        found.push(
            d.help("split first and augment only what is trained on, or keep pictures together: `apart: [.images]`"),
        );
    } else if let Some(column) = picture_column(facts, from) {
        let message = "rows about one picture may stand on both sides of this split";
        let d = Diagnostic::new(W0305, node.span, message, format!("`.{column}` is not kept apart"));
        found.push(d.help(format!("keep equal pictures on one side: `apart: [.{column}]`")));
    }
}

/// Text that is compared although the pictures are what differs.
fn pictures(facts: &Facts, node: &Node, argument: &str, why: &str, found: &mut Problems) {
    let empty = node.args["within"].as_array().is_some_and(Vec::is_empty);
    let Some(column) = node.inputs.first().filter(|_| empty).and_then(|i| picture_column(facts, i)) else { return };
    if node.args[argument].as_array().is_some_and(|on| on.iter().any(|c| *c == column)) {
        return;
    }
    let message = format!("`{}` looks at words alone, and these rows have pictures", node.op);
    let d = Diagnostic::new(W0303, node.span, message, why);
    found.push(d.help(format!("compare rows about the same picture only: `within: [.{column}]`")));
}

/// A text that is compared with itself.
fn itself(node: &Node, with: &str, found: &mut Problems) {
    let of = &node.args["of"];
    if node.args[with].as_array().is_some_and(|columns| columns.contains(of)) {
        let column = of.as_str().unwrap_or_default();
        let message = format!("`{}` compares `.{column}` with itself", node.op);
        let d = Diagnostic::new(W0517, at(node, with), message, format!("`{with}` holds `.{column}` too"));
        found.push(d.help(format!("take `.{column}` out of `{with}`")));
    }
}

/// A column of pictures that the rows of an input have, where a schema says so.
fn picture_column(facts: &Facts, from: &Input) -> Option<String> {
    let node = facts.graph.node(from.node);
    let lists = |name: &str, column: &str| node.args[name].as_array().is_some_and(|c| c.iter().any(|c| c == column));
    let column = match node.op.as_str() {
        op if op.starts_with("op.") => return None,
        _ if node.inputs.is_empty() => {
            let columns = node.args["as"]["columns"].as_array()?;
            let pictures = columns.iter().find(|c| c["type"].as_str().is_some_and(|t| t.contains("Image")))?;
            return pictures["name"].as_str().map(str::to_owned);
        }
        _ => picture_column(facts, node.inputs.first()?)?,
    };
    match node.op.as_str() {
        "data.select" if !lists("columns", &column) => None,
        "data.drop" if lists("columns", &column) => None,
        "data.rename" => None,
        _ => Some(column),
    }
}
