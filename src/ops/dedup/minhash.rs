//! `dedup.minhash`: rows whose texts share most of their word shingles.

use super::{Compared, Scope, signature};
use crate::base::OpError;
use crate::data::dedup::contrast::Contrasts;
use crate::data::dedup::minhash::{self, Options, Spill};
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Looks, OpSpec};

/// The operator.
pub static MINHASH: Builtin = Builtin {
    spec: OpSpec {
        signature: signature!(
            r#"
## Drops near-duplicate rows by the exact Jaccard similarity of their word shingles; candidates by MinHash and banding.
## Texts of the same words that differ in signs of arithmetic or comparison, such as `x < 3` and `x > 3`, are no duplicates of each other.
## Source: Broder 1997, "On the resemblance and containment of documents".
op dedup.minhash(
  d: Dataset[{ ..r }],
  ## Columns compared, joined with a newline.
  on: Cols,
  ## Jaccard similarity from which two rows are duplicates.
  similar: Ratio in 0%..100% = 70%,
  ## Words per shingle, lower-cased; a text with fewer words is one shingle.
  shingle: Int in 1.. = 3,
  ## Bands of the signature. A pair of similarity s becomes a candidate with probability 1 - (1 - s^rows)^bands: at the defaults 99.98 % for 70 %.
  bands: Int in 1.. = 32,
  ## Hash values per band.
  rows: Int in 1.. = 4,
  ## Confirm each candidate by its exact similarity. Without it, texts below `similar` are merged too.
  verify: Bool = true,
  ## Rows are told apart by words that stand in each other's place in at least this many otherwise equal texts, such as red and blue; words that are
  ## mostly exchanged in rows that agree on `within`, such as color and colour, do not count. Then `similar` can be much lower. 0: the similarity
  ## alone counts.
  contrast: Int = 0,"#
        ),
        version: 2,
        takes_where: true,
        looks: Looks::At(&[]),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    on: Vec<String>,
    similar: f64,
    shingle: usize,
    bands: usize,
    rows: usize,
    verify: bool,
    contrast: u32,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    if args.bands == 0 || args.rows == 0 || args.shingle == 0 {
        let message =
            format!("bands {}, rows {} and shingle {} must be 1 or more", args.bands, args.rows, args.shingle);
        return Err(OpError::new("E0612", message));
    }
    let scope = Scope::new(cx)?;
    let texts = scope.texts(cx, &args.on)?;
    let options = Options {
        similar: args.similar,
        shingle: args.shingle,
        bands: args.bands,
        rows: args.rows,
        verify: args.verify,
        rule: scope.common.rule,
    };
    let contrasts =
        pooled(cx.threads, || (args.contrast > 0).then(|| Contrasts::mine(&texts, &scope.group, args.contrast)))?;
    let apart = |a: usize, b: usize| contrasts.as_ref().is_some_and(|c| c.apart(a, b));
    let spill = Spill { folder: &cx.scratch, most: minhash::KEYS_IN_MEMORY };
    let near = pooled(cx.threads, || minhash::find(&texts, &scope.group, &options, &apart, Some(spill)))??;
    texts.check()?;
    scope.finish(cx, &near.links, Compared::Words(&texts), |a, b| {
        format!("near-duplicate (Jaccard {:.0} %) of", 100.0 * near.jaccard(a, b))
    })
}
