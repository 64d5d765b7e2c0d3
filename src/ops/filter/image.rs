//! `filter.image`: pictures of a certain size, shape and sharpness.

use std::collections::{BTreeMap, BTreeSet};

use image::GrayImage;
use rayon::prelude::*;

use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::data::cell::Cell;
use crate::data::{media, within};
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::bounds::Bounds;
use crate::ops::rows::{self, Reason, pooled};
use crate::spec::OpSpec;

/// The operator.
pub static IMAGE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Keeps rows whose pictures are large, regular, sharp and rich enough. Rows without pictures stay.
op filter.image(
  d: Dataset[{ ..r }],
  ## A picture or a list of pictures.
  images: Col = .images,
  ## Allowed lengths of both sides.
  side: Range[Pixels]? = none,
  ## Allowed width / height.
  aspect: Range[Float]? = none,
  ## Allowed sharpness: the variance of the Laplacian of the luma (0..255); blurred pictures have little.
  blur: Range[Float]? = none,
  ## Allowed entropy of the luma histogram, in bits (0..8); plain pictures have little.
  entropy: Range[Float]? = none,
  ## What happens to rows with a picture that does not decode.
  broken: enum { drop, keep } = "drop",
  ## Whether all pictures of a row must pass, or one.
  policy: enum { all, any } = "all",
) -> Dataset[{ ..r }]"#,
        takes_where: true,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    images: String,
    side: Option<Bounds>,
    aspect: Option<Bounds>,
    blur: Option<Bounds>,
    entropy: Option<Bounds>,
    broken: String,
    policy: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let d = cx.table("d")?;
    let scope = rows::in_scope(cx, &d)?;
    let cells = d.cells(&args.images)?;
    let lists: Vec<BTreeSet<String>> = cells
        .iter()
        .map(|cell: &Cell<'_>| {
            let mut digests = BTreeSet::new();
            within::collect(cell, &mut digests);
            digests
        })
        .collect();
    let needed = lists.iter().zip(&scope).filter(|(_, scoped)| **scoped).flat_map(|(l, _)| l);
    let distinct: Vec<&String> = needed.collect::<BTreeSet<_>>().into_iter().collect();
    let store = cx.store;
    let judged: Vec<Option<Reason>> = pooled(cx.threads, || {
        distinct.par_iter().map(|hex| judge(&args, hex, store)).collect::<Result<Vec<_>, OpError>>()
    })??;
    let faults: BTreeMap<&String, Option<Reason>> = distinct.into_iter().zip(judged).collect();
    let reasons: Vec<Option<Reason>> = lists
        .iter()
        .zip(&scope)
        .map(|(list, scoped)| {
            if !scoped {
                return None;
            }
            let mut found = list.iter().map(|hex| faults.get(hex).cloned().flatten());
            if args.policy == "any" && found.clone().any(|f| f.is_none()) { None } else { found.find_map(|f| f) }
        })
        .collect();
    Ok(Context::rows(rows::drop_rows(cx, &d, &reasons)?))
}

/// Says what is wrong with a picture.
fn judge(args: &Args, hex: &str, blobs: &dyn Blobs) -> Result<Option<Reason>, OpError> {
    let digest = Digest::parse(hex).ok_or_else(|| OpError::new("E0503", format!("{hex} is no digest")))?;
    let picture = match media::decode(&blobs.get(digest)?) {
        Ok((_, picture)) => picture,
        Err(why) => return Ok((args.broken == "drop").then(|| Reason::new("broken", format!("a picture {why}")))),
    };
    let (w, h) = (f64::from(picture.width()), f64::from(picture.height()));
    let outside = |what: &str, bounds: Option<Bounds>, value: f64| {
        let bounds = bounds.filter(|b| !b.contain(value))?;
        Some(Reason::new(what, format!("a picture's {what} is {value:.3}, outside {bounds}")))
    };
    let luma = picture.to_luma8();
    Ok(outside("shorter side", args.side, w.min(h))
        .or_else(|| outside("longer side", args.side, w.max(h)))
        .or_else(|| outside("aspect", args.aspect, w / h))
        .or_else(|| args.blur.and_then(|b| outside("sharpness", Some(b), sharpness(&luma))))
        .or_else(|| args.entropy.and_then(|b| outside("entropy", Some(b), entropy(&luma)))))
}

/// Returns the variance of the 4-neighbour Laplacian over the inner pixels; 0 for pictures thinner than three pixels.
fn sharpness(luma: &GrayImage) -> f64 {
    let (w, h) = luma.dimensions();
    let at = |x: u32, y: u32| f64::from(luma.get_pixel(x, y).0[0]);
    let (mut sum, mut squares, mut count) = (0.0, 0.0, 0.0);
    for y in 1..h.saturating_sub(1) {
        for x in 1..w.saturating_sub(1) {
            let l = at(x - 1, y) + at(x + 1, y) + at(x, y - 1) + at(x, y + 1) - 4.0 * at(x, y);
            sum += l;
            squares += l * l;
            count += 1.0;
        }
    }
    if count == 0.0 { 0.0 } else { squares / count - (sum / count) * (sum / count) }
}

/// Returns the entropy of the luma histogram in bits.
fn entropy(luma: &GrayImage) -> f64 {
    let mut histogram = [0u64; 256];
    luma.as_raw().iter().for_each(|&v| histogram[usize::from(v)] += 1);
    let total = luma.as_raw().len().max(1) as f64;
    let share = |n: &u64| *n as f64 / total;
    -histogram.iter().filter(|n| **n > 0).map(|n| share(n) * share(n).log2()).sum::<f64>()
}
