//! Preference optimisation: pairs of replies, a policy that is trained, and reference log-probabilities computed once up front.
//!
//! Shapes: `b` pairs, `n` reply tokens of both replies.

use tch::{Kind, Tensor};

use super::dpo::{Logps, Outcome, Preference, accuracy_and_margin};
use super::flops::of_batch;
use super::loss;
use super::micro::{Labelled, label_counts, labelled, rows_at, segment_sums};
use super::pairs::{CHUNK, Laid, Pair, Pairs};
use super::pass::Pass;
use super::run::{Objective, StepLoss};
use super::share::Share;
use crate::base::OpError;
use crate::dist::Group;
use crate::model::collate::{IGNORE, Sample};
use crate::model::{Batch, guard};

/// Preference optimisation of some pairs.
pub struct Dpo<'a> {
    /// What it learns from.
    pub data: Pairs<'a>,
    /// The loss.
    pub preference: Preference,
}

/// The tensors of one forward: both replies of some pairs. A pair never straddles two forwards.
pub struct Piece {
    batch: Batch,
    labels: Labelled,
    /// Reply tokens per sample, in the order of the labels.
    lengths: Vec<usize>,
    /// Where the chosen and the rejected reply of each pair lie in that order.
    chosen: Vec<i64>,
    rejected: Vec<i64>,
    /// `(chosen, rejected)` under the reference.
    reference: Vec<(f64, f64)>,
}

/// This rank's share of one optimizer step.
pub struct Step {
    pieces: Vec<Piece>,
    /// Pairs of the whole step.
    pairs: usize,
}

impl Step {
    /// A whole step of these forwards.
    pub fn of(pieces: Vec<Piece>) -> Self {
        Self { pairs: pieces.iter().map(|p| p.chosen.len()).sum(), pieces }
    }
}

impl Dpo<'_> {
    fn pieces(&self, pairs: &[&Pair]) -> Result<Vec<Piece>, OpError> {
        let laid = self.data.laid(pairs, common)?;
        let mut references = pairs.iter().map(|p| p.reference);
        Ok(laid.into_iter().map(|laid| Piece::of(laid, &mut references)).collect())
    }
}

impl Piece {
    /// Takes the references of its pairs from those of all.
    fn of(laid: Laid, references: &mut dyn Iterator<Item = (f64, f64)>) -> Self {
        Self {
            labels: labelled(&laid.batch),
            batch: laid.batch,
            lengths: laid.lengths,
            reference: references.take(laid.chosen.len()).collect(),
            chosen: laid.chosen,
            rejected: laid.rejected,
        }
    }

    /// Takes a ready batch whose first half of rows are chosen replies and whose second half are the rejected ones.
    pub fn halves(batch: Batch, reference: Vec<(f64, f64)>) -> Self {
        let labels = labelled(&batch);
        let (b, _) = batch.labels.size2().unwrap_or((0, 0));
        Self {
            lengths: label_counts(&batch),
            labels,
            batch,
            chosen: (0..b / 2).collect(),
            rejected: (b / 2..b).collect(),
            reference,
        }
    }

    /// Returns the loss of each pair and rewards, given the policy's log-probabilities.
    pub fn outcome(&self, policy: &Logps, preference: &Preference) -> Outcome {
        let device = policy.chosen.device();
        let list = |values: Vec<f64>| Tensor::from_slice(&values).to_kind(Kind::Float).to_device(device);
        let lengths = |places: &[i64]| list(places.iter().map(|&i| self.lengths[i as usize].max(1) as f64).collect());
        let reference = Logps {
            chosen: list(self.reference.iter().map(|r| r.0).collect()),
            rejected: list(self.reference.iter().map(|r| r.1).collect()),
        };
        preference.losses(policy, &reference, &lengths(&self.chosen), &lengths(&self.rejected))
    }

    /// Returns the summed log-probabilities of both replies of each pair, `[b]` f32 each.
    ///
    /// # Shapes
    /// `hidden_btd`: `[b, t, d]` of the piece's batch, after the final norm; `head_vd`: `[v, d]`.
    pub fn logps(&self, hidden_btd: &Tensor, head_vd: &Tensor) -> Logps {
        let device = hidden_btd.device();
        let targets = self.labels.targets.to_device(device);
        let tokens_n = loss::logps(&rows_at(hidden_btd, &self.labels.at), head_vd, &targets);
        let sums = segment_sums(&tokens_n, &self.lengths);
        let pick = |places: &[i64]| sums.index_select(0, &Tensor::from_slice(places).to_device(device));
        Logps { chosen: pick(&self.chosen), rejected: pick(&self.rejected) }
    }

    /// Returns the same under a model, without gradients.
    ///
    /// # Errors
    /// What the model refuses; class `peer` when other ranks are gone.
    pub fn look(&self, pass: &mut dyn Pass) -> Result<Logps, OpError> {
        let head = pass.model().head.shallow_clone();
        let mut found = None;
        guard("log-probabilities", || {
            pass.look(&self.batch, &mut |states| {
                found = Some(self.logps(&states[0], &head));
                Ok(())
            })
        })??;
        found.ok_or_else(|| OpError::new("E0612", "nothing read the hidden states"))
    }
}

