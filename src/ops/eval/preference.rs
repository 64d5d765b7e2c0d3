//! `eval.preference`: how often a model finds the better reply likelier.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static PREFERENCE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## The share of pairs whose better reply has the higher log-probability; ties count half. Higher is better, 50 % is chance. The
## interval is Wilson's at 95 %.
op eval.preference(
  m: Model,
  ## A prompt with a better and a worse reply.
  pairs: Dataset[{ prompt: Str, chosen: Str, rejected: Str, ..r }],
  ## Summed over reply tokens, as DPO is trained, or their mean, which does not favour short replies.
  by: enum { sum, mean } = "sum",
) -> Score"#,
        version: 2,
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
    by: String,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array};
    use serde_json::json;

    use crate::engine::{Kind, Output, dataset};
    use crate::ops::rows::drop_rows;
    use crate::train::encoder::Limits;
    use crate::train::rows::Columns;
    use crate::train::score::Logp;
    use crate::train::scorer::Scorer;

    let args: Args = cx.args()?;
    let table = cx.table("pairs")?;
    let folder = cx.folder_of(cx.input("m")?, "model")?;
    let scorer = Scorer::open(&folder, Limits::default(), cx.threads)?;
    let total = 2 * table.rows() as u64;
    let scored =
        scorer.table(&table, &Columns::pairs(), cx.store, &|done| cx.progress(done as u64, total, "replies"))?;
    let value = |logp: &Logp| if args.by == "mean" { logp.sum / logp.tokens.max(1) as f64 } else { logp.sum };
    let score = |row: &Vec<Logp>| match value(&row[0]).total_cmp(&value(&row[1])) {
        std::cmp::Ordering::Greater => 1.0,
        std::cmp::Ordering::Equal => 0.5,
        std::cmp::Ordering::Less => 0.0,
    };
    let column = |f: &dyn Fn(&Vec<Logp>) -> f64| -> ArrayRef {
        Arc::new(scored.iter().map(|row| row.as_ref().ok().map(f)).collect::<Float64Array>())
    };
    let items = table
        .with_column("logp_chosen", column(&|r| r[0].sum))?
        .with_column("logp_rejected", column(&|r| r[1].sum))?
        .with_column("score", column(&score))?;
    let reasons: Vec<Option<String>> = scored.iter().map(|row| row.as_ref().err().cloned()).collect();
    let items = drop_rows(cx, &items, &reasons)?;
    let scores: Vec<f64> = scored.iter().flatten().map(score).collect();
    if scores.is_empty() {
        return Err(OpError::new("E0711", "no pair could be scored").help("look at the dropped pairs with `trace`"));
    }
    let n = scores.len() as f64;
    let right: f64 = scores.iter().sum();
    let (low, high) = wilson(right, n);
    let stored = dataset::save(cx.store, &items)?;
    let meta = json!({
        "value": right / n, "low": low, "high": high, "se": (right / n * (1.0 - right / n) / n).sqrt(), "interval": "wilson",
        "n": scores.len(), "unparsed": 0.0, "chance": 0.5, "majority": 0.5, "floor": 0.5, "headline": "preference", "by": args.by,
        "items": null, "pairs": stored.meta,
    });
    let files = stored.files.into_iter().map(|(path, file)| (format!("pairs/{path}"), file)).collect();
    Ok(vec![(String::new(), Output::Artifact(crate::engine::Artifact { kind: Kind::Score, meta, files }))])
}

/// Wilson's 95 % interval of `right` of `n`.
#[cfg(feature = "torch")]
fn wilson(right: f64, n: f64) -> (f64, f64) {
    let (p, z2) = (right / n, 1.96_f64.powi(2));
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = 1.96 * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).sqrt() / (1.0 + z2 / n);
    (centre - half, centre + half)
}
