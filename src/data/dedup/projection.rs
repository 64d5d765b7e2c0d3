//! Short stand-ins of vectors, never farther apart than the vectors: their places along the directions in which they differ most, and how far they lie
//! from there.

use rayon::prelude::*;

use super::vectors::{Vectors, dot};

/// Rows that a fit looks at: half of them for the directions, the others to see how these do. And rows for the steps of the codes alone.
const SAMPLE: usize = 2048;
const FEW: usize = 64;
/// Lengths of stand-ins that are tried.
const WIDTHS: [usize; 7] = [32, 40, 48, 64, 80, 96, 128];
/// Shares of the largest coordinate that are tried as the largest that a code reaches: with larger ones clipped the steps of all are smaller.
const REACHES: [f32; 4] = [1.0, 0.7, 0.5, 0.3];
/// How often the directions are improved.
const ROUNDS: usize = 3;
/// What an exact cosine costs, counted in products of the scan.
const EXACT: f64 = 16_000.0;

/// A map that makes no two vectors of length up to 1 more distant: to coordinates along orthonormal directions, from the mean, and the length of
/// what lies across these.
pub struct Projection {
    centre: Vec<f32>,
    /// No directions: the coordinates are those of the vectors.
    directions: Vec<Vec<f32>>,
    /// The usual length of what lies across the directions.
    across: f32,
    step: f32,
}

impl Projection {
    /// Fits one to some vectors. With `short`, so that comparing many of them costs least: the longer the stand-ins, the fewer pairs seem as near as
    /// `distance` without being so. Otherwise, and where nothing is saved, stand-ins are the vectors themselves, from the mean. Codes will be whole
    /// numbers up to `most`.
    pub fn fit(vectors: &Vectors, members: &[u32], short: bool, distance: f32, most: f32) -> Self {
        let wanted = if short { SAMPLE } else { FEW };
        let sampled = members.iter().step_by(members.len().div_ceil(wanted).max(1));
        let mut rows: Vec<Vec<f32>> =
            sampled.map(|&m| vectors.get(m as usize)).filter(|v| finite(v)).map(<[f32]>::to_vec).collect();
        let centre = mean(&rows, vectors.width());
        rows.iter_mut().for_each(|row| row.iter_mut().zip(&centre).for_each(|(v, c)| *v -= c));
        let whole = || {
            let rest = |step: &f32| rows.iter().map(|row| rest(row, *step, most)).sum::<f32>();
            let step = steps(&rows, most).into_iter().min_by(|a, b| rest(a).total_cmp(&rest(b)));
            Chosen { directions: Vec::new(), across: 0.0, step: step.unwrap_or_default() }
        };
        let chosen = short.then(|| choose(&rows, distance, most)).flatten().unwrap_or_else(whole);
        Self { centre, directions: chosen.directions, across: chosen.across, step: chosen.step }
    }

    /// Returns how many numbers a stand-in has.
    pub fn width(&self) -> usize {
        if self.directions.is_empty() { self.centre.len() } else { self.directions.len() + 1 }
    }

    /// Returns the step between the coordinates that two neighbouring codes stand for. Some coordinates may lie beyond all codes.
    pub fn step(&self) -> f32 {
        self.step
    }

    /// Returns the stand-in of a vector, and how far rounding may have moved it. A vector that is not finite gets zeros.
    pub fn of(&self, vector: &[f32]) -> (Vec<f32>, f32) {
        if !finite(vector) {
            return (vec![0.0; self.width()], 0.0);
        }
        let centred: Vec<f32> = vector.iter().zip(&self.centre).map(|(v, c)| v - c).collect();
        let width = centred.len() as f32;
        let subtracted = 4.0 * f32::EPSILON * width.sqrt();
        if self.directions.is_empty() {
            return (centred, subtracted);
        }
        let mut places: Vec<f32> = self.directions.iter().map(|direction| dot(&centred, direction)).collect();
        // Sums run in 32 lanes, which are added up; each step is wrong by half the distance of two numbers at most, for lengths up to 2.
        let moved = subtracted + 2.0 * (width / 32.0 + 32.0) * f32::EPSILON * (places.len() as f32).sqrt();
        let across = across(&centred, &places);
        let in_square = 4.0 * moved;
        places.push(across - self.across);
        (places, moved + in_square / across.max(in_square.sqrt()))
    }
}

