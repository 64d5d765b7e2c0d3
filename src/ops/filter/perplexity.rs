//! `filter.perplexity`: rows by how well a model predicts their reply.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Looks, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static PERPLEXITY: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows by perplexity: exp of the mean negative log-likelihood, in nats per token, of a text after the row's pictures and
## other columns, in the model's chat template. `top(n)` keeps the n lowest.
op filter.perplexity(
  d: Dataset[{ ..r }],
  ## The model that predicts.
  by: Model,
  ## The text.
  of: Col,
  ## What the user says before it, joined with newlines.
  given: Cols = [],
  ## A range of perplexities, or `top(n)`.
  keep: Keep[Float],
  ## `top` takes its rows in equal shares from every group of rows that agree on these columns.
  within: Cols = [],
) -> Dataset[{ perplexity: Float, ..r }]"#,
        version: 2,
        takes_where: true,
        class: Class::Numeric,
        pool: Pool::Engine,
        shows_media: true,
        looks: Looks::At(&["system", "images", "image", "video"]),
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    of: String,
    #[serde(default)]
    given: Vec<String>,
    #[serde(flatten)]
    selection: super::scored::Selection,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use crate::train::encoder::Limits;
    use crate::train::rows::{Columns, read};
    use crate::train::scorer::Scorer;

    let args: Args = cx.args()?;
    let table = cx.table("d")?;
    let folder = cx.folder_of(cx.input("by")?, "model")?;
    let scorer = Scorer::open(&folder, Limits::default(), cx.threads)?;
    let given: Vec<&str> = args.given.iter().map(String::as_str).collect();
    let rows = read(&table, &Columns::of(given, vec![&args.of]))?;
    let total = table.rows() as u64;
    let value = |logps: &[crate::train::score::Logp]| match logps {
        [one] if one.tokens > 0 => Ok((-one.sum / one.tokens as f64).exp()),
        _ => Err(format!(".{} has no token to predict", args.of)),
    };
    super::scored::keep(cx, &table, "perplexity", &args.selection, super::scored::Best::Lowest, None, |cx, chosen| {
        let rows: Vec<_> = chosen.iter().map(|&i| rows[i].clone()).collect();
        let scored = scorer.rows(&rows, cx.store, &|done| cx.progress(done as u64, total, "rows"))?;
        Ok(scored.into_iter().map(|row| row.and_then(|logps| value(&logps))).collect())
    })
}
