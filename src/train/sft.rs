//! Supervised fine-tuning: cross-entropy on replies, and on the tokens of picture cells where they are given.
//!
//! Shapes: `b` batch, `t` tokens, `d` model width, `n` labelled positions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor, no_grad};

use super::examples::{Example, Gallery};
use super::loss;
use super::micro::{Labelled, Layout, Micro, label_count, labelled, micro_batches, rows_at};
use super::order;
use super::run::{Objective, StepLoss};
use crate::base::OpError;
use crate::model::collate::Sample;
use crate::model::{Batch, Config, QwenVl, guard};

/// Rows on the same pictures that follow each other, so that a step still sees several pictures.
const ROWS_TOGETHER: usize = 8;

/// How the losses of a step are averaged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scaling {
    /// Over all labelled tokens of the step: independent of how rows are laid out.
    TokenMean,
    /// Over the tokens of each micro-batch of so many rows, then over micro-batches, as LLaMA-Factory with a processor. A short
    /// answer in a small micro-batch weighs more.
    MicroMean(usize),
}

/// How the losses of a step are weighted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighting {
    /// How losses are averaged.
    pub scaling: Scaling,
    /// Part of the target spread evenly over the vocabulary.
    pub smoothing: f64,
    /// Weight of the mean cross-entropy over picture cells.
    pub cells_weight: f64,
    /// Text blocks after which picture cells are read; all if none.
    pub cells_after: Option<usize>,
}

/// Supervised fine-tuning of some rows.
pub struct Sft<'a> {
    /// Shape and special ids of the model.
    pub config: &'a Config,
    /// Rows that are trained on.
    pub rows: Vec<Example>,
    /// Rows that are evaluated.
    pub held_out: Vec<Example>,
    /// Their pictures.
    pub gallery: &'a Gallery,
    /// How losses are weighted.
    pub weighting: Weighting,
    /// How rows are laid out.
    pub layout: Layout,
    /// Rows on the same pictures follow each other, so that a step reads each picture once.
    pub by_picture: bool,
}

/// The tensors of one forward.
pub struct Piece {
    batch: Batch,
    labels: Labelled,
    /// Tokens of picture cells with a text.
    cells: Option<Labelled>,
}

/// The tensors of one optimizer step.
pub struct Step {
    pieces: Vec<Piece>,
    labels: usize,
    cells: usize,
}

impl Step {
    /// Takes ready batches without picture cells, one per micro-batch.
    pub fn of(batches: Vec<Batch>) -> Self {
        let pieces: Vec<Piece> =
            batches.into_iter().map(|batch| Piece { labels: labelled(&batch), batch, cells: None }).collect();
        Self { labels: pieces.iter().map(|p| p.labels.targets.numel()).sum(), cells: 0, pieces }
    }
}

impl Sft<'_> {
    fn step_of(&self, rows: &[&Example]) -> Result<Step, OpError> {
        let samples = self.gallery.samples(rows);
        let micros = match self.weighting.scaling {
            Scaling::TokenMean => self.lay_out(rows, &samples, self.layout)?,
            Scaling::MicroMean(per_device) => {
                let whole =
                    Layout { budget: usize::MAX, rows: per_device, packing: self.layout.packing, pad: self.layout.pad };
                let parts = rows.chunks(per_device.max(1)).zip(samples.chunks(per_device.max(1)));
                parts
                    .map(|(rows, samples)| self.lay_out(rows, samples, whole))
                    .collect::<Result<Vec<_>, _>>()?
                    .into_iter()
                    .flatten()
                    .collect()
            }
        };
        let cells = micros.iter().filter_map(|p| p.cells.as_ref()).map(|c| c.targets.numel()).sum();
        Ok(Step { labels: samples.iter().map(label_count).sum(), cells, pieces: micros })
    }

    fn lay_out(&self, rows: &[&Example], samples: &[Sample], layout: Layout) -> Result<Vec<Piece>, OpError> {
        let shared: Vec<usize> = rows.iter().map(|row| row.shared).collect();
        let micros = micro_batches(self.config, samples, &shared, layout)?;
        Ok(micros.into_iter().map(|micro| self.piece(rows, micro)).collect())
    }

    fn piece(&self, rows: &[&Example], micro: Micro) -> Piece {
        let mut images = image_places(&micro.batch, self.config.image_id).into_iter();
        let (mut at, mut targets) = (Vec::<i64>::new(), Vec::<i64>::new());
        for &i in &micro.shown {
            let tokens = rows[i].sample.ids.iter().filter(|&&id| id == self.config.image_id).count();
            let places: Vec<i64> = images.by_ref().take(tokens).collect();
            for (place, words) in places.into_iter().zip(rows[i].cells.iter().flat_map(|cells| cells.iter())) {
                at.extend(vec![place; words.len()]);
                targets.extend(words);
            }
        }
        let cells =
            (!at.is_empty()).then(|| Labelled { at: Tensor::from_slice(&at), targets: Tensor::from_slice(&targets) });
        Piece { labels: labelled(&micro.batch), batch: micro.batch, cells }
    }
}

