//! Parts of a training that cancel each other: averages, warm-up and cooldown, choices among one, ranks without rows.

use super::rows::{self, Amount};
use super::{Facts, at, percent, steps};
use crate::base::codes::{W0522, W0526, W0527, W0528, W0529, W0532};
use crate::base::{Diagnostic, Problems, phrase};
use crate::plan::graph::Node;
use crate::plan::prolong::{self, KEEP};

/// Beyond this part an average is the start model rather than the trained one.
const MOST_OF_START: f64 = 0.5;
/// Fewer rows say little about a model.
const FEW: u64 = 10;

/// Looks at a training of `total` steps over `rows` rows, as far as these are known.
pub(super) fn lint(facts: &Facts, node: &Node, total: Option<u64>, rows: Option<u64>, found: &mut Problems) {
    average(node, total, found);
    best(node, found);
    held_out(node, rows, found);
    ends(node, total, found);
    ranks(node, found);
    state(facts, node, total, found);
}

/// The moving average starts as the start model and forgets it by its decay.
fn average(node: &Node, total: Option<u64>, found: &mut Problems) {
    let (Some(decay), Some(total)) = (node.args["ema"].as_f64(), total.filter(|t| *t > 0)) else { return };
    let left = decay.powf(total as f64);
    if left > MOST_OF_START {
        let message = format!(
            "after {} the average is still {} the start model",
            phrase::count(total as usize, "step"),
            percent(left)
        );
        let fits = 0.05_f64.powf(1.0 / total as f64);
        let d = Diagnostic::new(W0526, at(node, "ema"), message, "forgets too slowly");
        found.push(d.help(format!("`ema: {fits:.3}` keeps 5 % of it; or leave `ema` out")));
    }
}

/// `best` with one evaluation, the one at the end.
fn best(node: &Node, found: &mut Problems) {
    if node.args["best"] == true && rows::holds_out(node) && node.args["evaluate"].is_null() {
        let message = "`best: true` chooses among one: the model is evaluated at the end only";
        let d = Diagnostic::new(W0522, at(node, "best"), message, "keeps the last model anyway");
        found.push(d.help("evaluate on the way, `evaluate: 20steps`, or leave `best` out"));
    }
}

fn held_out(node: &Node, rows: Option<u64>, found: &mut Problems) {
    let n = match (rows::amount(&node.args["validation"]), rows) {
        (Some(Amount::Rows(n)), _) => n,
        (Some(_), Some(all)) => rows::kept_out(node, all),
        _ => return,
    };
    if n > 0 && n < FEW && rows.is_none_or(|rows| n < rows) {
        let message = format!("the evaluation loss is that of {} at most", phrase::count(n as usize, "row"));
        let d = Diagnostic::new(W0527, at(node, "validation"), message, "too few to choose by");
        found.push(d.help("hold more rows out, `validation: 100rows`, or none"));
    }
}

/// A warm-up that reaches into the last decline.
fn ends(node: &Node, total: Option<u64>, found: &mut Problems) {
    if node.args["schedule"] != "wsd" {
        return;
    }
    let share = |name: &str| {
        let given = &node.args[name];
        given["ratio"].as_f64().or_else(|| Some(steps(given)? as f64 / total? as f64))
    };
    let (Some(up), Some(down)) = (share("warmup"), share("cooldown")) else { return };
    if up + down > 1.0 {
        let message = format!("warm-up ({}) and cooldown ({}) are more than the training", percent(up), percent(down));
        let d = Diagnostic::new(W0528, at(node, "cooldown"), message, "begins before the warm-up ends");
        found.push(d.help("shorten one of them: `warmup: 5%, cooldown: 20%`"));
    }
}

/// Ranks that have no row in a step, or fewer than others.
fn ranks(node: &Node, found: &mut Problems) {
    let ranks = node.asked_ranks();
    let Some(batch) = node.args["batch"].as_u64().filter(|b| *b > 0 && ranks > 1 && b % ranks != 0) else { return };
    let (message, label) = if batch < ranks {
        (format!("{} of {ranks} ranks have no row in a step of {batch}", ranks - batch), "fewer rows than ranks")
    } else {
        let most = batch.div_ceil(ranks);
        (format!("a step of {batch} rows gives some of {ranks} ranks {most} and the others {}", most - 1), "uneven")
    };
    let near = (batch.div_ceil(ranks) * ranks).max(ranks);
    let d = Diagnostic::new(W0529, at(node, "batch"), message, label);
    found.push(d.help(format!("every rank waits for the slowest; `batch: {near}` fills all (another result)")));
}

/// A state that is kept for longer trainings, none of which can go on from it.
fn state(facts: &Facts, node: &Node, total: Option<u64>, found: &mut Problems) {
    if node.with.get(KEEP).and_then(serde_json::Value::as_bool) != Some(true) {
        return;
    }
    let never = || total.filter(|total| prolong::shared(&node.args, *total) == 0);
    let why = match prolong::hindrance(&node.args) {
        Some(why) => why,
        None if never().is_some() => "the decline of `cooldown` begins with the first step".to_owned(),
        None => return,
    };
    let place = facts.with_place(node, KEEP);
    let message = format!("`{KEEP}: true` keeps nothing that a longer training can go on from");
    let d = Diagnostic::new(W0532, place.unwrap_or(node.span), message, why).help(
        "`schedule: \"constant\"` or \"wsd\" with `warmup: 20steps` has such a state, and gives another model; else leave it out",
    );
    found.push(match place {
        Some(place) => d.fix(place, format!("{KEEP}: false")),
        None => d,
    });
}
