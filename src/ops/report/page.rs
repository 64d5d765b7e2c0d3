//! `report.page`: one HTML file that needs nothing else.

use std::collections::BTreeMap;

use minijinja::context;
use serde_json::{Value as Json, json};

use super::STYLE;
use super::payload::{Asked, Payload, payload};
use crate::base::{OpError, phrase};
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static PAGE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## One HTML file about a sweep: the table, what a model gains over each other one, a chart from model to model, groups, answers,
## calibration, training curves and every sample with its pictures. It needs no network and works from the disk. It holds 900 pictures;
## further ones lie beside it in `report.media`. Written to `.json` it is the table and the calibration alone.
op report.page(
  scores: Grid,
  ## The rows that were trained on.
  data: Dataset[{ ..r }]? = none,
  ## Models by name; their training logs are drawn.
  models: { ..any }? = none,
  ## Axes whose cells are averaged, such as a seed: models then have the mean of their runs, and the samples show each run's replies.
  over: [Str] = [],
  ## The model that others are compared with; default `base`.
  baseline: Str? = none,
  ## The model whose gain over each other one is shown; default: the last.
  gain: Str? = none,
  title: Str = "Evaluation",
  theme: enum { auto, light, dark } = "auto",
) -> Report"#,
        version: 9,
        history: &["data"],
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    over: Vec<String>,
    baseline: Option<String>,
    gain: Option<String>,
    title: String,
    theme: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let asked = Asked { over: args.over, baseline: args.baseline, gain: args.gain };
    let payload = payload(cx, &asked, &args.theme)?;
    let html = render(&args.title, &payload)?;
    // The table's own fields, and the calibration beside them.
    let mut facts = payload.facts["table"].clone();
    facts["calibration"] = payload.facts["calibration"].clone();
    let mut files = BTreeMap::new();
    files.insert("report.html".to_owned(), cx.put(html.as_bytes())?);
    files.insert("report.json".to_owned(), cx.put(serde_json::to_string(&facts)?.as_bytes())?);
    files.extend(payload.pictures.beside.into_values());
    let samples = payload.samples.len();
    cx.counts.insert("samples".into(), samples as u64);
    let (models, benches) = (&payload.facts["models"], &payload.facts["benches"]);
    let meta = json!({ "title": args.title, "models": models, "benchmarks": benches, "samples": samples });
    Ok(vec![(String::new(), Output::Artifact(Artifact { kind: Kind::Report, meta, files }))])
}

const SCRIPT: &str = include_str!("page.js");

/// Fills the template. What models wrote reaches the page only as JSON in which no tag can open.
fn render(title: &str, payload: &Payload) -> Result<String, OpError> {
    let facts = &payload.facts;
    let list = |key: &str| facts[key].as_array().map_or(0, Vec::len);
    let items: u64 = facts["table"]["rows"].as_array().into_iter().flatten().filter_map(|r| r["n"].as_u64()).sum();
    let subtitle = [
        phrase::count(list("models"), "model"),
        phrase::count(list("benches"), "benchmark"),
        phrase::count(items as usize, "question"),
    ];
    let subtitle = subtitle.join(" · ");
    let mut parts = String::new();
    for (id, block) in payload.samples.blocks() {
        parts.push_str(&format!("<script type=\"application/json\" id=\"{id}\">{}</script>\n", inert(&block)?));
    }
    for (digest, uri) in &payload.pictures.within {
        parts.push_str(&format!("<script type=\"text/plain\" id=\"p{digest}\">{uri}</script>\n"));
    }
    let values = context! {
        title, subtitle, payload => inert(facts)?, parts, style => STYLE, script => SCRIPT,
        has_calibration => facts["calibration"].as_object().is_some_and(|c| !c.is_empty()),
        has_training => list("training") > 0, has_funnel => !facts["funnel"].is_null(),
    };
    super::fill(include_str!("page.html"), values)
        .map_err(|e| OpError::new("E0612", format!("the report's template: {e}")))
}

/// Returns JSON as a text that ends no script.
fn inert(value: &Json) -> Result<String, OpError> {
    let text = serde_json::to_string(value)?;
    Ok(text.replace('<', "\\u003c").replace('\u{2028}', "\\u2028").replace('\u{2029}', "\\u2029"))
}
