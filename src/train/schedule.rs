//! Learning rates: what each optimizer step uses.

use serde::{Deserialize, Serialize};

use crate::plan::prolong;

/// The shape of the learning rate after warm-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Shape {
    /// Half a cosine from the base rate to the floor.
    Cosine,
    /// A straight line from the base rate to the floor.
    Linear,
    /// The base rate throughout: free of the horizon.
    Constant,
    /// Warm-up, stable, decay: the base rate, then a straight line to the floor over the last `decay` steps.
    Wsd,
}

/// A number of steps, given as such or as a part of the run.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Span {
    /// Optimizer steps.
    Steps(u64),
    /// A part of all steps, rounded up.
    Ratio(f64),
}

impl Span {
    /// Returns the number of optimizer steps in a run of `total`.
    pub fn steps(self, total: u64) -> u64 {
        match self {
            Span::Steps(n) => n,
            Span::Ratio(r) => prolong::part(r, total),
        }
    }
}

/// The learning rate of every optimizer step.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Schedule {
    /// What follows the warm-up.
    pub shape: Shape,
    /// The highest rate, per optimizer step.
    pub base: f64,
    /// The lowest rate at the end, as a part of `base`.
    pub floor: f64,
    /// Optimizer steps of linear warm-up from 0.
    pub warmup: u64,
    /// Optimizer steps of the last decline; read by [`Shape::Wsd`] only.
    pub decay: u64,
    /// Optimizer steps in all.
    pub total: u64,
}

impl Schedule {
    /// Returns the learning rate used by optimizer step `step`, counted from 1.
    ///
    /// Step k uses `lambda(k - 1)`, so with any warm-up the first step runs at rate 0.
    ///
    /// # Source
    /// `get_cosine_schedule_with_warmup` and its linear, constant and WSD siblings of transformers 4.57.6 (`optimization.py`); the
    /// floor is that of `cosine_with_min_lr`. WSD's decline is the straight line of MiniCPM's later releases, not a cosine.
    pub fn lr(&self, step: u64) -> f64 {
        let k = step.saturating_sub(1);
        if k < self.warmup {
            return self.base * (k as f64 / self.warmup.max(1) as f64);
        }
        let progress = (k - self.warmup) as f64 / self.total.saturating_sub(self.warmup).max(1) as f64;
        let above_floor = match self.shape {
            Shape::Cosine => (0.5 * (1.0 + (std::f64::consts::PI * 2.0 * 0.5 * progress).cos())).max(0.0),
            Shape::Linear => (1.0 - progress).max(0.0),
            Shape::Constant => return self.base,
            Shape::Wsd => (self.total.saturating_sub(k) as f64 / self.decay.max(1) as f64).min(1.0),
        };
        self.base * (above_floor * (1.0 - self.floor) + self.floor)
    }
}
