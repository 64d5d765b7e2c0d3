//! `judge.score`: a number for each row, by a rubric.

use std::sync::Arc;

use arrow::array::Float64Array;
use serde_json::json;

use super::{Judge, Keep, SPENDING, question, reason, schema, settle, shown, whole};
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::chat::Outcome;
use crate::spec::{Class, Effect, Looks, OpSpec, Pool};

/// The operator.
pub static SCORE: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Asks a stronger model to rate the columns of a row by a rubric, a whole number after its reason. Rows without an answer are set aside.
op judge.score(
  d: Dataset[{ ..r }],
  ## The columns that are rated.
  on: Cols,
  ## What the numbers mean.
  rubric: Str,
  ## The lowest and the highest number.
  scale: Range[Int] = 1..6,
  ## The numbers kept, or the best rows; all without.
  keep: Keep[Float]? = none,"#,
            server!(),
            about_rows!(),
            r#"
) -> Dataset[{ judged: Float, ..r }]"#
        ),
        class: Class::External,
        effect: Effect::RowSubset,
        pool: Pool::Net,
        with: SPENDING,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    on: Vec<String>,
    rubric: String,
    scale: Scale,
    #[serde(default)]
    keep: Option<Keep>,
    #[serde(flatten)]
    judge: Judge,
}

#[derive(serde::Deserialize)]
struct Scale {
    from: i64,
    to: i64,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let d = cx.table("d")?;
    let (low, high) = (args.scale.from, args.scale.to);
    let pictures = args.judge.pictures(&d)?;
    let mut questions = Vec::with_capacity(d.rows());
    for (row, pictures) in pictures.into_iter().enumerate() {
        let own = format!(
            "{}\n[rubric]\n{}\nFirst the reason, then the `score` from {low} to {high}.",
            shown(&d, &args.on, row)?,
            args.rubric.trim()
        );
        questions.push(question(
            "You rate rows of a robot's vision-language model by a rubric. Answer with a JSON object.",
            pictures,
            args.judge.text(&d, row, own)?,
            schema(json!({ "score": { "type": "integer", "minimum": low, "maximum": high } })),
        ));
    }
    let outcomes = args.judge.ask(cx, &questions, |answer| {
        reason(answer)?;
        whole(answer, "score", low, high).map(|n| n as f64)
    })?;
    let scores: Vec<Option<f64>> =
        outcomes.iter().map(|o| if let Outcome::Said(s) = o { Some(*s) } else { None }).collect();
    let failed: Vec<Option<String>> =
        outcomes.iter().map(|o| if let Outcome::Failed { why, .. } = o { Some(why.clone()) } else { None }).collect();
    let mask = args.keep.as_ref().map_or_else(|| vec![true; d.rows()], |keep| keep.mask(&scores));
    let reasons: Vec<Option<String>> =
        scores.iter().zip(&mask).map(|(s, keep)| s.filter(|_| !keep).map(|s| format!("judged {s}"))).collect();
    let d = d.with_column("judged", Arc::new(Float64Array::from_iter(scores)))?;
    Ok(Context::rows(settle(cx, &d, &reasons, &failed)?))
}
