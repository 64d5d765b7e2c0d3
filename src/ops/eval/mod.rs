//! Operators of modules `eval` and `score`.

pub mod asked;
mod backend;
pub mod compare;
mod given;
#[cfg(feature = "torch")]
pub mod local;
pub mod loss;
pub mod preference;
pub mod published;
pub mod rescore;
pub mod run;
mod served;
