//! What passes between the scheduler and `rbpipe-engine`: a task in, events and a result out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::artifact::Artifact;
use super::context::Fate;
use crate::base::Digest;
use crate::spec::Pool;

/// One execution of one operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The operator.
    pub op: String,
    /// Where it runs: the operator's pool, unless the plan sends this node to a server.
    pub pool: Pool,
    /// Its arguments in canonical form.
    pub args: Json,
    /// Artifacts by slot.
    pub inputs: BTreeMap<String, Artifact>,
    /// Options of `with`.
    pub with: Json,
    /// The store's folder.
    pub store: PathBuf,
    /// A private folder.
    pub scratch: PathBuf,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
    /// The seed of a sampled operator.
    pub seed: u64,
    /// The stream of row randomness.
    pub stream: Digest,
    /// Threads to use.
    pub threads: usize,
    /// GPUs to use, by the names that CUDA knows them by.
    #[serde(default)]
    pub gpus: Vec<String>,
    /// Processes that work on it together.
    #[serde(default = "one")]
    pub ranks: usize,
    /// This process is one rank of several that a launcher elsewhere has started, and has its variables.
    #[serde(default)]
    pub launched: bool,
    /// Where checkpoints of this key are kept.
    pub checkpoints: Option<PathBuf>,
}

fn one() -> usize {
    1
}

/// What an execution gave.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Made {
    /// Results by field; their files are in the store.
    pub outputs: BTreeMap<String, Artifact>,
    /// Rows that were dropped or changed.
    pub fates: Vec<Fate>,
    /// Counts worth showing.
    pub counts: BTreeMap<String, u64>,
}

/// The last line that `rbpipe-engine` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Outcome {
    /// It worked.
    #[serde(rename = "result")]
    Result(Made),
    /// The operator stopped.
    #[serde(rename = "error")]
    Error {
        /// The code.
        code: String,
        /// The class.
        class: String,
        /// What happened.
        message: String,
        /// The next step.
        help: Option<String>,
    },
}
