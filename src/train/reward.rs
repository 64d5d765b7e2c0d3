//! Reward modelling: a value head behind the model learns to give the better reply of a pair the higher score.
//!
//! Shapes: `b` pairs, `t` tokens, `d` model width.

use tch::{Kind, Tensor};

use super::flops::of_batch;
use super::pairs::{Laid, Pair, Pairs};
use super::pass::Pass;
use super::run::{Objective, StepLoss};
use super::share::Share;
use crate::base::OpError;
use crate::model::{RewardHead, guard};

/// Reward modelling on some pairs; the model has a value head.
pub struct Ranking<'a> {
    /// What it learns from.
    pub data: Pairs<'a>,
    /// Weight of the squared sum of both scores, which keeps scores around zero.
    pub center: f64,
}

/// This rank's share of one optimizer step.
pub struct Step {
    /// Each reply is a row of its own, as scores are read later.
    pieces: Vec<Laid>,
    /// Pairs of the whole step.
    pairs: usize,
}

/// Scores of both replies of `b` pairs.
pub struct Scores {
    /// `[b]` f32.
    pub chosen: Tensor,
    /// `[b]` f32.
    pub rejected: Tensor,
}

impl Scores {
    /// Returns the loss of each pair, `[b]` f32: minus the log-probability that the chosen reply wins, and `center` times the squared sum of both.
    ///
    /// # Source
    /// Ouyang et al. 2022, equation 1, after Bradley and Terry 1952; the second term: Eisenstein et al. 2023, as TRL's `center_rewards_coefficient`.
    pub fn losses(&self, center: f64) -> Tensor {
        let losses = -(&self.chosen - &self.rejected).log_sigmoid();
        if center == 0.0 { losses } else { losses + (&self.chosen + &self.rejected).square() * center }
    }
}

impl Laid {
    /// # Shapes
    /// `hidden_btd`: `[2b, t, d]` of the batch, after the final norm.
    fn scores(&self, head: &RewardHead, hidden_btd: &Tensor) -> Scores {
        let scores = head.scores(hidden_btd, &self.batch.attention_mask);
        let pick = |rows: &[i64]| scores.index_select(0, &Tensor::from_slice(rows).to_device(scores.device()));
        Scores { chosen: pick(&self.chosen), rejected: pick(&self.rejected) }
    }
}

impl Objective for Ranking<'_> {
    type Batch = Step;

    fn rows(&self) -> usize {
        self.data.rows.len()
    }

    fn prepare(&self, rows: &[usize], share: Share) -> Result<Step, OpError> {
        Ok(Step { pieces: self.data.laid(&self.data.own(rows, share), alone)?, pairs: rows.len() })
    }

    fn backward(&self, pass: &mut dyn Pass, step: &Step) -> Result<StepLoss, OpError> {
        let (head, depths) = (head_of(pass)?, [pass.model().blocks.len()]);
        let mut given = StepLoss::default();
        let mut sums = [0.0; MEASURES.len()];
        pass.expect(step.pieces.len());
        for piece in &step.pieces {
            let share = piece.chosen.len() as f64 / step.pairs.max(1) as f64;
            let mut found = None;
            guard("training step", || {
                pass.train(&piece.batch, &depths, &mut |states| {
                    let scores = piece.scores(&head, &states[0]);
                    let loss = scores.losses(self.center).mean(Kind::Float);
                    (&loss * share).backward();
                    found = Some((scores, loss));
                    Ok(())
                })
            })??;
            let (scores, loss) = found.ok_or_else(|| OpError::new("E0612", "nothing read the hidden states"))?;
            let mean = |t: &Tensor| t.to_kind(Kind::Float).mean(Kind::Float).double_value(&[]);
            let above = scores.chosen.gt_tensor(&scores.rejected);
            let values = [
                mean(&scores.chosen),
                mean(&scores.rejected),
                mean(&above),
                mean(&(&scores.chosen - &scores.rejected)),
            ];
            sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value * share);
            given.loss += loss.double_value(&[]) * share;
            given.tokens += piece.batch.tokens as u64;
            given.flops += of_batch(&pass.model().config, &piece.batch, 0);
        }
        given.measures = MEASURES.iter().map(|&name| name.to_owned()).zip(sums).collect();
        Ok(given)
    }

    /// Loss of the held-out pairs.
    fn evaluate(&self, pass: &mut dyn Pass, share: Share) -> Result<(f64, usize), OpError> {
        let head = head_of(pass)?;
        let (mut sum, mut count) = (0.0, 0);
        self.data.held_out(share, &mut |pairs| {
            for piece in self.data.laid(pairs, alone)? {
                guard("scores", || {
                    pass.look(&piece.batch, &mut |states| {
                        let losses = piece.scores(&head, &states[0]).losses(self.center);
                        sum += losses.sum(Kind::Double).double_value(&[]);
                        Ok(())
                    })
                })??;
                count += piece.chosen.len();
            }
            Ok(())
        })?;
        Ok((sum, count))
    }
}

/// A reply shares no token with another row: its score is read at the end of a row of its own.
fn alone(_: &Pair) -> usize {
    0
}

/// Returns the value head of the model; its tensors share the memory of the parameters.
fn head_of(pass: &dyn Pass) -> Result<RewardHead, OpError> {
    let head = pass.model().value_head.as_ref().ok_or_else(|| OpError::new("E0612", "the model has no value head"))?;
    Ok(RewardHead { weight: head.weight.shallow_clone(), bias: head.bias.shallow_clone() })
}

/// What the log shows of a step, as preference optimisation names it.
const MEASURES: [&str; 4] = ["rewards/chosen", "rewards/rejected", "rewards/accuracies", "rewards/margins"];
