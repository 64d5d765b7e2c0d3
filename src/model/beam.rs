//! Beam search: the likeliest of several replies that are followed side by side.
//!
//! Shapes: `w` beams, `v` vocabulary, `d` model width.

use tch::{Kind, Tensor};

use super::collate::Sample;
use super::qwen_vl::QwenVl;
use super::reply::{Decoding, Reply, log_probabilities};
use super::shared::{Seen, prefill};
use crate::base::OpError;

/// A reply under way, or one that has ended.
#[derive(Clone)]
struct Beam {
    reply: Reply,
    /// Sum of its log-probabilities, in nats.
    sum: f64,
}

impl Beam {
    /// Returns the mean log-probability of its tokens.
    fn score(&self) -> f64 {
        self.sum / self.reply.logps.len().max(1) as f64
    }
}

/// Returns the reply to one prompt with the highest mean log-probability among those that `options.beams` beams find.
///
/// In each step the likeliest continuations of all beams go on; one that a stop token ends is kept when it is among the first `options.beams`. The search
/// ends when as many have ended, and none under way is better than the worst of them; what is under way after `max_tokens` counts as ended.
///
/// # Errors
/// As [`super::generate`].
///
/// # Source
/// `GenerationMixin._beam_search` of transformers 4.57.6 with `length_penalty` 1 and `early_stopping` off; equal to `tests/goldens/beams.json`.
pub fn best_reply(model: &QwenVl, prompt: &Sample, options: &Decoding, seen: &mut Seen) -> Result<Reply, OpError> {
    let width = options.beams.max(1);
    if options.max_tokens == 0 {
        return Ok(Reply::default());
    }
    let more = options.max_tokens as i64;
    let (mut cache, mut hidden_wd) = prefill(model, &[prompt], options.pad_id, more, seen)?;
    let mut open = vec![Beam { reply: Reply::default(), sum: 0.0 }];
    let mut ended: Vec<Beam> = Vec::new();
    for step in 1..=options.max_tokens {
        let last = step == options.max_tokens;
        let (mut next, mut parents) = (Vec::new(), Vec::new());
        let logps_wv = log_probabilities(model, &hidden_wd);
        let likely = likeliest(&logps_wv, &open, width * (1 + options.stops.len()).max(2));
        for (place, (row, id, logp)) in likely.into_iter().enumerate() {
            let stops = options.stops.contains(&id);
            let mut beam = open[row].clone();
            beam.sum += logp;
            beam.reply.logps.push(logp);
            beam.reply.stopped = stops;
            if !stops {
                beam.reply.ids.push(id);
            }
            if stops || last {
                // Ones that ended further down do not count.
                if place < width {
                    ended.push(beam);
                }
            } else if next.len() < width {
                next.push(beam);
                parents.push((row, id));
            }
        }
        ended.sort_by(|a, b| b.score().total_cmp(&a.score()));
        ended.truncate(width);
        let best = next.first().map_or(f64::NEG_INFINITY, Beam::score);
        if next.is_empty() || ended.len() == width && best <= ended[width - 1].score() {
            break;
        }
        let (rows, ids): (Vec<usize>, Vec<i64>) = parents.into_iter().unzip();
        cache = cache.select(model, &rows, cache.left());
        hidden_wd = cache.extend(model, &Tensor::from_slice(&ids).view([-1, 1])).select(1, 0);
        open = next;
    }
    Ok(ended.into_iter().next().map(|beam| beam.reply).unwrap_or_default())
}

/// Returns the continuations with the highest sums: beam, token and the token's log-probability, best first.
fn likeliest(logps_wv: &Tensor, open: &[Beam], count: usize) -> Vec<(usize, i64, f64)> {
    let sums: Vec<f32> = open.iter().map(|beam| beam.sum as f32).collect();
    let words = logps_wv.size()[1];
    let all = (logps_wv + Tensor::from_slice(&sums).view([-1, 1])).view([-1]);
    let (_, places) = all.topk((count as i64).min(all.size()[0]), 0, true, true);
    let logps = logps_wv.reshape([-1]).index_select(0, &places).to_kind(Kind::Double);
    let (places, logps) = (Vec::<i64>::try_from(places), Vec::<f64>::try_from(logps));
    let found = places.unwrap_or_default().into_iter().zip(logps.unwrap_or_default());
    found.map(|(place, logp)| ((place / words) as usize, place % words, logp)).collect()
}
