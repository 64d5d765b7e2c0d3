//! Approximate cosine search: every row joins the cells of the centres that it is nearest to, and is compared with the rows of these cells only.
//!
//! How many cells a row joins is not a guess: some rows are compared with all others first, and the least number is taken that finds the neighbours
//! of half of them. The neighbours of the other half say how much the search finds.

use rayon::prelude::*;

use super::pairs::{Found, Job, all_pairs, first_pairs};
use super::vectors::Vectors;
use crate::base::Digest;
use crate::data::draw::{Draw, RowKey};

/// Most cells that a row joins.
pub const MOST: usize = 16;
/// Share of the sampled neighbours that are to be found.
const WANTED: f64 = 0.995;
/// Rows that are compared with all others, half to choose by and half to measure by.
const SAMPLE: usize = 2048;
/// Neighbours that a half must have, so that their share says something.
const ENOUGH: usize = 50;
/// Cells that rows join where the sample has too few neighbours.
const USUAL: usize = 4;
/// Rows for each centre that the centres are fitted to, and how often.
const ROWS_PER_CENTRE: usize = 32;
const ROUNDS: usize = 6;
/// Rows that the sample is compared with at a time.
const STRETCH: usize = 1 << 16;
/// Rows and centres multiplied together: both lie in the second-level cache.
const BLOCK: usize = 64;

/// What a search by cells did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Measured {
    /// Rows that were compared by cells.
    pub rows: usize,
    /// Cells that each row joined; the most of all groups.
    pub joined: usize,
    /// Neighbours of the sampled rows that comparing with every row finds; those of the half that chose nothing.
    pub pairs: usize,
    /// How many of these share a cell.
    pub found: usize,
}

impl Measured {
    /// Adds the search of another group.
    pub fn and(self, other: Self) -> Self {
        Self {
            rows: self.rows + other.rows,
            joined: self.joined.max(other.joined),
            pairs: self.pairs + other.pairs,
            found: self.found + other.found,
        }
    }
}

/// Calls `compare` for pairs of `members`, which are in ascending order, some of them more than once.
///
/// The work is about `n^1.5`: there are `√n` centres, found by k-means on the sphere. Needs 2 · [`MOST`] bytes for each row beside the vectors.
pub fn search(vectors: &Vectors, members: &[u32], job: &Job<'_>, compare: &(impl Fn(u32, u32) + Sync)) -> Measured {
    let mut draw =
        Draw::new(Digest::of(b"cells"), RowKey { digest: Digest::of(b""), occurrence: members.len() as u64 });
    let mut order: Vec<u32> = (0..members.len() as u32).collect();
    draw.shuffle(&mut order);
    let centres = fit(vectors, members, &order);
    let near: Vec<[u16; MOST]> = nearest_of(vectors, members, &centres);
    order.truncate(SAMPLE);
    let pairs = neighbours(vectors, members, &order, job);
    drop(order);
    let joined = least(&pairs.choosing, &near).unwrap_or(USUAL);
    let mut cells: Vec<Vec<u32>> = vec![Vec::new(); centres.count()];
    for (member, near) in members.iter().zip(&near) {
        near.iter().take(joined).filter(|c| **c != NONE).for_each(|c| cells[usize::from(*c)].push(*member));
    }
    cells.par_iter().for_each(|cell| all_pairs(vectors, cell, job.similar, compare));
    let found = pairs.measuring.iter().filter(|(a, b)| meet(&near[*a as usize], &near[*b as usize]) < joined).count();
    Measured { rows: members.len(), joined, pairs: pairs.measuring.len(), found }
}

/// Stands where there are fewer centres than [`MOST`].
const NONE: u16 = u16::MAX;

