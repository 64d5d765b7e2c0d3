//! `filter.words`: texts of a certain number of words.

use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::bounds::Bounds;
use crate::ops::rows::{self, Reason};
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
    let d = cx.table("d")?;
    let scope = rows::in_scope(cx, &d)?;
    let why = |text: &String| {
        let n = text.split_whitespace().count();
        args.keep.outside(n as f64).map(|side| Reason::new(side, format!("{n} words, outside {}", args.keep)))
    };
    let texts = d.texts(&args.of)?;
    let reasons: Vec<Option<Reason>> = texts.iter().zip(&scope).map(|(t, s)| if *s { why(t) } else { None }).collect();
    Ok(Context::rows(rows::drop_rows(cx, &d, &reasons)?))
}
