//! Which known picture a re-encoded copy was made from.

use std::collections::{BTreeMap, BTreeSet};

use image::imageops::{FilterType, resize};
use rayon::prelude::*;

use super::blobs::Blobs;
use super::media;
use super::phash::{Hash, hashes};
use crate::base::{Digest, OpError};

/// Side of the thumbnails that are compared: small enough for compression noise to average out, large enough to show a moved object.
const SIDE: u32 = 32;
/// Mean difference of two thumbnails' grey values, of 255, from which they are different pictures.
const DIFFERENT: f64 = 2.0;

/// Returns for each picture of `copies` the one of `known` that it is a copy of, all by the hex of their digests.
///
/// Candidates are those whose 64-bit DCT hash differs in at most `distance` bits. Scenes of one table look alike to a hash, so the pixels decide among
/// them: the least mean difference of 32 × 32 grey thumbnails, if it is under 2 of 255.
///
/// # Errors
/// `E0503` when a picture is missing in the store or does not decode.
pub fn originals(
    copies: &BTreeSet<String>,
    known: &BTreeSet<String>,
    distance: u32,
    blobs: &dyn Blobs,
) -> Result<BTreeMap<String, String>, OpError> {
    if copies.is_empty() {
        return Ok(BTreeMap::new());
    }
    let (of_copies, of_known) = (hashes(copies, Hash::Phash, blobs)?, hashes(known, Hash::Phash, blobs)?);
    let found = of_copies.par_iter().map(|(copy, hash)| -> Result<Option<(String, String)>, OpError> {
        let near: Vec<&String> =
            of_known.iter().filter(|(_, other)| (**other ^ hash).count_ones() <= distance).map(|(d, _)| d).collect();
        if near.is_empty() {
            return Ok(None);
        }
        let own = thumbnail(copy, blobs)?;
        let mut best: Option<(f64, &String)> = None;
        for candidate in near {
            let difference = mean_difference(&own, &thumbnail(candidate, blobs)?);
            if difference < best.map_or(DIFFERENT, |b| b.0) {
                best = Some((difference, candidate));
            }
        }
        Ok(best.map(|(_, original)| (copy.clone(), original.clone())))
    });
    Ok(found.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

fn thumbnail(hex: &str, blobs: &dyn Blobs) -> Result<Vec<u8>, OpError> {
    let broken = |why: &str| OpError::new("E0503", format!("picture {hex}: {why}"));
    let digest = Digest::parse(hex).ok_or_else(|| broken("not a digest"))?;
    let (_, picture) = media::decode(&blobs.get(digest)?).map_err(|why| broken(&why))?;
    Ok(resize(&picture.to_luma8(), SIDE, SIDE, FilterType::Triangle).into_raw())
}

fn mean_difference(a: &[u8], b: &[u8]) -> f64 {
    let sum: u64 = a.iter().zip(b).map(|(x, y)| u64::from(x.abs_diff(*y))).sum();
    sum as f64 / a.len().max(1) as f64
}
