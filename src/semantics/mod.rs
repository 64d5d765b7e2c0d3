//! From syntax trees to meaning: imports, names and types. Reads files through `World` only; runs nothing.

pub mod allow;
mod arith;
mod calls;
pub mod check;
mod exprs;
mod fields;
mod infer;
mod items;
mod misfits;
pub mod modules;
mod names;
mod op_files;
mod own_op;
mod rows;
mod strings;
mod sweeps;
mod withs;
mod written;

pub use check::{Checked, Settings, check};
pub use modules::{ImportTarget, ImportedName, Module, Program, load};
