//! Supervised fine-tuning: cross-entropy on replies, and on the tokens of picture cells and phrases where they are given.
//!
//! Shapes: `b` batch, `t` tokens, `d` model width, `n` labelled positions.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use tch::{Device, Kind, Tensor};

use super::examples::{Example, Gallery};
use super::flops::of_batch;
use super::loss;
use super::micro::{Labelled, Layout, Micro, label_count, label_counts, labelled, micro_batches, rows_at};
use super::order;
use super::pass::Pass;
use super::run::{Objective, StepLoss};
use super::share::Share;
use crate::base::OpError;
use crate::model::collate::{IGNORE, Sample};
use crate::model::{Batch, Config, guard};

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
    /// Over the tokens of each row, then over the rows of the step: a letter weighs as much as a plan, however rows are laid out.
    RowMean,
}

/// A loss beside that of the replies: what other tokens are to predict through the output layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Auxiliary {
    /// Weight of its mean cross-entropy.
    pub weight: f64,
    /// Text blocks after which it is read; all if none.
    pub after: Option<usize>,
}

impl Auxiliary {
    /// No such loss.
    pub const NONE: Self = Self { weight: 0.0, after: None };
}

/// How the losses of a step are weighted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighting {
    /// How losses are averaged.
    pub scaling: Scaling,
    /// Part of the target spread evenly over the vocabulary.
    pub smoothing: f64,
    /// The tokens of each picture cell's text, predicted by its image token.
    pub cells: Auxiliary,
    /// The tokens of each phrase's label, predicted by the phrase's last token.
    pub phrases: Auxiliary,
}

impl Weighting {
    /// Replies alone, without smoothing.
    pub fn plain(scaling: Scaling) -> Self {
        Self { scaling, smoothing: 0.0, cells: Auxiliary::NONE, phrases: Auxiliary::NONE }
    }

    fn auxiliaries(&self) -> [Auxiliary; 2] {
        [self.cells, self.phrases]
    }
}

/// Names of the auxiliary losses in the training log.
const MEASURES: [&str; 2] = ["cells_loss", "phrases_loss"];

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
    /// Where batches are to lie: with the model.
    pub device: Device,
    /// Rows on the same pictures follow each other, so that a step reads each picture once.
    pub by_picture: bool,
}

/// The tensors of one forward.
pub struct Piece {
    batch: Batch,
    labels: Labelled,
    /// How many of them each row has, in their order.
    lengths: Vec<usize>,
    /// Targets of the auxiliary losses: cells, phrases.
    beside: [Labelled; 2],
}

/// The tensors of this rank's share of one optimizer step, and what there is in the whole step.
pub struct Step {
    pieces: Vec<Piece>,
    labels: usize,
    rows: usize,
    beside: [usize; 2],
    /// Micro-batches with a label.
    micros: usize,
}

impl Step {
    /// Takes ready batches without cells and phrases, one per micro-batch.
    pub fn of(batches: Vec<Batch>) -> Self {
        let piece = |batch: Batch| Piece {
            labels: labelled(&batch),
            lengths: label_counts(&batch),
            batch,
            beside: [Labelled::none(), Labelled::none()],
        };
        let pieces: Vec<Piece> = batches.into_iter().map(piece).collect();
        let labels = pieces.iter().map(|p| p.labels.targets.numel()).sum();
        let micros = pieces.iter().filter(|p| p.rows() > 0).count();
        Self { labels, rows: pieces.iter().map(Piece::rows).sum(), beside: [0; 2], micros, pieces }
    }
}

impl Piece {
    /// Rows with a label.
    fn rows(&self) -> usize {
        self.lengths.iter().filter(|&&n| n > 0).count()
    }

    /// Returns what each label weighs when each of so many rows weighs the same: `[n]` f32.
    fn row_weights(&self, rows: usize) -> Tensor {
        let of_row = |&n: &usize| vec![1.0 / (n * rows).max(1) as f32; n];
        Tensor::from_slice(&self.lengths.iter().flat_map(of_row).collect::<Vec<f32>>())
    }
}

