//! Operators over the grid of a sweep: `grid.table`, `grid.worst_drop`, `grid.best`, `grid.delta`.

mod overlap;
mod published;

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::compare::{Cell, Layout, best, delta, facts, table, worst_drop};
use crate::eval::runs::fold;
use crate::eval::{score, table_text};
use crate::spec::{Effect, OpSpec};

/// Scores as a table.
pub static TABLE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Lays the scores of a sweep out as a table: interval, paired difference to a baseline with adjusted p-value, means, what
## guessing and the best constant answer score. Over seeds it shows mean and standard deviation, with intervals and p-values that cover
## other questions and other seeds. Cells that failed stay empty and say why; ‡ marks intervals over few clusters. It is written to `.md`,
## `.csv`, `.json`, `.html` or `.tex`; CSV and JSON tell how each interval was made and what it covers.
op grid.table(
  g: Grid,
  ## The axis that becomes rows.
  rows: Str? = none,
  ## The axis that becomes columns.
  cols: Str? = none,
  ## Axes whose cells are averaged, such as a seed: the table then has the mean of each cell's runs.
  over: [Str] = [],
  ## The label that the others are compared with, each with the column that shares its other labels.
  baseline: Str? = none,
  ## The label whose gain over each other column is added below the means: the paired difference over all rows with a bootstrap over
  ## clusters.
  gain: Str? = none,
  ## What stands in a cell and beside the row. `skill`: the score of readable replies alone; `answers`: the answer that is given
  ## most too often; `compat`: the score under the second profile; `tokens` and `cost`: of a server; `detectable`: the smallest paired
  ## difference that so many questions show.
  show: [enum { ci, delta, n, unparsed, skill, answers, chance, majority, compat, tokens, cost, detectable }] = [
    "ci", "delta", "n", "unparsed", "chance", "majority"],
  ## A difference: adds how many questions of each row's sort it takes to find it with 80 % power. Before a model is
  ## asked, `eval.score` of one row with `reply: null` gives it.
  see: Points? = none,
  ## Correction of the p-values for the number of comparisons.
  adjust: enum { holm, bh } = "holm",
  ## Columns of numbers from elsewhere, by label: each an `eval.published` whose names are those of the rows.
  published: { ..any } = {},
  ## The rows that the models were trained on: adds which share of the questions is among them.
  train: Dataset[{ ..r }]? = none,
  ## What a question must share with one training row: the look of a picture, a run of 13 words, either or both.
  shared: enum { either, both, picture, words } = "both",
) -> Table"#,
        version: 7,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run_table),
};

/// The largest fall.
pub static WORST_DROP: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## The largest fall of the score from one label to another over the other axes; negative when every score rose.
op grid.worst_drop(g: Grid, from: Str, to: Str) -> Metric[Points]"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run_worst_drop),
};

/// The paired difference of two labels.
pub static DELTA: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## How much better one label is than another on the same items: the mean over the other axes of `to` minus `from`, with its 95 %
## interval (a bootstrap over clusters with a fixed seed; Student's t over fewer than ten) and a sign-flip p-value. A question that was
## asked under several seeds is one question.
op grid.delta(
  g: Grid,
  from: Str,
  to: Str,
) -> { value: Metric[Points], low: Metric[Points], high: Metric[Points], p: Metric[Float] }"#,
        version: 2,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run_delta),
};

/// The best label.
pub static BEST: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## The best mean score over the labels of an axis; which label it is stands beside it.
op grid.best(g: Grid, by: Str) -> Metric[Ratio]"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run_best),
};

