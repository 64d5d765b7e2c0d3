//! Log-probabilities of given continuations.

use tch::{Kind, Tensor};

use super::collate::Sample;
use super::qwen_vl::QwenVl;
use super::reply::log_probabilities;
use super::shared::{Plan, Seen, prefill};
use crate::base::OpError;

/// Prompts scored side by side; each takes a row per option.
const BATCH: usize = 32;

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

/// Returns the log-probability of each continuation after a prompt; the prompt runs once.
///
/// # Errors
/// As [`score_prompts`].
pub fn score_options(model: &QwenVl, prompt: &Sample, options: &[Vec<i64>]) -> Result<Vec<Likelihood>, OpError> {
    let scored = score_prompts(model, std::slice::from_ref(prompt), &[options.to_vec()], 0)?;
    Ok(scored.into_iter().next().unwrap_or_default())
}

/// Returns the log-probability of each continuation after each of several prompts; each prompt runs once.
///
/// # Errors
/// `E0612` when a prompt is empty or its pictures and placeholders disagree.
pub fn score_prompts(
    model: &QwenVl,
    prompts: &[Sample],
    options: &[Vec<Vec<i64>>],
    pad_id: i64,
) -> Result<Vec<Vec<Likelihood>>, OpError> {
    if let Some(empty) = prompts.iter().find(|p| p.ids.is_empty()) {
        return Err(OpError::new("E0612", format!("sample {}: the prompt is empty", empty.name)));
    }
    let mut out: Vec<Vec<Likelihood>> = vec![Vec::new(); prompts.len()];
    let mut seen = Seen::default();
    for numbers in Plan::new(&model.config, prompts, BATCH, 0).batches() {
        let batch: Vec<&Sample> = numbers.iter().map(|&i| &prompts[i]).collect();
        let continuations: Vec<&[Vec<i64>]> = numbers.iter().map(|&i| options[i].as_slice()).collect();
        for (&i, scored) in numbers.iter().zip(score_batch(model, &batch, &continuations, pad_id, &mut seen)?) {
            out[i] = scored;
        }
    }
    Ok(out)
}

fn score_batch(
    model: &QwenVl,
    prompts: &[&Sample],
    options: &[&[Vec<i64>]],
    pad_id: i64,
    seen: &mut Seen,
) -> Result<Vec<Vec<Likelihood>>, OpError> {
    let (cache, hidden) = prefill(model, prompts, pad_id, 0, seen)?;
    let first = log_probabilities(model, &hidden);
    let start = |row: usize, o: &Vec<i64>| Likelihood {
        tokens: o.first().map(|&id| first.double_value(&[row as i64, id])).into_iter().collect(),
    };
    let mut out: Vec<Vec<Likelihood>> =
        options.iter().enumerate().map(|(row, list)| list.iter().map(|o| start(row, o)).collect()).collect();
    let all: Vec<(usize, usize)> =
        options.iter().enumerate().flat_map(|(p, list)| (0..list.len()).map(move |o| (p, o))).collect();
    let longest = all.iter().map(|&(p, o)| options[p][o].len()).max().unwrap_or(0);
    if longest < 2 {
        return Ok(out);
    }
    let width = longest - 1;
    let mut ids = vec![0; all.len() * width];
    for (row, &(p, o)) in ids.chunks_mut(width).zip(&all) {
        let known = &options[p][o][..options[p][o].len().saturating_sub(1)];
        row[..known.len()].copy_from_slice(known);
    }
    let rows: Vec<usize> = all.iter().map(|&(p, _)| p).collect();
    let mut cache = cache.select(model, &rows, width as i64);
    let hidden = cache.extend(model, &Tensor::from_slice(&ids).view([all.len() as i64, width as i64]));
    for (row, &(p, o)) in all.iter().enumerate().filter(|&(_, &(p, o))| options[p][o].len() > 1) {
        let option = &options[p][o];
        let logps = log_probabilities(model, &hidden.get(row as i64).narrow(0, 0, option.len() as i64 - 1));
        let picked = logps.gather(1, &Tensor::from_slice(&option[1..]).view([-1, 1]), false).view([-1]);
        out[p][o].tokens.extend(Vec::<f64>::try_from(picked.to_kind(Kind::Double)).unwrap_or_default());
    }
    Ok(out)
}