impl Sft<'_> {
    fn step_of(&self, rows: &[&Example], share: Share) -> Result<Step, OpError> {
        // Rows that the loss averages over together, and those that are laid out together among them.
        let (parts, layout): (Vec<&[&Example]>, Layout) = match self.weighting.scaling {
            Scaling::TokenMean | Scaling::RowMean => (vec![rows], self.layout),
            Scaling::MicroMean(per_device) => {
                let whole = Layout { budget: usize::MAX, rows: per_device, ..self.layout };
                (rows.chunks(per_device.max(1)).collect(), whole)
            }
        };
        let counts: Vec<usize> = rows.iter().map(|row| label_count(&row.sample)).collect();
        let learned = |part: &&[&Example]| part.iter().any(|row| label_count(&row.sample) > 0);
        let (all, micros) = (parts.len(), parts.iter().filter(|part| learned(part)).count());
        let own: Vec<Vec<&Example>> = match self.weighting.scaling {
            Scaling::MicroMean(_) => share.turns(all).map(|i| parts[i].to_vec()).collect(),
            _ => vec![self.own(rows, share)],
        };
        let mut pieces = Vec::new();
        for rows in own.iter().filter(|rows| !rows.is_empty()) {
            pieces.extend(self.lay_out(rows, &self.gallery.samples(rows), layout)?);
        }
        let beside = match share.world {
            1 => [0, 1].map(|which| pieces.iter().map(|p| p.beside[which].targets.numel()).sum()),
            _ => parts.iter().map(|part| self.beside(part)).fold([0; 2], |a, b| [a[0] + b[0], a[1] + b[1]]),
        };
        let learned = counts.iter().filter(|&&n| n > 0).count();
        let micros = if share.world == 1 { pieces.iter().filter(|p| p.rows() > 0).count() } else { micros };
        Ok(Step { labels: counts.iter().sum(), rows: learned, beside, micros, pieces })
    }

    /// Returns this rank's rows of a step. Rows that read a picture together stay together where the cells of pictures count, which count once for all of them.
    fn own<'r>(&self, rows: &[&'r Example], share: Share) -> Vec<&'r Example> {
        if share.world == 1 {
            return rows.to_vec();
        }
        let apart = !self.by_picture && rows.iter().all(|row| row.cells.is_none());
        let bundles = if apart { (0..rows.len()).map(|i| vec![i]).collect() } else { together(rows) };
        let cost = |bundle: &Vec<usize>| bundle.iter().map(|&i| rows[i].sample.ids.len()).sum::<usize>();
        let costs: Vec<usize> = bundles.iter().map(cost).collect();
        let mut own: Vec<usize> = share.deal(&costs).into_iter().flat_map(|b| bundles[b].iter().copied()).collect();
        own.sort_unstable();
        own.into_iter().map(|i| rows[i]).collect()
    }

    /// Counts the targets of the auxiliary losses of some rows that are laid out together.
    fn beside(&self, rows: &[&Example]) -> [usize; 2] {
        let cells = |row: &Example| -> usize {
            let tokens = row.sample.ids.iter().filter(|&&id| id == self.config.image_id).count();
            row.cells.iter().flat_map(|cells| cells.iter()).take(tokens).map(Vec::len).sum()
        };
        let phrases = |row: &&&Example| row.phrases.iter().map(|(_, label)| label.len()).sum::<usize>();
        let learned = |row: &&&Example| label_count(&row.sample) > 0;
        let shown = together(rows).into_iter().map(|bundle| cells(rows[bundle[0]])).sum();
        [shown, rows.iter().filter(learned).map(|row| phrases(&row)).sum()]
    }

    fn lay_out(&self, rows: &[&Example], samples: &[Sample], layout: Layout) -> Result<Vec<Piece>, OpError> {
        let shared: Vec<usize> = rows.iter().map(|row| row.shared).collect();
        let micros = micro_batches(self.config, samples, &shared, layout)?;
        Ok(micros.into_iter().map(|micro| self.piece(rows, micro)).collect())
    }

    fn piece(&self, rows: &[&Example], micro: Micro) -> Piece {
        let labels = labelled(&micro.batch);
        let lengths = micro.order.iter().map(|&i| label_count(&rows[i].sample)).collect();
        let beside = [self.cells(rows, &micro), phrases(rows, &micro, &labels)].map(|l| l.to_device(self.device));
        Piece { labels: labels.to_device(self.device), batch: micro.batch.to_device(self.device), lengths, beside }
    }

    fn cells(&self, rows: &[&Example], micro: &Micro) -> Labelled {
        let mut images = image_places(&micro.batch, self.config.image_id).into_iter();
        let mut pairs = Vec::new();
        for &i in &micro.shown {
            let tokens = rows[i].sample.ids.iter().filter(|&&id| id == self.config.image_id).count();
            let places: Vec<i64> = images.by_ref().take(tokens).collect();
            for (place, words) in places.into_iter().zip(rows[i].cells.iter().flat_map(|cells| cells.iter())) {
                pairs.extend(words.iter().map(|&word| (place, word)));
            }
        }
        Labelled::of(&pairs)
    }
}

