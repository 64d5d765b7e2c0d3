//! Micro-batches: how the rows of one optimizer step are laid out so that few tokens are padding and pictures are read once.
//!
//! Every layout gives the same sums; they differ in the last bits of floating-point addition only.

use std::sync::Arc;

use tch::{Device, Kind, Tensor};

use crate::base::OpError;
use crate::model::collate::{Group, IGNORE, Padding, Sample, collate, pack};
use crate::model::{Batch, Config};

/// Samples of one forward, in the order in which their labels lie in the batch.
pub struct Micro {
    /// What the model reads.
    pub batch: Batch,
    /// Which of the given samples, in the order of the batch's labels.
    pub order: Vec<usize>,
    /// Which of them bring the pictures, in the order of the batch's image tokens.
    pub shown: Vec<usize>,
}

/// How samples are laid out.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Tokens per micro-batch, padding included; a longer sample has one of its own.
    pub budget: usize,
    /// Samples per micro-batch at most.
    pub rows: usize,
    /// Several samples per row, up to so many tokens; attention and positions stay within each sample.
    pub packing: Option<usize>,
    /// Fills the rest of a row.
    pub pad: i64,
}

/// One row to be: samples that share their first tokens.
struct Item {
    samples: Vec<usize>,
    shared: usize,
    tokens: usize,
}

/// Lays samples out; `shared[i]` is how many first tokens of sample i may be kept once with other samples of equal pictures.
///
/// # Errors
/// As [`collate`] and [`pack`].
pub fn micro_batches(
    config: &Config,
    samples: &[Sample],
    shared: &[usize],
    layout: Layout,
) -> Result<Vec<Micro>, OpError> {
    let mut items = grouped(samples, shared);
    items.sort_by(|a, b| b.tokens.cmp(&a.tokens).then(a.samples.cmp(&b.samples)));
    let rows = match layout.packing {
        Some(capacity) => packed(items, capacity),
        None => items.into_iter().map(|item| vec![item]).collect(),
    };
    let mut out = Vec::new();
    let mut pending: Vec<Vec<Item>> = Vec::new();
    for row in rows {
        let longest = pending.first().unwrap_or(&row).iter().map(|i| i.tokens).sum::<usize>();
        let count: usize = pending.iter().chain([&row]).flatten().map(|i| i.samples.len()).sum();
        if !pending.is_empty() && ((pending.len() + 1) * longest > layout.budget || count > layout.rows) {
            out.push(micro(config, samples, &std::mem::take(&mut pending), layout.pad)?);
        }
        pending.push(row);
    }
    if !pending.is_empty() {
        out.push(micro(config, samples, &pending, layout.pad)?);
    }
    Ok(out)
}

/// Puts samples with the same pictures and the same first tokens together, if an amplifier learns from all of them or none.
fn grouped(samples: &[Sample], shared: &[usize]) -> Vec<Item> {
    let mut items: Vec<Item> = Vec::new();
    for (i, sample) in samples.iter().enumerate() {
        let length = shared[i];
        let like = |item: &&mut Item| {
            let first = &samples[item.samples[0]];
            item.shared == length
                && sample.teaches == first.teaches
                && sample.ids[..length] == first.ids[..length]
                && sample.images.len() == first.images.len()
                && sample.images.iter().zip(&first.images).all(|(a, b)| Arc::ptr_eq(a, b))
        };
        match items.iter_mut().filter(|_| length > 0).find(like) {
            Some(item) => {
                item.samples.push(i);
                item.tokens += sample.ids.len() - length;
            }
            None => items.push(Item { samples: vec![i], shared: length, tokens: sample.ids.len() }),
        }
    }
    for item in &mut items {
        if item.samples.len() == 1 {
            item.shared = 0;
        }
    }
    items
}

/// Fills rows first-fit, longest first.
fn packed(items: Vec<Item>, capacity: usize) -> Vec<Vec<Item>> {
    let mut rows: Vec<(usize, Vec<Item>)> = Vec::new();
    for item in items {
        match rows.iter_mut().find(|(used, _)| used + item.tokens <= capacity) {
            Some((used, row)) => {
                *used += item.tokens;
                row.push(item);
            }
            None => rows.push((item.tokens, vec![item])),
        }
    }
    rows.into_iter().map(|(_, row)| row).collect()
}

