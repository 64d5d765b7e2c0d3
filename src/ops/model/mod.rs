//! Operators that bring models into a recipe and use them on rows.

pub mod classifier;
pub mod classify;
pub mod folder;
pub mod hf;
pub mod random;
pub mod reward;
pub mod wheel;
