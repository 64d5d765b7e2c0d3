//! All integration tests in one binary.

mod syntax;
mod augment;
mod cot;
mod tidy;
mod workbench;
