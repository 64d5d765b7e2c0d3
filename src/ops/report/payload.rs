//! What the report page shows: tables, groups, histograms, curves as JSON, and beside them the samples and their pictures.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};

use super::pictures::Pictures;
use super::samples::{Reply, Samples};
use crate::base::OpError;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::history::Step;
use crate::engine::{Context, dataset};
use crate::eval::benchmark::items_dataset;
use crate::eval::calibration::{Calibration, Guess, OPTION_P, calibration, guess, parse};
use crate::eval::compare::{Cell, Layout, ScoreTable, table};
use crate::eval::item::{self, Columns};
use crate::ops::grid::grid;

/// Names of the axis of models.
const MODELS: [&str; 3] = ["m", "model", "models"];
/// The label of the axis that a sweep over one axis lacks.
const ONLY: &str = "score";

/// What a page is made of.
pub(super) struct Payload {
    /// All that is read when the page opens.
    pub facts: Json,
    /// Every question with its replies.
    pub samples: Samples,
    /// The pictures that they show.
    pub pictures: Pictures,
}

/// Returns what a page is made of for the scores in argument `scores`.
pub(super) fn payload(
    cx: &Context,
    baseline: Option<&str>,
    gain: Option<&str>,
    theme: &str,
) -> Result<Payload, OpError> {
    let Laid { layout, cells, keys, table: scores } = laid(cx, baseline, gain)?;
    let (_, benches_axis) = axes(&layout);
    let benches = layout.labels[benches_axis].clone();
    let models = scores.columns.clone();

    let mut out = Collected::default();
    for (cell, key) in cells.iter().zip(keys) {
        let model = column(cell, benches_axis);
        let bench = cell.labels[benches_axis].clone();
        let slot = cx.args["scores"]["cells"][key]["$input"].as_str().unwrap_or_default();
        let Some(artifact) = cx.inputs.get(slot) else { continue };
        if artifact.kind != Kind::Score {
            continue;
        }
        out.cell(cx, &bench, &model, artifact)?;
    }
    let pictures = Pictures::of(cx, out.samples.pictures())?;
    let calibrated = out.guesses.iter().filter_map(|(model, g)| Some((model.clone(), json!(calibration(g)?))));
    let facts = json!({
        "theme": theme,
        "table": scores,
        "models": models,
        "benches": benches,
        "groups": out.groups,
        "formats": out.formats,
        "histograms": out.histograms,
        "calibration": calibrated.collect::<Map<_, _>>(),
        "samples": out.samples.index(&models),
        "pictures": pictures.index(),
        "training": training(cx),
        "funnel": funnel(cx)?,
    });
    Ok(Payload { facts, samples: out.samples, pictures })
}

/// The grid in argument `scores` as a table of benchmarks by models.
struct Laid {
    layout: Layout,
    cells: Vec<Cell>,
    /// The place of each cell in the argument.
    keys: Vec<String>,
    table: ScoreTable,
}

fn laid(cx: &Context, baseline: Option<&str>, gain: Option<&str>) -> Result<Laid, OpError> {
    let (mut layout, mut cells) = grid(cx, "scores")?;
    let keys: Vec<String> = cells.iter().map(|c| c.labels.join("|")).collect();
    if layout.axes.len() == 1 {
        let other = if MODELS.contains(&layout.axes[0].as_str()) { "benchmark" } else { "model" };
        layout.axes.push(other.to_owned());
        layout.labels.push(vec![ONLY.to_owned()]);
        cells.iter_mut().for_each(|c| c.labels.push(ONLY.to_owned()));
    }
    let (models_axis, benches_axis) = axes(&layout);
    layout.rows = Some(layout.axes[benches_axis].clone());
    layout.cols = Some(layout.axes[models_axis].clone());
    let models = layout.labels[models_axis].clone();
    let base = baseline.map(str::to_owned).or_else(|| models.iter().find(|m| *m == "base").cloned());
    layout.baseline = base.filter(|b| models.contains(b) && models.len() > 1);
    // As `baseline`, a name that is no model is left out: the same call serves sweeps over other models.
    let named = gain.map(str::to_owned).or_else(|| models.last().cloned());
    layout.gain = named.filter(|g| models.contains(g) && models.len() > 1);
    let table = table(&layout, &cells)?;
    Ok(Laid { layout, cells, keys, table })
}

