//! Adafactor over flat buffers: second moments as sums over the rows and columns of each matrix, no first moment.
//!
//! Shapes: `m` the weights of this rank; each weight as `l` matrices of `r` rows and `c` columns, a vector as one row.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor, no_grad};

use super::decay::{Decay, chunk};
use super::shards::Shards;
use super::transfer::bring;
use crate::base::OpError;
use crate::dist::Group;
use crate::model::params::Entry;

/// The constants that a recipe chooses.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Adafactor {
    /// Decoupled weight decay, multiplied by the learning rate of the step.
    pub weight_decay: f64,
}

/// Added to squared gradients.
const EPS: f64 = 1e-30;
/// Step t forgets all but t to this power of the moments before it.
const FORGETS: f64 = -0.8;

/// The states of Adafactor. They are small, and every rank has all of them.
pub struct Factors {
    constants: Adafactor,
    weights: Vec<Weight>,
    /// Of each weight the means of squared gradients over its rows, `[l, r]`, then over its columns, `[l, c]`; f32, flat.
    pub means: Tensor,
    /// Optimizer steps done.
    pub steps: u64,
}

/// A weight, and what of it is this rank's.
struct Weight {
    shape: [i64; 3],
    decays: bool,
    /// Where its means begin.
    at: i64,
    blocks: Vec<Block>,
}

/// Whole rows of some matrices, or a part of one row: first and count of each axis.
struct Block {
    /// First element in the rank's own buffer.
    own: i64,
    mats: (i64, i64),
    rows: (i64, i64),
    cols: (i64, i64),
}

impl Factors {
    /// Starts with zero means for the trainable ones of some weights, of which rank `rank` has its parts.
    pub fn new(
        constants: Adafactor,
        entries: &[Entry],
        decay: Decay,
        shards: &Shards,
        rank: usize,
        device: Device,
    ) -> Self {
        let chunk = chunk(device);
        let mut at = 0;
        let weight = |entry: &Entry| {
            let shape = matrices(&entry.shape);
            let end = entry.offset + entry.len();
            let own = shards.places(rank).filter_map(|(own, place, len)| {
                let (first, last) = (place.max(entry.offset), (place + len).min(end));
                (first < last).then(|| (own + first - place, first - entry.offset, last - first))
            });
            let blocks = own.flat_map(|(own, first, len)| blocks(shape, own, first, len, chunk)).collect();
            let weight = Weight { shape, decays: decay.applies(&entry.name, entry.shape.len()), at, blocks };
            at += means_of(&entry.shape);
            weight
        };
        let weights = entries.iter().filter(|e| e.trainable && !e.is_empty()).map(weight).collect();
        Self { constants, weights, means: Tensor::zeros([at], (Kind::Float, device)), steps: 0 }
    }

    /// Takes one step. With v the outer product of both means over their mean, `u = g / √v`; then `p *= 1 - lr·wd; p -= lr · u / max(1, rms(u))`.
    ///
    /// # Shapes
    /// `weights_m`, `grads_m`: `[m]` f32; weights and states change in place.
    ///
    /// # Errors
    /// Class `peer` when another rank is gone.
    ///
    /// # Source
    /// Shazeer and Stern 2018; `Adafactor` of transformers 4.57.6 as its trainer sets it: `scale_parameter` and `relative_step` off, no `beta1`. Equal to
    /// `tests/goldens/optimizers/adafactor.json`.
    pub fn step(
        &mut self,
        weights_m: &Tensor,
        grads_m: &Tensor,
        lr: f64,
        group: Option<&Group>,
    ) -> Result<(), OpError> {
        self.steps += 1;
        let keep = 1.0 - (self.steps as f64).powf(FORGETS);
        let sums = no_grad(|| self.sums(grads_m));
        if let Some(group) = group {
            let there = sums.to_device(group.device());
            group.start_sum(&there)?.wait()?;
            bring(&sums, &there);
        }
        let squares = no_grad(|| {
            for weight in &self.weights {
                let [_, r, c] = weight.shape;
                for ((mut mean, sum), count) in
                    weight.means(&self.means).into_iter().zip(weight.means(&sums)).zip([c, r])
                {
                    let _ = mean.g_mul_scalar_(keep);
                    let _ = mean.g_add_(&(sum * ((1.0 - keep) / count as f64)));
                }
            }
            let each: Vec<Tensor> = self.weights.iter().map(|w| w.squares(&self.means, grads_m)).collect();
            if each.is_empty() { Tensor::zeros([0], (Kind::Double, Device::Cpu)) } else { Tensor::stack(&each, 0) }
        });
        let mut squares = Vec::<f64>::try_from(squares.to_device(Device::Cpu)).unwrap_or_default();
        if let Some(group) = group {
            group.sum(&mut squares)?;
        }
        no_grad(|| {
            for (weight, squares) in self.weights.iter().zip(squares) {
                let n = weight.shape.iter().product::<i64>() as f64;
                weight.update(&self.means, weights_m, grads_m, lr / f64::max(1.0, (squares / n).sqrt()), {
                    if weight.decays { lr * self.constants.weight_decay } else { 0.0 }
                });
            }
        });
        Ok(())
    }

