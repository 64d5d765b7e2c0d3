//! How many bytes a training step takes: weights and states exactly, activations by what the forward pass keeps for the backward pass.
//!
//! Units: bytes; `tokens` and `patches` of one forward, padding included; `labels` are the tokens that carry a loss. The formula follows the code
//! of `model` and `train` line by line; `cargo bench --bench memory` compares it with measured peaks (`docs/benchmarks.md`).

use super::recompute::Recompute;
use super::shape::{Shape, Tower, Vision};

/// Type of weights and activations while computing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Precision {
    /// 4 bytes.
    F32,
    /// 2 bytes, with f32 master weights beside them.
    Half,
}

impl Precision {
    /// Returns the bytes of one number.
    pub fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::Half => 2,
        }
    }
}

/// One forward and backward.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Work {
    /// Tokens, padding included.
    pub tokens: u64,
    /// Patches of its different pictures.
    pub patches: u64,
    /// Tokens that carry a loss.
    pub labels: u64,
    /// Tokens of one row, where rows hold several samples and so need a mask; 0 where none do.
    pub masked_row: u64,
    /// The loss keeps the log-probabilities of all labels at once, as a preference loss does.
    pub preference: bool,
    /// On a GPU; attention in small windows keeps its scores on a CPU.
    pub gpu: bool,
}

/// What stays from step to step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct States {
    /// The weights that the model computes with.
    pub weights: u64,
    /// f32 weights beside those of a model in half precision.
    pub master: u64,
    /// Gradients, and their f32 sum over micro-batches.
    pub gradients: u64,
    /// Both moments of AdamW, or the means of Adafactor.
    pub optimizer: u64,
    /// A moving average of the weights, and the best weights so far.
    pub kept: u64,
}

impl States {
    /// Returns all of them.
    pub fn sum(&self) -> u64 {
        self.weights + self.master + self.gradients + self.optimizer + self.kept
    }

    /// Returns both together.
    pub fn and(self, other: Self) -> Self {
        Self {
            weights: self.weights + other.weights,
            master: self.master + other.master,
            gradients: self.gradients + other.gradients,
            optimizer: self.optimizer + other.optimizer,
            kept: self.kept + other.kept,
        }
    }
}

/// What the ranks of a training share out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sharing {
    /// 0 for nothing; 1 master weights, moments and summed gradients; 2 gradients too; 3 weights too.
    pub stage: u8,
    /// How many ranks there are.
    pub ranks: u64,
}

impl Sharing {
    /// One rank, or several that have everything.
    pub const NONE: Self = Self { stage: 0, ranks: 1 };

    /// Returns a rank's part of what is shared out from the first stage on.
    fn part(self, bytes: u64) -> u64 {
        if self.stage > 0 { bytes.div_ceil(self.ranks) } else { bytes }
    }
}

/// What an optimizer remembers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Memory {
    /// AdamW: two moments of each weight.
    Moments,
    /// Adafactor: so many means over rows and columns, all of them on every rank.
    Means(u64),
}

/// Returns what each rank of a full fine-tuning of `n` weights keeps; `kept` counts further copies in f32.
///
/// # Source
/// The table "What is shared out" of `docs/training.md`.
pub fn states(n: u64, precision: Precision, memory: Memory, kept: u64, sharing: Sharing) -> States {
    let (e, half) = (precision.bytes() * n, precision == Precision::Half);
    let part = |bytes| sharing.part(bytes);
    let kept = part(4 * n * kept);
    let optimizer = match memory {
        Memory::Moments => part(8 * n),
        Memory::Means(means) => 4 * means,
    };
    let own = if half { e + 4 * n } else { e };
    let (weights, master, gradients) = match sharing.stage {
        0 => (e, if half { 4 * n } else { 0 }, own),
        1 => (e, part(4 * n), own + part(4 * n)),
        2 => (e, part(4 * n), part(4 * n)),
        _ => (part(e), if half { part(4 * n) } else { 0 }, part(4 * n)),
    };
    States { weights, master, gradients, optimizer, kept }
}

/// As [`states`] with offload: what stays where the model is, and what lies in main memory.
///
/// # Source
/// The table "What is offloaded" of `docs/training.md`.
pub fn offloaded(n: u64, precision: Precision, memory: Memory, kept: u64, sharing: Sharing) -> (States, States) {
    let (e, half) = (precision.bytes() * n, precision == Precision::Half);
    let whole = states(n, precision, memory, kept, sharing);
    let gradients = match sharing.stage {
        // The f32 sums of several ranks stay where the ranks exchange them.
        0 | 1 => e + if half && sharing.ranks > 1 { 4 * n } else { 0 },
        _ => 0,
    };
    let there = States { weights: whole.weights, gradients, ..States::default() };
    let single = sharing.part(4 * n);
    let host = States { weights: 0, master: single, gradients: single, ..whole };
    (there, host)
}

