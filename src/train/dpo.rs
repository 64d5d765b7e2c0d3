//! Preference losses: per pair, from the log-probabilities of the chosen and the rejected reply.
//!
//! Shapes: `b` pairs.

use serde::{Deserialize, Serialize};
use tch::{Kind, Tensor};

/// Which preference loss.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Variant {
    /// DPO, Rafailov et al. 2023, equation 7.
    Sigmoid,
    /// SLiC's hinge on the DPO margin, Zhao et al. 2023.
    Hinge,
    /// Azar et al. 2023, equation 17; log-probabilities per token.
    Ipo,
    /// Meng et al. 2024; no reference, log-probabilities per token.
    Simpo,
    /// Hong et al. 2024; no reference, log-probabilities per token.
    Orpo,
}

impl Variant {
    /// Says whether log-probabilities are averaged over tokens rather than summed.
    pub fn per_token(self) -> bool {
        matches!(self, Variant::Ipo | Variant::Simpo | Variant::Orpo)
    }

    /// Says whether the loss compares with a reference model.
    pub fn needs_reference(self) -> bool {
        !matches!(self, Variant::Simpo | Variant::Orpo)
    }
}

/// A preference loss with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Preference {
    /// Which loss.
    pub variant: Variant,
    /// Strength of the pull to the reference; 0.1 in the paper and everywhere since.
    pub beta: f64,
    /// SimPO's margin, in the unit of beta times log-probability.
    pub gamma: f64,
    /// Share of pairs assumed to be labelled the wrong way round.
    pub smoothing: f64,
    /// Weight of the chosen reply's mean negative log-likelihood, added to the loss.
    pub sft: f64,
}

/// Log-probabilities of both replies of `b` pairs under one model: summed over reply tokens, in nats.
#[derive(Debug)]
pub struct Logps {
    /// `[b]` f32.
    pub chosen: Tensor,
    /// `[b]` f32.
    pub rejected: Tensor,
}

/// What a batch of pairs gives.
#[derive(Debug)]
pub struct Outcome {
    /// `[b]` f32, nats, not reduced.
    pub losses: Tensor,
    /// `[b]` f32, detached: beta times the log-ratio to the reference.
    pub chosen_rewards: Tensor,
    /// `[b]` f32, detached.
    pub rejected_rewards: Tensor,
}

impl Preference {
    /// Returns the loss of each pair and both rewards.
    ///
    /// # Shapes
    /// `policy`, `reference`: summed log-probabilities, `[b]` f32 each; `chosen_len`, `rejected_len`: reply tokens, `[b]` f32, at
    /// least 1. `reference` is ignored by variants without one.
    ///
    /// # Source
    /// LLaMA-Factory `dpo/trainer.py` and TRL 0.24 `DPOTrainer.dpo_loss`, equal to the last bit there; here to 1e-5 by
    /// `train.dpo.*` of `engine verify`, and by the hand-worked table in `tests/it/tensor/train.rs`.
    pub fn losses(&self, policy: &Logps, reference: &Logps, chosen_len: &Tensor, rejected_len: &Tensor) -> Outcome {
        let beta = self.beta;
        let scaled = |logps: &Tensor, len: &Tensor| {
            if self.variant.per_token() { logps / len } else { logps.shallow_clone() }
        };
        let (pi_c, pi_r) = (scaled(&policy.chosen, chosen_len), scaled(&policy.rejected, rejected_len));
        let (ref_c, ref_r) = (scaled(&reference.chosen, chosen_len), scaled(&reference.rejected, rejected_len));
        let delta = || (&pi_c - &pi_r) - (&ref_c - &ref_r);
        let mut losses = match self.variant {
            Variant::Sigmoid => self.smoothed(&(delta() * beta)),
            Variant::Hinge => (delta() * -beta + 1.0).relu(),
            Variant::Ipo => (delta() - 1.0 / (2.0 * beta)).square(),
            Variant::Simpo => self.smoothed(&((&pi_c - &pi_r - self.gamma / beta) * beta)),
            Variant::Orpo => {
                let log_not = |logp: &Tensor| (-logp.exp()).log1p();
                let log_odds = (&pi_c - &pi_r) - (log_not(&pi_c) - log_not(&pi_r));
                -&pi_c - log_odds.log_sigmoid() * beta
            }
        };
        if self.sft != 0.0 {
            losses = losses - (&policy.chosen / chosen_len) * self.sft;
        }
        let reward = |pi: &Tensor, reference: &Tensor| {
            let ratio = if self.variant.needs_reference() { pi - reference } else { pi.shallow_clone() };
            (ratio * beta).detach()
        };
        Outcome { losses, chosen_rewards: reward(&pi_c, &ref_c), rejected_rewards: reward(&pi_r, &ref_r) }
    }

    fn smoothed(&self, logits: &Tensor) -> Tensor {
        logits.log_sigmoid() * -(1.0 - self.smoothing) - (-logits).log_sigmoid() * self.smoothing
    }
}

/// Returns the share of pairs whose chosen reward is above the rejected one, and the mean margin.
pub fn accuracy_and_margin(outcome: &Outcome) -> (f64, f64) {
    let above = outcome.chosen_rewards.gt_tensor(&outcome.rejected_rewards).to_kind(Kind::Float);
    let margin = &outcome.chosen_rewards - &outcome.rejected_rewards;
    (above.mean(Kind::Float).double_value(&[]), margin.mean(Kind::Float).double_value(&[]))
}