    /// Returns the sums of this rank's squared gradients, in the layout of the means.
    fn sums(&self, grads_m: &Tensor) -> Tensor {
        let sums = self.means.zeros_like();
        for weight in &self.weights {
            let [rows, cols] = weight.means(&sums);
            for block in &weight.blocks {
                let squared = block.of(grads_m).square() + EPS;
                let _ = block.along_rows(&rows).g_add_(&squared.sum_dim_intlist([-1].as_slice(), false, Kind::Float));
                let _ = block.along_cols(&cols).g_add_(&squared.sum_dim_intlist([-2].as_slice(), false, Kind::Float));
            }
        }
        sums
    }
}

impl Weight {
    /// Returns its means over rows `[l, r]` and over columns `[l, c]`, as views.
    fn means(&self, flat: &Tensor) -> [Tensor; 2] {
        let [l, r, c] = self.shape;
        [flat.narrow(0, self.at, l * r).view([l, r]), flat.narrow(0, self.at + l * r, l * c).view([l, c])]
    }

    /// Returns what a gradient is multiplied by: of each row `[l, r]` and of each column `[l, c]`.
    fn factors(&self, means: &Tensor) -> [Tensor; 2] {
        let [rows, cols] = self.means(means);
        let mean = rows.mean_dim([-1].as_slice(), true, Kind::Float);
        [(rows / mean).rsqrt(), cols.rsqrt()]
    }

    /// Returns the sum of squares of this rank's parts of the update: a scalar, f64.
    fn squares(&self, means: &Tensor, grads_m: &Tensor) -> Tensor {
        let [rows, cols] = self.factors(means);
        let zero = Tensor::zeros([], (Kind::Double, means.device()));
        self.blocks.iter().fold(zero, |sum, block| {
            let part = block.scaled(grads_m, &rows, &cols).square().sum(Kind::Double);
            sum + part
        })
    }

    fn update(&self, means: &Tensor, weights_m: &Tensor, grads_m: &Tensor, scale: f64, decay: f64) {
        let [rows, cols] = self.factors(means);
        for block in &self.blocks {
            let mut weights = block.of(weights_m);
            if decay != 0.0 {
                let _ = weights.g_mul_scalar_(1.0 - decay);
            }
            let _ = weights.g_sub_(&(block.scaled(grads_m, &rows, &cols) * scale));
        }
    }
}

impl Block {
    /// Returns its elements of a rank's own buffer: `[mats, rows, cols]`.
    fn of(&self, own_m: &Tensor) -> Tensor {
        let shape = [self.mats.1, self.rows.1, self.cols.1];
        own_m.narrow(0, self.own, shape.iter().product()).view(shape)
    }

    fn along_rows(&self, rows: &Tensor) -> Tensor {
        rows.narrow(0, self.mats.0, self.mats.1).narrow(1, self.rows.0, self.rows.1)
    }

    fn along_cols(&self, cols: &Tensor) -> Tensor {
        cols.narrow(0, self.mats.0, self.mats.1).narrow(1, self.cols.0, self.cols.1)
    }

    /// Returns its gradients times the factors of their rows and columns.
    fn scaled(&self, grads_m: &Tensor, rows: &Tensor, cols: &Tensor) -> Tensor {
        self.of(grads_m) * self.along_rows(rows).unsqueeze(-1) * self.along_cols(cols).unsqueeze(-2)
    }
}

/// Returns how many means weights of these shapes have.
pub fn means_of(shape: &[i64]) -> i64 {
    let [l, r, c] = matrices(shape);
    l * (r + c)
}

/// Returns a shape as matrices: its last two axes, as many times as the axes before them say; a vector is one row.
fn matrices(shape: &[i64]) -> [i64; 3] {
    match shape {
        [before @ .., r, c] => [before.iter().product(), *r, *c],
        [c] => [1, 1, *c],
        [] => [1, 1, 1],
    }
}

/// Cuts a stretch of a weight, `len` elements from `first` on, which lies at `own` in a rank's buffer, into blocks of about `chunk` elements.
fn blocks([_, r, c]: [i64; 3], own: i64, first: i64, len: i64, chunk: i64) -> Vec<Block> {
    let (mut out, mut at, end) = (Vec::new(), first, first + len);
    while at < end {
        let (mat, row, col, left) = (at / (r * c), at / c % r, at % c, end - at);
        let block = |mats: i64, rows: i64, cols: i64| Block {
            own: own + at - first,
            mats: (mat, mats),
            rows: (row, rows),
            cols: (col, cols),
        };
        let next = if col != 0 || left < c {
            block(1, 1, left.min(c - col))
        } else if row != 0 || left < r * c || r * c > chunk {
            block(1, (r - row).min(left / c).min((chunk / c).max(1)), c)
        } else {
            block((left / (r * c)).min(chunk / (r * c)), r, c)
        };
        at += next.mats.1 * next.rows.1 * next.cols.1;
        out.push(next);
    }
    out
}