fn finite(vector: &[f32]) -> bool {
    vector.iter().all(|v| v.is_finite())
}

fn squared(vector: &[f32]) -> f64 {
    vector.iter().map(|v| f64::from(*v) * f64::from(*v)).sum()
}

fn mean(rows: &[Vec<f32>], width: usize) -> Vec<f32> {
    let mut sums = vec![0f64; width];
    for row in rows {
        sums.iter_mut().zip(row).for_each(|(sum, v)| *sum += f64::from(*v));
    }
    sums.into_iter().map(|sum| (sum / rows.len().max(1) as f64) as f32).collect()
}

/// Returns the length of what of a vector lies across directions, along which it has some places.
fn across(vector: &[f32], places: &[f32]) -> f32 {
    (squared(vector) - squared(places)).max(0.0).sqrt() as f32
}

/// Returns how far a stand-in is from what its code stands for.
fn rest(places: &[f32], step: f32, most: f32) -> f32 {
    let miss = |v: &f32| v - (v / step).round().clamp(-most, most) * step;
    places.iter().map(miss).map(|miss| miss * miss).sum::<f32>().sqrt()
}

/// Returns the steps that are tried for some stand-ins.
fn steps(places: &[Vec<f32>], most: f32) -> [f32; REACHES.len()] {
    let largest = places.iter().flatten().fold(1e-6, |largest: f32, v| largest.max(v.abs()));
    REACHES.map(|reach| reach * largest / most)
}

struct Chosen {
    directions: Vec<Vec<f32>>,
    across: f32,
    step: f32,
}

/// Returns what makes comparing cheapest; `None` where whole vectors are cheaper. Rows that directions were fitted to look farther apart along these
/// than others do, so pairs of other rows tell.
fn choose(rows: &[Vec<f32>], distance: f32, most: f32) -> Option<Chosen> {
    let width = rows.first()?.len();
    let tried: Vec<usize> = WIDTHS.into_iter().filter(|w| *w < width).collect();
    let (fitted, rows): (Vec<_>, Vec<_>) = rows.chunks_exact(2).map(|two| (two[0].clone(), two[1].clone())).unzip();
    let rows = &rows[..];
    fitted.first()?;
    let mut directions = leading(&fitted, tried.last()? - 1);
    let places: Vec<Vec<f32>> = rows.par_iter().map(|row| directions.iter().map(|d| dot(row, d)).collect()).collect();
    let trials: Vec<Trial> = tried.par_iter().map(|w| Trial::new(rows, &places, *w, most)).collect();
    let firsts: Vec<usize> = (0..rows.len()).step_by(4).collect();
    let near: Vec<Vec<[u32; REACHES.len()]>> =
        firsts.par_iter().map(|a| trials.iter().map(|trial| trial.near(*a, distance)).collect()).collect();
    let compared = (firsts.len() * (rows.len() / 2)).max(1) as f64;
    let cost = |trial: usize, reach: usize| {
        let near: f64 = near.iter().map(|near| f64::from(near[trial][reach])).sum();
        trials[trial].width as f64 + EXACT * near / compared
    };
    let all =
        (0..trials.len()).flat_map(|trial| (0..REACHES.len()).map(move |reach| (cost(trial, reach), trial, reach)));
    let (cost, trial, reach) = all.min_by(|a, b| a.0.total_cmp(&b.0))?;
    let trial = &trials[trial];
    directions.truncate(trial.width - 1);
    let across = trial.usual;
    (cost < width as f64).then_some(Chosen { directions, across, step: trial.steps[reach] })
}

