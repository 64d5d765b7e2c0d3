//! The gated MLP of both towers.

use tch::Tensor;

use super::fused;
use super::linear::Linear;
use super::norm::RmsNorm;
use super::params::Params;

/// `down(silu(gate x) * up x)`; gate and up are one matrix.
pub struct Mlp {
    /// gate and up, stacked.
    pub gate_up: Linear,
    /// Back to the model width.
    pub down: Linear,
}

impl Mlp {
    /// Takes `{prefix}.gate_proj`, `.up_proj` and `.down_proj` from the parameters.
    pub(crate) fn new(params: &mut Params, prefix: &str, bias: bool) -> Self {
        Self {
            gate_up: Linear::new(params, &[format!("{prefix}.gate_proj"), format!("{prefix}.up_proj")], bias),
            down: Linear::new(params, &[format!("{prefix}.down_proj")], bias),
        }
    }

    /// Applies a norm and the MLP over the last axis; of what they make, gate and up alone are kept for the backward pass.
    ///
    /// # Source
    /// Shazeer 2020, SwiGLU; `Qwen2_5_VLMLP` of transformers 4.57.6.
    pub fn after(&self, norm: &RmsNorm, x: &Tensor) -> Tensor {
        let gate_up = norm.then(x, &self.gate_up);
        if let Some(down) = self.down.plain() {
            return fused::gated_linear(&gate_up, &down, self.down.bias.as_ref());
        }
        let half = self.gate_up.parts[0].2;
        let halves = gate_up.split_with_sizes([half, half], -1);
        self.down.forward(&(halves[0].silu() * &halves[1]))
    }
}
