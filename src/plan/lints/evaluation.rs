//! Evaluations that say less than they seem to.

use super::at;
use crate::base::codes::{W0507, W0516, W0518};
use crate::base::{Diagnostic, Problems};
use crate::plan::graph::Node;
use crate::spec::RowExpr;

/// Below so many questions an interval is wider than most differences: ± 14 points at one half.
const FEW: u64 = 50;

/// Looks at an evaluation or a question of a benchmark.
pub(super) fn lint(node: &Node, found: &mut Problems) {
    match node.op.as_str() {
        "eval.run" => {
            if node.args["temperature"].as_f64().is_some_and(|t| t > 0.0) && node.args["epochs"].as_u64() == Some(1) {
                let message = "replies are drawn at random, and each question is asked once";
                let d = Diagnostic::new(W0507, at(node, "temperature"), message, "another seed, another score");
                found.push(d.help("`temperature: 0.0` is greedy; or ask several times, `epochs: 8`"));
            }
            if let Some(n) = node.args["rows"].as_u64().filter(|n| *n < FEW) {
                let half = 98.0 / (n.max(1) as f64).sqrt();
                let message = format!("a score over {n} questions is known to ± {half:.0} points at best");
                let d = Diagnostic::new(W0516, at(node, "rows"), message, "few questions");
                found.push(d.help("good for a trial; leave `rows` out for figures that are compared"));
            }
        }
        "bench.sample" => hidden_answer(node, found),
        _ => {}
    }
}

/// The column that holds the answer stands in the question.
fn hidden_answer(node: &Node, found: &mut Problems) {
    let read = |name: &str| serde_json::from_value::<RowExpr>(node.args[name].clone()).ok();
    let Some(key) = read("key").and_then(|e| base(&e)) else { return };
    // Options hold the answer among others, so they may.
    if read("question").is_some_and(|e| e.columns().contains(&key)) {
        let message = format!("the question shows `.{key}`, from which the answer is read");
        let d = Diagnostic::new(W0518, at(node, "question"), message, "shows the answer");
        found.push(d.help(format!("take `.{key}` out of `question`")));
    }
}

/// The column that an expression starts from: `.answer` of `.answer.index_in(.options)`.
fn base(e: &RowExpr) -> Option<String> {
    match e {
        RowExpr::Col(name) => Some(name.clone()),
        RowExpr::Call { recv, .. } => base(recv),
        RowExpr::Field(of, _) | RowExpr::Index(of, _) => base(of),
        RowExpr::Binary(op, a, _) if op == "??" => base(a),
        _ => None,
    }
}
