//! The gated MLP of both towers.

use tch::Tensor;

use super::linear::Linear;
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

    /// Applies the MLP over the last axis.
    ///
    /// # Source
    /// Shazeer 2020, SwiGLU; `Qwen2_5_VLMLP` of transformers 4.57.6.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let half = self.gate_up.parts[0].2;
        // One split: its backward is a single concatenation, where two narrows would each fill a zero tensor.
        let halves = self.gate_up.forward(x).split_with_sizes([half, half], -1);
        self.down.forward(&(halves[0].silu() * &halves[1]))
    }
}
