//! `eval.loss`: the mean negative log-likelihood of replies.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static LOSS: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Mean negative log-likelihood of replies in nats per token; lower is better, and models compare only with equal tokenizers.
## The interval is 95 % over rows.
op eval.loss(
  m: Model,
  ## Rows as `train.sft` reads them.
  data: Dataset[{ instruction: Str, output: Str, ..r }],
  ## Chat template; the model's own if absent.
  template: Str? = none,
  ## Longest encoded row.
  cutoff: Tokens in 1tok.. = 2048tok,
  ## Size to which images are brought before the model's own processor.
  pixels: Range[Pixels] = 1_024px..589_824px,
) -> Score[Float]"#,
        class: Class::Numeric,
        effect: Effect::Score,
        pool: Pool::Engine,
        shows_media: true,
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    template: Option<String>,
    cutoff: usize,
    pixels: crate::ops::train::arguments::Ends<u64>,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use serde_json::json;

    use crate::engine::{Artifact, Kind, Output};
    use crate::train::encoder::Limits;
    use crate::train::rows::Columns;
    use crate::train::scorer::Scorer;

    let args: Args = cx.args()?;
    if args.template.as_deref().is_some_and(|t| t != "qwen2_vl") {
        return Err(OpError::new("E0612", "`template` other than \"qwen2_vl\" is not there yet"));
    }
    let table = cx.table("data")?;
    let folder = cx.folder_of(cx.input("m")?, "model")?;
    let limits = Limits { cutoff: args.cutoff, pixels: (args.pixels.from, args.pixels.to), ..Limits::default() };
    let scorer = Scorer::open(&folder, limits, cx.threads)?;
    let total = table.rows() as u64;
    let scored = scorer.table(&table, &Columns::sft(), cx.store, &|done| cx.progress(done as u64, total, "rows"))?;
    let rows: Vec<_> = scored.iter().flatten().filter_map(|r| r.first()).filter(|l| l.tokens > 0).collect();
    let tokens: usize = rows.iter().map(|l| l.tokens).sum();
    if tokens == 0 {
        return Err(OpError::new("E0711", "no row has a reply to predict"));
    }
    let mean = -rows.iter().map(|l| l.sum).sum::<f64>() / tokens as f64;
    // The error of a ratio of sums, rows being independent.
    let n = rows.len() as f64;
    let spread: f64 = rows.iter().map(|l| (-l.sum - mean * l.tokens as f64).powi(2)).sum();
    let error = if n > 1.0 { (spread * n / (n - 1.0)).sqrt() / tokens as f64 } else { f64::NAN };
    let bound = |sign: f64| if error.is_finite() { json!(mean + sign * 1.96 * error) } else { json!(null) };
    let meta = json!({
        "value": mean, "low": bound(-1.0), "high": bound(1.0), "se": if error.is_finite() { json!(error) } else { json!(null) },
        "interval": "normal", "n": rows.len(), "tokens": tokens, "unparsed": 0.0, "headline": "loss", "unit": "nats per token", "items": null,
    });
    cx.counts.insert("read".into(), total);
    cx.counts.insert("dropped".into(), total - rows.len() as u64);
    Ok(vec![(String::new(), Output::Artifact(Artifact { kind: Kind::Score, meta, files: Default::default() }))])
}
