//! All integration tests in one binary.

mod syntax;
mod tidy;
