//! `data.select`: only some columns.

use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Columns, Effect, Looks, OpSpec};

/// The operator.
pub static SELECT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps only the named columns, in the order written.
op data.select(
  d: Dataset[{ ..r }],
  ## The columns that stay.
  columns: Cols,
) -> Dataset[{ ..r }]"#,
        effect: Effect::RowMap,
        columns: Columns::Select,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    columns: Vec<String>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    rows::each(cx, "d", |_, d| d.select(&args.columns))
}
