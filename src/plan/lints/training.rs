//! The arithmetic of a training: steps, warm-up, intervals, batches, rows held out, tokens of a picture.

use super::rows::{self, Amount};
use super::{Facts, at, percent, schedule, steps};
use crate::base::codes::{W0501, W0502, W0503, W0509, W0512, W0513, W0514, W0515, W0519};
use crate::base::{Diagnostic, Problems, phrase};
use crate::plan::graph::Node;

/// Warm-up beyond this part of a training is most likely a mistake.
const MOST_WARMUP: f64 = 0.2;
/// Seconds beyond which a limit is none: sixty days.
const LONGEST_RUN: f64 = 60.0 * 24.0 * 3600.0;
/// Ranks say what they do every few seconds.
const LONGEST_STALL: f64 = 24.0 * 3600.0;
/// Pixels behind one token: patches of 14 × 14, merged two by two.
const PIXELS_OF_A_TOKEN: u64 = 28 * 28;

/// Looks at a training, and at the splits before it.
pub(super) fn lint(facts: &Facts, node: &Node, found: &mut Problems) {
    if node.op == "data.split" {
        split(facts, node, found);
    }
    clocks(facts, node, found);
    if !node.trains() {
        return;
    }
    let rows = node.training_rows().and_then(|i| rows::of(facts, i)).map(|r| r.most);
    let rows = match (rows, node.args["max_rows"].as_u64()) {
        (Some(rows), Some(most)) => Some(rows.min(most)),
        (rows, most) => rows.or(most),
    };
    held_out(node, rows, found);
    let epochs = node.args["epochs"].as_f64().unwrap_or(1.0);
    let most = node.args["max_steps"].as_u64();
    if epochs <= 0.0 || most == Some(0) {
        let which = if most == Some(0) { "max_steps" } else { "epochs" };
        let d = Diagnostic::new(W0519, at(node, which), format!("`{}` takes no step", node.op), "trains nothing");
        found.push(d.help("leave the training out, or let it take a step"));
        return;
    }
    let batch = node.args["batch"].as_u64().filter(|b| *b > 0);
    let left = rows.map(|n| n - rows::kept_out(node, n).min(n));
    if let (Some(n), Some(batch)) = (left, batch)
        && n < batch
        && n > 0
    {
        let message = format!("a batch of {batch} is more than the {n} rows there are");
        let d = Diagnostic::new(W0503, at(node, "batch"), message, "never full");
        found.push(d.help(format!("every epoch is one smaller step; `batch: {}` takes several", (n / 8).max(1))));
    }
    let by_rows = left.zip(batch).map(|(n, batch)| (epochs * n.div_ceil(batch) as f64).ceil() as u64);
    if let (Some(most), Some(by_rows)) = (most, by_rows)
        && most > by_rows
    {
        let passes = if epochs == 1.0 { "1 epoch is".to_owned() } else { format!("{epochs} epochs are") };
        let message = format!("`max_steps` of {most} is never reached: {passes} {by_rows} steps at most");
        let d = Diagnostic::new(W0514, at(node, "max_steps"), message, "too many");
        found.push(d.help("raise `epochs`, or leave `max_steps` out"));
    }
    let total = match (most, by_rows) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    };
    warmup(node, total, found);
    schedule::lint(facts, node, total, rows, found);
    if let Some(total) = total {
        intervals(facts, node, total, found);
    }
    pictures(node, found);
    if let Some(frozen) = node.args["freeze"].as_array()
        && ["vision", "projector", "language", "embeddings"].iter().all(|p| frozen.iter().any(|f| f == p))
        && node.args["amplify"].is_null()
    {
        let d =
            Diagnostic::new(W0515, at(node, "freeze"), "every part of the model is frozen", "nothing is left to train");
        found.push(d.help("take the parts out that are to learn"));
    }
}

