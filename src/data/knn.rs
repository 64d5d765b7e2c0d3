//! Exact cosine search among vectors.

use rayon::prelude::*;

use super::clusters::{Links, groups};

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

/// Links rows of the same group whose cosine is at least `similar` and which are not told `apart`, at most the `neighbors` nearest of each row; ties
/// go to the earlier row.
///
/// Every pair is looked at. Sums run in one fixed order, so the result does not depend on the number of threads.
pub fn links(
    vectors: &Vectors,
    group: &[u32],
    similar: f32,
    neighbors: usize,
    apart: impl Fn(usize, usize) -> bool + Sync,
) -> Links {
    let rows = vectors.count();
    let mut links = Links { class: (0..rows as u32).collect(), edges: Vec::new() };
    for group in groups(group, 0..rows as u32) {
        let near: Vec<Vec<(u32, u32)>> = group
            .par_chunks(BLOCK)
            .map(|queries| {
                let mut best: Vec<Vec<(f32, u32)>> = vec![Vec::new(); queries.len()];
                for others in group.chunks(BLOCK) {
                    for (best, &a) in best.iter_mut().zip(queries) {
                        for &b in others.iter().filter(|&&b| b != a) {
                            let cosine = vectors.cosine(a as usize, b as usize);
                            if cosine >= similar && !apart(a as usize, b as usize) {
                                best.push((cosine, b));
                            }
                        }
                        if best.len() > 4 * neighbors.max(16) {
                            nearest(best, neighbors);
                        }
                    }
                }
                let edges = best.into_iter().zip(queries).flat_map(|(mut best, &a)| {
                    nearest(&mut best, neighbors);
                    best.into_iter().map(move |(_, b)| (a.min(b), a.max(b)))
                });
                edges.collect()
            })
            .collect();
        links.edges.extend(near.into_iter().flatten());
    }
    links.edges.sort_unstable();
    links.edges.dedup();
    links
}

fn nearest(best: &mut Vec<(f32, u32)>, neighbors: usize) {
    best.sort_unstable_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
    best.truncate(neighbors);
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
