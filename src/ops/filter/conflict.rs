//! `filter.conflict`: the same question must have the same answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};

use crate::base::OpError;
use crate::data::{text, within};
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::{self, pooled};
use crate::spec::OpSpec;

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
  ## majority: the answer given most often stays. none: every row of a question with two answers goes.
  keep: enum { majority, none } = "majority",
  ## Compare without regard to case, blanks and punctuation.
  normalise: Bool = true,
) -> Dataset[{ votes: Int, ..r }]"#,
        takes_where: true,
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
    let questions = form(d.texts(&args.question)?);
    let answers = form(d.texts(std::slice::from_ref(&args.answer))?);
    let mut votes: BTreeMap<(u32, &str), BTreeMap<&str, i64>> = BTreeMap::new();
    for row in (0..d.rows()).filter(|&r| scope[r]) {
        *votes.entry((group[row], &questions[row])).or_default().entry(&answers[row]).or_default() += 1;
    }
    let mut own = Vec::with_capacity(d.rows());
    let mut reasons = Vec::with_capacity(d.rows());
    for row in 0..d.rows() {
        let counts = votes.get(&(group[row], questions[row].as_str())).filter(|_| scope[row]);
        let mine = counts.and_then(|c| c.get(answers[row].as_str())).copied().unwrap_or(1);
        let others = counts.into_iter().flatten().filter(|(a, _)| **a != answers[row]).map(|(_, n)| *n).max();
        own.push(mine);
        reasons.push(match others {
            Some(other) if args.keep == "none" || other >= mine => {
                Some(format!("{mine} of {} rows answer so, {other} otherwise", counts.map_or(1, |c| c.values().sum())))
            }
            _ => None,
        });
    }
    let own: ArrayRef = Arc::new(Int64Array::from(own));
    Ok(Context::rows(rows::drop_rows(cx, &d.with_column("votes", own)?, &reasons)?))
}