fn run_table(cx: &mut Context) -> Result<Outputs, OpError> {
    let (mut layout, mut cells) = grid(cx, "g")?;
    #[derive(Deserialize)]
    struct Args {
        over: Vec<String>,
        see: Option<f64>,
        rows: Option<String>,
        cols: Option<String>,
        baseline: Option<String>,
        gain: Option<String>,
        show: Vec<String>,
        adjust: String,
        shared: String,
    }
    let args: Args = cx.args()?;
    layout.see = args.see;
    layout.rows = args.rows;
    layout.cols = args.cols;
    layout.baseline = args.baseline;
    layout.gain = args.gain;
    layout.show = Some(args.show);
    layout.adjust = Some(args.adjust);
    if !args.over.is_empty() {
        (layout, cells) = fold(&layout, cells, &args.over)?;
    }
    published::add(cx, &mut layout, &mut cells)?;
    let mut table = table(&layout, &cells)?;
    if cx.inputs.contains_key("train") {
        overlap::add(cx, &mut table, &layout, &args.shared)?;
    }
    let holes = table.rows.iter().flat_map(|r| &r.cells).filter(|c| c.hole.is_some()).count();
    cx.counts.insert("cells".into(), (table.rows.len() * table.columns.len()) as u64);
    cx.counts.insert("holes".into(), holes as u64);
    let json = serde_json::to_value(&table)?;
    let mut files = BTreeMap::new();
    files.insert("table.md".to_owned(), cx.put(table_text::markdown(&table).as_bytes())?);
    files.insert("table.csv".to_owned(), cx.put(table_text::csv(&table).as_bytes())?);
    files.insert("table.html".to_owned(), cx.put(table_text::html(&table).as_bytes())?);
    files.insert("table.tex".to_owned(), cx.put(table_text::latex(&table).as_bytes())?);
    files.insert("table.json".to_owned(), cx.put(serde_json::to_string_pretty(&json)?.as_bytes())?);
    let artifact = Artifact { kind: Kind::Table, meta: json!({ "table": json, "holes": holes }), files };
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}

/// The two labels between which something is measured.
#[derive(Deserialize)]
struct FromTo {
    from: String,
    to: String,
}

fn run_worst_drop(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: FromTo = cx.args()?;
    let (layout, cells) = grid(cx, "g")?;
    let (value, at) = worst_drop(&layout, &cells, &args.from, &args.to)?;
    Ok(metric(json!({ "value": value, "at": at })))
}

fn run_delta(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: FromTo = cx.args()?;
    let (layout, cells) = grid(cx, "g")?;
    let found = delta(&layout, &cells, &args.from, &args.to)?;
    let facts = facts(&found);
    let field = |name: &str| {
        let mut meta = facts.clone();
        meta["value"] = facts[name].clone();
        (name.to_owned(), Output::Artifact(Artifact { kind: Kind::Metric, meta, files: BTreeMap::new() }))
    };
    cx.counts.insert("items".into(), found.n as u64);
    Ok(["value", "low", "high", "p"].map(field).into())
}

fn run_best(cx: &mut Context) -> Result<Outputs, OpError> {
    #[derive(Deserialize)]
    struct Args {
        by: String,
    }
    let args: Args = cx.args()?;
    let (layout, cells) = grid(cx, "g")?;
    let (label, value) = best(&layout, &cells, &args.by)?;
    Ok(metric(json!({ "value": value, "label": label })))
}

fn metric(meta: Json) -> Outputs {
    vec![(String::new(), Output::Artifact(Artifact { kind: Kind::Metric, meta, files: BTreeMap::new() }))]
}

/// Reads the grid in an argument: its layout and its cells, those that failed as holes.
pub(in crate::ops) fn grid(cx: &Context, name: &str) -> Result<(Layout, Vec<Cell>), OpError> {
    let json = &cx.args[name];
    let axes: Vec<String> = serde_json::from_value(json["axes"].clone())
        .map_err(|_| OpError::new("E0304", format!("`{name}` is no grid of a sweep")))?;
    let labels = axes.iter().map(|axis| Ok(serde_json::from_value(json["labels"][axis].clone())?));
    let labels = labels.collect::<Result<Vec<Vec<String>>, OpError>>()?;
    let layout = Layout { axes, labels, ..Layout::default() };
    let mut cells = Vec::new();
    for key in layout.combinations(&(0..layout.axes.len()).collect::<Vec<_>>()) {
        let place = key.join("|");
        let Some(cell) = json["cells"].get(&place) else { continue };
        let slot = cell["$input"].as_str().map_or_else(|| format!("{name}.cells.{place}"), str::to_owned);
        let score = match cx.inputs.get(&slot) {
            Some(artifact) => Ok(score::load(cx.store, artifact)?),
            None => Err(cx.args["$holes"][&slot].as_str().unwrap_or("failed").to_owned()),
        };
        cells.push(Cell { labels: key, score });
    }
    Ok((layout, cells))
}
