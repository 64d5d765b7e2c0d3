//! `data.derive`: new columns from row expressions.

use serde_json::{Map, Value as Json};

use crate::base::OpError;
use crate::data::rowexpr::Program;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::{self, pooled};
use crate::spec::{Columns, Effect, OpSpec, RowExpr};

/// The operator.
pub static DERIVE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Adds columns computed from others of the row: `data.derive(ask: .instruction + "\n" + (.input ?? ""))`.
## A name that exists is replaced. All expressions see the columns as they were before.
op data.derive(
  d: Dataset[{ ..r }],
  ## `new: expression`
  ..columns: Expr[t],
) -> Dataset[{ ..r }]"#,
        effect: Effect::RowMap,
        columns: Columns::Derive,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    columns: Map<String, Json>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let columns = args.columns.into_iter().map(|(name, expr)| Ok((name, serde_json::from_value(expr)?)));
    let columns = columns.collect::<Result<Vec<(String, RowExpr)>, OpError>>()?;
    rows::each(cx, "d", |cx, d| {
        let mut out = d.clone();
        for (name, expr) in &columns {
            let program = Program::new(expr, &d)?;
            let column = pooled(cx.threads, || program.column(&d))??;
            out = out.with_column(name, column)?;
        }
        Ok(out)
    })
}