/// Returns which rows read their pictures and first tokens together, as `micro_batches` lays them out.
fn together(rows: &[&Example]) -> Vec<Vec<usize>> {
    let mut bundles: Vec<Vec<usize>> = Vec::new();
    for (i, row) in rows.iter().enumerate() {
        let like = |bundle: &&mut Vec<usize>| {
            let first = rows[bundle[0]];
            first.shared == row.shared
                && first.sample.teaches == row.sample.teaches
                && first.images == row.images
                && first.sample.ids[..row.shared] == row.sample.ids[..row.shared]
        };
        match bundles.iter_mut().filter(|_| row.shared > 0).find(like) {
            Some(bundle) => bundle.push(i),
            None => bundles.push(vec![i]),
        }
    }
    bundles
}

/// Returns where the phrases of some rows end in the flattened batch, with the tokens of their labels. A row's own tokens lie together, so
/// its first label tells where the others are.
fn phrases(rows: &[&Example], micro: &Micro, labels: &Labelled) -> Labelled {
    let places = Vec::<i64>::try_from(&labels.at).unwrap_or_default();
    let (mut pairs, mut next) = (Vec::new(), 0);
    for &i in &micro.order {
        let sample = &rows[i].sample;
        let first = sample.labels.iter().skip(1).position(|&label| label != IGNORE);
        if let (Some(first), Some(place)) = (first, places.get(next)) {
            let flat = |at: usize| place - first as i64 + at as i64;
            let each = rows[i].phrases.iter().flat_map(|(at, label)| label.iter().map(move |&word| (flat(*at), word)));
            pairs.extend(each);
        }
        next += label_count(sample);
    }
    Labelled::of(&pairs)
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

    fn prepare(&self, rows: &[usize], share: Share) -> Result<Step, OpError> {
        self.step_of(&rows.iter().map(|&i| &self.rows[i]).collect::<Vec<_>>(), share)
    }

    fn backward(&self, pass: &mut dyn Pass, step: &Step) -> Result<StepLoss, OpError> {
        backward(pass, step, self.weighting)
    }

    /// Cross-entropy of the labelled tokens of the held-out rows, in nats, cells not counted.
    fn evaluate(&self, pass: &mut dyn Pass, share: Share) -> Result<(f64, usize), OpError> {
        let (mut sum, mut count) = (0.0, 0);
        let (device, head) = (pass.model().params.device(), pass.model().head.shallow_clone());
        let parts: Vec<&[Example]> = self.held_out.chunks(32).collect();
        for part in share.turns(parts.len()) {
            let step = self.step_of(&parts[part].iter().collect::<Vec<_>>(), Share::WHOLE)?;
            for piece in &step.pieces {
                let targets = piece.labels.targets.to_device(device);
                guard("evaluation", || {
                    pass.look(&piece.batch, &mut |states| {
                        let losses = loss::logps(&rows_at(&states[0], &piece.labels.at), &head, &targets);
                        sum -= losses.sum(Kind::Double).double_value(&[]);
                        count += losses.numel();
                        Ok(())
                    })
                })??;
            }
        }
        Ok((sum, count))
    }
}

