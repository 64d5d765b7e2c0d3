//! `data.sample`: random rows, plain, stratified, with weights of groups or of single rows.

use serde_json::{Map, Value as Json};

use super::Amount;
use crate::base::OpError;
use crate::data::cell::Cell;
use crate::engine::{Builtin, Context, Output, Outputs};
use crate::ops::rows;
use crate::spec::{Class, OpSpec};

/// The operator.
pub static SAMPLE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps random rows, in their order, without replacement. Where there are fewer than asked for, all of them.
## With a column of weights, rows are drawn one after the other, each time with chances in proportion to the weights of what is left; a row
## of weight 0 is never drawn. What a row draws depends on its other columns alone, so a weight that changes a little moves few rows.
op data.sample(
  d: Dataset[{ ..r }],
  ## How many rows, or which share of them.
  n: Rows | Ratio in 0%..100%,
  ## Sample within each value of this column; without `weights` and `equal`, in proportion.
  by: Col? = none,
  ## The share of the sample that each value of `by` gets, as a record: `{ safe: 50%, high: 50% }`; a value that is not named gets none. Or
  ## a column with the weight of each row, 0 or more: `.score`.
  weights: Json? | Col? = none,
  ## Give each value the same number of rows.
  equal: Bool = false,
) -> Dataset[{ ..r }]"#,
        class: Class::Sampled,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    n: Amount,
    by: Option<String>,
    weights: Option<Weights>,
    equal: bool,
}

/// Whose chances differ.
#[derive(serde::Deserialize)]
#[serde(untagged)]
enum Weights {
    /// Of groups: the share of each value of `by`.
    Groups(Map<String, Json>),
    /// Of rows: a column.
    Rows(String),
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let rows = cx.input("d")?.rows().unwrap_or(0) as usize;
    let n = args.n.of(rows).min(rows);
    let of_groups = matches!(args.weights, Some(Weights::Groups(_)));
    if args.by.is_none() && (of_groups || args.equal) {
        return Err(OpError::new("E0211", "`equal` and `weights` of groups need the argument `by`"));
    }
    let (of_rows, values) = super::strata(cx, args.by.as_deref(), rows)?;
    let order = match &args.weights {
        Some(Weights::Rows(column)) => by_weight(cx, column)?,
        _ => super::shuffled(cx, "d", cx.stream)?,
    };
    let mut strata: Vec<Vec<u32>> = vec![Vec::new(); values.len()];
    order.into_iter().for_each(|row| strata[of_rows[row as usize] as usize].push(row));
    let shares: Vec<f64> = match &args.weights {
        Some(Weights::Groups(weights)) => {
            if let Some(unknown) = weights.keys().find(|k| !values.contains(k)) {
                return Err(OpError::new("E0612", format!("`weights` names {unknown:?}, which no row has")));
            }
            values.iter().map(|k| weights.get(k).and_then(Json::as_f64).unwrap_or(0.0)).collect()
        }
        _ if args.equal => vec![1.0; strata.len()],
        _ => strata.iter().map(|rows| rows.len() as f64).collect(),
    };
    let mut keep = vec![false; rows];
    for (rows, quota) in strata.iter().zip(super::shares(n, &shares)) {
        rows.iter().take(quota).for_each(|&row| keep[row as usize] = true);
    }
    let kept = rows::parted(cx, 1, |row| keep[row].then_some(0))?;
    rows::count(cx, rows, keep.iter().filter(|keep| **keep).count());
    Ok(kept.into_iter().map(|kept| (String::new(), Output::Artifact(kept))).collect())
}

/// Returns the rows with a weight above 0, first those that a weighted draw without replacement takes first: each row waits for an exponential
/// time whose rate is its weight (Efraimidis and Spirakis, 2006, doi:10.1016/j.ipl.2005.11.003: the largest `u^(1/w)`, here by its logarithm).
fn by_weight(cx: &Context, column: &str) -> Result<Vec<u32>, OpError> {
    let parts = cx.parts("d", &[column])?;
    let weight = |(row, cell): (usize, &Cell<'_>)| {
        cell.as_f64().filter(|w| w.is_finite() && *w >= 0.0).ok_or_else(|| {
            let message = format!("row {} has {} in `.{column}`, which is no weight", row + 1, cell.to_json());
            OpError::new("E0612", message).help("give each row a number, 0 or more; `filter.rule` leaves others out")
        })
    };
    let weights: Vec<f64> = super::values(&parts, column)?.iter().enumerate().map(weight).collect::<Result<_, _>>()?;
    let drawn = super::drawn(cx, "d", Some(column), cx.stream)?;
    let waits: Vec<f64> = drawn.iter().zip(&weights).map(|(u, w)| -(-u).ln_1p() / w).collect();
    let mut order: Vec<u32> = (0..weights.len() as u32).filter(|&row| weights[row as usize] > 0.0).collect();
    order.sort_by(|&a, &b| waits[a as usize].total_cmp(&waits[b as usize]));
    Ok(order)
}
