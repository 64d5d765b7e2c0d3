//! The optimizers: which rule changes the weights, and what it remembers from step to step.

use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

use super::adafactor::{Adafactor, Factors};
use super::adamw::{AdamW, Moments};
use super::decay::{Decay, Segment, merged};
use super::held::Held;
use super::shards::Stage;
use crate::base::OpError;

/// The rule, with its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rule {
    /// Both moments of each weight.
    AdamW(AdamW),
    /// Means over rows and columns of squared gradients.
    Adafactor(Adafactor),
}

/// A rule with its states.
pub enum Optimizer {
    /// f32, this rank's parts.
    AdamW(Moments),
    /// f32, all of them on every rank.
    Adafactor(Factors),
}

impl Optimizer {
    /// Starts without a past, for what is trainable of what is held.
    pub fn new(rule: Rule, decay: Decay, held: &Held) -> Self {
        let (entries, device) = (held.model.params.entries(), held.weights_m.device());
        match rule {
            Rule::AdamW(constants) => {
                let segments = merged(entries.iter().filter(|e| e.trainable).map(|e| Segment {
                    start: e.offset,
                    len: e.len(),
                    decay: decay.applies(&e.name, e.shape.len()),
                }));
                let m = held.weights_m.numel() as i64;
                Self::AdamW(Moments::new(constants, held.segments(&segments), m, device))
            }
            Rule::Adafactor(constants) => {
                let rank = held.shards.rank(held.group);
                Self::Adafactor(Factors::new(constants, entries, decay, &held.shards, rank, device))
            }
        }
    }

    /// Changes the weights by the gradients, at the learning rate of this step.
    ///
    /// # Errors
    /// Class `peer` when another rank is gone.
    pub fn step(&mut self, held: &Held, lr: f64) -> Result<(), OpError> {
        match self {
            Self::AdamW(moments) => {
                moments.step(&held.weights_m, &held.grads_m, lr);
                Ok(())
            }
            Self::Adafactor(factors) => {
                let group = (held.stage != Stage::None).then_some(held.group);
                factors.step(&held.weights_m, &held.grads_m, lr, group)
            }
        }
    }

    /// Returns what it remembers, by names as in a checkpoint.
    pub fn states(&self) -> Vec<(&'static str, &Tensor)> {
        match self {
            Self::AdamW(moments) => vec![("first", &moments.first), ("second", &moments.second)],
            Self::Adafactor(factors) => vec![(FACTORS, &factors.means)],
        }
    }

    /// Takes up one of its states from a checkpoint.
    pub fn restore(&mut self, name: &str, state: &Tensor) {
        let own = self.states().into_iter().find(|(known, _)| *known == name).map(|(_, own)| own.shallow_clone());
        if let Some(mut own) = own {
            no_grad(|| own.copy_(state));
        }
    }

    /// Goes on after so many steps.
    pub fn resume(&mut self, steps: u64) {
        match self {
            Self::AdamW(moments) => moments.steps = steps,
            Self::Adafactor(factors) => factors.steps = steps,
        }
    }
}

/// Its first word tells a checkpoint that no rank has a part of it alone.
const FACTORS: &str = "whole.factors";
