//! Trainings that do not fit into the memory that somebody said there is.

use super::at;
use crate::base::codes::{P0101, W0520};
use crate::base::{Diagnostic, Problems, phrase};
use crate::plan::graph::Node;
use crate::plan::memory::{self, Estimate, Models};

/// Looks at a training and at the model that it starts from.
pub(super) fn lint(models: &mut Models, node: &Node, found: &mut Problems) {
    // Where nobody said how much there is, no header of a file is read.
    if memory::limit(node).is_some()
        && let Some(estimate) = models.estimate(node).filter(Estimate::too_much)
    {
        found.push(too_much(node, &estimate));
    }
    positions(models, node, found);
}

fn too_much(node: &Node, e: &Estimate) -> Diagnostic {
    let (place, usable) = match (e.gpus, e.usable()) {
        (0, usable) if e.ranks > 1 => (" in each rank", usable.unwrap_or(0)),
        (0, usable) => ("", usable.unwrap_or(0)),
        (_, usable) => (" on each GPU", usable.unwrap_or(0)),
    };
    let (needs, there) = (phrase::bytes(e.sum()), phrase::bytes(e.limit.unwrap_or(0)));
    let there = if e.gpus == 0 && e.ranks > 1 { format!("{there} for {} ranks", e.ranks) } else { there };
    let beside = phrase::bytes(e.host.sum() * e.ranks);
    let message = if e.sum() <= usable {
        let main = phrase::bytes(e.main.unwrap_or(0));
        format!("`{}` keeps {beside} in main memory beside its GPUs, and `mem` says {main}", node.name)
    } else {
        format!("`{}` needs up to {needs}{place}, and there are {there}", node.name)
    };
    let terms: Vec<String> =
        e.terms().iter().map(|(name, bytes)| format!("{name} {}", phrase::bytes(*bytes))).collect();
    let remedies: Vec<String> = e
        .remedies
        .iter()
        .map(|(what, saves)| {
            let fits = if e.sum() - saves <= usable { ", and then it fits" } else { "" };
            format!("{what}: {} less{fits}", phrase::bytes(*saves))
        })
        .collect();
    let mut help = remedies.join("; ");
    if e.states.sum() > usable && !e.fits_then && !e.remedies.iter().any(|(_, saves)| e.sum() - saves <= usable) {
        let alone = phrase::bytes(e.states.sum());
        help = format!(
            "weights, gradients and states alone are {alone}, whatever a forward holds: a smaller model, or more memory"
        );
    }
    help.push_str(&format!(". A forward of {} tokens: {}", e.work.tokens, terms.join(" + ")));
    if let Some(beginning) = e.beginning() {
        help.push_str(&format!(". As it is, {beginning}"));
    }
    if e.gpus > 0 {
        help.push_str(&format!("; tensors can have {} of {there}", phrase::bytes(usable)));
    }
    Diagnostic::new(P0101, node.span, message, "more than fits").help(help)
}

/// Rows longer than any that the model has seen.
fn positions(models: &mut Models, node: &Node, found: &mut Problems) {
    let Some(cutoff) = node.args["cutoff"].as_u64().filter(|_| node.trains()) else { return };
    let Some(input) = node.input("m") else { return };
    let Some(most) = models.positions(input) else { return };
    if cutoff > most {
        let message = format!("`cutoff` is {cutoff} tokens, and the model was made for {most}");
        let d = Diagnostic::new(W0520, at(node, "cutoff"), message, "beyond its positions");
        found.push(d.help(format!("`cutoff: {most}tok` at most")));
    }
}
