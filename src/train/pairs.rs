//! Pairs of replies to one prompt, and how they are laid out: a pair never straddles two forwards.

use super::examples::{Example, Gallery};
use super::micro::{Layout, label_count, micro_batches};
use super::share::Share;
use crate::base::OpError;
use crate::model::{Batch, Config};

/// Pairs that are looked at in one go, without gradients.
pub(super) const CHUNK: usize = 16;

/// One pair: the same prompt with a better and a worse reply.
pub struct Pair {
    /// Prompt and better reply.
    pub chosen: Example,
    /// Prompt and worse reply.
    pub rejected: Example,
    /// Summed log-probabilities of both replies under the reference, in nats; zero for losses without one.
    pub reference: (f64, f64),
}

/// The pairs of a training, and how they are laid out.
pub struct Pairs<'a> {
    /// Shape and special ids of the model.
    pub config: &'a Config,
    /// Pairs that are trained on.
    pub rows: Vec<Pair>,
    /// Pairs that are evaluated.
    pub held_out: Vec<Pair>,
    /// Their pictures.
    pub gallery: Gallery,
    /// How replies are laid out; `rows` counts replies, two per pair.
    pub layout: Layout,
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

impl Pairs<'_> {
    /// Returns this rank's share of some of the pairs that are trained on.
    pub(super) fn own(&self, rows: &[usize], share: Share) -> Vec<&Pair> {
        let costs: Vec<usize> = rows.iter().map(|&i| tokens(&self.rows[i])).collect();
        share.deal(&costs).into_iter().map(|at| &self.rows[rows[at]]).collect()
    }

    /// Lays pairs out, each forward as many as it may hold; `shared` says how many first tokens of both replies may be kept once.
    ///
    /// # Errors
    /// As [`micro_batches`].
    pub(super) fn laid(&self, pairs: &[&Pair], shared: fn(&Pair) -> usize) -> Result<Vec<Laid>, OpError> {
        forwards(pairs, self.layout).into_iter().map(|part| self.forward(part, shared)).collect()
    }

    /// Gives `see` this rank's share of the pairs that are evaluated, some at a time.
    ///
    /// # Errors
    /// As `see`.
    pub(super) fn held_out(
        &self,
        share: Share,
        see: &mut dyn FnMut(&[&Pair]) -> Result<(), OpError>,
    ) -> Result<(), OpError> {
        let parts: Vec<&[Pair]> = self.held_out.chunks(CHUNK).collect();
        share.turns(parts.len()).into_iter().try_for_each(|part| see(&parts[part].iter().collect::<Vec<_>>()))
    }

    fn forward(&self, pairs: &[&Pair], shared: fn(&Pair) -> usize) -> Result<Laid, OpError> {
        let examples: Vec<&Example> = pairs.iter().flat_map(|p| [&p.chosen, &p.rejected]).collect();
        let samples = self.gallery.samples(&examples);
        let shared: Vec<usize> = pairs.iter().flat_map(|p| [shared(p); 2]).collect();
        let whole = Layout { budget: usize::MAX, rows: usize::MAX, packing: None, pad: self.layout.pad };
        let micro = micro_batches(self.config, &samples, &shared, whole)?.into_iter().next();
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
}

/// Cuts pairs into those of each forward: as many as the layout allows, one at least, in their order.
fn forwards<'p, 'a>(pairs: &'p [&'a Pair], layout: Layout) -> Vec<&'p [&'a Pair]> {
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
fn tokens(pair: &Pair) -> usize {
    pair.chosen.sample.ids.len() + pair.rejected.sample.ids.len()
}
