//! AdamW over flat buffers: one tensor of weights, one of gradients, two of states.
//!
//! Shapes: `n` all weights of the model, in the order of its flat buffer.

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::decay::{Segment, chunk, merged};

/// The constants of AdamW.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct AdamW {
    /// Decay rates of the first and second moment, per optimizer step.
    pub betas: (f64, f64),
    /// Added to the root of the second moment.
    pub eps: f64,
    /// Decoupled weight decay, multiplied by the learning rate of the step.
    pub weight_decay: f64,
}

/// The states of AdamW.
#[derive(Debug)]
pub struct Moments {
    constants: AdamW,
    segments: Vec<Segment>,
    /// The same without regard to decay.
    runs: Vec<Segment>,
    /// First moment: `[n]` f32.
    pub first: Tensor,
    /// Second moment: `[n]` f32.
    pub second: Tensor,
    /// Optimizer steps done.
    pub steps: u64,
}

impl Moments {
    /// Starts with zero moments for a buffer of `n` weights; `segments` are the trainable stretches.
    pub fn new(constants: AdamW, segments: Vec<Segment>, n: i64, device: Device) -> Self {
        let zeros = || Tensor::zeros([n], (Kind::Float, device));
        let runs = merged(segments.iter().map(|s| Segment { start: s.start, len: s.len, decay: false }));
        Self { constants, segments, runs, first: zeros(), second: zeros(), steps: 0 }
    }

    /// Takes one step: `p *= 1 - lr·wd; m = b1·m + (1-b1)·g; v = b2·v + (1-b2)·g²; p -= lr/(1-b1^t) · m / (√v/√(1-b2^t) + eps)`.
    ///
    /// # Shapes
    /// `weights_n`, `grads_n`: `[n]` f32; weights and states change in place.
    ///
    /// # Source
    /// Loshchilov and Hutter 2019; `torch.optim.AdamW` of torch 2.13. Checked by `train.adamw.*` of `engine verify`.
    pub fn step(&mut self, weights_n: &Tensor, grads_n: &Tensor, lr: f64) {
        self.steps += 1;
        let AdamW { betas: (b1, b2), eps, weight_decay } = self.constants;
        let first_scale = 1.0 - b1.powf(self.steps as f64);
        let second_root = (1.0 - b2.powf(self.steps as f64)).sqrt();
        let chunk = chunk(weights_n.device());
        tch::no_grad(|| {
            if weight_decay != 0.0 {
                for segment in self.segments.iter().filter(|s| s.decay) {
                    let _ = weights_n.narrow(0, segment.start, segment.len).g_mul_scalar_(1.0 - lr * weight_decay);
                }
            }
            for run in &self.runs {
                let mut start = run.start;
                let end = run.start + run.len;
                while start < end {
                    let len = chunk.min(end - start);
                    let part = |t: &Tensor| t.narrow(0, start, len);
                    let (mut p, g, mut m, mut v) =
                        (part(weights_n), part(grads_n), part(&self.first), part(&self.second));
                    let _ = m.lerp_(&g, 1.0 - b1);
                    let _ = v.g_mul_scalar_(b2);
                    let _ = v.addcmul_(&g, &(&g * (1.0 - b2)));
                    let mut denominator = v.sqrt();
                    let _ = denominator.g_div_scalar_(second_root);
                    let _ = denominator.g_add_scalar_(eps);
                    let _ = p.addcdiv_(&(&m * (-lr / first_scale)), &denominator);
                    start += len;
                }
            }
        });
    }
}
