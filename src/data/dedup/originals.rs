//! Which known picture a re-encoded copy was made from.

use std::collections::{BTreeMap, BTreeSet};

use image::imageops::{FilterType, resize};
use rayon::prelude::*;

use super::phash::{Hash, hashes};
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::data::pictures::media;

/// Side of the thumbnails that are compared: small enough for compression noise to average out, large enough to show a moved object.
const SIDE: u32 = 32;
/// Mean difference of two thumbnails' grey values, of 255, from which they are different pictures.
const DIFFERENT: f64 = 2.0;

/// Pictures that others may be copies of, by the hex of their digests. They are hashed when the first one is asked about, and what is said of a picture
/// is remembered.
pub struct Originals {
    known: BTreeSet<String>,
    distance: u32,
    hashes: Option<BTreeMap<String, u64>>,
    found: BTreeMap<String, Option<String>>,
}

impl Originals {
    /// Takes the pictures that are known. Candidates for a copy are those whose 64-bit DCT hash differs from its own in at most `distance` bits.
    pub fn new(known: BTreeSet<String>, distance: u32) -> Self {
        Self { known, distance, hashes: None, found: BTreeMap::new() }
    }

    /// Finds what each picture of `copies` is a copy of, for [`Originals::get`].
    ///
    /// Scenes of one table look alike to a hash, so the pixels decide among candidates: the least mean difference of 32 × 32 grey thumbnails, if it is
    /// under 2 of 255.
    ///
    /// # Errors
    /// `E0503` when a picture is missing in the store or does not decode.
    pub fn find(&mut self, copies: BTreeSet<String>, blobs: &dyn Blobs) -> Result<(), OpError> {
        let new: BTreeSet<String> = copies.into_iter().filter(|copy| !self.found.contains_key(copy)).collect();
        if new.is_empty() {
            return Ok(());
        }
        let of_known = match self.hashes.take() {
            Some(hashes) => hashes,
            None => hashes(&self.known, Hash::Phash, blobs)?,
        };
        let distance = self.distance;
        let original = |(copy, hash): (String, u64)| {
            let near = of_known.iter().filter(|(_, other)| (**other ^ hash).count_ones() <= distance);
            let candidates: Vec<&String> = near.map(|(digest, _)| digest).collect();
            let found = alike(&copy, &candidates, blobs)?;
            Ok((copy, found))
        };
        let of_copies = hashes(&new, Hash::Phash, blobs)?;
        let found = of_copies.into_par_iter().map(original).collect::<Result<Vec<_>, OpError>>()?;
        self.found.extend(found);
        self.hashes = Some(of_known);
        Ok(())
    }

    /// Returns what a picture is a copy of; nothing if it is none, or was not looked for.
    pub fn get(&self, copy: &str) -> Option<&str> {
        self.found.get(copy)?.as_deref()
    }
}

/// Returns the candidate that a picture is most like to the eye.
fn alike(copy: &str, candidates: &[&String], blobs: &dyn Blobs) -> Result<Option<String>, OpError> {
    if candidates.is_empty() {
        return Ok(None);
    }
    let own = thumbnail(copy, blobs)?;
    let mut best: Option<(f64, &String)> = None;
    for candidate in candidates {
        let difference = mean_difference(&own, &thumbnail(candidate, blobs)?);
        if difference < best.map_or(DIFFERENT, |b| b.0) {
            best = Some((difference, candidate));
        }
    }
    Ok(best.map(|(_, original)| original.clone()))
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