fn micro(config: &Config, samples: &[Sample], rows: &[Vec<Item>], pad: i64) -> Result<Micro, OpError> {
    let order: Vec<usize> = rows.iter().flatten().flat_map(|item| item.samples.iter().copied()).collect();
    let padding = Padding::right(pad);
    let single = rows.iter().all(|row| row.len() == 1 && row[0].samples.len() == 1);
    let batch = if single {
        collate(config, &order.iter().map(|&i| &samples[i]).collect::<Vec<_>>(), padding)?
    } else {
        let group =
            |item: &Item| Group { samples: item.samples.iter().map(|&i| &samples[i]).collect(), shared: item.shared };
        let groups: Vec<Vec<Group>> = rows.iter().map(|row| row.iter().map(group).collect()).collect();
        pack(config, &groups, padding)?
    };
    let shown = rows.iter().flatten().map(|item| item.samples[0]).collect();
    Ok(Micro { batch, order, shown })
}

/// Where a batch's labels are predicted, and what they are.
pub struct Labelled {
    /// Row of the flattened hidden states `[b·t, d]` that predicts each label: `[n]` i64.
    pub at: Tensor,
    /// The labels: `[n]` i64.
    pub targets: Tensor,
}

impl Labelled {
    /// Takes positions with their labels.
    pub fn of(pairs: &[(i64, i64)]) -> Self {
        let (at, targets): (Vec<i64>, Vec<i64>) = pairs.iter().copied().unzip();
        Self { at: Tensor::from_slice(&at), targets: Tensor::from_slice(&targets) }
    }

    /// Returns the same on a device.
    pub fn to_device(self, device: Device) -> Self {
        Self { at: self.at.to_device(device), targets: self.targets.to_device(device) }
    }

    /// No label.
    pub fn none() -> Self {
        Self::of(&[])
    }
}

/// Finds the labelled positions of a batch: the hidden state at t - 1 predicts the label at t.
pub fn labelled(batch: &Batch) -> Labelled {
    let (_, t) = batch.labels.size2().unwrap_or((0, 0));
    let has = batch.labels.not_equal(IGNORE);
    let _ = has.narrow(1, 0, 1.min(t)).fill_(0); // a view: nothing predicts the first token
    let at = has.view([-1]).nonzero().view([-1]);
    let targets = batch.labels.reshape([-1]).index_select(0, &at);
    Labelled { at: at - 1, targets }
}

/// Returns how many labels of each row of a batch count.
pub fn label_counts(batch: &Batch) -> Vec<usize> {
    let t = batch.labels.size2().map_or(1, |(_, t)| t);
    let given = batch.labels.narrow(1, 1, t - 1).not_equal(IGNORE);
    let counts = given.sum_dim_intlist([1_i64].as_slice(), false, Kind::Int64);
    Vec::<i64>::try_from(counts).unwrap_or_default().into_iter().map(|n| n as usize).collect()
}

/// Returns how many labels of a sample count: all but one on its first token, which nothing predicts.
pub fn label_count(sample: &Sample) -> usize {
    sample.labels.iter().skip(1).filter(|&&label| label != IGNORE).count()
}

/// Returns the rows of the hidden states at `at`: `[n, d]`.
pub fn rows_at(hidden_btd: &Tensor, at: &Tensor) -> Tensor {
    let d = hidden_btd.size().last().copied().unwrap_or(0);
    hidden_btd.reshape([-1, d]).index_select(0, &at.to_device(hidden_btd.device()))
}

/// Sums values `[n]` over consecutive stretches of the given lengths: `[b]` f32, differentiable.
pub fn segment_sums(values_n: &Tensor, lengths: &[usize]) -> Tensor {
    let owner: Vec<i64> = lengths.iter().enumerate().flat_map(|(i, &len)| vec![i as i64; len]).collect();
    let owner = Tensor::from_slice(&owner).to_device(values_n.device());
    Tensor::zeros([lengths.len() as i64], (Kind::Float, values_n.device())).index_add(0, &owner, values_n)
}
