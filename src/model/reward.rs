//! The value head of reward models.
//!
//! Shapes: `b` batch, `t` tokens, `d` model width.

use std::path::Path;

use tch::{Device, Kind, Tensor};

use super::weights;
use crate::base::OpError;

/// A linear value head over the hidden states after the final norm, in f32.
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
        let own = dir.join("value_head.safetensors");
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
        tch::manual_seed(seed);
        let weight = Tensor::randn([1, width], (Kind::Float, Device::Cpu)) * (1.0 / (width as f64 + 1.0)).sqrt();
        Self { weight: weight.to_device(device), bias: Tensor::zeros([1], (Kind::Float, device)) }
    }

    /// Returns the value at every token.
    ///
    /// # Shapes
    /// `hidden_btd`: `[b, t, d]` after the final norm; result `[b, t]` f32.
    pub fn values(&self, hidden_btd: &Tensor) -> Tensor {
        hidden_btd.to_kind(Kind::Float).linear(&self.weight, Some(&self.bias)).squeeze_dim(-1)
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

    /// Writes `value_head.safetensors`.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn save(&self, dir: &Path) -> Result<(), OpError> {
        let path = dir.join("value_head.safetensors");
        let views = [("v_head.summary.weight", &self.weight), ("v_head.summary.bias", &self.bias)]
            .map(|(name, tensor)| (name, weights::Stored::new(tensor.detach())));
        let metadata = Some(std::collections::HashMap::from([("format".to_owned(), "pt".to_owned())]));
        safetensors::tensor::serialize_to_file(views, metadata, &path)
            .map_err(|e| OpError::new("E0612", format!("{}: {e}", path.display())))
    }
}
