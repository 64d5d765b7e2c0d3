//! Text from a model: greedy or sampled generation, and log-probabilities of given continuations.

use tch::{Device, Kind, Tensor, no_grad};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::collate::{Padding, Sample, collate};
use super::kv_cache::KvCache;
use super::qwen_vl::QwenVl;
use crate::base::OpError;

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
    /// Prompts per batch.
    pub batch: usize,
}

impl Decoding {
    /// Greedy decoding, 8 prompts at a time.
    pub fn greedy(max_tokens: usize, stops: Vec<i64>, pad_id: i64) -> Self {
        Self { max_tokens, temperature: 0.0, top_p: 1.0, top_k: 0, seed: 0, stops, pad_id, batch: 8 }
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

/// The log-probability of a continuation.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Likelihood {
    /// Nats of each token.
    pub tokens: Vec<f64>,
}

impl Likelihood {
    /// Returns the sum, in nats.
    pub fn sum(&self) -> f64 {
        self.tokens.iter().sum()
    }

    /// Returns the mean per token, in nats; 0 for no tokens.
    pub fn mean(&self) -> f64 {
        if self.tokens.is_empty() { 0.0 } else { self.sum() / self.tokens.len() as f64 }
    }
}

/// Generates a reply to each prompt; `done` hears how many prompts are finished.
///
/// Prompts of like length are put into one batch; replies come back in the prompts' order.
///
/// # Errors
/// `E0612` when a prompt's pictures and placeholders disagree.
///
/// # Randomness
/// Keyed by `seed`, the prompt's number and the token's number.
pub fn generate(
    model: &QwenVl,
    prompts: &[Sample],
    options: &Decoding,
    mut done: impl FnMut(usize),
) -> Result<Vec<Reply>, OpError> {
    let mut order: Vec<usize> = (0..prompts.len()).collect();
    order.sort_by_key(|&i| (prompts[i].ids.len(), i));
    let mut replies = vec![Reply::default(); prompts.len()];
    let mut finished = 0;
    for numbers in order.chunks(options.batch.max(1)) {
        let batch: Vec<&Sample> = numbers.iter().map(|&i| &prompts[i]).collect();
        for (&i, reply) in numbers.iter().zip(generate_batch(model, &batch, numbers, options)?) {
            replies[i] = reply;
        }
        finished += numbers.len();
        done(finished);
    }
    Ok(replies)
}

fn generate_batch(
    model: &QwenVl,
    prompts: &[&Sample],
    numbers: &[usize],
    options: &Decoding,
) -> Result<Vec<Reply>, OpError> {
    let mut replies = vec![Reply::default(); prompts.len()];
    if options.max_tokens == 0 {
        return Ok(replies);
    }
    let batch = collate(&model.config, prompts, Padding::left(options.pad_id))?;
    let (mut cache, mut hidden) = KvCache::prefill(model, &batch, options.max_tokens as i64)?;
    for step in 0..options.max_tokens {
        let logps = log_probabilities(model, &hidden);
        let greedy: Vec<i64> = Vec::try_from(logps.argmax(-1, false)).unwrap_or_default();
        let mut next = vec![options.pad_id; prompts.len()];
        for (row, reply) in replies.iter_mut().enumerate().filter(|(_, r)| !r.stopped) {
            let row_logps = logps.get(row as i64);
            let id = if options.temperature > 0.0 {
                sample(&row_logps, options, uniform(options.seed, numbers[row], step))
            } else {
                greedy[row]
            };
            reply.logps.push(row_logps.double_value(&[id]));
            next[row] = id;
            if options.stops.contains(&id) {
                reply.stopped = true;
            } else {
                reply.ids.push(id);
            }
        }
        if step + 1 == options.max_tokens || replies.iter().all(|r| r.stopped) {
            break;
        }
        hidden = cache.extend(model, &Tensor::from_slice(&next).view([-1, 1])).select(1, 0);
    }
    Ok(replies)
}

/// Returns the log-probability of each continuation after a prompt; the prompt runs once.
///
/// # Errors
/// `E0612` when the prompt is empty or its pictures and placeholders disagree.
pub fn score_options(model: &QwenVl, prompt: &Sample, options: &[Vec<i64>]) -> Result<Vec<Likelihood>, OpError> {
    if prompt.ids.is_empty() {
        return Err(OpError::new("E0612", format!("sample {}: the prompt is empty", prompt.name)));
    }
    let batch = collate(&model.config, &[prompt], Padding::left(0))?;
    let longest = options.iter().map(Vec::len).max().unwrap_or(0) as i64;
    let (cache, hidden) = KvCache::prefill(model, &batch, 0)?;
    let first = log_probabilities(model, &hidden).get(0);
    let mut out: Vec<Likelihood> = options
        .iter()
        .map(|o| Likelihood { tokens: o.first().map(|&id| first.double_value(&[id])).into_iter().collect() })
        .collect();
    if longest < 2 {
        return Ok(out);
    }
    let (rows, width) = (options.len(), longest - 1);
    let mut ids = vec![0; rows * width as usize];
    for (row, option) in options.iter().enumerate() {
        for (i, &id) in option.iter().take(option.len().saturating_sub(1)).enumerate() {
            ids[row * width as usize + i] = id;
        }
    }
    let mut cache = cache.repeat(model, rows as i64, width);
    let hidden = cache.extend(model, &Tensor::from_slice(&ids).view([rows as i64, width]));
    for (row, option) in options.iter().enumerate().filter(|(_, o)| o.len() > 1) {
        let len = option.len() as i64 - 1;
        let logps = log_probabilities(model, &hidden.get(row as i64).narrow(0, 0, len));
        let picked = logps.gather(1, &Tensor::from_slice(&option[1..]).view([-1, 1]), false).view([-1]);
        out[row].tokens.extend(Vec::<f64>::try_from(picked.to_kind(Kind::Double)).unwrap_or_default());
    }
    Ok(out)
}

/// Returns log-softmax of the logits, f32 on the CPU, of hidden states `[n, d]`: `[n, v]`.
pub fn log_probabilities(model: &QwenVl, hidden_nd: &Tensor) -> Tensor {
    no_grad(|| model.logits(hidden_nd).to_kind(Kind::Float).log_softmax(-1, Kind::Float).to_device(Device::Cpu))
}

/// Draws a token from log-probabilities after temperature, top-k and top-p, by `u` in 0..1.
fn sample(logps: &Tensor, options: &Decoding, u: f64) -> i64 {
    let logps: Vec<f32> = Vec::try_from(logps.contiguous()).unwrap_or_default();
    let mut order: Vec<usize> = (0..logps.len()).collect();
    order.sort_by(|&a, &b| logps[b].total_cmp(&logps[a]).then(a.cmp(&b)));
    if options.top_k > 0 {
        order.truncate(options.top_k);
    }
    let top = f64::from(logps[order[0]]);
    let mut weights: Vec<f64> =
        order.iter().map(|&i| ((f64::from(logps[i]) - top) / options.temperature).exp()).collect();
    let total: f64 = weights.iter().sum();
    let mut reached = 0.0;
    let kept = weights.iter().take_while(|&&w| {
        let keep = reached < options.top_p * total;
        reached += w;
        keep
    });
    let kept = kept.count().max(1);
    weights.truncate(kept);
    let mut left = u * weights.iter().sum::<f64>();
    let place = weights.iter().position(|w| {
        left -= w;
        left < 0.0
    });
    order[place.unwrap_or(kept - 1)] as i64
}

fn uniform(seed: u64, prompt: usize, step: usize) -> f64 {
    let mut key = [0; 16];
    key[..8].copy_from_slice(&(prompt as u64).to_le_bytes());
    key[8..].copy_from_slice(&(step as u64).to_le_bytes());
    (xxh3_64_with_seed(&key, seed) >> 11) as f64 / (1u64 << 53) as f64
}
