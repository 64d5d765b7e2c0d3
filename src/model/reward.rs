//! The value head of reward models.
//!
//! Shapes: `b` batch, `t` tokens, `d` model width.

use std::path::Path;

use tch::{Device, Kind, Tensor, no_grad};

use super::beside::VALUE_HEAD;
use super::guard::seeded;
use super::params::{Params, Schema};
use super::weights;
use crate::base::OpError;

const WEIGHT: &str = "v_head.summary.weight";
const BIAS: &str = "v_head.summary.bias";

/// A linear value head over the hidden states after the final norm; it computes in f32.
pub struct RewardHead {
    /// `[1, d]`.
    pub weight: Tensor,
    /// `[1]`.
    pub bias: Tensor,
}

impl RewardHead {
    /// Loads `value_head.safetensors`, or the head inside the model's own files.
    ///
    /// # Errors
    /// `E0503` when there are no weights ending in `summary.weight` and `summary.bias`.
    pub fn load(dir: &Path, device: Device) -> Result<Self, OpError> {
        let own = dir.join(VALUE_HEAD.file);
        let files = if own.exists() { vec![own] } else { weights::files(dir)? };
        let (mut weight, mut bias) = (None, None);
        for file in files {
            weights::for_each(&file, |name, tensor| {
                if name.ends_with("summary.weight") {
                    weight = Some(tensor.to_kind(Kind::Float).to_device(device));
                } else if name.ends_with("summary.bias") {
                    bias = Some(tensor.to_kind(Kind::Float).to_device(device));
                }
                Ok(())
            })?;
        }
        match (weight, bias) {
            (Some(weight), Some(bias)) => Ok(Self { weight, bias }),
            _ => Err(OpError::new(
                "E0503",
                format!("{}: no value head (`v_head.summary.weight`, `.bias`)", dir.display()),
            )
            .help("a reward model needs value_head.safetensors beside its weights")),
        }
    }

    /// Makes a fresh head of a model width: N(0, `1/(d+1)`) weights, zero bias, as TRL does.
    pub fn random(width: i64, device: Device, seed: i64) -> Self {
        Self { weight: fresh(width, seed).to_device(device), bias: Tensor::zeros([1], (Kind::Float, device)) }
    }

    /// Takes the head from the parameters of a model, if they have one.
    pub(crate) fn of(params: &mut Params) -> Option<Self> {
        let _ = params.get(WEIGHT)?;
        Some(Self { weight: params.leaf(&[WEIGHT.to_owned()]), bias: params.leaf(&[BIAS.to_owned()]) })
    }

    /// Returns the value at every token.
    ///
    /// # Shapes
    /// `hidden_btd`: `[b, t, d]` after the final norm; result `[b, t]` f32.
    pub fn values(&self, hidden_btd: &Tensor) -> Tensor {
        let (weight, bias) = (self.weight.to_kind(Kind::Float), self.bias.to_kind(Kind::Float));
        hidden_btd.to_kind(Kind::Float).linear(&weight, Some(&bias)).squeeze_dim(-1)
    }

    /// Returns the value at the last real token of each right-padded row; unbounded, comparable for one prompt only.
    ///
    /// # Shapes
    /// `hidden_btd`: `[b, t, d]`, `attention_mask`: `[b, t]`; result `[b]` f32.
    ///
    /// # Source
    /// TRL's `AutoModelForCausalLMWithValueHead`, read as LLaMA-Factory does.
    pub fn scores(&self, hidden_btd: &Tensor, attention_mask: &Tensor) -> Tensor {
        let mask = attention_mask.to_device(hidden_btd.device());
        let last = (mask.sum_dim_intlist([1i64].as_slice(), true, Kind::Int64) - 1).clamp_min(0);
        self.values(hidden_btd).gather(1, &last, false).squeeze_dim(1)
    }

    /// Writes the file that [`VALUE_HEAD`] names.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), OpError> {
        let path = dir.join(VALUE_HEAD.file);
        let views = [(WEIGHT, &self.weight), (BIAS, &self.bias)]
            .map(|(name, tensor)| (name, weights::Stored::new(tensor.detach())));
        let metadata = Some(std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]));
        safetensors::tensor::serialize_to_file(views, metadata, &path)
            .map_err(|e| OpError::new("E0612", format!("{}: {e}", path.display())))
    }
}

/// Returns parameters with a fresh head of a model of width `d` behind them, as [`RewardHead::random`] makes it.
///
/// # Randomness
/// libtorch's CPU generator seeded with `seed`.
pub(crate) fn attached(params: &Params, d: i64, seed: i64) -> Params {
    let schema: Schema = vec![(WEIGHT.to_owned(), vec![1, d]), (BIAS.to_owned(), vec![1])];
    let params = params.extended(&schema);
    if let Some(mut weight) = params.get(WEIGHT) {
        no_grad(|| weight.copy_(&fresh(d, seed)));
    }
    params
}

/// `[1, d]` f32 on the CPU.
fn fresh(d: i64, seed: i64) -> Tensor {
    seeded(seed, || Tensor::randn([1, d], (Kind::Float, Device::Cpu))) * (1.0 / (d as f64 + 1.0)).sqrt()
}
