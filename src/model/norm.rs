//! Root-mean-square normalisation.

use tch::{Kind, Tensor};

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
        if x.kind() == Kind::Float {
            let mean = x.square().mean_dim(-1, true, Kind::Float);
            return x * (mean + self.eps).rsqrt() * &self.weight;
        }
        let wide = x.to_kind(Kind::Float);
        let mean = wide.square().mean_dim(-1, true, Kind::Float);
        (&wide * (mean + self.eps).rsqrt()).to_kind(x.kind()) * &self.weight
    }
}
