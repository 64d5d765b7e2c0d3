//! Rows that `cutoff` cuts, as far as the lock knows their lengths.

use super::{Facts, at};
use crate::base::codes::W0504;
use crate::base::{Diagnostic, Problems};
use crate::plan::graph::{Input, Node};
use crate::spec::Effect;

/// Steps behind which a length is still that of the source: they take rows away without looking at it, or none.
const KEEPS: &[&str] =
    &["data.concat", "data.split", "data.shuffle", "data.sample", "data.select", "data.drop", "data.sort"];

/// Looks at a training. A word is one token at least, so what is said holds for any tokenizer.
pub(super) fn lint(facts: &Facts, node: &Node, found: &mut Problems) {
    let Some(cutoff) = node.args["cutoff"].as_u64().filter(|_| node.trains()) else { return };
    let columns = match node.op.as_str() {
        "train.dpo" | "train.reward" => ["prompt", "chosen", "rejected"],
        _ => ["instruction", "input", "output"],
    };
    let Some(rows) = node.training_rows() else { return };
    let mut worst: Option<(u64, String, &Node)> = None;
    for source in sources(facts, rows) {
        for file in source.paths.iter().filter(|p| !p.media && !p.model) {
            let words = facts.known.words(file);
            for column in columns {
                if let Some(&n) = words.get(column).filter(|n| **n > cutoff)
                    && worst.as_ref().is_none_or(|(most, ..)| n > *most)
                {
                    worst = Some((n, column.to_owned(), source));
                }
            }
        }
    }
    let Some((n, column, source)) = worst else { return };
    let does = if node.args["long"] == "drop" { "dropped" } else { "cut" };
    let message =
        format!("`cutoff` is {cutoff} tokens, and one row in a hundred has more than {n} words in `.{column}`");
    let d = Diagnostic::new(W0504, at(node, "cutoff"), message, format!("these rows are {does}"));
    let fits = (n * 2).next_power_of_two();
    found.push(d.also(source.span, "their source").help(format!(
        "a word is one token at least: try `cutoff: {fits}tok`, or take such rows out before: `filter.length(of: [.{column}], keep: ..{cutoff}tok)`"
    )));
}

/// The sources whose rows come unshortened; none behind a step that may have looked at their lengths.
fn sources<'g>(facts: &Facts<'g>, from: &Input) -> Vec<&'g Node> {
    let node = facts.graph.node(from.node);
    if node.effect == Effect::Source {
        return vec![node];
    }
    if !KEEPS.contains(&node.op.as_str()) && !node.op.starts_with("dedup.") {
        return Vec::new();
    }
    let rows = node.inputs.iter().filter(|i| i.slot == "d" || i.slot.starts_with("inputs."));
    rows.flat_map(|input| sources(facts, input)).collect()
}
