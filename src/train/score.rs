//! Log-probabilities of replies under a model, without training: what filters, classifiers and evaluations read.

use tch::{Device, Kind, no_grad};

use super::examples::{Example, Gallery};
use super::loss;
use super::micro::{Layout, label_count, labelled, micro_batches, rows_at, segment_sums};
use crate::base::OpError;
use crate::model::{QwenVl, RewardHead, guard};

/// Rows whose pictures are unpacked at a time.
const CHUNK: usize = 64;

/// The log-probability of one reply.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Logp {
    /// Summed over the labelled tokens, in nats.
    pub sum: f64,
    /// Labelled tokens.
    pub tokens: usize,
}

/// Returns the log-probability of each row's labelled tokens, in the order of the rows.
///
/// # Errors
/// What the model refuses.
pub fn logps(
    model: &QwenVl,
    gallery: &Gallery,
    rows: &[Example],
    layout: Layout,
    told: &dyn Fn(usize),
) -> Result<Vec<Logp>, OpError> {
    let mut out = vec![Logp::default(); rows.len()];
    // Rows on the same pictures side by side: each picture and the tokens before the question are then read once.
    let mut order: Vec<usize> = (0..rows.len()).collect();
    order.sort_by_key(|&i| (&rows[i].images, &rows[i].videos, i));
    let mut done = 0;
    for numbers in order.chunks(CHUNK) {
        let rows: Vec<&Example> = numbers.iter().map(|&i| &rows[i]).collect();
        let samples = gallery.samples(&rows);
        let shared: Vec<usize> = rows.iter().map(|row| row.shared).collect();
        for micro in micro_batches(&model.config, &samples, &shared, layout)? {
            let lengths: Vec<usize> = micro.order.iter().map(|&i| label_count(&samples[i])).collect();
            let sums = guard("scoring", || {
                no_grad(|| -> Result<_, OpError> {
                    let hidden_btd = model.forward_hidden(&micro.batch)?;
                    let labels = labelled(&micro.batch);
                    let targets = labels.targets.to_device(model.params.device());
                    let tokens_n = loss::logps(&rows_at(&hidden_btd, &labels.at), &model.head, &targets);
                    Ok(segment_sums(&tokens_n.to_kind(Kind::Float), &lengths)
                        .to_device(Device::Cpu)
                        .to_kind(Kind::Double))
                })
            })??;
            let sums = Vec::<f64>::try_from(sums).unwrap_or_default();
            for ((&i, &tokens), sum) in micro.order.iter().zip(&lengths).zip(sums) {
                out[numbers[i]] = Logp { sum, tokens };
            }
        }
        done += numbers.len();
        told(done);
    }
    Ok(out)
}

/// Returns the reward of each row: the value head at its last token; comparable for one prompt only.
///
/// # Errors
/// What the model refuses.
pub fn rewards(
    model: &QwenVl,
    head: &RewardHead,
    gallery: &Gallery,
    rows: &[Example],
    layout: Layout,
    told: &dyn Fn(usize),
) -> Result<Vec<f64>, OpError> {
    let mut out = vec![0.0; rows.len()];
    for (start, rows) in rows.chunks(CHUNK).enumerate().map(|(i, rows)| (i * CHUNK, rows)) {
        let rows: Vec<&Example> = rows.iter().collect();
        let samples = gallery.samples(&rows);
        // Each row by itself: the head reads the last token of each sequence.
        for micro in micro_batches(&model.config, &samples, &vec![0; rows.len()], Layout { packing: None, ..layout })? {
            let scores = guard("scoring", || {
                no_grad(|| -> Result<_, OpError> {
                    let hidden_btd = model.forward_hidden(&micro.batch)?;
                    Ok(head
                        .scores(&hidden_btd, &micro.batch.attention_mask)
                        .to_device(Device::Cpu)
                        .to_kind(Kind::Double))
                })
            })??;
            let scores = Vec::<f64>::try_from(scores).unwrap_or_default();
            micro.order.iter().zip(scores).for_each(|(&i, score)| out[start + i] = score);
        }
        told(start + rows.len());
    }
    Ok(out)
}
