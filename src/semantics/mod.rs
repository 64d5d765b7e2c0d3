//! From syntax trees to meaning: imports, names and types. Reads files through `World` only; runs nothing.

pub mod allow;
pub mod modules;

pub use modules::{ImportTarget, ImportedName, Module, Program, load};
