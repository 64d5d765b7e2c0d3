//! `data.profile`: what is in a dataset.

use std::collections::{BTreeMap, BTreeSet};

use arrow::array::Array;
use rayon::prelude::*;
use serde_json::{Value as Json, json};
use tokenizers::Tokenizer;

use super::profile_page;
use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::table::Table;
use crate::data::{arrow_type, text};
use crate::engine::{Artifact, Builtin, Context, Kind, Output, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static PROFILE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Describes a dataset: for each column its type, absent values, lengths of texts in characters (and tokens), ranges of numbers and sizes of pictures; how
## many rows each value of `by` has; how many rows repeat the texts of another. To `.html` it is a page with plots, to `.json` the numbers behind them.
op data.profile(
  d: Dataset[{ ..r }],
  ## The model whose tokens are counted.
  tokenizer: Model? = none,
  ## Columns whose values are counted; one that is not there is passed over.
  by: Cols = [.source],
) -> Report"#,
        version: 2,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    by: Vec<String>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let d = cx.table("d")?;
    let tokenizer = match cx.inputs.get("tokenizer") {
        Some(model) => {
            let loaded = Tokenizer::from_file(cx.file(model, "tokenizer.json")?);
            Some(loaded.map_err(|e| OpError::new("E0503", format!("tokenizer.json of `tokenizer`: {e}")))?)
        }
        None => None,
    };
    let profile = pooled(cx.threads, || describe(&d, &args.by, tokenizer.as_ref()))??;
    let file = cx.put(serde_json::to_string_pretty(&profile)?.as_bytes())?;
    let page = cx.put(profile_page::html(&profile).as_bytes())?;
    let files = BTreeMap::from([("profile.json".to_owned(), file), ("report.html".to_owned(), page)]);
    let report = Artifact { kind: Kind::Report, meta: json!({ "rows": d.rows() }), files };
    Ok(vec![(String::new(), Output::Artifact(report))])
}

fn describe(d: &Table, by: &[String], tokenizer: Option<&Tokenizer>) -> Result<Json, OpError> {
    let mut columns = serde_json::Map::new();
    let mut wording: Vec<String> = Vec::new();
    for (name, array) in d.columns() {
        let cells = d.cells(&name)?;
        let mut about = json!({ "type": arrow_type::text(array.data_type()), "absent": array.null_count() });
        let texts: Vec<&str> = cells.iter().filter_map(Cell::as_str).collect();
        if !texts.is_empty() {
            about["distinct"] = texts.iter().collect::<BTreeSet<_>>().len().into();
            about["characters"] = quantiles(texts.iter().map(|t| t.chars().count() as f64).collect());
            if let Some(tokenizer) = tokenizer {
                let count = |t: &&str| tokenizer.encode_fast(*t, false).map(|e| e.len() as f64);
                let counts: Result<Vec<f64>, _> = texts.par_iter().map(count).collect();
                about["tokens"] = quantiles(counts.map_err(|e| OpError::new("E0612", e.to_string()))?);
            }
            if name != "id" {
                wording.push(name.clone());
            }
        }
        let numbers: Vec<f64> = cells.iter().filter_map(Cell::as_f64).filter(|x| x.is_finite()).collect();
        if !numbers.is_empty() {
            about["values"] = quantiles(numbers);
        }
        let mut sizes: BTreeMap<String, u64> = BTreeMap::new();
        let mut pictures: BTreeSet<String> = BTreeSet::new();
        let mut sides = (Vec::new(), Vec::new());
        cells.iter().for_each(|cell| measure(cell, &mut sizes, &mut sides, &mut pictures));
        if !pictures.is_empty() {
            let (width, height) = (quantiles(sides.0), quantiles(sides.1));
            about["pictures"] = json!({ "distinct": pictures.len(), "width": width, "height": height, "sizes": sizes });
        }
        columns.insert(name, about);
    }
    let mut counts = serde_json::Map::new();
    for name in by.iter().filter(|name| d.column(name).is_ok()) {
        let mut values: BTreeMap<String, u64> = BTreeMap::new();
        d.texts(std::slice::from_ref(name))?.into_iter().for_each(|v| *values.entry(v).or_default() += 1);
        counts.insert(name.clone(), json!(values));
    }
    let texts = d.texts(&wording)?;
    let distinct: BTreeSet<String> = texts.iter().map(|t| text::normalise(t)).collect();
    let repeated = texts.len() - distinct.len();
    Ok(json!({ "rows": d.rows(), "columns": columns, "by": counts, "rows with the texts of another": repeated }))
}

fn measure(
    cell: &Cell<'_>,
    sizes: &mut BTreeMap<String, u64>,
    sides: &mut (Vec<f64>, Vec<f64>),
    pictures: &mut BTreeSet<String>,
) {
    match cell {
        Cell::List(items) => items.iter().for_each(|item| measure(item, sizes, sides, pictures)),
        Cell::Record(_) => {
            if let (Some(Cell::Int(w)), Some(Cell::Int(h))) = (cell.field("width"), cell.field("height")) {
                sides.0.push(*w as f64);
                sides.1.push(*h as f64);
                *sizes.entry(format!("{w} x {h}")).or_default() += 1;
                pictures.extend(cell.field("digest").and_then(Cell::as_str).map(str::to_owned));
            }
        }
        _ => {}
    }
}

/// Parts of a histogram.
const PARTS: usize = 24;

/// Smallest, quartiles, 95th and 99th percentile by nearest rank, largest, mean, and a histogram of equal parts from the smallest to the largest.
fn quantiles(mut values: Vec<f64>) -> Json {
    values.sort_by(f64::total_cmp);
    let at = |q: f64| values[((q * values.len() as f64).ceil() as usize).clamp(1, values.len()) - 1];
    let mean = values.iter().sum::<f64>() / values.len() as f64;
    let (least, most) = (at(0.0), at(1.0));
    let part = |x: f64| (((x - least) / (most - least) * PARTS as f64) as usize).min(PARTS - 1);
    let mut histogram = vec![0u64; if most > least { PARTS } else { 1 }];
    values.iter().for_each(|&x| histogram[if most > least { part(x) } else { 0 }] += 1);
    json!({ "min": least, "p25": at(0.25), "p50": at(0.5), "p75": at(0.75), "p95": at(0.95), "p99": at(0.99), "max": most,
        "mean": mean, "histogram": histogram })
}
