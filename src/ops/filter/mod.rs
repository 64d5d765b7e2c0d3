//! Operators of module `filter`.

pub mod conflict;
pub mod consistent;
pub mod format;
pub mod image;
pub mod language;
pub mod length;
pub mod perplexity;
pub mod relevance;
pub mod reward;
pub mod rule;
pub mod scored;
pub mod words;