/// Returns where image tokens stand in the flattened batch, in order.
fn image_places(batch: &Batch, image_id: i64) -> Vec<i64> {
    let at = batch.input_ids.reshape([-1]).eq(image_id).nonzero().view([-1]);
    Vec::<i64>::try_from(&at).unwrap_or_default()
}

impl Objective for Sft<'_> {
    type Batch = Step;

    fn rows(&self) -> usize {
        self.rows.len()
    }

    fn groups(&self) -> Vec<Vec<usize>> {
        if !self.by_picture {
            return order::singly(self.rows.len());
        }
        let mut groups: Vec<Vec<usize>> = Vec::new();
        let mut open: BTreeMap<(&[usize], &[usize]), usize> = BTreeMap::new();
        for (row, example) in self.rows.iter().enumerate() {
            let group = open.entry((&example.images, &example.videos)).or_insert(groups.len());
            if groups.get(*group).is_some_and(|rows| rows.len() == ROWS_TOGETHER) {
                *group = groups.len();
            }
            if *group == groups.len() {
                groups.push(Vec::new());
            }
            groups[*group].push(row);
        }
        groups
    }

    fn prepare(&self, rows: &[usize]) -> Result<Step, OpError> {
        self.step_of(&rows.iter().map(|&i| &self.rows[i]).collect::<Vec<_>>())
    }

    fn backward(&self, model: &QwenVl, step: &Step, fold: &mut dyn FnMut()) -> Result<StepLoss, OpError> {
        backward(model, step, self.weighting, fold)
    }

    /// Mean cross-entropy per labelled token of the held-out rows, in nats, cells not counted.
    fn evaluate(&self, model: &QwenVl) -> Result<Option<f64>, OpError> {
        let (mut sum, mut count) = (0.0, 0);
        for rows in self.held_out.chunks(32) {
            let step = self.step_of(&rows.iter().collect::<Vec<_>>())?;
            for piece in &step.pieces {
                let losses = guard("evaluation", || {
                    no_grad(|| -> Result<Tensor, OpError> {
                        let hidden_btd = model.forward_hidden(&piece.batch)?;
                        let targets = piece.labels.targets.to_device(model.params.device());
                        Ok(loss::logps(&rows_at(&hidden_btd, &piece.labels.at), &model.head, &targets))
                    })
                })??;
                sum -= losses.sum(Kind::Double).double_value(&[]);
                count += losses.numel();
            }
        }
        Ok((count > 0).then(|| sum / count as f64))
    }
}

/// Adds the gradients of one optimizer step to the model's, calling `fold` after each micro-batch.
///
/// # Errors
/// What the model refuses; libtorch's own failures with class `oom` when memory ran out.
pub fn backward(model: &QwenVl, step: &Step, how: Weighting, fold: &mut dyn FnMut()) -> Result<StepLoss, OpError> {
    let device = model.params.device();
    let pieces = step.pieces.iter().filter(|p| p.labels.targets.numel() > 0).count().max(1);
    let cell_scale = 1.0 / step.cells.max(1) as f64;
    let early = how.cells_after.unwrap_or(model.blocks.len());
    let (mut loss, mut cell_loss, mut tokens) = (0.0, 0.0, 0);
    for piece in &step.pieces {
        tokens += piece.batch.tokens as u64;
        let n = piece.labels.targets.numel();
        let scale = match how.scaling {
            Scaling::TokenMean => 1.0 / step.labels.max(1) as f64,
            Scaling::MicroMean(_) => 1.0 / (n.max(1) * pieces) as f64,
        };
        let cells = piece.cells.as_ref().filter(|_| how.cells_weight != 0.0);
        let targets: Vec<&Tensor> = cells.into_iter().chain([&piece.labels]).map(|l| &l.targets).collect();
        let targets = Tensor::cat(&targets, 0).to_device(device);
        let (all, of_cells) = (targets.numel() as i64, (targets.numel() - n) as i64);
        if all == 0 {
            continue; // a mean over nothing is no number: such a micro-batch adds nothing
        }
        let weights = Tensor::full([all], scale, (Kind::Float, device));
        let _ = weights.narrow(0, 0, of_cells).fill_(cell_scale * how.cells_weight);
        let losses = guard("training step", || -> Result<Tensor, OpError> {
            let (last_btd, early_btd) = model.forward_early(&piece.batch, early)?;
            let cells = cells.into_iter().map(|cells| rows_at(&early_btd, &cells.at));
            let read: Vec<Tensor> = cells.chain([rows_at(&last_btd, &piece.labels.at)]).collect();
            Ok(loss::backward(&Tensor::cat(&read, 0), &model.head, &targets, &weights, how.smoothing))
        })??;
        loss += losses.narrow(0, of_cells, n as i64).sum(Kind::Double).double_value(&[]) * scale;
        cell_loss += losses.narrow(0, 0, of_cells).sum(Kind::Double).double_value(&[]) * cell_scale;
        fold();
    }
    let measures = if step.cells > 0 { vec![("cells_loss".to_owned(), cell_loss)] } else { Vec::new() };
    Ok(StepLoss { loss, tokens, measures })
}
