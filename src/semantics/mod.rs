//! From syntax trees to meaning: imports, names and types. Reads files through `World` only; runs nothing.

mod accepted;
pub mod allow;
mod arith;
mod calls;
pub mod check;
mod declared;
mod exprs;
pub mod facts;
mod fields;
mod infer;
mod items;
mod joins;
mod misfits;
pub mod modules;
mod names;
mod numbers;
mod op_files;
mod options;
mod own_op;
mod paths;
mod pictures;
mod positional;
mod presence;
mod requires;
mod rows;
mod sig;
mod strings;
mod sweeps;
mod withs;
mod written;

pub use check::{Checked, Settings, check, inspect};
pub use facts::Facts;
pub use fields::{Member, members};
pub use modules::{ImportTarget, ImportedName, Module, Package, ParseCache, Program, Wanted, load, load_again};
pub use written::TYPE_NAMES;
