//! `data.count`: how many rows.

use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, Looks, OpSpec};

/// The operator.
pub static COUNT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Returns the number of rows, as `d.rows` does.
op data.count(d: Dataset[{ ..r }]) -> Metric[Rows]"#,
        effect: Effect::Reduce,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let rows = match cx.input("d")?.rows() {
        Some(rows) => rows,
        None => cx.table("d")?.rows() as u64,
    };
    Ok(Context::metric(rows.into()))
}
