//! Runs graphs: store, keys, scheduler, and what an operator sees while it runs. No operator is known here by name.

pub mod artifact;
pub mod context;
pub mod dataset;
pub mod store;

pub use artifact::{Artifact, FileRef, Kind};
pub use context::{Builtin, Context, Output, Outputs, RunFn};
pub use store::Store;
