//! `judge.rank`: the best against the worst of several candidates, as preference pairs.

use std::sync::Arc;

use arrow::array::StringArray;
use serde_json::json;

use super::{Judge, SPENDING, TASK, question, reason, schema, settle, shown, task, whole};
use crate::base::{Digest, OpError};
use crate::data::cell::Cell;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::chat::Outcome;
use crate::spec::{Class, Effect, Looks, OpSpec, Pool};

/// The operator.
pub static RANK: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Asks a stronger model for the best and the worst of a row's candidates, and makes a preference pair of them. The candidates are shown in an order
## that depends on the row alone, since judges favour a place. Rows with fewer than two different candidates are dropped, those without an answer
## set aside.
op judge.rank(
  d: Dataset[{ ..r }],
  ## A list of texts.
  candidates: Col,"#,
            server!(),
            about_rows!(),
            r#"
) -> Dataset[{ prompt: Str, chosen: Str, rejected: Str, ..r }]"#
        ),
        class: Class::External,
        effect: Effect::RowSubset,
        version: 2,
        pool: Pool::Net,
        with: SPENDING,
        looks: Looks::At(&TASK),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    candidates: String,
    #[serde(flatten)]
    judge: Judge,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let d = cx.table("d")?;
    let pictures = args.judge.pictures(&d)?;
    let asked = task(&d);
    let has_prompt = asked.iter().any(|c| c == "prompt");
    let prompts = d.texts(if has_prompt { &asked[..1] } else { &asked })?;
    let mut candidates = Vec::with_capacity(d.rows());
    let (mut questions, mut of_row) = (Vec::new(), Vec::new());
    for (row, pictures) in pictures.into_iter().enumerate() {
        let mut shown_here: Vec<String> = match d.cell(&args.candidates, row)? {
            Cell::List(items) => items.iter().map(|c| c.text().trim().to_owned()).filter(|c| !c.is_empty()).collect(),
            _ => Vec::new(),
        };
        shown_here.sort_by_key(|c| Digest::of(format!("{}\n{c}", prompts[row]).as_bytes()));
        shown_here.dedup();
        let count = shown_here.len();
        if count >= 2 {
            let list: Vec<String> =
                shown_here.iter().enumerate().map(|(i, c)| format!("[candidate {}]\n{c}", i + 1)).collect();
            let own = format!(
                "{}\n{}\nWhich candidate is best and which is worst? First the reason, then `best` and `worst`, two different numbers from 1 to {count}.",
                shown(&d, &asked, row)?,
                list.join("\n")
            );
            let number = json!({ "type": "integer", "minimum": 1, "maximum": count });
            questions.push(question(
                "You compare candidate plans of a robot's vision-language model. Answer with a JSON object.",
                pictures,
                args.judge.text(&d, row, own)?,
                schema(json!({ "best": number, "worst": number })),
            ));
            of_row.push(row);
        }
        candidates.push(shown_here);
    }
    let outcomes = args.judge.ask(cx, &questions, |answer| {
        reason(answer)?;
        let (best, worst) = (whole(answer, "best", 1, i64::MAX)?, whole(answer, "worst", 1, i64::MAX)?);
        if best == worst {
            Err("`best` and `worst` are the same".to_owned())
        } else {
            Ok((best as usize - 1, worst as usize - 1))
        }
    })?;
    let mut reasons = vec![Some("fewer than two different candidates".to_owned()); d.rows()];
    let mut failed = vec![None; d.rows()];
    let (mut chosen, mut rejected) = (vec![None; d.rows()], vec![None; d.rows()]);
    for (row, outcome) in of_row.into_iter().zip(outcomes) {
        reasons[row] = None;
        match outcome {
            // The schema of the question bounds both.
            Outcome::Said((best, worst)) => {
                (chosen[row], rejected[row]) =
                    (candidates[row].get(best).cloned(), candidates[row].get(worst).cloned());
            }
            Outcome::Failed { why, .. } => failed[row] = Some(why),
        }
    }
    let d = d.with_column("prompt", Arc::new(StringArray::from_iter_values(prompts.iter().map(|p| p.trim()))))?;
    let d = d.with_column("chosen", Arc::new(StringArray::from_iter(chosen)))?;
    let d = d.with_column("rejected", Arc::new(StringArray::from_iter(rejected)))?;
    Ok(Context::rows(settle(cx, &d, &reasons, &failed)?))
}
