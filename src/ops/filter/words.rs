//! `filter.words`: texts of a certain number of words.

use rayon::prelude::*;

use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::bounds::Bounds;
use crate::ops::rows::{self, Reason, pooled};
use crate::spec::OpSpec;

/// The operator.
pub static WORDS: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows whose text has a certain number of words, separated by white space.
op filter.words(
  d: Dataset[{ ..r }],
  ## Columns counted, joined with a newline.
  of: Cols,
  ## The numbers of words that stay.
  keep: Range[Int],
) -> Dataset[{ ..r }]"#,
        takes_where: true,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    of: Vec<String>,
    keep: Bounds,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let why = |text: &String| {
        let n = text.split_whitespace().count();
        args.keep.outside(n as f64).map(|side| Reason::new(side, format!("{n} words, outside {}", args.keep)))
    };
    rows::sift(cx, |cx, chunk| {
        let scope = rows::in_scope(cx, &chunk)?;
        let texts = chunk.texts(&args.of)?;
        let judged = texts.par_iter().zip(&scope).with_min_len(64);
        let reasons = pooled(cx.threads, || judged.map(|(t, s)| if *s { why(t) } else { None }).collect())?;
        Ok((chunk, reasons))
    })
}
