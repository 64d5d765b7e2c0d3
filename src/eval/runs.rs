//! Several runs of one cell, such as seeds, as one score: mean, spread, and an interval over other questions and other runs.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::answers::{Histogram, pooled};
use super::compare::{Cell, Layout};
use super::stats::mean;
use super::stored::{Run, Stored};
use super::total::{Unit, by_group, total};
use crate::base::OpError;

/// Averages the cells of a sweep over some of its axes. A cell whose runs all failed is a hole; one of which some failed is the mean of the
/// others, and says so in its [`Spread`].
///
/// # Errors
/// E0604 for an axis that is not there, for one that the table needs, and where none is left.
pub fn fold(layout: &Layout, cells: Vec<Cell>, over: &[String]) -> Result<(Layout, Vec<Cell>), OpError> {
    for name in over {
        if !layout.axes.contains(name) {
            let axes = layout.axes.join(", ");
            return Err(OpError::new("E0604", format!("the grid has no axis `{name}`; its axes are {axes}")));
        }
        if [&layout.rows, &layout.cols].into_iter().flatten().any(|a| a == name) {
            return Err(OpError::new("E0604", format!("the axis `{name}` cannot be averaged over and laid out too"))
                .help("take it out of `over`, or name other axes in `rows` and `cols`"));
        }
    }
    let kept: Vec<usize> = (0..layout.axes.len()).filter(|&i| !over.contains(&layout.axes[i])).collect();
    if kept.is_empty() {
        return Err(OpError::new("E0604", "no axis is left for rows when all are averaged over"));
    }
    let of = |labels: &[String], axes: &dyn Fn(usize) -> bool| -> Vec<String> {
        labels.iter().enumerate().filter(|(i, _)| axes(*i)).map(|(_, l)| l.clone()).collect()
    };
    let is_kept = |i: usize| kept.contains(&i);
    let mut order: Vec<Vec<String>> = Vec::new();
    let mut groups: BTreeMap<Vec<String>, Vec<(String, Result<Stored, String>)>> = BTreeMap::new();
    for Cell { labels, score } in cells {
        let place = of(&labels, &is_kept);
        if !groups.contains_key(&place) {
            order.push(place.clone());
        }
        let run = of(&labels, &|i| !is_kept(i)).join(", ");
        groups.entry(place).or_default().push((run, score));
    }
    let averaged = order.into_iter().map(|labels| {
        let runs = groups.remove(&labels).unwrap_or_default();
        Ok(Cell { score: averaged(runs, &over.join(", "))?, labels })
    });
    let cells = averaged.collect::<Result<_, OpError>>()?;
    let pick = |all: &[Vec<String>]| kept.iter().map(|&i| all[i].clone()).collect();
    let layout = Layout {
        axes: kept.iter().map(|&i| layout.axes[i].clone()).collect(),
        labels: pick(&layout.labels),
        over: over.to_vec(),
        ..layout.clone()
    };
    Ok((layout, cells))
}

/// One score of several runs, or why there is none.
fn averaged(runs: Vec<(String, Result<Stored, String>)>, over: &str) -> Result<Result<Stored, String>, OpError> {
    let asked = runs.len();
    let mut scored: Vec<Run> = Vec::new();
    let mut why = None;
    for (label, score) in runs {
        match score {
            Ok(score) if score.meta["value"].is_number() => scored.push(Run { label, score }),
            Ok(_) => why = why.or(Some("no value".to_owned())),
            Err(hole) => why = why.or(Some(hole)),
        }
    }
    let Some(first) = scored.first() else { return Ok(Err(why.unwrap_or_else(|| "not in the sweep".to_owned()))) };
    let Some(units) = common(&scored.iter().map(|r| &r.score).collect::<Vec<_>>()) else {
        return Ok(Err(format!("its runs over {over} were asked different questions")));
    };
    let slices: Vec<&[Unit]> = units.iter().map(Vec::as_slice).collect();
    let estimate = total(&first.score.meta["headline"])?.estimate_runs(&slices)?;
    let mut meta = merged(&scored);
    for (key, value) in [
        ("value", json!(estimate.value)),
        ("se", json!(estimate.se)),
        ("low", json!(estimate.low)),
        ("high", json!(estimate.high)),
        ("interval", json!(estimate.interval)),
        ("clusters", json!(estimate.clusters)),
        ("groups", json!(by_group(&slices)?)),
    ] {
        meta[key] = value;
    }
    let (units, items) = (first.score.units.clone(), first.score.items.clone());
    Ok(Ok(Stored { meta, units, items, asked, runs: scored }))
}

/// The facts of all runs as those of one: shares and token counts as means, answers counted together, the rest as in the first.
fn merged(runs: &[Run]) -> Json {
    let mut meta = runs[0].score.meta.clone();
    let number = |path: &[&str], run: &Run| {
        let mut at = &run.score.meta;
        path.iter().for_each(|key| at = &at[*key]);
        at.as_f64()
    };
    for key in ["unparsed", "truncated", "failed", "refused", "skill", "compat", "compat_answered", "requests"] {
        if runs.iter().all(|run| run.score.meta[key].is_null()) {
            continue;
        }
        let of = |run: &Run| match key {
            // What is not told of a run did not happen in it.
            "refused" | "failed" | "truncated" => Some(number(&[key], run).unwrap_or(0.0)),
            "compat_answered" => number(&[key], run).or(number(&["compat"], run)),
            _ => number(&[key], run),
        };
        let all: Option<Vec<f64>> = runs.iter().map(of).collect();
        meta[key] = json!(all.map(|values| mean(&values)));
    }
    let tokens = |key| runs.iter().map(|r| number(&["tokens", key], r)).collect::<Option<Vec<f64>>>();
    if let (Some(prompt), Some(reply)) = (tokens("prompt"), tokens("reply")) {
        meta["tokens"] = json!({ "prompt": mean(&prompt), "reply": mean(&reply) });
    }
    let answers = |run: &Run| serde_json::from_value::<Vec<Histogram>>(run.score.meta["answers"].clone()).ok();
    meta["answers"] =
        runs.iter().map(answers).collect::<Option<Vec<_>>>().map_or(Json::Null, |all| json!(pooled(&all)));
    meta
}

/// The items of each score in the order of the first; `None` where they were not all asked the same.
fn common(scores: &[&Stored]) -> Option<Vec<Vec<Unit>>> {
    let first = scores.first()?;
    let in_order = |score: &&Stored| -> Option<Vec<Unit>> {
        if score.units.len() != first.units.len() || score.meta["headline"] != first.meta["headline"] {
            return None;
        }
        let places: BTreeMap<&str, usize> = score.units.iter().enumerate().map(|(i, u)| (u.id.as_str(), i)).collect();
        let same = |(i, unit): (usize, &Unit)| {
            let at = *places.get(unit.id.as_str())?;
            (score.items[at] == first.items[i]).then(|| score.units[at].clone())
        };
        first.units.iter().enumerate().map(same).collect()
    };
    scores.iter().map(in_order).collect()
}
