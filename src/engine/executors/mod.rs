//! Where nodes are executed. An [`Executor`] takes one node's work and comes back with what it made; the scheduler knows no more of it than that.
//!
//! To write another one: carry [`Work::task`] to where it shall run, have `rbpipe node` execute it there (it does what [`Local`] does here and says the
//! same events), pass those on through [`Work::emit`], and turn what went wrong into an error of the right class. `slurm` and `ssh` do no more.

pub mod carry;
mod local;
pub mod slurm;
pub mod ssh;
pub mod worker;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value as Json;

use super::capacity::Capacity;
use super::node::context::Builtin;
use super::stop::Stop;

use super::node::task::{Made, Task};
use super::storage::store::Store;
use crate::base::{Digest, OpError};
use crate::plan::Node;

pub use local::Local;

/// Finds the engine binary, building it first where that is possible.
pub type FindEngine<'a> = &'a (dyn Fn() -> Result<PathBuf, OpError> + Sync);

/// One node to execute.
pub struct Work<'a> {
    /// What people call it.
    pub name: &'a str,
    /// Its action key.
    pub key: Digest,
    /// Its operator.
    pub builtin: &'static Builtin,
    /// What to do. Its `scratch` is still empty: whoever executes it makes a private folder.
    pub task: Task,
    /// Texts of the secrets that it uses. They must never reach a file, an argument or an environment that others can read.
    pub secrets: BTreeMap<String, String>,
    /// Where what it says to people is kept.
    pub log: PathBuf,
    /// Receives events: a name and fields.
    pub emit: &'a (dyn Fn(&str, Json) + Sync),
    /// Set when the run is being stopped.
    pub stop: &'a Stop,
}

/// A place where nodes are executed.
pub trait Executor: Sync {
    /// Returns how much it takes at a time, and what it can never take.
    fn capacity(&self) -> Capacity;

    /// Executes a node and returns when it has ended: its results are in the store then. Several threads call this at a time.
    ///
    /// # Errors
    /// What the operator reports; `oom`, `preempted` or `flaky` where the place is to blame and another attempt may help.
    fn execute(&self, store: &Store, work: &Work) -> Result<Made, OpError>;

    /// Says why a node could never run there, asked before anything starts. A machine whose capacity is counted here needs no answer.
    fn refuses(&self, node: &Node) -> Option<OpError> {
        let _ = node;
        None
    }

    /// Says whether texts of secrets can be brought there without reaching a file; nodes that use some stay here otherwise.
    fn takes_secrets(&self) -> bool {
        true
    }

    /// Ends what earlier runs of the recipe, which are no more, have left there and nothing needs; says what it ended. Asked at the end of a run.
    fn leave(&self, store: &Store) -> Vec<String> {
        let _ = store;
        Vec::new()
    }
}

/// The executor that is always there.
pub const LOCAL: &str = "local";

/// The executors of a run, by name; [`LOCAL`] is always among them.
pub type Executors<'a> = BTreeMap<String, Box<dyn Executor + 'a>>;

/// Returns where a node's log lies.
pub fn log(store: &Store, key: Digest) -> PathBuf {
    store.root().join("logs").join(format!("{}.log", key.short()))
}

/// Returns where checkpoints of a key are kept.
pub fn checkpoints(store: &Path, key: Digest) -> PathBuf {
    store.join("checkpoints").join(key.hex())
}

/// Returns a text as one word of a shell.
fn shell_word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}
