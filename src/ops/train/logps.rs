//! `train.logps`: log-probabilities of both replies of each pair.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static LOGPS: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Adds the log-probability of the better and of the worse reply under a model, summed over reply tokens, in nats. Pairs that
## cannot be encoded are dropped, with the reason.
op train.logps(
  m: Model,
  pairs: Dataset[{ prompt: Str, chosen: Str, rejected: Str, ..r }],
  ## Chat template; the model's own if absent.
  template: Str? = none,
  ## Longest encoded pair member.
  cutoff: Tokens in 1tok.. = 2048tok,
  ## Size to which images are brought before the model's own processor.
  pixels: Range[Pixels] = 1_024px..589_824px,
) -> Dataset[{ logp_chosen: Float, logp_rejected: Float, ..r }]"#,
        class: Class::Numeric,
        version: 2,
        effect: Effect::RowMap,
        pool: Pool::Engine,
        shows_media: true,
        looks: super::signature::LOOKS,
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    template: Option<String>,
    cutoff: usize,
    pixels: super::arguments::Ends<u64>,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use arrow::array::{ArrayRef, Float64Array};
    use std::sync::Arc;

    use crate::ops::rows::drop_rows;
    use crate::train::encoder::Limits;
    use crate::train::rows::Columns;
    use crate::train::scorer::Scorer;

    let args: Args = cx.args()?;
    if args.template.as_deref().is_some_and(|t| t != "qwen2_vl") {
        return Err(OpError::new("E0612", "`template` other than \"qwen2_vl\" is not there yet"));
    }
    let table = cx.table("pairs")?;
    let limits = Limits { cutoff: args.cutoff, pixels: (args.pixels.from, args.pixels.to), ..Limits::default() };
    let folder = cx.folder_of(cx.input("m")?, "model")?;
    let scorer = Scorer::open(&folder, limits, cx.threads)?;
    let total = 2 * table.rows() as u64;
    let scored =
        scorer.table(&table, &Columns::pairs(), cx.store, &|done| cx.progress(done as u64, total, "replies"))?;
    let column = |which: usize| -> ArrayRef {
        Arc::new(scored.iter().map(|row| row.as_ref().ok().map(|v| v[which].sum)).collect::<Float64Array>())
    };
    let reasons: Vec<Option<String>> = scored.iter().map(|row| row.as_ref().err().cloned()).collect();
    let table = table.with_column("logp_chosen", column(0))?.with_column("logp_rejected", column(1))?;
    Ok(Context::rows(drop_rows(cx, &table, &reasons)?))
}
