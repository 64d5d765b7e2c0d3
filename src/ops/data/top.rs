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
    let d = cx.table("d")?;
    let cells = d.cells(&args.by)?;
    let absent = |c: &Cell<'_>| matches!(c, Cell::None) || c.as_f64().is_some_and(f64::is_nan);
    let mut order: Vec<usize> = (0..d.rows()).collect();
    order.sort_by(|&a, &b| {
        let (x, y) = (&cells[a], &cells[b]);
        let by_value = if args.order == "asc" { x.total_order(y) } else { y.total_order(x) };
        absent(x).cmp(&absent(y)).then(by_value)
    });
    let mut reasons: Vec<Option<String>> = vec![None; d.rows()];
    for (place, &row) in order.iter().enumerate().skip(args.n) {
        reasons[row] = Some(format!(".{} is {}, place {} of {}", args.by, cells[row].to_json(), place + 1, d.rows()));
    }
    Ok(Context::rows(rows::drop_rows(cx, &d, &reasons)?))
}
