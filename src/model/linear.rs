//! A linear layer, with room for low-rank adapters on parts of its output.
//!
//! Shapes: `i` inputs, `o` outputs, `r` rank, `*` any leading axes.

use tch::Tensor;

use super::fused;
use super::params::Params;

/// A low-rank addition to rows `start..start + len` of a linear layer's output: `scale * B (A x)`.
pub struct Adapter {
    /// Name of the weight that it adds to, e.g. `model.layers.0.self_attn.q_proj`.
    pub name: String,
    /// First output that it adds to.
    pub start: i64,
    /// Number of outputs.
    pub len: i64,
    /// `[r, i]`.
    pub a: Tensor,
    /// `[len, r]`.
    pub b: Tensor,
    /// `alpha / r`.
    pub scale: f64,
}

/// `y = x Wᵀ + bias`, where W may be several named weights stacked.
pub struct Linear {
    /// `[o, i]`; a convolution's kernel is seen as a matrix.
    pub weight: Tensor,
    /// `[o]`.
    pub bias: Option<Tensor>,
    /// The named projections that W stacks, with their first output and number of outputs.
    pub parts: Vec<(String, i64, i64)>,
    /// Low-rank additions; empty outside LoRA training.
    pub adapters: Vec<Adapter>,
}

impl Linear {
    /// Takes one projection, or neighbours fused into one, from the parameters. `prefixes` lack `.weight`.
    pub(crate) fn new(params: &mut Params, prefixes: &[String], bias: bool) -> Self {
        let names = |what: &str| prefixes.iter().map(|p| format!("{p}.{what}")).collect::<Vec<_>>();
        let weight = params.leaf(&names("weight"));
        let outputs = |name: &str| params.entries().iter().find(|e| e.name == name).map_or(0, |e| e.shape[0]);
        let mut start = 0;
        let mut parts = Vec::new();
        for prefix in prefixes {
            let len = outputs(&format!("{prefix}.weight"));
            parts.push((prefix.clone(), start, len));
            start += len;
        }
        Self { weight, bias: bias.then(|| params.leaf(&names("bias"))), parts, adapters: Vec::new() }
    }

    /// Applies the layer.
    ///
    /// # Shapes
    /// `x`: `[*, i]`; result: `[*, o]`, both of the weights' dtype.
    pub fn forward(&self, x: &Tensor) -> Tensor {
        let y = fused::linear(x, &self.matrix(), self.bias.as_ref());
        if self.adapters.is_empty() { y } else { self.adapted(x, &y) }
    }

    /// Returns W where the layer is W and a bias alone.
    pub(crate) fn plain(&self) -> Option<Tensor> {
        self.adapters.is_empty().then(|| self.matrix())
    }

    fn matrix(&self) -> Tensor {
        if self.weight.dim() == 2 { self.weight.shallow_clone() } else { self.weight.flatten(1, -1) }
    }

    fn adapted(&self, x: &Tensor, y: &Tensor) -> Tensor {
        let sizes: Vec<i64> = self.parts.iter().map(|(_, _, len)| *len).collect();
        let none: Option<&Tensor> = None;
        let mut parts = y.split_with_sizes(sizes, -1);
        for adapter in &self.adapters {
            let i = self.parts.iter().position(|(_, start, _)| *start == adapter.start).unwrap_or(0);
            parts[i] = &parts[i] + x.linear(&adapter.a, none).linear(&adapter.b, none) * adapter.scale;
        }
        Tensor::cat(&parts, -1)
    }
}