fn warmup(node: &Node, total: Option<u64>, found: &mut Problems) {
    let given = &node.args["warmup"];
    let (share, what) = match (steps(given), given["ratio"].as_f64(), total) {
        (Some(n), _, Some(total)) if total > 0 => {
            (n as f64 / total as f64, format!("warm-up is {n} of {total} steps ({})", percent(n as f64 / total as f64)))
        }
        (None, Some(share), _) => (share, format!("warm-up is {} of the steps", percent(share))),
        _ => return,
    };
    if share > MOST_WARMUP {
        let few =
            total.map(|t| format!("`warmup: 5%` is {}", phrase::count((t as f64 * 0.05).ceil() as usize, "step")));
        let few = few.unwrap_or_else(|| "3 % to 10 % is usual, `warmup: 5%`".to_owned());
        let d = Diagnostic::new(W0501, at(node, "warmup"), what, "the full rate is hardly reached");
        found.push(d.help(format!("{few}; accept on purpose with `# allow W0501: reason` above the item")));
    }
}

fn intervals(facts: &Facts, node: &Node, total: u64, found: &mut Problems) {
    let all = [
        (
            "evaluate",
            steps(&node.args["evaluate"]).filter(|_| rows::holds_out(node)),
            "there is no evaluation before the end",
        ),
        ("checkpoint", node.with.get("checkpoint").and_then(steps), "a crash at the last step begins anew"),
        ("log", node.with.get("log").and_then(steps), "the log has one line"),
    ];
    let idle: Vec<(&str, u64, &str)> =
        all.into_iter().filter_map(|(name, every, so)| Some((name, every.filter(|e| *e > total)?, so))).collect();
    let names: Vec<String> = idle.iter().map(|(name, every, _)| format!("{name}: {every}steps")).collect();
    let so: Vec<&str> = idle.iter().map(|(.., so)| *so).collect();
    let Some((first, ..)) = idle.first() else { return };
    let fires = if idle.len() == 1 { "fires" } else { "fire" };
    let message = format!("{} never {fires}: the training has {total} steps at most", phrase::quoted(&names));
    let place = |name: &str| node.place(name).or_else(|| facts.with_place(node, name)).unwrap_or(node.span);
    let mut d = Diagnostic::new(W0502, place(first), message, so.join("; "));
    for (name, ..) in idle.iter().skip(1).filter(|(name, ..)| place(name) != node.span) {
        d = d.also(place(name), "nor does this");
    }
    found.push(d.help(format!("use `{}steps` or less", (total / 5).max(1))));
}

/// Intervals of time that the node's own limit cuts off, or that never come.
fn clocks(facts: &Facts, node: &Node, found: &mut Problems) {
    let seconds = |name: &str| node.with.get(name).and_then(|v| v["duration"].as_f64().or_else(|| v.as_f64()));
    let place = |name: &str| facts.with_place(node, name).unwrap_or(node.span);
    if let Some(stall) = seconds("stall").filter(|s| *s > LONGEST_STALL && node.trains()) {
        let message = format!("`stall` of {:.0} hours never ends a rank that hangs", stall / 3600.0);
        let d = Diagnostic::new(W0502, place("stall"), message, "the others wait for it as long");
        found.push(d.help("`stall: 10m` is enough: it is the time without a word, not the time of the training"));
    }
    // One word for all nodes of a binding: the one that is called after it.
    let Some(limit) = seconds("timeout").filter(|s| *s > 0.0 && !node.name.contains('/')) else { return };
    if limit > LONGEST_RUN {
        let message = format!("`timeout` of {:.0} days ends nothing that hangs", limit / 86_400.0);
        let d = Diagnostic::new(W0502, place("timeout"), message, "as good as none");
        found.push(d.help("give it the time that the work may take at most, such as `timeout: 8h`"));
    }
    let long = ["checkpoint", "stall"].into_iter().filter(|name| {
        let in_steps = node.with.get(*name).is_some_and(|v| v.get("steps").is_some());
        !in_steps && seconds(name).is_some_and(|s| s > limit)
    });
    let long: Vec<&str> = long.collect();
    if !long.is_empty() {
        let is = if long.len() == 1 { "is" } else { "are" };
        let minutes = phrase::count((limit / 60.0).round() as usize, "minute");
        let message = format!("{} {is} longer than `timeout`, {minutes}", phrase::quoted(&long));
        let d = Diagnostic::new(W0502, place(long[0]), message, "never reached");
        found.push(d.help("shorten them, or raise `timeout`; none of the three changes a result"));
    }
}

