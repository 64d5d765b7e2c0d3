//! `filter.length`: texts of a certain length, in tokens or characters.

use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array};
use rayon::prelude::*;
use tokenizers::Tokenizer;

use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::bounds::Bounds;
use crate::ops::rows::{self, Reason, pooled};
use crate::spec::{Looks, OpSpec};

/// The operator.
pub static LENGTH: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows whose text is neither too short nor too long.
op filter.length(
  d: Dataset[{ ..r }],
  ## Columns counted, joined with a newline.
  of: Cols,
  ## The model whose tokens are counted, without special tokens; without it, characters.
  by: Model? = none,
  ## The lengths that stay.
  keep: Range[Tokens] | Range[Int],
) -> Dataset[{ tokens: Tokens, ..r }]"#,
        takes_where: true,
        looks: Looks::At(&[]),
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
    let broken = |e: tokenizers::Error| OpError::new("E0503", format!("tokenizer.json of `by`: {e}"));
    let tokenizer = match cx.inputs.get("by") {
        Some(model) => Some(Tokenizer::from_file(cx.file(model, "tokenizer.json")?).map_err(broken)?),
        None => None,
    };
    let length = |text: &String| match &tokenizer {
        Some(tokenizer) => tokenizer.encode_fast(text.as_str(), false).map(|e| e.len()).map_err(broken),
        None => Ok(text.chars().count()),
    };
    let unit = if tokenizer.is_some() { "tokens" } else { "characters" };
    let why = |n: usize| {
        args.keep.outside(n as f64).map(|side| Reason::new(side, format!("{n} {unit}, outside {}", args.keep)))
    };
    rows::sift(cx, |cx, chunk| {
        let scope = rows::in_scope(cx, &chunk)?;
        let texts = chunk.texts(&args.of)?;
        let counted = texts.par_iter().with_min_len(64).map(length);
        let lengths: Vec<usize> = pooled(cx.threads, || counted.collect::<Result<_, _>>())??;
        let reasons = lengths.iter().zip(&scope).map(|(n, scoped)| if *scoped { why(*n) } else { None }).collect();
        let tokens: ArrayRef = Arc::new(Int64Array::from_iter_values(lengths.iter().map(|n| *n as i64)));
        Ok((chunk.with_column("tokens", tokens)?, reasons))
    })
}
