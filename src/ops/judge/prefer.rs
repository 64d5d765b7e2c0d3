//! `judge.prefer`: is the answer that should be better judged better, in both orders.

use std::sync::Arc;

use arrow::array::Float64Array;
use serde_json::json;

use super::{Judge, Keep, SPENDING, TASK, question, reason, schema, settle, shown, task};
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::chat::Outcome;
use crate::spec::{Class, Effect, Looks, OpSpec, Pool};

/// The operator.
pub static PREFER: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Asks a stronger model which of two answers is better, in both orders, since judges favour a place. `preferred` is the share of orders in which
## `better` wins; a tie is no win. Verdicts that change with the order are counted as `flips`. Pairs without an answer are set aside.
op judge.prefer(
  pairs: Dataset[{ ..r }],
  ## The answer that should win.
  better: Col,
  ## The answer that should lose.
  worse: Col,
  ## Asks twice, with the answers exchanged.
  both_orders: Bool = true,
  ## The share of won orders that is kept.
  keep: Range[Ratio] = 100%..,"#,
            server!(),
            about_rows!(),
            r#"
) -> Dataset[{ preferred: Ratio, ..r }]"#
        ),
        class: Class::External,
        effect: Effect::RowSubset,
        pool: Pool::Net,
        with: SPENDING,
        looks: Looks::At(&TASK),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    better: String,
    worse: String,
    both_orders: bool,
    keep: Keep,
    #[serde(flatten)]
    judge: Judge,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let d = cx.table("pairs")?;
    let pictures = args.judge.pictures(&d)?;
    let asked = task(&d);
    let orders = if args.both_orders { 2 } else { 1 };
    let mut questions = Vec::with_capacity(d.rows() * orders);
    for (row, pictures) in pictures.into_iter().enumerate() {
        let (better, worse) = (d.cell(&args.better, row)?, d.cell(&args.worse, row)?);
        let asked_for = shown(&d, &asked, row)?;
        for exchanged in [false, true].into_iter().take(orders) {
            let (a, b) = if exchanged { (&worse, &better) } else { (&better, &worse) };
            let own = format!(
                "{asked_for}\n[answer a]\n{}\n[answer b]\n{}\nWhich answer is right, or nearer to right? First the reason, then the verdict: a, b or tie.",
                a.text().trim(),
                b.text().trim()
            );
            questions.push(question(
                "You compare two answers of a robot's vision-language model. Answer with a JSON object.",
                pictures.clone(),
                args.judge.text(&d, row, own)?,
                schema(json!({ "verdict": { "type": "string", "enum": ["a", "b", "tie"] } })),
            ));
        }
    }
    let outcomes = args.judge.ask(cx, &questions, |answer| {
        reason(answer)?;
        match answer["verdict"].as_str() {
            Some("a") => Ok('a'),
            Some("b") => Ok('b'),
            Some("tie") => Ok('='),
            other => Err(format!("`verdict` is {other:?}, expected a, b or tie")),
        }
    })?;
    let mut flips = 0;
    let (mut shares, mut failed) = (Vec::with_capacity(d.rows()), Vec::with_capacity(d.rows()));
    for row in outcomes.chunks(orders) {
        let wins = row.iter().zip(['a', 'b']).filter(|(o, side)| matches!(o, Outcome::Said(s) if s == side)).count();
        flips += u64::from(matches!(row, [Outcome::Said(x), Outcome::Said(y)] if x == y && *x != '='));
        let why = row.iter().find_map(|o| if let Outcome::Failed { why, .. } = o { Some(why.clone()) } else { None });
        shares.push(why.is_none().then_some(wins as f64 / orders as f64));
        failed.push(why);
    }
    cx.counts.insert("flips".into(), flips);
    let mask = args.keep.mask(&shares);
    let reasons: Vec<Option<String>> = shares
        .iter()
        .zip(&mask)
        .map(|(s, keep)| s.filter(|_| !keep).map(|s| format!("preferred in {:.0} % of the orders", s * 100.0)))
        .collect();
    let d = d.with_column("preferred", Arc::new(Float64Array::from_iter(shares)))?;
    Ok(Context::rows(settle(cx, &d, &reasons, &failed)?))
}
