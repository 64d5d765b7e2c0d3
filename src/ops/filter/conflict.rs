//! `filter.conflict`: the same question must have the same answer.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_128;

use crate::base::OpError;
use crate::data::dedup::clusters::{self, Rule};
use crate::data::dedup::contrast::Contrasts;
use crate::data::dedup::minhash::{self, Spill};
use crate::data::dedup::texts::{self, Collector, Held, Texts as _};
use crate::data::dedup::{text, within};
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

/// Rows by what is asked and what is answered, as numbers.
struct Rows {
    scope: Vec<bool>,
    questions: Vec<u32>,
    answers: Vec<u32>,
}

impl Rows {
    /// Reads the rows of `d`; of the texts, numbers are held, and for questions that need not read the same the texts as [`texts`] does.
    fn read(cx: &Context, args: &Args) -> Result<Self, OpError> {
        let held: Vec<&str> = args.within.iter().map(String::as_str).collect();
        let table = cx.columns("d", &held)?;
        let mut group = pooled(cx.threads, || within::groups(&table, &args.within, args.image_distance, cx.store))??;
        let form = |text: &String| {
            let normal = if args.normalise { Cow::Owned(text::normalise(text)) } else { Cow::Borrowed(text) };
            xxh3_128(normal.as_bytes())
        };
        let mut scope = Vec::with_capacity(group.len());
        let (mut questions, mut answers) = (Vec::new(), Vec::new());
        let mut asked = Collector::new(&cx.scratch, texts::IN_MEMORY);
        for chunk in cx.chunks("d")? {
            cx.go_on()?;
            let chunk = chunk?;
            scope.extend(rows::in_scope(cx, &chunk)?);
            let answered = chunk.texts(std::slice::from_ref(&args.answer))?;
            let forms: Vec<u128> = pooled(cx.threads, || answered.par_iter().map(form).collect())?;
            answers.extend(forms);
            if args.similar < 1.0 {
                asked.push(chunk.text_array(&args.question)?)?;
            } else {
                let texts = chunk.texts(&args.question)?;
                let forms: Vec<u128> = pooled(cx.threads, || texts.par_iter().map(form).collect())?;
                questions.extend(forms.into_iter().zip(group[chunk.before..].iter().copied()));
            }
        }
        let answers = pooled(cx.threads, || numbers(&answers))?;
        if args.similar == 1.0 {
            return Ok(Self { scope, questions: pooled(cx.threads, || numbers(&questions))?, answers });
        }
        let rows = group.len();
        (0..rows).filter(|row| !scope[*row]).for_each(|row| group[row] = (rows + row) as u32);
        let asked = asked.finish()?;
        let spill = Spill { folder: &cx.scratch, most: minhash::KEYS_IN_MEMORY };
        let questions = pooled(cx.threads, || alike(args, &asked, &answers, &group, spill))??;
        asked.check()?;
        Ok(Self { scope, questions, answers })
    }

    /// Counts the votes of each row; one that is not in scope has its own alone.
    fn votes(&self) -> Vec<Votes> {
        let mut votes = vec![Votes { own: 1, other: 0, all: 1 }; self.scope.len()];
        let key = |row: &u32| (self.questions[*row as usize], self.answers[*row as usize]);
        let mut order: Vec<u32> = (0..votes.len() as u32).filter(|&row| self.scope[row as usize]).collect();
        order.sort_unstable_by_key(key);
        for asked in order.chunk_by(|a, b| key(a).0 == key(b).0) {
            let answers: Vec<&[u32]> = asked.chunk_by(|a, b| key(a).1 == key(b).1).collect();
            let mut sizes: Vec<usize> = answers.iter().map(|rows| rows.len()).collect();
            sizes.sort_unstable_by(|a, b| b.cmp(a));
            for rows in answers {
                // Of two answers that are given most often each is the other of the other.
                let other = if rows.len() == sizes[0] { sizes.get(1).copied().unwrap_or(0) } else { sizes[0] };
                let count = Votes { own: rows.len() as u32, other: other as u32, all: asked.len() as u32 };
                rows.iter().for_each(|row| votes[*row as usize] = count);
            }
        }
        votes
    }
}

/// How the rows that ask the same answer.
#[derive(Clone, Copy)]
struct Votes {
    /// As this row does.
    own: u32,
    /// Most that give one other answer; 0 if there is none.
    other: u32,
    all: u32,
}

impl Votes {
    /// Says why the row goes, if it does.
    fn against(self, keep: &str) -> Option<Reason> {
        let Self { own, other, all } = self;
        let kind = match other.cmp(&own) {
            Ordering::Greater => "outvoted",
            Ordering::Equal => "tie",
            Ordering::Less if other > 0 && keep == "none" => "contradicted",
            Ordering::Less => return None,
        };
        Some(Reason::new(kind, format!("{own} of {all} rows answer so, {other} otherwise")))
    }
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let votes = Rows::read(cx, &args)?.votes();
    rows::sift(cx, |_, chunk| {
        let votes = &votes[chunk.before..][..chunk.rows()];
        let own: ArrayRef = Arc::new(Int64Array::from_iter_values(votes.iter().map(|v| i64::from(v.own))));
        Ok((chunk.with_column("votes", own)?, votes.iter().map(|v| v.against(&args.keep)).collect()))
    })
}

/// Numbers equal things alike.
fn numbers<T: Ord + Sync>(things: &[T]) -> Vec<u32> {
    let mut order: Vec<u32> = (0..things.len() as u32).collect();
    order.par_sort_unstable_by_key(|place| &things[*place as usize]);
    let mut numbers = vec![0; things.len()];
    for (number, same) in order.chunk_by(|a, b| things[*a as usize] == things[*b as usize]).enumerate() {
        same.iter().for_each(|place| numbers[*place as usize] = number as u32);
    }
    numbers
}

/// Numbers the questions of each group; those that are near-duplicates share a number.
fn alike(args: &Args, asked: &Held, answers: &[u32], group: &[u32], spill: Spill<'_>) -> Result<Vec<u32>, OpError> {
    let contrasts = (args.contrast > 0).then(|| {
        let said: Vec<(u32, u32)> = group.iter().copied().zip(answers.iter().copied()).collect();
        Contrasts::mine(asked, &numbers(&said), args.contrast)
    });
    let apart = |a: usize, b: usize| contrasts.as_ref().is_some_and(|c| c.apart(a, b));
    let (similar, shingle, rule) = (args.similar, args.shingle.max(1), Rule::Components);
    let options = minhash::Options { similar, shingle, bands: 32, rows: 4, verify: true, rule };
    let near = minhash::find(asked, group, &options, &apart, Some(spill))?;
    let order: Vec<u32> = (0..asked.rows() as u32).collect();
    Ok(clusters::resolve(&near.links, rule, &order))
}
