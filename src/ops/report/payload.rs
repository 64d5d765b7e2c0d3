//! What the report page shows: tables, groups, histograms, curves as JSON, and beside them the samples and their pictures.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use super::pictures::Pictures;
use super::samples::{Reply, Samples};
use crate::base::OpError;
use crate::data::table::Table;
use crate::engine::Context;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::storage::dataset;
use crate::engine::storage::history::Step;
use crate::eval::benchmark::items_dataset;
use crate::eval::calibration::{Calibration, Guess, OPTION_P, calibration, guess, parse};
use crate::eval::compare::{Cell, Layout, ScoreTable, table};
use crate::eval::item::{self, Columns, Item};
use crate::eval::runs::fold;
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

/// How the scores of a page or chart are laid out.
#[derive(Default)]
pub(super) struct Asked {
    /// Axes whose cells are averaged.
    pub over: Vec<String>,
    /// The model that others are compared with.
    pub baseline: Option<String>,
    /// The model whose gain over each other one is shown.
    pub gain: Option<String>,
}

/// Returns what a page is made of for the scores in argument `scores`.
pub(super) fn payload(cx: &Context, asked: &Asked, theme: &str) -> Result<Payload, OpError> {
    let laid = laid(cx, asked)?;
    let mut out = Collected::default();
    for run in &laid.runs {
        if let Some(artifact) = scored(cx, &run.key) {
            out.cell(cx, run, artifact)?;
        }
    }
    let names = laid.names();
    let pictures = Pictures::of(cx, out.samples.pictures())?;
    let calibrated = out.guesses.iter().filter_map(|(name, g)| Some((name.clone(), json!(calibration(g)?))));
    let facts = json!({
        "theme": theme,
        "models": laid.table.columns,
        "runs": names,
        "benches": laid.benches(),
        "groups": laid.facts("groups"),
        "histograms": laid.facts("answers"),
        "calibration": calibrated.collect::<Map<_, _>>(),
        "samples": out.samples.index(&names),
        "pictures": pictures.index(),
        "training": training(cx),
        "funnel": funnel(cx)?,
        "table": laid.table,
    });
    Ok(Payload { facts, samples: out.samples, pictures })
}

/// The grid in argument `scores` as a table of benchmarks by models.
struct Laid {
    layout: Layout,
    /// The cells of the table, each the mean of its runs.
    cells: Vec<Cell>,
    table: ScoreTable,
    /// The cells of the sweep.
    runs: Vec<Run>,
}

/// A cell of the sweep: a model, under one seed where there are several, and a benchmark.
struct Run {
    bench: String,
    /// The labels of its other axes, so that none is laid over another.
    name: String,
    /// Its place in the argument.
    key: String,
}

impl Laid {
    fn benches(&self) -> &[String] {
        &self.layout.labels[axes(&self.layout).1]
    }

    /// The names of the runs in the order of the sweep, each once.
    fn names(&self) -> Vec<String> {
        let mut seen = BTreeSet::new();
        self.runs.iter().map(|run| run.name.clone()).filter(|name| seen.insert(name.clone())).collect()
    }

    /// A fact of all scores, by benchmark and model.
    fn facts(&self, key: &str) -> BTreeMap<&str, BTreeMap<String, Json>> {
        let (_, benches_axis) = axes(&self.layout);
        let mut out: BTreeMap<&str, BTreeMap<String, Json>> = BTreeMap::new();
        for cell in &self.cells {
            let Some(fact) = cell.score.as_ref().ok().map(|s| &s.meta[key]).filter(|fact| !fact.is_null()) else {
                continue;
            };
            let model = besides(&cell.labels, Some(benches_axis));
            out.entry(&cell.labels[benches_axis]).or_default().insert(model, fact.clone());
        }
        out
    }
}

