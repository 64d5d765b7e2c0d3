//! All integration tests in one binary.

mod augment;
mod cot;
mod syntax;
mod tidy;
mod workbench;
