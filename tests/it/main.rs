//! All integration tests in one binary.

mod augment;
mod cot;
#[cfg(feature = "torch")]
mod numerics;
mod syntax;
mod tidy;
mod workbench;
