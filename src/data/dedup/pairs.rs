//! Pairs of vectors that may be near, and the nearest of each row that were found among them.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use super::scan::{Kernel, Scan};
use super::vectors::Vectors;

/// Rows per block: two blocks of 384-wide vectors fit the second-level cache.
const BLOCK: usize = 128;
/// Groups from this size are scanned in int8 first, where the processor can.
const LARGE: usize = 512;
/// Pairs from which fitting short stand-ins costs less than it saves.
const PAIRS: usize = 1 << 27;

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
        let short = firsts.saturating_mul(members.len()) / 2 >= PAIRS;
        return Scan { kernel, similar, short }.candidates(vectors, members, firsts, found);
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