/// The name of a cell's column: seeds and other axes stand in it, so that none is laid over another.
fn column(cell: &Cell, benches_axis: usize) -> String {
    let others = cell.labels.iter().enumerate().filter(|(axis, _)| *axis != benches_axis);
    others.map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(", ")
}

/// The table of the grid in argument `scores`.
pub fn scores_table(cx: &Context) -> Result<ScoreTable, OpError> {
    Ok(laid(cx, None, None)?.table)
}

/// The calibration of each model over all benchmarks whose scores have probabilities of options.
pub fn calibrations(cx: &Context) -> Result<BTreeMap<String, Calibration>, OpError> {
    let Laid { layout, cells, keys, .. } = laid(cx, None, None)?;
    let (_, benches_axis) = axes(&layout);
    let mut guesses: BTreeMap<String, Vec<Guess>> = BTreeMap::new();
    for (cell, key) in cells.iter().zip(keys) {
        let Some(artifact) = scored(cx, &key) else { continue };
        let rows = dataset::load(cx.store, &items_dataset(artifact))?;
        if rows.column(OPTION_P).is_err() {
            continue;
        }
        let columns = Columns { table: &rows };
        for (row, item) in item::from_table(&rows)?.iter().enumerate() {
            let first = columns.integer("epoch", row)?.unwrap_or(0) == 0;
            let p = columns.text(OPTION_P, row)?.filter(|_| first).and_then(|p| parse(&p));
            guesses.entry(column(cell, benches_axis)).or_default().extend(p.as_deref().and_then(|p| guess(item, p)));
        }
    }
    Ok(guesses.into_iter().filter_map(|(model, g)| Some((model, calibration(&g)?))).collect())
}

/// The score of a cell, if it has items.
fn scored<'a>(cx: &'a Context, key: &str) -> Option<&'a Artifact> {
    let slot = cx.args["scores"]["cells"][key]["$input"].as_str()?;
    cx.inputs.get(slot).filter(|a| a.kind == Kind::Score && !a.meta["items"].is_null())
}

/// The positions of the axis of models and of that of benchmarks.
fn axes(layout: &Layout) -> (usize, usize) {
    let named = |names: &[&str]| layout.axes.iter().position(|a| names.contains(&a.as_str()));
    let models = named(&MODELS).unwrap_or(0);
    let benches = named(&["b", "bench", "benchmark"]).filter(|b| *b != models);
    (models, benches.unwrap_or_else(|| (0..layout.axes.len()).find(|i| *i != models).unwrap_or(0)))
}

#[derive(Default)]
struct Collected {
    groups: BTreeMap<String, BTreeMap<String, Json>>,
    formats: BTreeMap<String, BTreeMap<String, Json>>,
    histograms: BTreeMap<String, BTreeMap<String, Json>>,
    /// By model, over all benchmarks.
    guesses: BTreeMap<String, Vec<Guess>>,
    samples: Samples,
}