/// Returns the centres: about as many as the root of the rows. `order` holds the places of members in random order.
fn fit(vectors: &Vectors, members: &[u32], order: &[u32]) -> Vectors {
    let count = ((members.len() as f64).sqrt().ceil() as usize).clamp(1, usize::from(NONE));
    let sample: Vec<u32> = order.iter().take(count * ROWS_PER_CENTRE).map(|&i| members[i as usize]).collect();
    let flat = |rows: &[u32]| rows.iter().flat_map(|&row| vectors.get(row as usize).iter().copied()).collect();
    let mut centres = Vectors::new(flat(&sample[..count]), vectors.width());
    for _ in 0..ROUNDS {
        let near: Vec<[u16; 1]> = nearest_of(vectors, &sample, &centres);
        let mut cells: Vec<Vec<u32>> = vec![Vec::new(); count];
        near.iter().zip(&sample).for_each(|([cell], row)| cells[usize::from(*cell)].push(*row));
        // The sums run in the order of the sample. A centre that lost all its rows stays where it is.
        let moved = |(cell, rows): (usize, &Vec<u32>)| -> Vec<f32> {
            if rows.is_empty() {
                return centres.get(cell).to_vec();
            }
            let mut sum = vec![0f64; vectors.width()];
            for &row in rows {
                sum.iter_mut().zip(vectors.get(row as usize)).for_each(|(sum, v)| *sum += f64::from(*v));
            }
            sum.into_iter().map(|sum| sum as f32).collect()
        };
        let moved: Vec<Vec<f32>> = cells.par_iter().enumerate().map(moved).collect();
        centres = Vectors::new(moved.concat(), vectors.width());
    }
    centres
}

/// Returns the `N` nearest centres of each row, the nearest first; ties go to the earlier centre.
fn nearest_of<const N: usize>(vectors: &Vectors, rows: &[u32], centres: &Vectors) -> Vec<[u16; N]> {
    let block = |rows: &[u32]| {
        let mut best = vec![[(f32::NEG_INFINITY, NONE); N]; rows.len()];
        for first in (0..centres.count()).step_by(BLOCK) {
            for (row, best) in rows.iter().zip(&mut best) {
                for centre in first..(first + BLOCK).min(centres.count()) {
                    let cosine = vectors.cosine_to(*row as usize, centres, centre);
                    if cosine > best[N - 1].0 {
                        let place = best.partition_point(|(other, _)| *other >= cosine);
                        best[place..].rotate_right(1);
                        best[place] = (cosine, centre as u16);
                    }
                }
            }
        }
        best.into_iter().map(|best| best.map(|(_, centre)| centre)).collect::<Vec<_>>()
    };
    rows.par_chunks(BLOCK).flat_map_iter(block).collect()
}

/// Neighbours of sampled rows, as places among the members.
struct Pairs {
    choosing: Vec<(u32, u32)>,
    measuring: Vec<(u32, u32)>,
}

/// Compares sampled members with all others, a stretch of them at a time.
fn neighbours(vectors: &Vectors, members: &[u32], sample: &[u32], job: &Job<'_>) -> Pairs {
    let rows: Vec<u32> = sample.iter().map(|&i| members[i as usize]).collect();
    let found = Found::new(rows.len(), job.neighbors);
    let mut list = rows.clone();
    for stretch in members.chunks(STRETCH) {
        list.truncate(rows.len());
        list.extend(stretch);
        first_pairs(vectors, &list, rows.len(), job.similar, &|a: usize, b: usize| {
            let (row, other) = (list[a], list[b]);
            // Of the list the sample comes first, and its rows come again in their stretch.
            if b < rows.len() || row == other {
                return;
            }
            if let Some(cosine) = job.near(vectors, row, other) {
                found.push(a, cosine, other);
            }
        });
    }
    let mut pairs = Pairs { choosing: Vec::new(), measuring: Vec::new() };
    for (i, (&place, found)) in sample.iter().zip(found.best()).enumerate() {
        let half = if i % 2 == 0 { &mut pairs.choosing } else { &mut pairs.measuring };
        half.extend(found.filter_map(|row| Some((place, members.binary_search(&row).ok()? as u32))));
    }
    pairs
}

/// Returns the least number of cells with which enough of some pairs meet; `None` when there are too few pairs to tell.
fn least(pairs: &[(u32, u32)], near: &[[u16; MOST]]) -> Option<usize> {
    if pairs.len() < ENOUGH {
        return None;
    }
    let mut met = [0usize; MOST + 1];
    pairs.iter().for_each(|(a, b)| met[meet(&near[*a as usize], &near[*b as usize])] += 1);
    let wanted = (pairs.len() as f64 * WANTED).ceil() as usize;
    let mut sum = 0;
    let enough = |met: &usize| {
        sum += met;
        sum >= wanted
    };
    Some(met[..MOST].iter().position(enough).map_or(MOST, |least| least + 1))
}

/// Returns one less than the number of cells that two rows must join to share one; [`MOST`] when none is near to both.
fn meet(a: &[u16; MOST], b: &[u16; MOST]) -> usize {
    let shared = |(i, x): (usize, &u16)| {
        let j = b.iter().position(|y| y == x && *x != NONE)?;
        Some(i.max(j))
    };
    a.iter().enumerate().filter_map(shared).min().unwrap_or(MOST)
}
