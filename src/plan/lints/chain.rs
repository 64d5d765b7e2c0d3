//! Steps that stand in an order in which one undoes the other.

use super::{Facts, at};
use crate::base::codes::{W0523, W0524, W0525};
use crate::base::{Diagnostic, Problems};
use crate::plan::graph::{Input, Node};

/// Looks at a dedup and at a training on preferences, and at what stands before them.
pub(super) fn lint(facts: &Facts, node: &Node, found: &mut Problems) {
    if node.op.starts_with("dedup.") {
        late_dedup(facts, node, found);
    }
    if node.op == "train.dpo" {
        rate(facts, node, found);
    }
}

/// The node that rows come from, and the nodes before it, as far as there is one way.
fn before<'g>(facts: &Facts<'g>, node: &Node) -> Vec<(&'g Node, String)> {
    let rows = |of: &Node| of.inputs.iter().find(|i| matches!(i.slot.as_str(), "d" | "data" | "pairs")).cloned();
    let mut out = Vec::new();
    let mut next: Option<Input> = rows(node);
    while let Some(input) = next {
        let at = facts.graph.node(input.node);
        out.push((at, input.field));
        next = rows(at);
    }
    out
}

fn late_dedup(facts: &Facts, node: &Node, found: &mut Problems) {
    let way = before(facts, node);
    for (i, (step, field)) in way.iter().enumerate() {
        if step.op.starts_with("dedup.") {
            return;
        }
        if step.op == "data.split" && !field.is_empty() {
            // Equal rows that were removed before the split are on one side anyway.
            if way[i + 1..].iter().any(|(earlier, _)| earlier.op.starts_with("dedup.")) {
                return;
            }
            let message = "rows are split first and freed of duplicates then: two alike may stand on both sides";
            let d = Diagnostic::new(W0523, node.span, message, "sees one part only").also(step.span, "split here");
            found.push(d.help("move the dedup above the split"));
            return;
        }
        let chosen = step.op == "data.top" || step.args["keep"]["top"].as_u64().is_some();
        if chosen {
            let message =
                "the best rows are chosen first and freed of duplicates then: fewer remain than were asked for";
            let d =
                Diagnostic::new(W0524, node.span, message, "thins out what was chosen").also(step.span, "chosen here");
            found.push(d.help("move the dedup above it"));
            return;
        }
    }
}

/// The rate of DPO beside that of the SFT before it.
fn rate(facts: &Facts, node: &Node, found: &mut Problems) {
    let Some(start) = node.input("m").map(|i| facts.graph.node(i.node)) else { return };
    // Two rates that nobody chose are no mistake of theirs.
    if start.op != "train.sft" || node.place("lr").or(start.place("lr")).is_none() {
        return;
    }
    let (Some(lr), Some(before)) = (node.args["lr"].as_f64(), start.args["lr"].as_f64()) else { return };
    if lr >= before && before > 0.0 {
        let message = format!("`train.dpo` learns at {lr:e} per step, the `train.sft` before it at {before:e}");
        let d = Diagnostic::new(W0525, at(node, "lr"), message, "not below it").also(at(start, "lr"), "its rate");
        found.push(d.help("a tenth or less is usual; a high rate makes both replies less likely"));
    }
}
