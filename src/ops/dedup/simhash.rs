//! `dedup.simhash`: rows whose texts have nearly the same fingerprint.

use std::collections::HashMap;

use rayon::prelude::*;

use super::{Compared, Scope, signature};
use crate::base::OpError;
use crate::data::dedup::signs::signs;
use crate::data::dedup::simhash;
use crate::data::dedup::text::Words;
use crate::data::dedup::texts::Texts as _;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::pooled;
use crate::spec::{Looks, OpSpec};

/// The operator.
pub static SIMHASH: Builtin = Builtin {
    spec: OpSpec {
        signature: signature!(
            r#"
## Drops near-duplicate rows by the Hamming distance of 64-bit SimHashes over lower-cased word shingles. Every pair within the distance is found.
## Texts that differ in signs of arithmetic or comparison, such as `x < 3` and `x > 3`, are not compared.
## Source: Charikar 2002, "Similarity estimation techniques from rounding algorithms".
op dedup.simhash(
  d: Dataset[{ ..r }],
  ## Columns compared, joined with a newline.
  on: Cols,
  ## Bits by which two rows may differ. 10 with 2-word shingles finds 75 % of texts with 5 % of their words changed at a precision of 99.8 %.
  distance: Int in 0..64 = 10,
  ## Words per shingle.
  shingle: Int = 2,"#
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
    distance: u32,
    shingle: usize,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let scope = Scope::new(cx)?;
    let texts = scope.texts(cx, &args.on)?;
    let (hashes, links) = pooled(cx.threads, || {
        let look = |words: &mut Words, row: usize| {
            texts.with(row, |text| (simhash::simhash(words, text, args.shingle.max(1)), signs(text)))
        };
        let rows = (0..texts.rows()).into_par_iter().with_min_len(64);
        let (hashes, signs): (Vec<Option<u64>>, Vec<u64>) = rows.map_init(Words::default, look).unzip();
        let mut numbers: HashMap<(u32, u64), u32> = HashMap::new();
        let mut number = |(group, signs): (&u32, u64)| {
            let next = numbers.len() as u32;
            *numbers.entry((*group, signs)).or_insert(next)
        };
        let group: Vec<u32> = scope.group.iter().zip(signs).map(&mut number).collect();
        let links = simhash::links(&hashes, &group, args.distance);
        (hashes, links)
    })?;
    texts.check()?;
    scope.finish(cx, &links, Compared::Words(&texts), |a, b| {
        let bits = (hashes[a].unwrap_or_default() ^ hashes[b].unwrap_or_default()).count_ones();
        format!("near-duplicate ({bits} of 64 bits differ) of")
    })
}
