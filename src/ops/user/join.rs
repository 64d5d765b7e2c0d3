//! `op.join`: the columns that a user's operator made, beside those that rode along.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;

use crate::base::OpError;
use crate::engine::context::Fate;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec, user_op};

/// The operator.
pub static JOIN: Builtin = Builtin {
    spec: OpSpec { signature: "", effect: Effect::RowExpand, version: user_op::VERSION, ..OpSpec::BASE },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    /// Columns that the operator read: gone unless it gives them back.
    reads: Vec<String>,
    gives: Vec<String>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let (d, made) = (cx.table("d")?, cx.table("made")?);
    let rows = made.column(user_op::ROW)?;
    let rows = rows.as_primitive_opt::<Int64Type>().ok_or_else(|| OpError::new("E0612", "rows have no number"))?;
    let ordinals: Vec<u32> = rows.values().iter().map(|&at| at as u32).collect();
    let gone = |name: &String| args.reads.contains(name) && !args.gives.contains(name);
    let keep: Vec<String> = d.columns().into_iter().map(|(name, _)| name).filter(|name| !gone(name)).collect();
    let mut out = d.take(&ordinals)?.select(&keep)?;
    for name in &args.gives {
        out = out.with_column(name, made.column(name)?.clone())?;
    }
    let given: BTreeSet<u32> = ordinals.iter().copied().collect();
    for row in (0..d.rows()).filter(|&row| !given.contains(&(row as u32))) {
        cx.fates.push(Fate {
            row: d.name(row),
            what: "dropped".into(),
            why: "the operator did not give it back".into(),
        });
    }
    let counts = [("read", d.rows()), ("kept", out.rows()), ("dropped", d.rows() - given.len())];
    cx.counts.extend(counts.map(|(name, n)| (name.to_owned(), n as u64)));
    Ok(Context::rows(out))
}
