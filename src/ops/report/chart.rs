//! `report.chart`: one chart as a file.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value as Json, json};

use super::payload::{Asked, calibrations, scores_table, training};
use crate::base::OpError;
use crate::data::plot::{Frame, Series, lines, radar};
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::calibration::Calibration;
use crate::eval::compare::ScoreTable;
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static CHART: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## One chart as an SVG file; written to `.json` it is the numbers that are drawn. `slope`: each benchmark's score from model to model in the
## order of the sweep, with its interval. `radar`: the models over the benchmarks. `calibration`: how often the models are right at what
## confidence. `loss` and `reward`: training curves of `models` (loss in nats, share of preference pairs that are ranked rightly).
op report.chart(
  scores: Grid,
  kind: enum { slope, radar, calibration, loss, reward } = "slope",
  ## Axes whose cells are averaged, such as a seed. Calibration is of each run.
  over: [Str] = [],
  ## Models by name, whose training logs are drawn by `loss` and `reward`.
  models: { ..any }? = none,
  ## Default: what the kind shows.
  title: Str? = none,
) -> Report"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

/// What is drawn.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Chart {
    Slope,
    Radar,
    Calibration,
    Loss,
    Reward,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    #[derive(Deserialize)]
    struct Args {
        kind: Chart,
        over: Vec<String>,
        title: Option<String>,
    }
    let args: Args = cx.args()?;
    let title = |usual: &'static str| args.title.clone().unwrap_or_else(|| usual.to_owned());
    let failed = |e: Box<dyn std::error::Error>| OpError::new("E0612", format!("the chart could not be drawn: {e}"));
    let asked = Asked { over: args.over, ..Asked::default() };
    let (svg, data) = match args.kind {
        Chart::Slope => slope(&scores_table(cx, &asked)?, &title("Score from model to model")).map_err(failed)?,
        Chart::Radar => rings(&scores_table(cx, &asked)?, &title("Score by benchmark")).map_err(failed)?,
        Chart::Calibration => {
            let calibration = calibrations(cx, &asked)?;
            if calibration.is_empty() {
                return Err(OpError::new(
                    "E0302",
                    "no score has probabilities of options, so there is no calibration to draw",
                )
                .help("ask for them with `eval.run(…, confidence: true)`"));
            }
            reliability(&calibration, &title("Calibration")).map_err(failed)?
        }
        Chart::Loss => curves(cx, &[("loss", ""), ("eval", " (validation)")], "loss", &title("Training loss"))?,
        Chart::Reward => curves(cx, &[("accuracy", "")], "pairs ranked rightly", &title("Reward accuracy"))?,
    };
    let mut files = BTreeMap::new();
    files.insert("report.svg".to_owned(), cx.put(svg.as_bytes())?);
    files.insert("report.json".to_owned(), cx.put(serde_json::to_string_pretty(&data)?.as_bytes())?);
    let page = format!("<!doctype html><meta charset=\"utf-8\"><title>Chart</title>\n{svg}\n");
    files.insert("report.html".to_owned(), cx.put(page.as_bytes())?);
    let meta = json!({ "chart": cx.args["kind"] });
    Ok(vec![(String::new(), Output::Artifact(Artifact { kind: Kind::Report, meta, files }))])
}

type Drawn = Result<(String, Json), Box<dyn std::error::Error>>;

fn data(series: &[Series]) -> Json {
    let one = |s: &Series| json!({ "name": s.name, "points": s.points, "intervals": s.intervals });
    json!(series.iter().map(one).collect::<Vec<_>>())
}

/// One line a benchmark over the models.
fn slope(table: &ScoreTable, title: &str) -> Drawn {
    let series: Vec<Series> = table
        .rows
        .iter()
        .map(|row| {
            let cells = || row.cells.iter().enumerate().map(|(x, cell)| (x as f64, cell));
            let interval = |(x, cell): (f64, &crate::eval::compare::ScoreCell)| Some((x, cell.low?, cell.high?));
            Series {
                name: row.label.clone(),
                points: cells().filter_map(|(x, cell)| Some((x, cell.value?))).collect(),
                intervals: cells().filter_map(interval).collect(),
            }
        })
        .collect();
    let frame = Frame { title, y: "score", names: table.columns.clone(), percent: true, ..Frame::default() };
    Ok((lines(&frame, &series)?, json!({ "names": table.columns, "series": data(&series) })))
}

/// One ring a model over the benchmarks.
fn rings(table: &ScoreTable, title: &str) -> Drawn {
    let spokes: Vec<String> = table.rows.iter().map(|r| r.label.clone()).collect();
    let values = |column: usize| table.rows.iter().map(|r| r.cells[column].value).collect::<Vec<_>>();
    let series: Vec<(String, Vec<Option<f64>>)> =
        table.columns.iter().enumerate().map(|(i, name)| (name.clone(), values(i))).collect();
    Ok((radar(title, &spokes, &series)?, json!({ "names": spokes, "series": series })))
}

/// Accuracy over confidence, a line a model, beside the diagonal of a model that knows what it knows.
fn reliability(models: &BTreeMap<String, Calibration>, title: &str) -> Drawn {
    let one = |(name, found): (&String, &Calibration)| Series {
        name: format!("{name} (error {:.1} %)", 100.0 * found.raw.ece),
        points: found.raw.bins.iter().map(|b| (b.confidence, b.accuracy)).collect(),
        intervals: found.raw.bins.iter().map(|b| (b.confidence, b.low, b.high)).collect(),
    };
    let series: Vec<Series> = models.iter().map(one).collect();
    let frame = Frame { title, x: "confidence", y: "share right", diagonal: true, percent: true, ..Frame::default() };
    Ok((lines(&frame, &series)?, json!({ "series": data(&series) })))
}

/// Curves of the training logs of `models`.
fn curves(cx: &Context, of: &[(&str, &str)], y: &str, title: &str) -> Result<(String, Json), OpError> {
    let mut series = Vec::new();
    for model in training(cx) {
        let name = model["name"].as_str().unwrap_or_default().to_owned();
        for (key, suffix) in of {
            let points: Vec<(f64, f64)> = serde_json::from_value(model[*key].clone()).unwrap_or_default();
            if !points.is_empty() {
                series.push(Series { name: format!("{name}{suffix}"), points, intervals: Vec::new() });
            }
        }
    }
    if series.is_empty() {
        return Err(OpError::new("E0302", "no model in `models` has a training log with such a curve")
            .help("name trained models, as in `models: { tuned, aligned }`; `reward` needs one of `train.dpo` or `train.reward`"));
    }
    let percent = y != "loss";
    let frame = Frame { title, x: "optimizer step", y, percent, ..Frame::default() };
    let svg =
        lines(&frame, &series).map_err(|e| OpError::new("E0612", format!("the chart could not be drawn: {e}")))?;
    Ok((svg, json!({ "series": data(&series) })))
}
