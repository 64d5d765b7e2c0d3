//! `data.top`: the rows with the highest or lowest value.

use crate::base::OpError;
use crate::data::cell::Cell;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::OpSpec;

/// The operator.
pub static TOP: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps the n rows with the highest value, in their order; ties go to the earlier row. A row without a value comes last.
op data.top(
  d: Dataset[{ ..r }],
  ## The value.
  by: Col,
  ## How many rows stay.
  n: Rows,
  ## desc: the highest stay. asc: the lowest.
  order: enum { desc, asc } = "desc",
) -> Dataset[{ ..r }]"#,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    by: String,
    n: usize,
    order: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let parts = cx.parts("d", &[&args.by])?;
    let cells = super::values(&parts, &args.by)?;
    let absent = |c: &Cell<'_>| matches!(c, Cell::None) || c.as_f64().is_some_and(f64::is_nan);
    let mut order: Vec<usize> = (0..cells.len()).collect();
    order.sort_by(|&a, &b| {
        let (x, y) = (&cells[a], &cells[b]);
        let by_value = if args.order == "asc" { x.total_order(y) } else { y.total_order(x) };
        absent(x).cmp(&absent(y)).then(by_value)
    });
    let mut places = vec![0; cells.len()];
    order.iter().enumerate().for_each(|(place, &row)| places[row] = place);
    drop(order);
    let reason = |row: usize| {
        let (place, all) = (places[row] + 1, places.len());
        (place > args.n).then(|| format!(".{} is {}, place {place} of {all}", args.by, cells[row].to_json()))
    };
    rows::sift(cx, |_, chunk| {
        let reasons = (chunk.before..chunk.before + chunk.rows()).map(reason).collect();
        Ok((chunk, reasons))
    })
}
