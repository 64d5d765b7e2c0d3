//! Runs graphs: store, keys, scheduler, and what an operator sees while it runs. No operator is known here by name but the one that runs a user's command.

pub mod artifact;
pub mod bundle;
pub mod child;
pub mod chronicle;
pub mod context;
pub mod dataset;
pub mod decide;
pub mod event;
pub mod executor;
pub mod export;
pub mod files;
pub mod gate;
pub mod gc;
pub mod history;
pub mod inputs;
pub mod journal;
pub mod lock;
pub mod models;
pub mod process;
pub mod publish;
pub mod reach;
pub mod record;
pub mod remote;
pub mod scheduler;
pub mod slots;
pub mod state;
pub mod store;
pub mod task;
pub mod trace;
pub mod verify;

pub use artifact::{Artifact, FileRef, Kind};
pub use context::{Builtin, Context, Output, Outputs, RunFn};
pub use store::Store;
