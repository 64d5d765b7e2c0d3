//! `data.quantile`: the rows between two quantiles of a value.

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::bounds::Bounds;
use crate::ops::rows;
use crate::spec::OpSpec;

/// The operator.
pub static QUANTILE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps the rows whose value lies between two quantiles, in their order: `20%..` drops the lowest fifth.
## The row at place i of n stands at (i - 1/2) / n, so that `..50%` and `50%..` share no row of an even number;
## ties are placed in row order. A row without a value is dropped.
op data.quantile(
  d: Dataset[{ ..r }],
  ## The value.
  by: Col,
  ## The quantiles that stay.
  keep: Range[Ratio],
) -> Dataset[{ ..r }]"#,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    by: String,
    keep: Bounds,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let parts = cx.parts("d", &[&args.by])?;
    let cells = super::values(&parts, &args.by)?;
    let absent = |c: &Cell<'_>| matches!(c, Cell::None) || c.as_f64().is_some_and(f64::is_nan);
    let mut order: Vec<usize> = (0..cells.len()).filter(|&row| !absent(&cells[row])).collect();
    order.sort_by(|&a, &b| cells[a].total_order(&cells[b]));
    let placed = order.len() as f64;
    let mut places = vec![None; cells.len()];
    order.iter().enumerate().for_each(|(place, &row)| places[row] = Some((place as f64 + 0.5) / placed));
    drop(order);
    let reason = |row: usize| {
        let Some(at) = places[row] else { return Some(format!(".{} has no value", args.by)) };
        let why = || format!(".{} is {}, at {:.1} % of all", args.by, cells[row].to_json(), 100.0 * at);
        (!args.keep.contain(at)).then(why)
    };
    rows::sift(cx, |_, chunk| {
        let reasons = (chunk.before..chunk.before + chunk.rows()).map(reason).collect();
        Ok((chunk, reasons))
    })
}