/// Stand-ins of one length of the sampled rows.
struct Trial {
    width: usize,
    /// The usual length of what lies across the directions.
    usual: f32,
    steps: [f32; REACHES.len()],
    /// For each of the steps: of each row what of its stand-in codes reach, and how far the code is from that.
    reached: [Vec<(Vec<f32>, f32)>; REACHES.len()],
}

impl Trial {
    fn new(rows: &[Vec<f32>], places: &[Vec<f32>], width: usize, most: f32) -> Self {
        let first = |places: &Vec<f32>| places[..width - 1].to_vec();
        let mut stand_ins: Vec<Vec<f32>> = places.iter().map(first).collect();
        let across: Vec<f32> = rows.iter().zip(&stand_ins).map(|(row, places)| across(row, places)).collect();
        let usual = across.iter().sum::<f32>() / across.len().max(1) as f32;
        stand_ins.iter_mut().zip(&across).for_each(|(places, across)| places.push(across - usual));
        let steps = steps(&stand_ins, most);
        let reached = steps.map(|step| {
            let clipped =
                |places: &Vec<f32>| -> Vec<f32> { places.iter().map(|v| v.clamp(-most * step, most * step)).collect() };
            let all = stand_ins.iter().map(clipped);
            all.map(|places| (rest(&places, step, most), places)).map(|(rest, places)| (places, rest)).collect()
        });
        Self { width, usual, steps, reached }
    }

    /// Counts for each of the steps the rows, every second one, whose codes may be near to that of row `a`.
    fn near(&self, a: usize, distance: f32) -> [u32; REACHES.len()] {
        std::array::from_fn(|reach| {
            let rows = &self.reached[reach];
            let (own, own_rest) = &rows[a];
            let near = |(other, rest): &&(Vec<f32>, f32)| {
                let apart: f32 = own.iter().zip(other).map(|(x, y)| (x - y) * (x - y)).sum();
                // As the limits of the codes are: each rest on its own.
                let limit = |rest: f32| 2.0 * rest * (distance + rest);
                apart <= distance * distance + limit(*own_rest) + limit(*rest)
            };
            rows.iter().skip(1).step_by(2).filter(near).count() as u32
        })
    }
}

/// Returns orthonormal directions in which the rows, whose mean is zero, differ most, about: orthogonal iteration, from rows. Some are zeros where the
/// rows differ in fewer.
fn leading(rows: &[Vec<f32>], count: usize) -> Vec<Vec<f32>> {
    let mut directions: Vec<Vec<f32>> = (0..count).map(|i| rows[i * rows.len() / count].clone()).collect();
    orthonormal(&mut directions);
    for _ in 0..ROUNDS {
        let sum = |direction: &Vec<f32>| {
            let mut sum = vec![0f32; direction.len()];
            for row in rows {
                let place = dot(row, direction);
                sum.iter_mut().zip(row).for_each(|(sum, v)| *sum += place * v);
            }
            sum
        };
        directions = directions.par_iter().map(sum).collect();
        orthonormal(&mut directions);
    }
    directions
}

/// Makes vectors orthonormal, each to those before it; zeros of those that lie in their span.
fn orthonormal(vectors: &mut [Vec<f32>]) {
    let mut done: Vec<Vec<f64>> = Vec::with_capacity(vectors.len());
    for vector in vectors {
        let mut rest: Vec<f64> = vector.iter().map(|v| f64::from(*v)).collect();
        let length = |v: &[f64]| v.iter().map(|v| v * v).sum::<f64>().sqrt();
        let before = length(&rest);
        // Once more, for what rounding left the first time.
        for _ in 0..2 {
            for other in &done {
                let along: f64 = rest.iter().zip(other).map(|(r, o)| r * o).sum();
                rest.iter_mut().zip(other).for_each(|(r, o)| *r -= along * o);
            }
        }
        let after = length(&rest);
        let scale = if after > 1e-5 * before { 1.0 / after } else { 0.0 };
        rest.iter_mut().for_each(|r| *r *= scale);
        vector.iter_mut().zip(&rest).for_each(|(v, r)| *v = *r as f32);
        done.push(rest);
    }
}
