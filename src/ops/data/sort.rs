//! `data.sort`: rows in the order of columns.

use std::cmp::Ordering;

use crate::base::OpError;
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static SORT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Sorts rows by columns, the first one first, ascending; rows that are equal in all of them keep their order. Rows without a value come first.
op data.sort(
  d: Dataset[{ ..r }],
  ## The columns to sort by.
  by: Cols,
) -> Dataset[{ ..r }]"#,
        effect: Effect::RowMap,
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
    let names: Vec<&str> = args.by.iter().map(String::as_str).collect();
    let parts = cx.parts("d", &names)?;
    let columns = names.iter().map(|c| super::values(&parts, c)).collect::<Result<Vec<_>, _>>()?;
    let mut order: Vec<u32> = (0..parts.iter().map(Table::rows).sum::<usize>() as u32).collect();
    order.sort_by(|&a, &b| {
        let unequal = columns.iter().map(|c| c[a as usize].total_order(&c[b as usize])).find(|o| o.is_ne());
        unequal.unwrap_or(Ordering::Equal)
    });
    drop(columns);
    drop(parts);
    rows::reordered(cx, &order)
}
