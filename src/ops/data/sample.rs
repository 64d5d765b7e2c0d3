//! `data.sample`: random rows, plain, stratified or weighted.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::{Amount, shares};
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Class, OpSpec};

/// The operator.
pub static SAMPLE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps random rows, in their order, without replacement. Where there are fewer than asked for, all of them.
op data.sample(
  d: Dataset[{ ..r }],
  ## How many rows, or which share of them.
  n: Rows | Ratio in 0%..100%,
  ## Sample within each value of this column; without `weights` and `equal`, in proportion.
  by: Col? = none,
  ## The share of the sample that each value gets, as a record: `{ safe: 50%, high: 50% }`. A value that is not named gets none.
  weights: Json? = none,
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
    weights: Option<Map<String, Json>>,
    equal: bool,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let d = cx.table("d")?;
    let n = args.n.of(d.rows()).min(d.rows());
    let mut strata: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let values = match &args.by {
        Some(by) => d.texts(std::slice::from_ref(by))?,
        None if args.weights.is_some() || args.equal => {
            return Err(OpError::new("E0211", "`weights` and `equal` need the argument `by`"));
        }
        None => vec![String::new(); d.rows()],
    };
    for row in super::shuffled(&d, cx.stream)? {
        strata.entry(values[row as usize].clone()).or_default().push(row);
    }
    let weights: Vec<f64> = match &args.weights {
        Some(weights) => {
            if let Some(unknown) = weights.keys().find(|k| !strata.contains_key(*k)) {
                return Err(OpError::new("E0612", format!("`weights` names {unknown:?}, which no row has")));
            }
            strata.keys().map(|k| weights.get(k).and_then(Json::as_f64).unwrap_or(0.0)).collect()
        }
        None if args.equal => vec![1.0; strata.len()],
        None => strata.values().map(|rows| rows.len() as f64).collect(),
    };
    let mut keep = vec![false; d.rows()];
    for (rows, quota) in strata.values().zip(shares(n, &weights)) {
        rows.iter().take(quota).for_each(|&row| keep[row as usize] = true);
    }
    let kept = d.filter(&keep)?;
    rows::count(cx, d.rows(), kept.rows());
    Ok(Context::rows(kept))
}
