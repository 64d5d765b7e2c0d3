//! `filter.image`: pictures of a certain size, shape and sharpness.

use std::collections::BTreeMap;

use image::GrayImage;
use rayon::prelude::*;

use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::data::cell::Cell;
use crate::data::pictures::media;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::bounds::Bounds;
use crate::ops::rows::{self, Reason, pooled};
use crate::spec::{Looks, OpSpec};

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
        looks: Looks::At(&[]),
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
    // Many rows share a picture: each is looked at once.
    let mut known: BTreeMap<String, Option<Reason>> = BTreeMap::new();
    rows::sift(cx, |cx, chunk| {
        let scope = rows::in_scope(cx, &chunk)?;
        let lists: Vec<BTreeMap<String, Size>> = chunk
            .cells(&args.images)?
            .iter()
            .map(|cell| {
                let mut pictures = BTreeMap::new();
                collect(cell, &mut pictures);
                pictures
            })
            .collect();
        let needed = lists.iter().zip(&scope).filter(|(_, scoped)| **scoped).flat_map(|(l, _)| l);
        let fresh: BTreeMap<&String, Size> =
            needed.filter(|(hex, _)| !known.contains_key(*hex)).map(|(hex, size)| (hex, *size)).collect();
        let store = cx.store;
        let judged: Vec<(String, Option<Reason>)> = pooled(cx.threads, || {
            let each = |(hex, size): (&&String, &Size)| Ok(((*hex).clone(), judge(&args, hex, *size, store)?));
            fresh.par_iter().map(each).collect::<Result<_, OpError>>()
        })??;
        known.extend(judged);
        let reason = |(list, scoped): (&BTreeMap<String, Size>, &bool)| {
            let mut found = list.keys().map(|hex| known.get(hex).cloned().flatten());
            if !scoped || (args.policy == "any" && found.clone().any(|f| f.is_none())) {
                return None;
            }
            found.find_map(|f| f)
        };
        let reasons = lists.iter().zip(&scope).map(reason).collect();
        Ok((chunk, reasons))
    })
}

/// Width and height in pixels, as the loader found them when it decoded the picture.
type Size = (f64, f64);

/// Collects the pictures of a cell by digest; videos have no size.
fn collect(cell: &Cell<'_>, into: &mut BTreeMap<String, Size>) {
    if let Cell::List(items) = cell {
        return items.iter().for_each(|item| collect(item, into));
    }
    let side = |name: &str| cell.field(name).and_then(Cell::as_f64);
    if let (Some(w), Some(h), Some(digest)) =
        (side("width"), side("height"), cell.field("digest").and_then(Cell::as_str))
    {
        into.insert(digest.to_owned(), (w, h));
    }
}

/// Says what is wrong with a picture.
fn judge(args: &Args, hex: &str, (w, h): Size, blobs: &dyn Blobs) -> Result<Option<Reason>, OpError> {
    let outside = |what: &str, bounds: Option<Bounds>, value: f64| {
        let bounds = bounds.filter(|b| !b.contain(value))?;
        Some(Reason::new(what, format!("a picture's {what} is {value:.3}, outside {bounds}")))
    };
    let shape = || {
        outside("shorter side", args.side, w.min(h))
            .or_else(|| outside("longer side", args.side, w.max(h)))
            .or_else(|| outside("aspect", args.aspect, w / h))
    };
    if args.blur.is_none() && args.entropy.is_none() {
        return Ok(shape());
    }
    let digest = Digest::parse(hex).ok_or_else(|| OpError::new("E0503", format!("{hex} is no digest")))?;
    let picture = match media::decode(&blobs.get(digest)?) {
        Ok((_, picture)) => picture,
        Err(why) => return Ok((args.broken == "drop").then(|| Reason::new("broken", format!("a picture {why}")))),
    };
    let luma = picture.to_luma8();
    Ok(shape()
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
