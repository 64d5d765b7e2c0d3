//! The tensor model: Qwen2.5-VL, its processor and tokenizer, sentence encoders and decoding.
//!
//! Reading order: `config` → `params` → `weights` → `linear`, `norm`, `mlp`, `rope`, `attention`, `block` → `vision` →
//! `qwen_vl`; beside them `processor`, `template`, `encode`, `collate` make batches and `decode` makes text.

pub mod attention;
pub mod block;
pub mod collate;
pub mod config;
pub mod guard;
pub mod linear;
pub mod mlp;
pub mod norm;
pub mod params;
pub mod positions;
pub mod qwen_vl;
pub mod reward;
pub mod rope;
pub mod vision;
pub mod weights;
pub mod windows;

pub use collate::Batch;
pub use config::{Config, TextConfig, VisionConfig};
pub use guard::{guard, set_threads};
pub use params::Params;
pub use qwen_vl::QwenVl;
pub use reward::RewardHead;