impl Collected {
    fn cell(&mut self, cx: &Context, bench: &str, model: &str, artifact: &Artifact) -> Result<(), OpError> {
        let facts = &artifact.meta;
        let of = |map: &mut BTreeMap<String, BTreeMap<String, Json>>, value: Json| {
            if !value.is_null() {
                map.entry(bench.to_owned()).or_default().insert(model.to_owned(), value);
            }
        };
        of(&mut self.groups, facts["groups"].clone());
        of(&mut self.histograms, facts["answers"].clone());
        if let Some(unparsed) = facts["unparsed"].as_f64() {
            let format = json!({
                "format": 1.0 - unparsed, "skill": facts["skill"], "truncated": facts["truncated"], "failed": facts["failed"],
            });
            of(&mut self.formats, format);
        }
        if artifact.meta["items"].is_null() {
            return Ok(());
        }
        let rows = dataset::load(cx.store, &items_dataset(artifact))?;
        let items = item::from_table(&rows)?;
        let columns = Columns { table: &rows };
        let sure = rows.column(OPTION_P).is_ok();
        for (row, item) in items.iter().enumerate() {
            let parsed = columns.text("parsed", row)?;
            let score = columns.number("score", row)?.unwrap_or(0.0);
            if columns.integer("epoch", row)?.unwrap_or(0) == 0 {
                let p = if sure { columns.text(OPTION_P, row)?.and_then(|p| parse(&p)) } else { None };
                if let Some(guess) = p.as_deref().and_then(|p| guess(item, p)) {
                    self.guesses.entry(model.to_owned()).or_default().push(guess);
                }
                let reply = Reply {
                    text: columns.text("reply", row)?,
                    parsed,
                    rule: columns.text("rule", row)?.filter(|rule| !rule.is_empty()),
                    score,
                    compat: columns.number("compat", row)?,
                    outcome: columns.text("outcome", row)?,
                    note: columns.text("note", row)?,
                    points: columns.text("points", row)?.and_then(|p| serde_json::from_str(&p).ok()),
                    option_p: p,
                };
                self.samples.add(bench, model, (row, item), columns.text("prompt", row)?, reply);
            }
        }
        Ok(())
    }
}

/// The training curves of the models in argument `models`, from their logs.
pub fn training(cx: &Context) -> Vec<Json> {
    let mut out = Vec::new();
    for (name, artifact) in cx.inputs.iter().filter_map(|(slot, a)| slot.strip_prefix("models.").map(|n| (n, a))) {
        let Some(file) = artifact.files.get("training/log.jsonl") else { continue };
        let Ok(bytes) = cx.store.read(file.digest) else { continue };
        let lines: Vec<Json> =
            String::from_utf8_lossy(&bytes).lines().filter_map(|l| serde_json::from_str(l).ok()).collect();
        let series = |keys: &[&str]| -> Vec<(f64, f64)> {
            let step = |l: &Json| ["step", "current_steps"].iter().find_map(|k| l[*k].as_f64());
            let value = |l: &Json| keys.iter().find_map(|k| l[*k].as_f64());
            thin(lines.iter().filter_map(|l| Some((step(l)?, value(l)?))).collect())
        };
        let accuracy = series(&["rewards/accuracies", "accuracy"]);
        out.push(
            json!({ "name": name, "loss": series(&["loss"]), "eval": series(&["eval_loss"]), "accuracy": accuracy }),
        );
    }
    out
}

/// At most 400 points.
fn thin(points: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let every = points.len().div_ceil(400).max(1);
    points.into_iter().step_by(every).collect()
}

/// Columns by whose values the rows in argument `data` are counted.
const MAKEUP: [&str; 5] = ["source", "kind", "risk", "pad", "transform"];
/// A column with more values than this is no part of the make-up.
const MOST_PARTS: usize = 12;

/// How the rows in argument `data` came about, and how they are made up; nothing without the argument.
fn funnel(cx: &Context) -> Result<Json, OpError> {
    let Some(data) = cx.inputs.get("data") else { return Ok(Json::Null) };
    let rows = dataset::load(cx.store, data)?;
    let mut makeup = Vec::new();
    for name in MAKEUP {
        let Ok(texts) = rows.strings(name) else { continue };
        let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
        texts.iter().for_each(|t| *counts.entry(t.filter(|t| !t.is_empty()).unwrap_or("none")).or_default() += 1);
        if (2..=MOST_PARTS).contains(&counts.len()) {
            let mut values: Vec<(&str, u64)> = counts.into_iter().collect();
            values.sort_by(|a, b| b.1.cmp(&a.1).then(a.0.cmp(b.0)));
            makeup.push(json!({ "name": name, "values": values }));
        }
    }
    let steps: Vec<Step> = serde_json::from_value(cx.args["$history"]["data"].clone()).unwrap_or_default();
    Ok(json!({ "rows": rows.rows(), "steps": steps, "makeup": makeup }))
}
