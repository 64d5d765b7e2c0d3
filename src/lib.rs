//! rbpipe: a declarative language and engine for turning raw multimodal data into a fine-tuned, aligned and evaluated
//! vision-language model.
//!
//! Rooms, each importing only from rooms above it:
//! `base` → `syntax` → `spec` → `semantics` → `plan` → `data`, `engine`, `eval`, `rehearsal` → `dist` → `model` → `train` → `ops` → `lsp` → `cli`.
//! `dist`, `model` and `train` exist only with feature `torch`.

pub mod base;
pub mod cli;
pub mod data;
#[cfg(feature = "torch")]
pub mod dist;
pub mod engine;
pub mod eval;
pub mod lsp;
#[cfg(feature = "torch")]
pub mod model;
pub mod ops;
pub mod plan;
pub mod rehearsal;
pub mod semantics;
pub mod spec;
pub mod syntax;
#[cfg(feature = "torch")]
pub mod train;
#[cfg(feature = "torch")]
pub mod verify;
