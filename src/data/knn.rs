//! Exact cosine search among vectors.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::clusters::{Links, groups};
use super::scan;

/// Vectors of equal length, scaled to length 1; all zeros stay.
pub struct Vectors {
    data: Vec<f32>,
    width: usize,
}

impl Vectors {
    /// Scales vectors of `width` numbers each, one after another.
    ///
    /// # Shapes
    /// `data`: `[n · width]` f32.
    pub fn new(mut data: Vec<f32>, width: usize) -> Self {
        for vector in data.chunks_exact_mut(width.max(1)) {
            let norm = vector.iter().map(|v| f64::from(*v) * f64::from(*v)).sum::<f64>().sqrt();
            if norm > 0.0 {
                vector.iter_mut().for_each(|v| *v = (f64::from(*v) / norm) as f32);
            }
        }
        Self { data, width: width.max(1) }
    }

    /// Returns how many there are.
    pub fn count(&self) -> usize {
        self.data.len() / self.width
    }

    /// Returns how many numbers each has.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Returns one.
    pub fn get(&self, i: usize) -> &[f32] {
        &self.data[i * self.width..(i + 1) * self.width]
    }

    /// Returns the cosine of two.
    pub fn cosine(&self, a: usize, b: usize) -> f32 {
        dot(self.get(a), self.get(b))
    }
}

/// Rows per block: two blocks of 384-wide vectors fit the second-level cache.
const BLOCK: usize = 128;
/// Groups from this size are scanned in int8 first, where the processor can.
const LARGE: usize = 512;

/// Links rows of the same group whose cosine is at least `similar` and which are not told `apart`, at most the `neighbors` nearest of each row; ties
/// go to the earlier row.
///
/// Every pair is looked at. Sums run in one fixed order and the nearest are the same in whatever order they are found, so the result depends neither
/// on the number of threads nor on the processor's instructions beyond fused multiply-add.
pub fn links(
    vectors: &Vectors,
    group: &[u32],
    similar: f32,
    neighbors: usize,
    apart: impl Fn(usize, usize) -> bool + Sync,
) -> Links {
    let rows = vectors.count();
    let nearest: Vec<Mutex<Nearest>> = (0..rows).map(|_| Mutex::default()).collect();
    let compare = |a: u32, b: u32| {
        let cosine = vectors.cosine(a as usize, b as usize);
        if cosine >= similar && !apart(a as usize, b as usize) {
            for (row, other) in [(a, b), (b, a)] {
                nearest[row as usize].lock().unwrap_or_else(PoisonError::into_inner).push(cosine, other, neighbors);
            }
        }
    };
    groups(group, 0..rows as u32).par_iter().for_each(|group| {
        if group.len() >= LARGE && scan::available(vectors) {
            scan::candidates(vectors, group, similar, compare);
        } else {
            each_pair(group, compare);
        }
    });
    let mut links = Links { class: (0..rows as u32).collect(), edges: Vec::new() };
    for (a, found) in (0_u32..).zip(nearest) {
        let found = found.into_inner().unwrap_or_else(PoisonError::into_inner).best(neighbors);
        links.edges.extend(found.map(|b| (a.min(b), a.max(b))));
    }
    links.edges.par_sort_unstable();
    links.edges.dedup();
    links
}

/// Calls `compare` for each pair of a group, block by block.
fn each_pair(group: &[u32], compare: impl Fn(u32, u32) + Sync) {
    group.par_chunks(BLOCK).enumerate().for_each(|(n, firsts)| {
        for seconds in group[n * BLOCK..].chunks(BLOCK) {
            for &a in firsts {
                seconds.iter().filter(|&&b| a < b).for_each(|&b| compare(a, b));
            }
        }
    });
}

/// The nearest of a row so far, and some more.
#[derive(Default)]
struct Nearest(Vec<(f32, u32)>);

impl Nearest {
    fn push(&mut self, cosine: f32, other: u32, neighbors: usize) {
        self.0.push((cosine, other));
        if self.0.len() > 4 * neighbors.max(16) {
            self.cut(neighbors);
        }
    }

    fn best(mut self, neighbors: usize) -> impl Iterator<Item = u32> {
        self.cut(neighbors);
        self.0.into_iter().map(|(_, other)| other)
    }

    fn cut(&mut self, neighbors: usize) {
        self.0.sort_unstable_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
        self.0.truncate(neighbors);
    }
}

fn dot(a: &[f32], b: &[f32]) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
        // SAFETY: the processor has AVX2 and FMA.
        return unsafe { dot_avx2(a, b) };
    }
    dot_lanes(a, b, |x, y, sum| x * y + sum)
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2,fma")]
fn dot_avx2(a: &[f32], b: &[f32]) -> f32 {
    dot_lanes(a, b, f32::mul_add)
}

/// Sums in 32 lanes, which are added up in order at the end.
#[inline(always)]
fn dot_lanes(a: &[f32], b: &[f32], fused: impl Fn(f32, f32, f32) -> f32) -> f32 {
    const LANES: usize = 32;
    let mut sums = [0f32; LANES];
    let (a_whole, b_whole) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = a_whole.remainder().iter().zip(b_whole.remainder()).map(|(x, y)| x * y).sum::<f32>();
    for (x, y) in a_whole.zip(b_whole) {
        for lane in 0..LANES {
            sums[lane] = fused(x[lane], y[lane], sums[lane]);
        }
    }
    sums.iter().sum::<f32>() + rest
}
