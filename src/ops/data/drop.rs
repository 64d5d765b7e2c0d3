//! `data.drop`: all but some columns.

use crate::base::OpError;
use crate::engine::storage::dataset::LEFT_OUT;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Columns, Effect, Looks, OpSpec};

/// The operator.
pub static DROP: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Removes the named columns.
op data.drop(
  d: Dataset[{ ..r }],
  ## The columns that go.
  columns: Cols,
) -> Dataset[{ ..r }]"#,
        effect: Effect::RowMap,
        columns: Columns::Drop,
        looks: Looks::Rest,
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
    let gone = cx.input("d")?.meta[LEFT_OUT].clone();
    let was = |name: &String| gone.as_array().is_some_and(|gone| gone.iter().any(|g| g == name));
    rows::each(cx, "d", |_, d| {
        for name in args.columns.iter().filter(|name| !was(name)) {
            d.column(name)?;
        }
        let rest: Vec<String> = d.columns().into_iter().map(|(n, _)| n).filter(|n| !args.columns.contains(n)).collect();
        d.select(&rest)
    })
}
