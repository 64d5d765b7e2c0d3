//! Numbers far outside of what anybody uses: most likely a slip of a decimal, or a value meant for another training.

use serde_json::Value as Json;

use super::at;
use crate::base::codes::W0505;
use crate::base::{Diagnostic, Problems};
use crate::plan::graph::Node;

/// Operator (a prefix), argument, smallest and largest usual value, what is usual.
const USUAL: &[(&str, &str, f64, f64, &str)] = &[
    ("train.sft", "lr", 1e-7, 2e-3, "1e-6 to 5e-5 for a large model, up to 1e-3 for a small one from scratch"),
    ("train.dpo", "lr", 1e-8, 1e-4, "5e-7 to 5e-6, a tenth of the rate of SFT or less"),
    ("train.dpo", "beta", 0.01, 1.0, "0.1 to 0.5"),
    ("train.dpo", "smoothing", 0.0, 0.45, "0 to 0.2; from 0.5 on the worse reply is preferred"),
    ("train.dpo", "sft", 0.0, 10.0, "0 to 1"),
    ("train.reward", "lr", 1e-8, 1e-3, "1e-6 to 2e-5 for a large model"),
    ("train.reward", "center", 0.0, 1.0, "0 to 0.1"),
    ("train.", "epochs", 0.0, 2_000.0, "1 to 3"),
    ("train.", "weight_decay", 0.0, 0.5, "0 to 0.1"),
    ("train.", "ema", 0.9, 0.999_999, "0.99 to 0.9999"),
    ("train.", "eps", 1e-12, 1e-4, "1e-8"),
    ("train.", "clip", 0.0, 100.0, "1.0, and 0 for none"),
];

/// Looks at the numbers that a call gives.
pub(super) fn lint(node: &Node, found: &mut Problems) {
    for (op, argument, least, most, usual) in USUAL {
        let Some(value) = node.args[argument].as_f64().filter(|_| node.op.starts_with(op)) else { continue };
        if node.place(argument).is_some() && (value < *least || value > *most) {
            let side = if value < *least { "low" } else { "high" };
            let message = format!("`{argument}: {}` is unusually {side} for `{}`", shown(value), node.op);
            let d = Diagnostic::new(W0505, at(node, argument), message, format!("very {side}"));
            found.push(d.help(format!("usual is {usual}")));
        }
    }
    if let Some(betas) = node.args["betas"].as_array().filter(|_| node.place("betas").is_some())
        && betas.iter().filter_map(Json::as_f64).any(|b| !(0.5..1.0).contains(&b))
    {
        let message = "decay rates of moments lie below 1, mostly above 0.8";
        let d = Diagnostic::new(W0505, at(node, "betas"), message, "unusual");
        found.push(d.help("usual is `betas: [0.9, 0.999]`"));
    }
}

fn shown(value: f64) -> String {
    if value != 0.0 && value.abs() < 1e-3 { format!("{value:e}") } else { value.to_string() }
}
