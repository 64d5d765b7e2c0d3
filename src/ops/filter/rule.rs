//! `filter.rule`: rows for which a condition holds.

use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::{self, Reason};
use crate::spec::rowexpr::show;
use crate::spec::{OpSpec, RowExpr};

/// The operator.
pub static RULE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps the rows for which a condition holds.
op filter.rule(
  d: Dataset[{ ..r }],
  ## The condition.
  where: Where,
) -> Dataset[{ ..r }]"#,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    #[serde(rename = "where")]
    condition: RowExpr,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let why = format!("not {}", show(&args.condition));
    rows::sift(cx, |cx, chunk| {
        let holds = rows::condition(&args.condition, &chunk, cx.threads)?;
        let reasons: Vec<_> = holds.into_iter().map(|h| (!h).then(|| Reason::new(&*why, &*why))).collect();
        Ok((chunk, reasons))
    })
}
