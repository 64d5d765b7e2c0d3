//! The declaration of the arguments that SFT, DPO and reward training share.

use crate::spec::Looks;

/// The declaration of the shared arguments, as text for a signature.
macro_rules! shared {
    () => {
        r#"
  ## All weights, or low-rank adapters (not there yet).
  method: enum { full, lora } = "full",
  ## Rank of the adapters.
  rank: Int in 1.. = 8,
  ## Scale of the adapters, divided by the rank.
  alpha: Float = 16.0,
  ## Layers that get adapters; all linear ones if empty.
  targets: [Str] = [],
  ## Parts that stay as they are.
  freeze: [enum { vision, projector, language, embeddings }] = [],
  ## Chat template: the model's own if absent, or `qwen2_vl`, which is ChatML with the system text of Qwen2.5-VL.
  template: Str? = none,
  ## Train on thinking blocks; `qwen2_vl` has none, so nothing changes there.
  thinking: Bool = false,
  ## System prompt instead of the template's.
  system: Str? = none,
  ## Passes over the rows.
  epochs: Float in 0.0.. = 1.0,
  ## Optimizer steps at most.
  max_steps: Steps? in 1steps.. = none,
  ## Rows at most: the first of the shuffled set.
  max_rows: Rows? in 1rows.. = none,
  ## Rows per optimizer step over all devices; micro-batch and accumulation are solved from memory.
  batch: Int in 1.. = 32,
  ## Longest encoded row.
  cutoff: Tokens in 1tok.. = 2048tok,
  ## Rows beyond `cutoff`: cut as LLaMA-Factory does, but never inside an image, or dropped. Either way they are counted and named.
  long: enum { cut, drop } = "cut",
  ## Size to which images are brought before the model's own processor.
  pixels: Range[Pixels] = 1_024px..589_824px,
  ## Size of each video frame.
  video_pixels: Range[Pixels] = 256px..65_536px,
  ## Frames per video.
  frames: Range[Int] = 4..128,
  ## Frames per second of video.
  fps: Float in 0.0.. = 2.0,
  ## Highest learning rate, per optimizer step.
  lr: Float in 0.0.. = 1e-5,
  ## Its shape after the warm-up. `constant` and `wsd` do not depend on the end.
  schedule: enum { cosine, linear, constant, wsd } = "cosine",
  ## Linear warm-up from 0; above 20 % of the steps `check` warns.
  warmup: Ratio | Steps in 0%..100% = 3%,
  ## Lowest rate at the end, as a part of `lr`.
  floor: Ratio in 0%..100% = 0%,
  ## Last decline of a `wsd` schedule.
  cooldown: Ratio | Steps in 0%..100% = 10%,
  ## `adamw`, or `adafactor`, which remembers means over rows and columns of squared gradients instead of two moments of each weight: eight bytes
  ## less for each. It has constants of its own (those of transformers' trainer), so `betas` and `eps` say nothing there. The others are not there yet.
  optimizer: enum { adamw, adafactor, adamw_8bit, muon } = "adamw",
  ## Decay rates of the two moments, per optimizer step.
  betas: [Float] = [0.9, 0.999],
  ## Added to the root of the second moment.
  eps: Float in 0.0.. = 1e-8,
  ## Decoupled weight decay, multiplied by the learning rate of the step.
  weight_decay: Float in 0.0.. = 0.0,
  ## Weights that decay: as the Hugging Face trainer by name, or matrices only.
  decay: enum { hf, matrices } = "hf",
  ## Largest global gradient norm; 0 is off. 1.0 is what nearly everyone uses.
  clip: Float in 0.0.. = 1.0,
  ## Type of weights and activations while computing. Moments and gradient sums are f32 throughout.
  dtype: enum { bf16, f16, f32 } = "bf16",
  ## Type of the master weights.
  master: enum { f32, same } = "f32",
  ## Rows held out of training and evaluated.
  validation: Ratio | Rows in 0%..100% = 0%,
  ## How often they are evaluated; always at the end.
  evaluate: Steps? | Duration? = none,
  ## Keep the model with the lowest evaluation loss instead of the last.
  best: Bool = false,
  ## Decay of an exponential moving average of the weights, which then is the result.
  ema: Float? in 0.0..1.0 = none,
  ## A high-risk feature amplifier: a small gate reads each image token's feature and gives g from -1 to 1, 0 at the start. The
  ## feature is multiplied by `gain` to the power g (`gain: 2.0` if absent: half to double), and `attention` times g (0.0 if
  ## absent) is added to every attention score towards the token. The gate acts on all rows and learns, along with the model,
  ## from those rows alone for which `on` holds (`.risk == "high"` if absent). It lies in `amplifier.safetensors` beside a model
  ## that other loaders read without it. A start model that has one keeps it, and trains it on only if `amplify` is given.
  amplify: { gain: Float?, attention: Float?, on: Where? }? = none,"#
    };
}
pub(super) use shared;

/// The columns that rows of a training may have: prompt and replies, conversations, pictures, and what an amplifier goes by.
pub const LOOKS: Looks = Looks::At(&[
    "id",
    "instruction",
    "input",
    "output",
    "messages",
    "prompt",
    "chosen",
    "rejected",
    "system",
    "images",
    "image",
    "video",
    "risk",
]);

/// The options of `with` that trainings accept.
pub const WITH: &[&str] = &[
    "gpus",
    "ranks",
    "gpu_mem",
    "micro_batch",
    "recompute",
    "shard",
    "attention",
    "log",
    "checkpoint",
    "workers",
    "offload",
    "keep_state",
];
