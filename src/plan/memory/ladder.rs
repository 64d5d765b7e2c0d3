//! How a training is laid out in memory, and the steps by which it does with less of it. None of them is in a key.

use serde_json::{Map, Value as Json};

use super::formula::Sharing;
use super::recompute::Recompute;

/// How much a forward holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// What `micro_batch` says, or what memory allows.
    Asked,
    /// A quarter of that.
    Quarter,
    /// One row.
    Row,
}

/// A step down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rung {
    /// A quarter as much in each forward.
    Quarter,
    /// One row in each forward.
    Row,
    /// All blocks are computed again for their backward.
    Recompute,
    /// ZeRO-2.
    Gradients,
    /// ZeRO-3.
    Weights,
    /// Master weights, sums of gradients and states in main memory; of a lone rank's gradients one block at a time is on the GPU.
    Offload,
}

impl Rung {
    /// Says what it does.
    pub fn words(self) -> &'static str {
        match self {
            Self::Quarter => "a quarter as much in each forward",
            Self::Row => "one row in each forward",
            Self::Recompute => "blocks computed again for their backward",
            Self::Gradients => "gradients shared out",
            Self::Weights => "weights shared out",
            Self::Offload => "master weights and states of the optimizer in main memory",
        }
    }
}

/// What memory depends on of what `with` says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    /// GPUs of the node; 0 for the processor.
    pub gpus: u64,
    /// Processes that train together.
    pub ranks: u64,
    /// Rows of a forward, where somebody said.
    pub micro_batch: Option<u64>,
    /// How much of that a forward holds.
    pub forward: Forward,
    /// Blocks that are computed again.
    pub recompute: Recompute,
    /// What is shared out: 0 to 3, as in ZeRO. A lone rank has 2 where it offloads, and then means that no gradients stay on the GPU.
    pub stage: u8,
    /// Master weights, sums of gradients and states lie in main memory.
    pub offload: bool,
}

impl Plan {
    /// Reads what `with` asks for.
    pub fn asked(with: &Map<String, Json>, ranks: u64) -> Self {
        let number = |name: &str| with.get(name).and_then(Json::as_u64);
        let offload = with.get("offload").and_then(Json::as_bool) == Some(true);
        let stage = match with.get("shard").and_then(Json::as_str) {
            Some("zero1") => 1,
            Some("zero2") => 2,
            Some("zero3") => 3,
            _ => 0,
        };
        let alone = if offload && stage >= 2 { 2 } else { 0 };
        Self {
            gpus: number("gpus").unwrap_or(0),
            ranks,
            micro_batch: number("micro_batch").map(|rows| rows.max(1)),
            forward: Forward::Asked,
            recompute: with.get("recompute").and_then(|r| serde_json::from_value(r.clone()).ok()).unwrap_or_default(),
            stage: if ranks > 1 { stage } else { alone },
            offload,
        }
    }

    /// Returns what the ranks share out.
    pub fn sharing(&self) -> Sharing {
        Sharing { stage: self.stage, ranks: self.ranks }
    }

    /// Returns the steps down that change anything here, in the order in which they are taken.
    pub fn rungs(&self) -> Vec<Rung> {
        let all = [
            (Rung::Quarter, self.micro_batch.is_none_or(|rows| rows > 4)),
            (Rung::Row, self.micro_batch.is_none_or(|rows| rows > 1)),
            (Rung::Recompute, self.recompute != Recompute::All && self.stage < 3),
            (Rung::Gradients, self.ranks > 1 && self.stage < 2),
            (Rung::Weights, self.ranks > 1 && self.stage < 3),
            // In main memory they are already, without a GPU.
            (Rung::Offload, self.gpus > 0 && !self.offload),
        ];
        all.into_iter().filter_map(|(rung, helps)| helps.then_some(rung)).collect()
    }

    /// Returns the plan so many steps down, and these.
    pub fn down(self, steps: u64) -> (Self, Vec<Rung>) {
        let taken: Vec<Rung> = self.rungs().into_iter().take(usize::try_from(steps).unwrap_or(usize::MAX)).collect();
        (taken.iter().fold(self, |plan, rung| plan.with(*rung)), taken)
    }

    fn with(self, rung: Rung) -> Self {
        match rung {
            Rung::Quarter => Self { forward: Forward::Quarter, ..self },
            Rung::Row => Self { forward: Forward::Row, ..self },
            Rung::Recompute => Self { recompute: Recompute::All, ..self },
            Rung::Gradients => Self { stage: 2, ..self },
            Rung::Weights => Self { stage: 3, ..self },
            Rung::Offload => Self { offload: true, stage: if self.ranks > 1 { self.stage } else { 2 }, ..self },
        }
    }
}