fn laid(cx: &Context, asked: &Asked) -> Result<Laid, OpError> {
    let (swept, cells) = grid(cx, "scores")?;
    let labels: Vec<Vec<String>> = cells.iter().map(|c| c.labels.clone()).collect();
    let (mut layout, mut cells) =
        if asked.over.is_empty() { (swept.clone(), cells) } else { fold(&swept, cells, &asked.over)? };
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
    let base = asked.baseline.clone().or_else(|| models.iter().find(|m| *m == "base").cloned());
    layout.baseline = base.filter(|b| models.contains(b) && models.len() > 1);
    // As `baseline`, a name that is no model is left out: the same call serves sweeps over other models.
    let named = asked.gain.clone().or_else(|| models.last().cloned());
    layout.gain = named.filter(|g| models.contains(g) && models.len() > 1);
    let own = swept.axes.iter().position(|axis| *axis == layout.axes[benches_axis]);
    let run = |labels: Vec<String>| Run {
        bench: own.map_or(ONLY, |axis| &labels[axis]).to_owned(),
        name: besides(&labels, own),
        key: labels.join("|"),
    };
    let runs = labels.into_iter().map(run).collect();
    let table = table(&layout, &cells)?;
    Ok(Laid { layout, cells, table, runs })
}

/// The labels of all axes but one, as a table names its columns.
fn besides(labels: &[String], axis: Option<usize>) -> String {
    let others = labels.iter().enumerate().filter(|(i, _)| Some(*i) != axis);
    let name = others.map(|(_, label)| label.as_str()).collect::<Vec<_>>().join(", ");
    if name.is_empty() { ONLY.to_owned() } else { name }
}

/// The table of the grid in argument `scores`.
pub fn scores_table(cx: &Context, asked: &Asked) -> Result<ScoreTable, OpError> {
    Ok(laid(cx, asked)?.table)
}

/// The calibration of each run of a model over all benchmarks whose scores have probabilities of options.
pub fn calibrations(cx: &Context, asked: &Asked) -> Result<BTreeMap<String, Calibration>, OpError> {
    let mut guesses: BTreeMap<String, Vec<Guess>> = BTreeMap::new();
    for run in laid(cx, asked)?.runs {
        let Some(artifact) = scored(cx, &run.key) else { continue };
        let rows = dataset::load(cx.store, &items_dataset(artifact))?;
        let replies = first_replies(&rows)?;
        guesses.entry(run.name).or_default().extend(replies.iter().filter_map(|r| guess(&r.item, r.p.as_deref()?)));
    }
    Ok(guesses.into_iter().filter_map(|(name, g)| Some((name, calibration(&g)?))).collect())
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
    /// By run, over all benchmarks.
    guesses: BTreeMap<String, Vec<Guess>>,
    samples: Samples,
}

impl Collected {
    fn cell(&mut self, cx: &Context, run: &Run, artifact: &Artifact) -> Result<(), OpError> {
        let rows = dataset::load(cx.store, &items_dataset(artifact))?;
        let columns = Columns { table: &rows };
        let guesses = self.guesses.entry(run.name.clone()).or_default();
        for First { row, item, p } in first_replies(&rows)? {
            guesses.extend(p.as_deref().and_then(|p| guess(&item, p)));
            let reply = Reply {
                text: columns.text("reply", row)?,
                parsed: columns.text("parsed", row)?,
                rule: columns.text("rule", row)?.filter(|rule| !rule.is_empty()),
                score: columns.number("score", row)?.unwrap_or(0.0),
                compat: columns.number("compat", row)?,
                outcome: columns.text("outcome", row)?,
                note: columns.text("note", row)?,
                points: columns.text("points", row)?.and_then(|p| serde_json::from_str(&p).ok()),
                option_p: p,
            };
            self.samples.add(&run.bench, &run.name, (row, &item), columns.text("prompt", row)?, reply);
        }
        Ok(())
    }
}

/// A row of a score's items: the question, and the probabilities of its options where the model was asked for them.
struct First {
    row: usize,
    item: Item,
    p: Option<Vec<f64>>,
}

/// The rows of a score's items; of questions that were asked several times those of the first reply.
fn first_replies(rows: &Table) -> Result<Vec<First>, OpError> {
    let columns = Columns { table: rows };
    let sure = rows.column(OPTION_P).is_ok();
    let mut out = Vec::with_capacity(rows.rows());
    for (row, item) in item::from_table(rows)?.into_iter().enumerate() {
        if columns.integer("epoch", row)?.unwrap_or(0) == 0 {
            let p = if sure { columns.text(OPTION_P, row)?.and_then(|p| parse(&p)) } else { None };
            out.push(First { row, item, p });
        }
    }
    Ok(out)
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
