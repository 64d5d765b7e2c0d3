//! The far end of an executor: does on its machine what a scheduler elsewhere orders, as [`Local`] does it here, and says what happens.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::{Executor, FindEngine, Local, Work};
use crate::base::{Digest, OpError};
use crate::engine::artifact::FileRef;
use crate::engine::capacity::Machine;
use crate::engine::machine;
use crate::engine::node::context::Builtin;
use crate::engine::node::task::{self, Made, Outcome, Said, Task};
use crate::engine::stop::Stop;
use crate::engine::storage::lease;
use crate::engine::storage::store::Store;
use crate::spec::user_op;

/// The version that both ends must have: what stands in an order changes from one to the next.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// One node, written down for another machine.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Order {
    /// The version of who wrote it.
    pub version: String,
    /// What people call the node.
    pub name: String,
    /// Its action key.
    pub key: Digest,
    /// What to do.
    pub task: Task,
    /// Where what it says is kept.
    pub log: PathBuf,
    /// Into how many parts its rows are cut; each is an execution of its own.
    pub parts: Option<usize>,
    /// Files that an operator of the user's sees, where the recipe's folder is not there; by name below it.
    pub files: BTreeMap<String, FileRef>,
    /// The store is this machine's alone: nobody else holds the key there, or tidies up after it.
    pub alone: bool,
}

/// What the far end was given.
#[derive(Clone, Debug, Default)]
pub struct Grant {
    /// Cores, where somebody else counted them.
    pub cpus: Option<usize>,
    /// GPUs, where somebody else chose them.
    pub gpus: Option<Vec<String>>,
    /// Which part of the rows.
    pub part: Option<usize>,
    /// This is one rank of several, see [`Task::launched`].
    pub rank: Option<usize>,
}

/// What the far end has to work with.
pub struct Hands<'a> {
    /// All operators by name.
    pub operators: &'a BTreeMap<String, &'static Builtin>,
    /// The engine binary.
    pub engine: FindEngine<'a>,
    /// Set when it is to stop.
    pub stop: &'a Stop,
    /// Receives one JSON object for each event; the outcome comes last.
    pub say: &'a (dyn Fn(&Json) + Sync),
}

impl Hands<'_> {
    /// Executes an order. Says whether it worked.
    pub fn carry_out(&self, order: Order, grant: Grant, secrets: BTreeMap<String, String>) -> bool {
        let outcome = Outcome::of(self.made(order, grant, secrets));
        (self.say)(&serde_json::to_value(&outcome).unwrap_or(Json::Null));
        matches!(outcome, Outcome::Result(_))
    }

    fn made(&self, order: Order, grant: Grant, secrets: BTreeMap<String, String>) -> Result<Made, OpError> {
        same_version(&order.version)?;
        let mut task = order.task;
        let builtin = *self.operators.get(&task.op).ok_or_else(|| {
            OpError::new("E0204", format!("rbpipe on {} has no operator `{}`", machine::host(), task.op))
        })?;
        let store = Store::open(&task.store)?;
        // Held against the collector of this store, which takes no blob that is younger than the oldest lease.
        let waits = |holder: Json| (self.say)(&task::line("node_waits", holder));
        let _held = if order.alone { lease::lease(&store, self.stop, order.key, &waits)? } else { None };
        let machine = Machine::this();
        task.threads = grant.cpus.unwrap_or(if task.threads == 0 { machine.cpus } else { task.threads });
        if grant.rank.is_some() {
            (task.ranks, task.launched) = (1, true);
        }
        if let Some(gpus) = grant.gpus {
            task.gpus = gpus;
        }
        if let (user_op::RUN, Some(of), Some(args)) = (task.op.as_str(), order.parts, task.args.as_object_mut()) {
            args.insert("$part".into(), json!({ "at": grant.part.unwrap_or(0), "of": of }));
        }
        let laid_out = if order.files.is_empty() { None } else { Some(lay_out(&store, &order.files)?) };
        if let Some(folder) = &laid_out {
            task.folder = folder.path().to_path_buf();
        }
        let checkpoints = task.checkpoints.clone().filter(|_| order.alone);
        (self.say)(&json!({ "event": "node_placed", "host": machine::host() }));
        let emit = |event: &str, fields: Json| (self.say)(&task::line(event, fields));
        let (name, key, log) = (order.name.as_str(), order.key, order.log);
        let log = grant.part.or(grant.rank).map_or(log.clone(), |part| log.with_extension(format!("{part}.log")));
        let work = Work { name, key, builtin, task, secrets, log, emit: &emit, stop: self.stop };
        let made = Local { machine, jobs: 1, engine: self.engine }.execute(&store, &work)?;
        // The scheduler records what is on the disk.
        store.commit()?;
        if let Some(checkpoints) = checkpoints {
            let _ = std::fs::remove_dir_all(checkpoints);
        }
        Ok(made)
    }
}

/// Refuses to talk to another version.
///
/// # Errors
/// `E0623`
fn same_version(theirs: &str) -> Result<(), OpError> {
    if theirs == VERSION {
        return Ok(());
    }
    let message = format!("rbpipe on {} is version {VERSION}, the scheduler is {theirs}", machine::host());
    Err(OpError::new("E0623", message)
        .help("install the same version on both, or let the site file name it with `rbpipe: \"PATH\"`"))
}

/// Lays files out as they lie beside the recipe.
fn lay_out(store: &Store, files: &BTreeMap<String, FileRef>) -> Result<tempfile::TempDir, OpError> {
    let folder = store.scratch()?;
    for (name, file) in files.iter().filter(|(name, _)| crate::engine::storage::store::stays_inside(name)) {
        let target = folder.path().join(name);
        std::fs::create_dir_all(target.parent().unwrap_or(folder.path()))?;
        std::fs::copy(store.path(file.digest), &target)?;
    }
    Ok(folder)
}

/// Reads what a far end said: events go to `emit`, the outcome is returned if it is among them.
pub(super) fn hear(line: &str, emit: &dyn Fn(&str, Json)) -> Option<Outcome> {
    match task::hear(line)? {
        Said::Ended(outcome) => Some(outcome),
        Said::Event(name, fields) => {
            emit(&name, fields);
            None
        }
    }
}
