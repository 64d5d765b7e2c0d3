//! What a reply is, how it is asked for, and the log-probabilities from which its tokens are chosen.

use tch::{Device, Kind, Tensor, no_grad};

use super::qwen_vl::QwenVl;

/// How replies are made.
#[derive(Clone, Debug)]
pub struct Decoding {
    /// Most tokens of a reply.
    pub max_tokens: usize,
    /// 0 = greedy; else logits are divided by it.
    pub temperature: f64,
    /// Least set of tokens whose probability reaches this; 1 = all.
    pub top_p: f64,
    /// Most likely tokens drawn from; 0 = all.
    pub top_k: usize,
    /// Draws depend on this, the prompt's number and the token's number alone, not on batches or threads.
    pub seed: u64,
    /// Ids that end a reply.
    pub stops: Vec<i64>,
    /// Fills shorter prompts.
    pub pad_id: i64,
    /// Prompts per batch, at most; long ones make smaller batches.
    pub batch: usize,
    /// Replies followed side by side, the likeliest of which is the reply; 1 is none beside. Nothing is drawn where there are more.
    pub beams: usize,
}

impl Decoding {
    /// Greedy decoding, 8 prompts at a time.
    pub fn greedy(max_tokens: usize, stops: Vec<i64>, pad_id: i64) -> Self {
        Self { max_tokens, temperature: 0.0, top_p: 1.0, top_k: 0, seed: 0, stops, pad_id, batch: 8, beams: 1 }
    }
}

/// A reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// Its tokens, without the stop token.
    pub ids: Vec<i64>,
    /// Log-probability (nats) of each token under the model at temperature 1, the stop token's last if there is one.
    pub logps: Vec<f64>,
    /// Whether a stop token ended it.
    pub stopped: bool,
}

/// Returns log-softmax of the logits, f32 on the CPU, of hidden states `[n, d]`: `[n, v]`.
pub fn log_probabilities(model: &QwenVl, hidden_nd: &Tensor) -> Tensor {
    no_grad(|| model.logits(hidden_nd).to_kind(Kind::Float).log_softmax(-1, Kind::Float).to_device(Device::Cpu))
}
