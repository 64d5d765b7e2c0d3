//! Operators of module `fuse`.

pub mod two_tier;
