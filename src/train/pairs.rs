//! Pairs of replies to one prompt, and how they are laid out: a pair never straddles two forwards.

use super::examples::{Example, Gallery};
use super::micro::{Layout, label_count, micro_batches};
use crate::base::OpError;
use crate::model::{Batch, Config};

/// One pair: the same prompt with a better and a worse reply.
pub struct Pair {
    /// Prompt and better reply.
    pub chosen: Example,
    /// Prompt and worse reply.
    pub rejected: Example,
    /// Summed log-probabilities of both replies under the reference, in nats; zero for losses without one.
    pub reference: (f64, f64),
}

/// Both replies of some pairs in one forward.
pub(super) struct Laid {
    /// What the model reads.
    pub batch: Batch,
    /// Reply tokens of each reply, in the order in which their labels lie in the batch.
    pub lengths: Vec<usize>,
    /// Where the chosen reply of each pair is in that order.
    pub chosen: Vec<i64>,
    /// Where the rejected one is.
    pub rejected: Vec<i64>,
}

/// Lays pairs out as one forward; `shared` says how many first tokens of both replies may be kept once.
///
/// # Errors
/// As [`micro_batches`].
pub(super) fn laid(
    config: &Config,
    gallery: &Gallery,
    pairs: &[&Pair],
    pad: i64,
    shared: impl Fn(&Pair) -> usize,
) -> Result<Laid, OpError> {
    let examples: Vec<&Example> = pairs.iter().flat_map(|p| [&p.chosen, &p.rejected]).collect();
    let samples = gallery.samples(&examples);
    let shared: Vec<usize> = pairs.iter().flat_map(|p| [shared(p); 2]).collect();
    let whole = Layout { budget: usize::MAX, rows: usize::MAX, packing: None, pad };
    let micro = micro_batches(config, &samples, &shared, whole)?.into_iter().next();
    let micro = micro.ok_or_else(|| OpError::new("E0711", "a step without pairs"))?;
    let mut place = vec![0; samples.len()];
    for (at, &sample) in micro.order.iter().enumerate() {
        place[sample] = at as i64;
    }
    Ok(Laid {
        lengths: micro.order.iter().map(|&i| label_count(&samples[i])).collect(),
        batch: micro.batch,
        chosen: (0..pairs.len()).map(|i| place[2 * i]).collect(),
        rejected: (0..pairs.len()).map(|i| place[2 * i + 1]).collect(),
    })
}

/// Cuts pairs into those of each forward: as many as the layout allows, one at least, in their order.
pub(super) fn forwards<'p, 'a>(pairs: &'p [&'a Pair], layout: Layout) -> Vec<&'p [&'a Pair]> {
    let mut out = Vec::new();
    let mut start = 0;
    while start < pairs.len() {
        let mut end = start + 1;
        let mut longest = tokens(pairs[start]);
        while end < pairs.len() {
            longest = longest.max(tokens(pairs[end]));
            let count = end + 1 - start;
            if count * longest > layout.budget || 2 * count > layout.rows {
                break;
            }
            end += 1;
        }
        out.push(&pairs[start..end]);
        start = end;
    }
    out
}

/// Returns the tokens of both replies with their prompts.
pub(super) fn tokens(pair: &Pair) -> usize {
    pair.chosen.sample.ids.len() + pair.rejected.sample.ids.len()
}
