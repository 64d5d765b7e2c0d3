//! Which weights decay, the stretches of the flat buffer that are treated alike, and how much of it is handled at a time.

use serde::{Deserialize, Serialize};
use tch::Device;

/// Which weights decay.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Decay {
    /// As the Hugging Face trainer: all but biases and what is named a norm. Its pattern misses the norms of the vision tower
    /// (`norm1`, `norm2`, `ln_q`), which therefore decay.
    Hf,
    /// Matrices and larger tensors only: no bias, no norm.
    Matrices,
}

impl Decay {
    /// Says whether the weight `name` with `rank` dimensions decays.
    ///
    /// # Source
    /// `Trainer.get_decay_parameter_names` of transformers 4.57.6; exact for both name lists of the goldens.
    pub fn applies(self, name: &str, rank: usize) -> bool {
        let lower = name.to_lowercase();
        match self {
            Decay::Matrices => rank >= 2,
            Decay::Hf => {
                let named_norm = lower.split('.').any(|part| part == "norm" || part.ends_with("_norm"));
                !(named_norm || ["bias", "layernorm", "rmsnorm"].iter().any(|word| lower.contains(word)))
            }
        }
    }
}

/// A stretch of the flat buffer that is treated alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// First element.
    pub start: i64,
    /// Number of elements.
    pub len: i64,
    /// Weight decay applies.
    pub decay: bool,
}

/// Returns how many elements are handled at a time: on a CPU so few that the arrays of a step stay in the cache; on a GPU many, for few large kernels are
/// faster: the two temporaries of AdamW take 0.5 GB.
pub fn chunk(device: Device) -> i64 {
    if device.is_cuda() { 1 << 26 } else { 1 << 17 }
}

/// Joins neighbouring stretches that are treated alike.
pub fn merged(segments: impl IntoIterator<Item = Segment>) -> Vec<Segment> {
    let mut out: Vec<Segment> = Vec::new();
    for next in segments {
        match out.last_mut() {
            Some(last) if last.decay == next.decay && last.start + last.len == next.start => last.len += next.len,
            _ => out.push(next),
        }
    }
    out
}
