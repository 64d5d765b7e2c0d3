//! `dedup.semantic`: rows whose texts mean the same, by the cosine of their vectors.

use super::{Scope, signature};
use crate::base::OpError;
use crate::data::knn::{self, Vectors};
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Class, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static SEMANTIC: Builtin = Builtin {
    spec: OpSpec {
        signature: signature!(
            r#"
## Drops rows whose texts mean the same, by the cosine of their vectors. Every pair is looked at.
op dedup.semantic(
  d: Dataset[{ ..r }],
  ## Columns compared, joined with a newline.
  on: Cols,
  ## The model that makes the vectors.
  embed: Model,
  ## Of how many nearest rows each row may be a duplicate.
  neighbors: Int = 10,
  ## Cosine from which two rows are duplicates.
  similar: Ratio = 95%,
  ## How neighbours are searched.
  search: enum { auto, exact, cells } = "auto","#
        ),
        takes_where: true,
        class: Class::Numeric,
        pool: Pool::Engine,
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

/// Arguments that decide what is near.
#[derive(serde::Deserialize)]
pub struct Args {
    /// Columns compared.
    pub on: Vec<String>,
    /// Edges kept per row.
    pub neighbors: usize,
    /// Least cosine.
    pub similar: f64,
    /// `auto`, `exact` or `cells`.
    pub search: String,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    by_vectors(cx, |cx, texts| {
        let encoded = crate::ops::embed::encode(cx, "embed", texts)?;
        Ok((encoded.flat(), encoded.width))
    })
}

/// Finishes `dedup.semantic` once there is a vector for each row of `d`, in order: `encode` makes them from the joined texts.
///
/// # Shapes
/// `encode` returns `[rows · width]` f32 and `width`.
///
/// # Errors
/// `E0612` when `search` asks for cells, which this version does not have, or when the numbers of rows and vectors differ.
pub fn by_vectors(
    cx: &mut Context,
    encode: impl FnOnce(&mut Context, &[String]) -> Result<(Vec<f32>, usize), OpError>,
) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    if args.search == "cells" {
        return Err(OpError::new("E0612", "search by cells is not built yet").help("write `search: \"exact\"`"));
    }
    let scope = Scope::new(cx)?;
    let texts = scope.texts(&args.on)?;
    let (data, width) = encode(cx, &texts)?;
    let vectors = Vectors::new(data, width);
    if vectors.count() != texts.len() {
        let message = format!("the encoder gave {} vectors for {} rows", vectors.count(), texts.len());
        return Err(OpError::new("E0612", message));
    }
    // A row outside `where` gets a group of its own, so that it is compared with none.
    let rows = texts.len() as u32;
    let group: Vec<u32> =
        (0..rows).map(|r| if scope.rows[r as usize] { scope.group[r as usize] } else { rows + r }).collect();
    let links = pooled(cx.threads, || knn::links(&vectors, &group, args.similar as f32, args.neighbors))?;
    scope.finish(cx, &links, &args.on, |a, b| format!("same meaning (cosine {:.3}) as", vectors.cosine(a, b)))
}