/// Returns how many first tokens both replies share, less one: the last token of the prompt must predict the first of each reply.
fn common(pair: &Pair) -> usize {
    let (a, b) = (&pair.chosen.sample, &pair.rejected.sample);
    let unlabelled = |s: &Sample| s.labels.iter().take_while(|&&label| label == IGNORE).count();
    let prompt = unlabelled(a).min(unlabelled(b));
    let equal = a.ids.iter().zip(&b.ids).take(prompt).take_while(|(x, y)| x == y).count();
    if equal == prompt { prompt.saturating_sub(1) } else { 0 }
}

impl Objective for Dpo<'_> {
    type Batch = Step;

    fn rows(&self) -> usize {
        self.data.rows.len()
    }

    fn prepare(&self, rows: &[usize], share: Share) -> Result<Step, OpError> {
        Ok(Step { pieces: self.pieces(&self.data.own(rows, share))?, pairs: rows.len() })
    }

    fn backward(&self, pass: &mut dyn Pass, step: &Step) -> Result<StepLoss, OpError> {
        backward(pass, step, &self.preference)
    }

    /// Loss of the held-out pairs.
    fn evaluate(&self, pass: &mut dyn Pass, share: Share) -> Result<(f64, usize), OpError> {
        let (mut sum, mut count) = (0.0, 0);
        self.data.held_out(share, &mut |pairs| {
            for piece in self.pieces(pairs)? {
                let outcome = piece.outcome(&piece.look(pass)?, &self.preference);
                sum += outcome.losses.sum(Kind::Double).double_value(&[]);
                count += piece.chosen.len();
            }
            Ok(())
        })?;
        Ok((sum, count))
    }
}

/// Fills in the reference log-probabilities of all pairs with the model of `pass`, each rank a share of them: once per data set, so that no second model stays in
/// memory.
///
/// # Errors
/// As [`Piece::look`].
pub fn fill_reference(
    dpo: &mut Dpo,
    pass: &mut dyn Pass,
    group: &Group,
    told: &dyn Fn(usize, usize),
) -> Result<(), OpError> {
    let (training, held_out) = (dpo.data.rows.len(), dpo.data.held_out.len());
    let mut found = vec![0.0; 2 * (training + held_out)];
    let share = Share::of(group);
    for (first, pairs) in [(0, &dpo.data.rows), (training, &dpo.data.held_out)] {
        let parts: Vec<&[Pair]> = pairs.chunks(CHUNK).collect();
        for part in share.turns(parts.len()) {
            let mut at = 2 * (first + CHUNK * part);
            for piece in dpo.pieces(&parts[part].iter().collect::<Vec<_>>())? {
                let logps = piece.look(pass)?;
                let list = |t: &Tensor| {
                    Vec::<f64>::try_from(t.to_kind(Kind::Double).to_device(tch::Device::Cpu)).unwrap_or_default()
                };
                for (chosen, rejected) in list(&logps.chosen).into_iter().zip(list(&logps.rejected)) {
                    found[at..at + 2].copy_from_slice(&[chosen, rejected]);
                    at += 2;
                }
            }
            told((at / 2).min(training + held_out), training + held_out);
        }
    }
    pass.settle_looking()?;
    // Each value is there once: on the other ranks it is zero.
    group.sum(&mut found)?;
    for (pair, reference) in dpo.data.rows.iter_mut().chain(&mut dpo.data.held_out).zip(found.chunks(2)) {
        pair.reference = (reference[0], reference[1]);
    }
    Ok(())
}

/// Adds the gradients of this rank's share of one optimizer step to the model's.
///
/// # Errors
/// What the model refuses; class `peer` when other ranks are gone.
pub fn backward(pass: &mut dyn Pass, step: &Step, preference: &Preference) -> Result<StepLoss, OpError> {
    let (head, depths) = (pass.model().head.shallow_clone(), [pass.model().blocks.len()]);
    let mut given = StepLoss::default();
    let mut sums = [0.0; 6];
    pass.expect(step.pieces.len());
    for piece in &step.pieces {
        let share = piece.chosen.len() as f64 / step.pairs.max(1) as f64;
        let mut found = None;
        guard("training step", || {
            pass.train(&piece.batch, &depths, &mut |states| {
                let policy = piece.logps(&states[0], &head);
                let outcome = piece.outcome(&policy, preference);
                let loss = outcome.losses.mean(Kind::Float) * share;
                // Pairs without pictures teach a vision tower nothing, where that is all that learns.
                if loss.requires_grad() {
                    loss.backward();
                }
                found = Some((outcome, policy));
                Ok(())
            })
        })??;
        let (outcome, policy) = found.ok_or_else(|| OpError::new("E0612", "nothing read the hidden states"))?;
        let mean = |t: &Tensor| t.mean(Kind::Float).double_value(&[]);
        let (accuracy, margin) = accuracy_and_margin(&outcome);
        let (chosen, rejected) = (mean(&outcome.chosen_rewards), mean(&outcome.rejected_rewards));
        let values = [chosen, rejected, accuracy, margin, mean(&policy.chosen), mean(&policy.rejected)];
        sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * share);
        given.loss += mean(&outcome.losses) * share;
        given.tokens += piece.batch.tokens as u64;
        given.flops += of_batch(&pass.model().config, &piece.batch, piece.labels.targets.numel());
    }
    given.measures = MEASURES.iter().map(|&name| name.to_owned()).zip(sums).collect();
    Ok(given)
}

/// What the log shows of a step, as TRL and LLaMA-Factory name it.
const MEASURES: [&str; 6] =
    ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins", "logps/chosen", "logps/rejected"];
