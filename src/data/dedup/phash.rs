//! Perceptual hashes of pictures, and clusters of pictures that look the same.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use image::DynamicImage;
use rayon::prelude::*;

use super::clusters::Sets;
use super::simhash;
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::data::pictures::media;

/// Which hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Hash {
    /// Signs of the low frequencies of a cosine transform.
    Phash,
    /// Signs of horizontal differences.
    Dhash,
}

/// Returns the 64-bit DCT hash of a picture.
///
/// Luma (Rec. 601) is averaged by area to 32×32; of its two-dimensional DCT-II the 8×8 lowest frequencies without the constant one give a bit each: above
/// their median or not. Bit 0, for the constant frequency, is 0.
///
/// # Source
/// Zauner 2010, "Implementation and benchmarking of perceptual image hash functions", 3.2.1; the bits are ours and must not change, for results are kept.
pub fn phash(picture: &DynamicImage) -> u64 {
    const N: usize = 32;
    let luma = shrink(picture, N, N);
    let mut cos = [[0f64; N]; 8];
    for (u, row) in cos.iter_mut().enumerate() {
        for (x, c) in row.iter_mut().enumerate() {
            *c = (std::f64::consts::PI * u as f64 * (2 * x + 1) as f64 / (2 * N) as f64).cos();
        }
    }
    let mut rows = [[0f64; 8]; N];
    for y in 0..N {
        for u in 0..8 {
            rows[y][u] = (0..N).map(|x| luma[y * N + x] * cos[u][x]).sum();
        }
    }
    let mut low = [0f64; 64];
    for v in 0..8 {
        for u in 0..8 {
            low[8 * v + u] = (0..N).map(|y| rows[y][u] * cos[v][y]).sum();
        }
    }
    let mut sorted = low[1..].to_vec();
    sorted.sort_by(f64::total_cmp);
    let median = sorted[31];
    (1..64).filter(|&i| low[i] > median).map(|i| 1u64 << i).sum()
}

/// Returns the 64-bit difference hash of a picture: of 9×8 averages of luma, whether each is brighter than its left neighbour.
pub fn dhash(picture: &DynamicImage) -> u64 {
    let luma = shrink(picture, 9, 8);
    let bit = |i: usize| u64::from(luma[i / 8 * 9 + i % 8 + 1] > luma[i / 8 * 9 + i % 8]) << i;
    (0..64).map(bit).sum()
}

/// Averages luma over equal areas: `width` × `height` values, row by row. Fractions of pixels count as fractions.
fn shrink(picture: &DynamicImage, width: usize, height: usize) -> Vec<f64> {
    let rgb = picture.to_rgb8();
    let (w, h) = (rgb.width() as usize, rgb.height() as usize);
    let across = weights(w, width);
    let down = weights(h, height);
    let mut narrow = vec![0f64; h * width];
    for y in 0..h {
        for (x, spans) in across.iter().enumerate() {
            narrow[y * width + x] = spans
                .iter()
                .map(|&(from, weight)| {
                    let [r, g, b] = rgb.get_pixel(from as u32, y as u32).0.map(f64::from);
                    weight * (0.299 * r + 0.587 * g + 0.114 * b)
                })
                .sum();
        }
    }
    let cell = |x: usize, y: usize| down[y].iter().map(|&(from, weight)| weight * narrow[from * width + x]).sum();
    (0..height).flat_map(|y| (0..width).map(move |x| (x, y))).map(|(x, y)| cell(x, y)).collect()
}

/// Returns for each of `to` equal parts of `from` pixels which pixels it covers and by how much, summing to 1.
fn weights(from: usize, to: usize) -> Vec<Vec<(usize, f64)>> {
    let step = from as f64 / to as f64;
    let part = |i: usize| {
        let (start, end) = (i as f64 * step, (i + 1) as f64 * step);
        let last = (end.ceil() as usize).min(from).max(start as usize + 1);
        let covered = |p: usize| (end.min((p + 1) as f64) - start.max(p as f64)).max(0.0) / step;
        (start as usize..last).map(|p| (p.min(from - 1), covered(p))).collect()
    };
    (0..to).map(part).collect()
}

/// Hashes of pictures by digest. They depend on nothing but the bytes, so they are kept for the whole process: a chain of dedups decodes each picture once.
static KNOWN: Mutex<BTreeMap<(Hash, Digest), u64>> = Mutex::new(BTreeMap::new());

/// Returns the hashes of pictures given by the hex of their digests, in parallel.
///
/// # Errors
/// `E0503` when a picture is missing in the store or does not decode.
pub fn hashes(digests: &BTreeSet<String>, hash: Hash, blobs: &dyn Blobs) -> Result<BTreeMap<String, u64>, OpError> {
    let one = |hex: &String| -> Result<(String, u64), OpError> {
        let broken = |why: &str| OpError::new("E0503", format!("picture {hex}: {why}"));
        let digest = Digest::parse(hex).ok_or_else(|| broken("not a digest"))?;
        let known = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(&value) = known().get(&(hash, digest)) {
            return Ok((hex.clone(), value));
        }
        let (_, picture) = media::decode(&blobs.get(digest)?).map_err(|why| broken(&why))?;
        let value = match hash {
            Hash::Phash => phash(&picture),
            Hash::Dhash => dhash(&picture),
        };
        known().insert((hash, digest), value);
        Ok((hex.clone(), value))
    };
    digests.par_iter().map(one).collect::<Result<Vec<_>, _>>().map(|all| all.into_iter().collect())
}

/// Returns for each picture the number of its cluster: connected components of hashes that differ in at most `distance` bits.
pub fn clusters(hashes: &BTreeMap<String, u64>, distance: u32) -> BTreeMap<String, u32> {
    let values: Vec<Option<u64>> = hashes.values().copied().map(Some).collect();
    let links = simhash::links(&values, &vec![0; values.len()], distance);
    let mut sets = Sets::new(values.len());
    links.edges.iter().for_each(|&(a, b)| sets.union(a, b));
    hashes.keys().enumerate().map(|(i, k)| (k.clone(), sets.find(links.class[i]))).collect()
}
