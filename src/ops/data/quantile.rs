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
    let d = cx.table("d")?;
    let cells = d.cells(&args.by)?;
    let absent = |c: &Cell<'_>| matches!(c, Cell::None) || c.as_f64().is_some_and(f64::is_nan);
    let mut order: Vec<usize> = (0..d.rows()).filter(|&row| !absent(&cells[row])).collect();
    order.sort_by(|&a, &b| cells[a].total_order(&cells[b]));
    let mut reasons: Vec<Option<String>> = vec![Some(format!(".{} has no value", args.by)); d.rows()];
    for (place, &row) in order.iter().enumerate() {
        let at = (place as f64 + 0.5) / order.len() as f64;
        let why = || format!(".{} is {}, at {:.1} % of all", args.by, cells[row].to_json(), 100.0 * at);
        reasons[row] = (!args.keep.contain(at)).then(why);
    }
    Ok(Context::rows(rows::drop_rows(cx, &d, &reasons)?))
}
