//! Operators of module `filter`.

pub mod perplexity;
pub mod reward;
pub mod rule;
#[cfg(feature = "torch")]
mod scored;
