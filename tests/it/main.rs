//! All integration tests in one binary.

mod augment;
mod cot;
mod syntax;
#[cfg(feature = "torch")]
mod numerics;
mod tidy;
mod workbench;
