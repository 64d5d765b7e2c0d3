//! `filter.conflict`: the same question must have the same answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use crate::base::OpError;
use crate::data::clusters::{self, Rule};
use crate::data::contrast::Contrasts;
use crate::data::{minhash, text, within};
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::{self, Reason, pooled};
use crate::spec::{Looks, OpSpec};

/// The operator.
pub static CONFLICT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Drops rows that answer the same question differently than others do. An answer stays if more rows give it than any other; in a tie all go.
op filter.conflict(
  d: Dataset[{ ..r }],
  ## Columns that make up the question, joined with a newline.
  question: Cols,
  ## The answer.
  answer: Col,
  ## The question is only the same if these columns agree. Pictures agree when they look the same, lists of pictures one by one.
  within: Cols = [],
  ## Bits by which the 64-bit hashes of two pictures of `within` may differ; chains count. 0: the same bytes.
  image_distance: Int = 4,
  ## Questions are the same from this Jaccard similarity of their word shingles; chains count. 100%: only when they read the same. Those of the
  ## same words with other signs of arithmetic or comparison (`x < 3`, `x > 3`) are not.
  similar: Ratio in 0%..100% = 100%,
  ## Words per shingle, lower-cased.
  shingle: Int in 1.. = 2,
  ## Questions are told apart by words that stand in each other's place in at least this many otherwise equal questions, such as red and blue; words
  ## that are mostly exchanged where `within` and the answer agree do not count. 0: the similarity alone counts.
  contrast: Int = 0,
  ## majority: the answer given most often stays. none: every row of a question with two answers goes.
  keep: enum { majority, none } = "majority",
  ## Compare without regard to case, blanks and punctuation.
  normalise: Bool = true,
) -> Dataset[{ votes: Int, ..r }]"#,
        version: 2,
        takes_where: true,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    question: Vec<String>,
    answer: String,
    #[serde(default)]
    within: Vec<String>,
    image_distance: u32,
    similar: f64,
    shingle: usize,
    contrast: u32,
    keep: String,
    normalise: bool,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let d = cx.table("d")?;
    let scope = rows::in_scope(cx, &d)?;
    let group = pooled(cx.threads, || within::groups(&d, &args.within, args.image_distance, cx.store))??;
    let form = |texts: Vec<String>| -> Vec<String> {
        if args.normalise { texts.iter().map(|t| text::normalise(t)).collect() } else { texts }
    };
    let answers = form(d.texts(std::slice::from_ref(&args.answer))?);
    let asked = d.texts(&args.question)?;
    let questions = if args.similar < 1.0 {
        let group: Vec<u32> = (0..d.rows()).map(|r| if scope[r] { group[r] } else { (d.rows() + r) as u32 }).collect();
        pooled(cx.threads, || alike(&args, &asked, &answers, &group))?
    } else {
        numbers(form(asked).into_iter().zip(&group))
    };
    let mut votes: BTreeMap<u32, BTreeMap<&str, i64>> = BTreeMap::new();
    for row in (0..d.rows()).filter(|&r| scope[r]) {
        *votes.entry(questions[row]).or_default().entry(&answers[row]).or_default() += 1;
    }
    let mut own = Vec::with_capacity(d.rows());
    let mut reasons = Vec::with_capacity(d.rows());
    for row in 0..d.rows() {
        let counts = votes.get(&questions[row]).filter(|_| scope[row]);
        let mine = counts.and_then(|c| c.get(answers[row].as_str())).copied().unwrap_or(1);
        let others = counts.into_iter().flatten().filter(|(a, _)| **a != answers[row]).map(|(_, n)| *n).max();
        own.push(mine);
        reasons.push(match others {
            Some(other) if args.keep == "none" || other >= mine => {
                let all: i64 = counts.map_or(1, |c| c.values().sum());
                let kind = if other > mine {
                    "outvoted"
                } else if other == mine {
                    "tie"
                } else {
                    "contradicted"
                };
                Some(Reason::new(kind, format!("{mine} of {all} rows answer so, {other} otherwise")))
            }
            _ => None,
        });
    }
    let own: ArrayRef = Arc::new(Int64Array::from(own));
    Ok(Context::rows(rows::drop_rows(cx, &d.with_column("votes", own)?, &reasons)?))
}

/// Numbers equal things alike.
fn numbers<T: Ord>(things: impl Iterator<Item = T>) -> Vec<u32> {
    let mut known = BTreeMap::new();
    things
        .map(|thing| {
            let next = known.len() as u32;
            *known.entry(thing).or_insert(next)
        })
        .collect()
}

/// Numbers the questions of each group; those that are near-duplicates share a number.
fn alike(args: &Args, asked: &[String], answers: &[String], group: &[u32]) -> Vec<u32> {
    let contrasts = (args.contrast > 0).then(|| {
        let said = numbers(group.iter().zip(answers));
        Contrasts::mine(asked, &said, args.contrast)
    });
    let apart = |a: usize, b: usize| contrasts.as_ref().is_some_and(|c| c.apart(a, b));
    let (similar, shingle, rule) = (args.similar, args.shingle.max(1), Rule::Components);
    let options = minhash::Options { similar, shingle, bands: 32, rows: 4, verify: true, rule };
    let links = minhash::links(asked, group, &options, &apart);
    let order: Vec<u32> = (0..asked.len() as u32).collect();
    clusters::resolve(&links, rule, &order)
}
