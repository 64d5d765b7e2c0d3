//! All integration tests in one binary.

mod augment;
mod cot;
mod engine;
#[cfg(feature = "torch")]
mod numerics;
mod semantics;
mod syntax;
mod tidy;
#[cfg(feature = "torch")]
mod train;
#[cfg(feature = "torch")]
mod train_ops;
mod workbench;
