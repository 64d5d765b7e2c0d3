//! `judge.agree`: does a row agree with itself, without saying things twice.

use std::sync::Arc;

use arrow::array::{Float64Array, StringArray};
use serde_json::json;

use super::{Judge, Keep, SPENDING, question, reason, schema, settle, shown, whole};
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::chat::Outcome;
use crate::spec::{Class, Effect, Looks, OpSpec, Pool};

/// The operator.
pub static AGREE: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Asks a stronger model whether the columns of a row agree with each other and with the pictures, and whether they say things twice.
## It rates both from 1 to 5 after giving its reason; `agree` is the worse of the two, 1 is 0 % and 5 is 100 %. Rows without an answer are set aside.
op judge.agree(
  d: Dataset[{ ..r }],
  ## The columns that must agree.
  on: Cols,
  ## The agreement that is kept.
  keep: Range[Ratio] = 70%..,"#,
            server!(),
            about_rows!(),
            r#"
) -> Dataset[{ agree: Ratio, why: Str, ..r }]"#
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
    keep: Keep,
    #[serde(flatten)]
    judge: Judge,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let d = cx.table("d")?;
    let pictures = args.judge.pictures(&d)?;
    let mut questions = Vec::with_capacity(d.rows());
    for (row, pictures) in pictures.into_iter().enumerate() {
        let own = format!(
            "{}\nDo these parts agree with each other and with the pictures, and is nothing said twice? First the reason, then `consistent` \
            and `concise`, each from 1 (not at all) to 5 (fully).",
            shown(&d, &args.on, row)?
        );
        questions.push(question(
            "You check training rows of a robot's vision-language model. Answer with a JSON object.",
            pictures,
            args.judge.text(&d, row, own)?,
            schema(json!({
                "consistent": { "type": "integer", "minimum": 1, "maximum": 5 },
                "concise": { "type": "integer", "minimum": 1, "maximum": 5 },
            })),
        ));
    }
    let outcomes = args.judge.ask(cx, &questions, |answer| {
        let worse = whole(answer, "consistent", 1, 5)?.min(whole(answer, "concise", 1, 5)?);
        Ok(((worse - 1) as f64 / 4.0, reason(answer)?))
    })?;
    let said = |o: &Outcome<(f64, String)>| match o {
        Outcome::Said(said) => Some(said.clone()),
        Outcome::Failed { .. } => None,
    };
    let answers: Vec<Option<(f64, String)>> = outcomes.iter().map(said).collect();
    let scores: Vec<Option<f64>> = answers.iter().map(|a| a.as_ref().map(|a| a.0)).collect();
    let mask = args.keep.mask(&scores);
    let failed: Vec<Option<String>> =
        outcomes.iter().map(|o| if let Outcome::Failed { why, .. } = o { Some(why.clone()) } else { None }).collect();
    let reasons: Vec<Option<String>> = answers
        .iter()
        .zip(&mask)
        .map(|(a, keep)| a.as_ref().filter(|_| !keep).map(|(s, why)| format!("agreement {:.0} %: {why}", s * 100.0)))
        .collect();
    let d = d.with_column("agree", Arc::new(Float64Array::from_iter(scores)))?;
    let whys = answers.into_iter().map(|a| a.map(|a| a.1));
    let d = d.with_column("why", Arc::new(StringArray::from_iter(whys)))?;
    Ok(Context::rows(settle(cx, &d, &reasons, &failed)?))
}
