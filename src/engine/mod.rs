//! Runs graphs: store, keys, scheduler, and what an operator sees while it runs. No operator is known here by name but the one that runs a user's command.

pub mod artifact;
pub mod bundle;
pub mod capacity;
pub mod chronicle;
pub mod crash;
pub mod event;
pub mod executors;
pub mod hardware;
pub mod inputs;
pub mod lock;
pub mod machine;
pub mod node;
pub mod outputs;
pub mod provenance;
pub mod recheck;
pub mod remote;
pub mod run;
pub mod stop;
pub mod storage;
pub mod trace;

pub use artifact::{Artifact, FileRef, Kind};
pub use node::context::{Builtin, Context, Output, Outputs, RunFn};
pub use storage::store::Store;