/// Adds the gradients of this rank's share of one optimizer step to the model's.
///
/// # Errors
/// What the model refuses; libtorch's own failures with class `oom` when memory ran out.
pub fn backward(pass: &mut dyn Pass, step: &Step, how: Weighting) -> Result<StepLoss, OpError> {
    let model = pass.model();
    let (device, head, last) = (model.params.device(), model.head.shallow_clone(), model.blocks.len());
    let auxiliaries = how.auxiliaries();
    let depths: Vec<usize> = auxiliaries.iter().map(|a| a.after.unwrap_or(last)).chain([last]).collect();
    let beside_scales = step.beside.map(|n| 1.0 / n.max(1) as f64);
    let (mut loss, mut beside_losses, mut tokens) = (0.0, [0.0; 2], 0);
    // A mean over nothing is no number: a micro-batch without targets adds nothing.
    let learned = |piece: &&Piece| piece.beside.iter().chain([&piece.labels]).any(|part| part.targets.numel() > 0);
    tokens += step.pieces.iter().map(|piece| piece.batch.tokens as u64).sum::<u64>();
    let config = &model.config;
    let flops = step.pieces.iter().map(|p| of_batch(config, &p.batch, p.labels.targets.numel())).sum();
    pass.expect(step.pieces.iter().filter(learned).count());
    for piece in step.pieces.iter().filter(learned) {
        let n = piece.labels.targets.numel();
        let scale = match how.scaling {
            Scaling::TokenMean => 1.0 / step.labels.max(1) as f64,
            Scaling::MicroMean(_) => 1.0 / (n.max(1) * step.micros.max(1)) as f64,
            Scaling::RowMean => 0.0, // by row, below
        };
        let by_row = (how.scaling == Scaling::RowMean).then(|| piece.row_weights(step.rows).to_device(device));
        // What is read: the auxiliary targets in order, then the replies; each with its factor in the sum and in the log.
        let parts: Vec<(&Labelled, f64)> = (piece.beside.iter().zip(auxiliaries).zip(beside_scales))
            .map(|((targets, a), scale)| (targets, a.weight * scale))
            .chain([(&piece.labels, scale)])
            .collect();
        let targets = Tensor::cat(&parts.iter().map(|(p, _)| &p.targets).collect::<Vec<_>>(), 0).to_device(device);
        let weight = |(p, w): &(&Labelled, f64)| Tensor::full([p.targets.numel() as i64], *w, (Kind::Float, device));
        let mut weights: Vec<Tensor> = parts.iter().map(weight).collect();
        if let (Some(by_row), Some(replies)) = (&by_row, weights.last_mut()) {
            *replies = by_row.shallow_clone();
        }
        let weights = Tensor::cat(&weights, 0);
        let mut losses = Tensor::new();
        guard("training step", || {
            pass.train(&piece.batch, &depths, &mut |states| {
                let read = states.iter().zip(&parts).map(|(state, (p, _))| rows_at(state, &p.at));
                let read = Tensor::cat(&read.collect::<Vec<_>>(), 0);
                losses = loss::backward(&read, &head, &targets, &weights, how.smoothing);
                Ok(())
            })
        })??;
        let mut from = 0;
        let mut next = |part: &Labelled| {
            let n = part.targets.numel() as i64;
            from += n;
            losses.narrow(0, from - n, n)
        };
        let sum = |losses: Tensor| losses.sum(Kind::Double).double_value(&[]);
        for (which, targets) in piece.beside.iter().enumerate() {
            beside_losses[which] += sum(next(targets)) * beside_scales[which];
        }
        loss += match by_row {
            Some(by_row) => sum(next(&piece.labels) * by_row),
            None => sum(next(&piece.labels)) * scale,
        };
    }
    let given = MEASURES.iter().zip(beside_losses).zip(step.beside).filter(|(_, n)| *n > 0);
    let measures = given.map(|((name, loss), _)| ((*name).to_owned(), loss)).collect();
    Ok(StepLoss { loss, tokens, flops, measures })
}
