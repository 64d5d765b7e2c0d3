//! The tensor model: Qwen2.5-VL and decoders of text, processor and tokenizer, sentence encoders and decoding.
//!
//! Reading order: `config` → `params` → `weights` → `fused`, `linear`, `norm`, `mlp`, `rope`, `attention`, `block` → `vision`,
//! `amplifier` → `qwen_vl`; beside them `processor`, `template`, `chat`, `encode`, `collate` make batches, and `shared`,
//! `reply`, `decode`, `beam`, `likelihood` make text; `pixels` → `dual` encode pictures and texts into one space.

pub mod amplifier;
pub mod attention;
mod beam;
pub mod beside;
pub mod block;
pub mod chat;
pub mod collate;
pub mod config;
pub mod cuda;
pub mod decode;
pub mod dual;
pub mod encode;
pub mod encoder;
pub mod fused;
pub mod guard;
pub mod kv_cache;
pub mod likelihood;
pub mod linear;
pub mod mlp;
pub mod norm;
pub mod params;
pub mod picture;
pub mod pixels;
pub mod positions;
pub mod processor;
pub mod qwen_vl;
pub mod reply;
pub mod reward;
pub mod rope;
pub mod shared;
pub mod template;
pub mod tokenizer;
pub mod vision;
pub mod weights;
pub mod windows;

pub use amplifier::{Amplifier, Strength};
pub use chat::Chat;
pub use collate::Batch;
pub use config::{Config, TextConfig, VisionConfig};
pub use decode::generate;
pub use dual::DualEncoder;
pub use encoder::Encoder;
pub use guard::{guard, keep_memory, set_threads};
pub use likelihood::{Likelihood, score_options, score_prompts};
pub use params::{Params, Unit};
pub use picture::Picture;
pub use processor::Processor;
pub use qwen_vl::QwenVl;
pub use reply::{Decoding, Reply};
pub use reward::RewardHead;
pub use tokenizer::Tokenizer;
