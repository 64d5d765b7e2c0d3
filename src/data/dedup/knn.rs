//! Cosine search among vectors: exact, and by cells where there are too many rows for that.

use rayon::prelude::*;

use super::cells::{self, Measured};
use super::clusters::{Links, groups};
use super::pairs::{FEW, Found, Job, MANY, Search, all_pairs};
use super::vectors::Vectors;

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
