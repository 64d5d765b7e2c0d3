//! Operators that bring models into a recipe and use them on rows.

pub mod calibrated;
pub mod classifier;
pub mod classify;
pub mod folder;
pub mod generate;
pub mod gguf;
pub mod hf;
pub mod random;
pub mod reward;
pub mod server;
pub mod unpacked;
pub mod wheel;
