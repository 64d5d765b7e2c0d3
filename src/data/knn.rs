//! Cosine search among vectors: exact, and by cells where there are too many rows for that.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::cells::{self, Measured};
use super::clusters::{Links, groups};
use super::scan::{self, Kernel};

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
        self.cosine_to(a, self, b)
    }

    /// Returns the cosine of one and one of `others`.
    pub fn cosine_to(&self, a: usize, others: &Self, b: usize) -> f32 {
        dot(self.get(a), others.get(b))
    }
}

/// Rows per block: two blocks of 384-wide vectors fit the second-level cache.
const BLOCK: usize = 128;
/// Groups from this size are scanned in int8 first, where the processor can.
const LARGE: usize = 512;

/// How neighbours are searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Search {
    /// Exact in groups of up to [`MANY`] rows, by cells in larger ones.
    Auto,
    /// Every pair is looked at.
    Exact,
    /// By cells in all groups of [`FEW`] rows and more.
    Cells,
}

/// Rows of a group up to which every pair is looked at, unless the search is told.
pub const MANY: usize = 1_000_000;
/// Rows of a group below which cells would save nothing.
pub const FEW: usize = 2_048;

/// What is searched.
pub struct Job<'j> {
    /// Cosine from which two rows are neighbours.
    pub similar: f32,
    /// Most neighbours of a row, the nearest; ties go to the earlier row.
    pub neighbors: usize,
    /// How.
    pub search: Search,
    /// Rows that are no neighbours, however near; called with the earlier row first.
    pub apart: &'j (dyn Fn(usize, usize) -> bool + Sync),
}

impl Job<'_> {
    /// Returns the cosine of two rows that are neighbours.
    pub fn near(&self, vectors: &Vectors, a: u32, b: u32) -> Option<f32> {
        let (first, second) = (a.min(b) as usize, a.max(b) as usize);
        let cosine = vectors.cosine(first, second);
        (cosine >= self.similar && !(self.apart)(first, second)).then_some(cosine)
    }
}

/// Links rows of the same group that are neighbours. Tells what was done by cells.
///
/// Sums run in one fixed order and the nearest are the same in whatever order they are found, so the result depends neither on the number of threads
/// nor on the processor's instructions beyond fused multiply-add.
pub fn links(vectors: &Vectors, group: &[u32], job: &Job<'_>) -> (Links, Measured) {
    let rows = vectors.count();
    let nearest = Found::new(rows, job.neighbors);
    let compare = |a: u32, b: u32| {
        if let Some(cosine) = job.near(vectors, a, b) {
            nearest.push(a as usize, cosine, b);
            nearest.push(b as usize, cosine, a);
        }
    };
    let by_cells = |rows: usize| match job.search {
        Search::Auto => rows > MANY,
        Search::Exact => false,
        Search::Cells => rows >= FEW,
    };
    let each = |group: &Vec<u32>| {
        if by_cells(group.len()) {
            return cells::search(vectors, group, job, &compare);
        }
        all_pairs(vectors, group, job.similar, &compare);
        Measured::default()
    };
    let measured = groups(group, 0..rows as u32).par_iter().map(each).reduce(Measured::default, Measured::and);
    let mut links = Links { class: (0..rows as u32).collect(), edges: Vec::new() };
    for (a, found) in (0_u32..).zip(nearest.best()) {
        links.edges.extend(found.map(|b| (a.min(b), a.max(b))));
    }
    links.edges.par_sort_unstable();
    links.edges.dedup();
    (links, measured)
}

/// Calls `compare` for all pairs of `members` whose cosine may reach `similar`.
pub fn all_pairs(vectors: &Vectors, members: &[u32], similar: f32, compare: &(impl Fn(u32, u32) + Sync)) {
    first_pairs(vectors, members, members.len(), similar, &|a, b| compare(members[a], members[b]));
}

/// Calls `found` with places in `members` of each pair whose cosine may reach `similar`, the first of them among the first `firsts`.
pub fn first_pairs(
    vectors: &Vectors,
    members: &[u32],
    firsts: usize,
    similar: f32,
    found: &(impl Fn(usize, usize) + Sync),
) {
    if members.len() >= LARGE
        && let Some(kernel) = Kernel::of(vectors)
    {
        return scan::candidates(kernel, vectors, members, firsts, similar, found);
    }
    let starts: Vec<usize> = (0..firsts).step_by(BLOCK).collect();
    starts.par_iter().for_each(|&start| {
        for other in (start..members.len()).step_by(BLOCK) {
            for a in start..(start + BLOCK).min(firsts) {
                (other.max(a + 1)..(other + BLOCK).min(members.len())).for_each(|b| found(a, b));
            }
        }
    });
}

/// The nearest of each of some rows so far; several threads add to it.
pub struct Found {
    rows: Vec<Mutex<Nearest>>,
    neighbors: usize,
}

impl Found {
    /// Starts with nothing found of `count` rows, of which each wants so many neighbours.
    pub fn new(count: usize, neighbors: usize) -> Self {
        Self { rows: (0..count).map(|_| Mutex::default()).collect(), neighbors }
    }

    /// Adds one that was found for the row at a place, perhaps once more.
    pub fn push(&self, at: usize, cosine: f32, other: u32) {
        self.rows[at].lock().unwrap_or_else(PoisonError::into_inner).push(cosine, other, self.neighbors);
    }

    /// Returns the nearest of each row, each once.
    pub fn best(self) -> impl Iterator<Item = impl Iterator<Item = u32>> {
        let neighbors = self.neighbors;
        let best = move |row: Mutex<Nearest>| row.into_inner().unwrap_or_else(PoisonError::into_inner).best(neighbors);
        self.rows.into_iter().map(best)
    }
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
        self.0.dedup_by_key(|found| found.1);
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