/// Returns what a step with shared-out states takes: as [`step`], with gradients of one unit at a time from stage 2 on, and in stage 3 with weights
/// of two. Blocks that are computed again, in stage 3 all of them, keep their inputs, and one at a time everything.
pub fn shared_step(shape: &Shape, precision: Precision, work: &Work, sharing: Sharing, recompute: Recompute) -> Step {
    let mut out = step(shape, precision, work);
    let (e, t) = (precision.bytes(), &shape.text);
    let language = shape.weights.get("language").copied().unwrap_or(0);
    let unit = e * (shape.vocab * t.width).max(language / t.blocks.max(1));
    match sharing.stage {
        0 | 1 => {}
        2 => out.under_way += unit,
        _ => out.under_way += 3 * unit,
    }
    let recompute = if sharing.stage < 3 { recompute } else { Recompute::All };
    out.text = again(out.text, t.blocks, recompute.of_text(t.blocks), work.tokens * t.width * e);
    if let Some(v) = &shape.vision {
        let blocks = v.tower.blocks;
        out.vision = again(out.vision, blocks, recompute.of_vision(blocks), work.patches * v.tower.width * e);
    }
    out
}

/// Returns what blocks keep of which `repeated` are computed again, one at a time, from their inputs.
fn again(kept: u64, blocks: u64, repeated: u64, inputs: u64) -> u64 {
    let block = kept / blocks.max(1);
    let whole = blocks - repeated + u64::from(repeated > 0);
    if repeated == 0 { kept } else { kept.min(block * whole + inputs * repeated) }
}

/// What a step takes beside the states, at its peak.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Step {
    /// Kept by the text decoder for the backward pass.
    pub text: u64,
    /// Kept by the vision tower, the pixels included.
    pub vision: u64,
    /// Scores of the next token, their log-probabilities and gradients, one chunk at a time.
    pub logits: u64,
    /// Gradients under way, as far as they come on top.
    pub under_way: u64,
}

impl Step {
    /// Returns all of it.
    pub fn sum(&self) -> u64 {
        self.text + self.vision + self.logits + self.under_way
    }
}

/// Labels whose scores exist at a time, on a CPU.
const CHUNK: u64 = 512;
/// Scores that exist at a time, on a GPU.
const LOGITS_ON_GPU: u64 = 1 << 27;
/// Keys up to which attention is computed plainly, on a CPU.
const PLAIN_UP_TO: u64 = 64;

/// Returns what one forward and backward take at their peak: when the scores of a chunk become their gradients, or in the last MLP's backward. All
/// that the forward pass kept is still there.
pub fn step(shape: &Shape, precision: Precision, work: &Work) -> Step {
    let e = precision.bytes();
    let (t, d) = (&shape.text, shape.text.width);
    let block = 2 * norm(t, precision) + text_attention(t, precision) + 2 * e * t.inner;
    let mask = work.tokens * work.masked_row * (1 + e);
    // After the blocks: the last norm with its result, and the rows of it that predict a label.
    let text = work.tokens * (t.blocks * block + norm(t, precision) + d * e) + work.labels * d * e + mask;
    let vision = shape.vision.as_ref().map_or(0, |v| work.patches * of_patch(v, precision, work.gpu));
    let chunk = work.labels.min(if work.gpu { CHUNK.max(LOGITS_ON_GPU / shape.vocab.max(1)) } else { CHUNK });
    let scores = chunk * shape.vocab * 4;
    let logits = match precision {
        _ if work.preference => work.labels * shape.vocab * 4 + 2 * scores,
        Precision::F32 => scores,
        Precision::Half => scores + scores / 2,
    };
    let mlp = work.tokens * e * (3 * t.inner + 2 * d);
    Step { text, vision, logits, under_way: mlp.saturating_sub(logits) }
}

/// A norm, per token: its input, and one factor.
fn norm(t: &Tower, precision: Precision) -> u64 {
    precision.bytes() * t.width + 4
}

/// Attention of the text decoder, per token: q, k and v as one, the result, one sum for each head.
fn text_attention(t: &Tower, precision: Precision) -> u64 {
    let (d, kv) = (t.width, t.keys);
    precision.bytes() * ((d + 2 * kv) + d) + 4 * t.heads
}

/// The vision tower and its merger, per patch: q, k and v turned, as one tensor or three, and the result; gate and up; scores where attention is
/// plain; one more result where rows go back to their order.
fn of_patch(v: &Vision, precision: Precision, gpu: bool) -> u64 {
    let (t, e) = (&v.tower, precision.bytes());
    let d = t.width;
    let plain = !gpu && v.window <= PLAIN_UP_TO;
    let scores = if plain { v.window * t.heads * (4 + if e == 2 { 2 } else { 0 }) } else { 4 * t.heads };
    let common = 2 * norm(t, precision) + 3 * d * e + d * e + 2 * e * t.inner;
    let windowed = t.blocks.saturating_sub(v.full) * (common + scores);
    let full = v.full.min(t.blocks) * (common + 4 * t.heads + d * e);
    let merger = norm(t, precision) + 3 * d * e;
    let pixels = v.patch * if e == 4 { 4 } else { 4 + e };
    windowed + full + merger + pixels
}
