//! How the flat buffers of a training are shared out: each unit of the model in equal parts, one for each rank.
//!
//! Shapes: `n` all weights of the model, `m` those of a rank's parts, padding included.

use std::ops::Range;

use serde::{Deserialize, Serialize};
use tch::{Tensor, no_grad};

use super::decay::{Segment, merged};
use super::transfer::bring;
use crate::dist::Group;

/// What of a training's memory is shared out over the ranks; the rest every rank has whole. Results differ in the last bits of sums only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stage {
    /// Nothing.
    None,
    /// Moments and master weights.
    Optimizer,
    /// Gradients too.
    Gradients,
    /// Weights too: they are gathered block by block where they are used.
    Weights,
}

impl Stage {
    /// Returns its name, as `with { shard }` gives it.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Optimizer => "zero1",
            Self::Gradients => "zero2",
            Self::Weights => "zero3",
        }
    }
}

/// A stretch of the flat buffer and this rank's part of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shard {
    /// First element of the unit in the flat buffer.
    pub start: i64,
    /// Elements of the unit.
    pub len: i64,
    /// Elements of a rank's part; the last parts may be shorter or empty, and their rest is padding.
    pub part: i64,
    /// Where the part begins in a rank's own buffer.
    pub at: i64,
}

/// All units of a model, shared out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shards {
    /// In the order of the flat buffer.
    pub units: Vec<Shard>,
    /// Ranks.
    pub world: usize,
}

impl Shards {
    /// Shares units, `(start, length)` each, out over so many ranks.
    pub fn new(units: impl IntoIterator<Item = (i64, i64)>, world: usize) -> Self {
        let mut at = 0;
        let shard = |(start, len): (i64, i64)| {
            let part = (len + world as i64 - 1) / world as i64;
            at += part;
            Shard { start, len, part, at: at - part }
        };
        Self { units: units.into_iter().map(shard).collect(), world }
    }

    /// Everything is one rank's: its buffer is the flat one.
    pub fn whole(n: i64) -> Self {
        Self::new([(0, n)], 1)
    }

    /// Returns whose parts this process has: its rank's, or rank 0's where everything is one rank's and each has it.
    pub fn rank(&self, group: &Group) -> usize {
        if self.world == 1 { 0 } else { group.rank() }
    }

    /// Returns the length of a rank's own buffer.
    pub fn len(&self) -> i64 {
        self.units.iter().map(|u| u.part).sum()
    }

    /// Says whether there is nothing to share out.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns the stretches of a rank's own buffer with their places in the flat one: `(own, flat, length)`.
    pub fn places(&self, rank: usize) -> impl Iterator<Item = (i64, i64, i64)> {
        self.units.iter().filter_map(move |u| {
            let skip = u.part * rank as i64;
            let len = u.part.min(u.len - skip);
            (len > 0).then_some((u.at, u.start + skip, len))
        })
    }

    /// Brings stretches of the flat buffer into a rank's own one.
    pub fn segments(&self, rank: usize, flat: &[Segment]) -> Vec<Segment> {
        let mut out = Vec::new();
        for (own, place, len) in self.places(rank) {
            for segment in flat {
                let (from, to) = (segment.start.max(place), (segment.start + segment.len).min(place + len));
                if from < to {
                    out.push(Segment { start: own + from - place, len: to - from, decay: segment.decay });
                }
            }
        }
        merged(out)
    }

    /// Returns a rank's parts as stretches of the flat buffer.
    pub fn parts(&self, rank: usize) -> Vec<Range<i64>> {
        self.places(rank).map(|(_, place, len)| place..place + len).collect()
    }

    /// Copies a rank's parts out of the flat buffer.
    ///
    /// # Shapes
    /// `own_m`: `[m]`, `flat_n`: `[n]`, of any kinds.
    pub fn take(&self, rank: usize, flat_n: &Tensor, own_m: &Tensor) {
        for (own, place, len) in self.places(rank) {
            bring(&own_m.narrow(0, own, len), &flat_n.narrow(0, place, len));
        }
    }

    /// Copies what two ranks of two ways of sharing out have in common: from `theirs`, of rank `their_rank` under `self`, to `own`, of rank `rank` under
    /// `other`.
    pub fn translate(&self, their_rank: usize, theirs: &Tensor, other: &Self, rank: usize, own: &Tensor) {
        let there: Vec<(i64, i64, i64)> = other.places(rank).collect();
        no_grad(|| {
            for (from, place, len) in self.places(their_rank) {
                for &(to, wanted, wanted_len) in &there {
                    let (first, end) = (place.max(wanted), (place + len).min(wanted + wanted_len));
                    if first < end {
                        let source = theirs.narrow(0, from + first - place, end - first);
                        own.narrow(0, to + first - wanted, end - first).copy_(&source);
                    }
                }
            }
        });
    }
}
