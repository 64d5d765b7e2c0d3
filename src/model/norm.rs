//! Root-mean-square normalisation.

use tch::Tensor;

use super::fused::{self, Turned};
use super::linear::Linear;
use super::params::Params;

/// Scales each row to root mean square 1, then multiplies by a weight.
pub struct RmsNorm {
    weight: Tensor,
    eps: f64,
}

impl RmsNorm {
    /// Takes the weight `name` from the parameters.
    pub(crate) fn new(params: &mut Params, name: &str, eps: f64) -> Self {
        Self { weight: params.leaf(&[name.to_owned()]), eps }
    }

    /// Returns `x / sqrt(mean(x²) + eps) * weight` over the last axis.
    ///
    /// # Precision
    /// Statistics and scaling in f32, cast back, THEN times the weight: the order matters in bf16.
    ///
    /// # Source
    /// Zhang & Sennrich 2019; `Qwen2RMSNorm` of transformers 4.57.6.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        fused::norm(x, &self.fused())
    }

    /// Returns the norm followed by a linear layer, which together keep nothing but `x` for the backward pass.
    pub fn then(&self, x: &Tensor, linear: &Linear) -> Tensor {
        match linear.plain() {
            Some(weight) => fused::norm_linear(x, &self.fused(), &weight, linear.bias.as_ref(), None),
            None => linear.forward(&self.forward(x)),
        }
    }

    /// As [`Self::then`], as heads `width` wide `[.., heads, width]`, the first `turned` of them turned.
    pub fn then_turned(&self, x: &Tensor, linear: &Linear, turned: &Turned) -> Tensor {
        if let Some(weight) = linear.plain() {
            return fused::norm_linear(x, &self.fused(), &weight, linear.bias.as_ref(), Some(turned));
        }
        let y = linear.forward(&self.forward(x));
        let (mut shape, all) = (y.size(), y.size().last().copied().unwrap_or(0) / turned.width);
        shape.pop();
        shape.extend([all, turned.width]);
        let parts = y.view(shape.as_slice()).split_with_sizes([turned.heads, all - turned.heads], -2);
        Tensor::cat(&[turned.rope.turn(&parts[0]), parts[1].shallow_clone()], -2)
    }

    fn fused(&self) -> fused::Norm<'_> {
        fused::Norm { weight: &self.weight, eps: self.eps }
    }
}
