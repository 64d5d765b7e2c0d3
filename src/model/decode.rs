//! Text from a model: greedy or sampled generation.

use tch::{Kind, Tensor};
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::beam::best_reply;
use super::collate::Sample;
use super::qwen_vl::QwenVl;
use super::reply::{Decoding, Reply, log_probabilities};
use super::shared::{Plan, Seen, prefill};
use crate::base::OpError;

/// Generates a reply to each prompt; `done` hears how many prompts are finished.
///
/// Prompts with one beginning and of like length are put into one batch, which finished replies leave; replies come back in the prompts' order.
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
    let mut replies = vec![Reply::default(); prompts.len()];
    let (mut seen, mut finished) = (Seen::default(), 0);
    if options.beams > 1 {
        for (number, (reply, prompt)) in replies.iter_mut().zip(prompts).enumerate() {
            *reply = best_reply(model, prompt, options, &mut seen)?;
            done(number + 1);
        }
        return Ok(replies);
    }
    for numbers in Plan::new(&model.config, prompts, options.batch, options.max_tokens).batches() {
        let batch: Vec<&Sample> = numbers.iter().map(|&i| &prompts[i]).collect();
        for (&i, reply) in numbers.iter().zip(generate_batch(model, &batch, numbers, options, &mut seen)?) {
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
    seen: &mut Seen,
) -> Result<Vec<Reply>, OpError> {
    let mut replies = vec![Reply::default(); prompts.len()];
    if options.max_tokens == 0 {
        return Ok(replies);
    }
    let (mut cache, mut hidden) = prefill(model, prompts, options.pad_id, options.max_tokens as i64, seen)?;
    // Which prompt each row of the cache belongs to.
    let mut rows: Vec<usize> = (0..prompts.len()).collect();
    for step in 0..options.max_tokens {
        let logps = log_probabilities(model, &hidden);
        let mut next: Vec<i64> = if options.temperature > 0.0 {
            let draw = |(row, &i): (usize, &usize)| {
                sample(&logps.get(row as i64), options, uniform(options.seed, numbers[i], step))
            };
            rows.iter().enumerate().map(draw).collect()
        } else {
            Vec::try_from(logps.argmax(-1, false)).unwrap_or_default()
        };
        let picked = logps.gather(1, &Tensor::from_slice(&next).view([-1, 1]), false).view([-1]);
        let picked = Vec::<f64>::try_from(picked.to_kind(Kind::Double)).unwrap_or_default();
        for ((&i, &id), logp) in rows.iter().zip(&next).zip(picked) {
            let reply = &mut replies[i];
            if reply.stopped {
                continue;
            }
            reply.logps.push(logp);
            if options.stops.contains(&id) {
                reply.stopped = true;
            } else {
                reply.ids.push(id);
            }
        }
        let open: Vec<usize> = (0..rows.len()).filter(|&row| !replies[rows[row]].stopped).collect();
        if step + 1 == options.max_tokens || open.is_empty() {
            break;
        }
        // Copying the state of the others costs about as much as one step with all rows.
        if open.len() * 2 <= rows.len() {
            cache = cache.select(model, &open, cache.left());
            next = open.iter().map(|&row| next[row]).collect();
            rows = open.iter().map(|&row| rows[row]).collect();
        }
        hidden = cache.extend(model, &Tensor::from_slice(&next).view([-1, 1])).select(1, 0);
    }
    Ok(replies)
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
