//! Operators of modules `eval` and `score`.

mod args;
pub mod asked;
mod backend;
pub mod compare;
pub mod flagevalmm;
mod given;
#[cfg(feature = "torch")]
pub mod local;
pub mod loss;
pub mod preference;
pub mod published;
pub mod rescore;
pub mod run;
mod schema;
mod served;

use crate::engine::inputs::servers::{Facts, Said};

/// Returns what this machine's copy of a program that serves models says of itself.
pub fn served_by(program: &str) -> Said {
    backend::Backend::named(program).map_or_else(|_| Said::Facts(Facts::new()), backend::Backend::says)
}