fn held_out(node: &Node, rows: Option<u64>, found: &mut Problems) {
    let none = !rows::holds_out(node);
    if let Some(n) = rows.filter(|n| *n > 0 && rows::kept_out(node, *n) >= *n) {
        let message = format!("`validation` holds out all of the {n} rows at most");
        let d = Diagnostic::new(W0512, at(node, "validation"), message, "leaves no row to train on");
        found.push(d.help("hold out a smaller part, such as `validation: 5%`"));
    }
    if none && node.args["best"] == true {
        let message = "`best: true` has no evaluation to choose by";
        let d = Diagnostic::new(W0513, at(node, "best"), message, "keeps the last model anyway");
        found.push(d.help("hold rows out, `validation: 2%`, or leave `best` out"));
    }
    if none && node.place("evaluate").is_some() && !node.args["evaluate"].is_null() {
        let d = Diagnostic::new(W0513, at(node, "evaluate"), "`evaluate` has no rows to evaluate", "evaluates nothing");
        found.push(d.help("hold rows out, `validation: 2%`, or leave `evaluate` out"));
    }
}

fn split(facts: &Facts, node: &Node, found: &mut Problems) {
    let shares = ["validation", "test"].map(|name| node.args[name]["ratio"].as_f64().unwrap_or(0.0));
    if shares.iter().sum::<f64>() >= 1.0 {
        let message = format!("`validation` and `test` take {} of the rows", percent(shares.iter().sum()));
        let last = if shares[1] > 0.0 { "test" } else { "validation" };
        let d = Diagnostic::new(W0512, at(node, last), message, "leaves no row to train on");
        found.push(d.help("they are parts of all rows, and `.train` is what is left: `validation: 5%, test: 5%`"));
        return;
    }
    let Some(rows) = node.inputs.first().and_then(|i| rows::of(facts, i)) else { return };
    for name in ["validation", "test"] {
        let n = match rows::amount(&node.args[name]) {
            Some(Amount::Rows(n)) => n,
            Some(Amount::Share(share)) => (rows.most as f64 * share).round() as u64,
            None => continue,
        };
        let wanted = node.args[name]["ratio"].as_f64().is_some_and(|share| share > 0.0);
        let (message, label) = if n == 0 && wanted {
            (format!("`{name}` of {} rows at most is no row", rows.most), "empty")
        } else if n >= rows.most && rows.most > 0 {
            (format!("`{name}` takes all of the {} rows at most", rows.most), "leaves no row to train on")
        } else {
            continue;
        };
        let d = Diagnostic::new(W0512, at(node, name), message, label);
        found.push(d.help(format!("give `{name}` another part, or a number of rows: `{name}: 50rows`")));
    }
}

fn pictures(node: &Node, found: &mut Problems) {
    let (Some(most), Some(cutoff)) = (node.args["pixels"]["to"].as_u64(), node.args["cutoff"].as_u64()) else { return };
    let tokens = most / PIXELS_OF_A_TOKEN;
    if node.place("pixels").is_some() && tokens >= cutoff {
        let message = format!("a picture of {most} pixels is {tokens} tokens, `cutoff` is {cutoff}");
        let d = Diagnostic::new(W0509, at(node, "pixels"), message, "leaves no room for the text");
        let fits = cutoff / 2 * PIXELS_OF_A_TOKEN;
        found.push(d.help(format!("raise `cutoff`, or lower the end of `pixels`: {fits}px take half of it")));
    }
}
