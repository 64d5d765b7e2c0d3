//! Operators of module `filter`.

pub mod rule;
