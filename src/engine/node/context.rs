//! What an operator sees while it runs, and what it gives back.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde_json::{Map, Value as Json};

use crate::base::{Digest, OpError};
use crate::data::table::Table;
use crate::engine::artifact::{Artifact, FileRef, Kind};
use crate::engine::event::MEMORY;
use crate::engine::storage::dataset;
pub use crate::engine::storage::recorded::{Fate, QUARANTINED};
use crate::engine::storage::store::Store;
use crate::spec::OpSpec;

/// An operator's code.
pub type RunFn = fn(&mut Context) -> Result<Outputs, OpError>;

/// A built-in operator: its declaration and its code, side by side.
pub struct Builtin {
    /// The declaration.
    pub spec: OpSpec,
    /// The code; `None` for plain values, and for tensor operators in a build without `torch`.
    pub run: Option<RunFn>,
}

/// `Some(path)` with feature `torch`, else `None`: for the `run` field of tensor operators.
#[macro_export]
macro_rules! torch_run {
    ($($path:tt)+) => {{
        #[cfg(feature = "torch")]
        let run: Option<$crate::engine::RunFn> = Some($($path)+);
        #[cfg(not(feature = "torch"))]
        let run: Option<$crate::engine::RunFn> = None;
        run
    }};
}

/// One thing that an operator made.
pub enum Output {
    /// Rows.
    Table(Table),
    /// An artifact whose files are already in the store.
    Artifact(Artifact),
    /// A folder of files, relative to the scratch folder, to be taken into the store; what lies under the folder `attached` in it
    /// becomes attachments.
    Folder { kind: Kind, meta: Json, path: PathBuf, attached: Option<PathBuf> },
}

/// What an operator made: one nameless output, or the fields of a record (`train`, `validation`).
pub type Outputs = Vec<(String, Output)>;

/// What an operator sees while it runs.
pub struct Context<'a> {
    /// Checked arguments with defaults filled, in the JSON form of `spec::value`. An argument that is an artifact, also inside a
    /// list or record, reads `{"$input": "slot"}`.
    pub args: Json,
    /// Artifacts by slot: `d`, `embed`, `of[0]`, `inputs.ego4d`.
    pub inputs: BTreeMap<String, Artifact>,
    /// The options of `with` that this operator accepts. They must not change the result.
    pub with: Json,
    /// Where blobs lie.
    pub store: &'a Store,
    /// A private folder, emptied afterwards.
    pub scratch: PathBuf,
    /// The folder that relative paths in the arguments start from.
    pub folder: PathBuf,
    /// Texts of the secrets that the arguments name, by name. They stand in no key, artifact, event or message.
    pub secrets: BTreeMap<String, String>,
    /// For [`crate::spec::Class::Sampled`] operators.
    pub seed: u64,
    /// The stream of row randomness: derived from seed, operator, arguments and ordinal.
    pub stream: Digest,
    /// Threads that the operator may use.
    pub threads: usize,
    /// Where checkpoints of this node's key are kept between attempts; for trainings.
    pub checkpoints: Option<PathBuf>,
    /// What the key holds besides the rows in slot `d`: for operators that remember what they said of each row. Nothing where each row must be asked
    /// anew.
    pub rowwise: Option<Map<String, Json>>,
    /// Receives progress: an event name and its fields.
    pub emit: &'a (dyn Fn(&str, Json) + Sync),
    /// Set when the run is being stopped.
    pub cancelled: &'a std::sync::atomic::AtomicBool,
    /// Rows that were dropped or changed, filled by the operator.
    pub fates: Vec<Fate>,
    /// Counts worth showing in the report, filled by the operator: `{"read": 9200, "dropped": 190, …}`.
    pub counts: BTreeMap<String, u64>,
}

impl Context<'_> {
    /// Reads all arguments into a struct.
    pub fn args<T: DeserializeOwned>(&self) -> Result<T, OpError> {
        serde_json::from_value(self.args.clone())
            .map_err(|e| OpError::new("E0612", format!("arguments do not fit the operator: {e}")))
    }

    /// Returns the artifact in a slot.
    pub fn input(&self, slot: &str) -> Result<&Artifact, OpError> {
        self.inputs.get(slot).ok_or_else(|| OpError::new("E0612", format!("no artifact was given for `{slot}`")))
    }

    /// Assembles the rows of the dataset in a slot.
    pub fn table(&self, slot: &str) -> Result<Table, OpError> {
        dataset::load(self.store, self.input(slot)?)
    }

    /// Assembles some columns of the dataset in a slot; those that it does not have are left out.
    pub fn columns(&self, slot: &str, names: &[&str]) -> Result<Table, OpError> {
        dataset::load_only(self.store, self.input(slot)?, |name| names.contains(&name))
    }

    /// Reads some columns of the dataset in a slot, chunk by chunk, for operators that decide by them about rows which they need not hold.
    ///
    /// # Errors
    /// `E0301` when it does not have one of them.
    pub fn parts(&self, slot: &str, names: &[&str]) -> Result<Vec<Table>, OpError> {
        let parts = self.chunks(slot)?.only(|name, _| names.contains(&name)).collect::<Result<Vec<_>, _>>()?;
        for name in names {
            parts.iter().try_for_each(|part| part.column(name).map(drop))?;
        }
        Ok(parts)
    }

    /// Reads the rows of the dataset in a slot in chunks, for operators that need not hold all of them.
    pub fn chunks(&self, slot: &str) -> Result<dataset::Chunks, OpError> {
        dataset::Chunks::open(self.store, self.input(slot)?)
    }

    /// Returns where a file of an artifact lies.
    pub fn file(&self, artifact: &Artifact, path: &str) -> Result<PathBuf, OpError> {
        let file = artifact
            .files
            .get(path)
            .ok_or_else(|| OpError::new("E0503", format!("the artifact has no file `{path}`")))?;
        Ok(self.store.path(file.digest))
    }

    /// Lays the files of an artifact out as a folder (hard links) under the scratch folder and returns it.
    pub fn folder_of(&self, artifact: &Artifact, name: &str) -> Result<PathBuf, OpError> {
        let root = self.scratch.join(name);
        self.lay_out(artifact, &root)?;
        Ok(root)
    }

    /// Lays the files of an artifact out in a folder (hard links).
    pub fn lay_out(&self, artifact: &Artifact, root: &Path) -> Result<(), OpError> {
        for (path, file) in &artifact.files {
            let target = root.join(path);
            std::fs::create_dir_all(target.parent().unwrap_or(Path::new("")))?;
            let source = self.store.path(file.digest);
            // A link that is there already would make the copy below write into the blob that it reads.
            match std::fs::remove_file(&target) {
                Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(e.into()),
                _ => {}
            }
            if std::fs::hard_link(&source, &target).is_err() {
                std::fs::copy(&source, &target)?;
            }
        }
        Ok(())
    }

    /// Reports progress: `done` of `total` units.
    pub fn progress(&self, done: u64, total: u64, unit: &str) {
        (self.emit)("node_progress", serde_json::json!({ "done": done, "total": total, "unit": unit }));
    }

    /// Reports how much memory a process of this node has had at most, in bytes; nothing where that is not known.
    pub fn memory(&self, bytes: u64) {
        if bytes > 0 {
            (self.emit)(MEMORY, serde_json::json!({ "bytes": bytes }));
        }
    }

    /// Tells people something about this node that is neither progress nor a failure.
    pub fn say(&self, text: &str) {
        (self.emit)("node_log", serde_json::json!({ "text": text }));
    }

    /// Says whether the run is being stopped; operators with long loops ask now and then and return an `OpError`.
    pub fn is_cancelled(&self) -> bool {
        self.cancelled.load(std::sync::atomic::Ordering::Relaxed)
    }

    /// Ends a long loop here when the run is being stopped.
    ///
    /// # Errors
    /// Class `preempted` then.
    pub fn go_on(&self) -> Result<(), OpError> {
        if self.is_cancelled() { Err(OpError::stopped()) } else { Ok(()) }
    }

    /// Wraps rows as the only output.
    pub fn rows(table: Table) -> Outputs {
        vec![(String::new(), Output::Table(table))]
    }

    /// Wraps a metric as the only output.
    pub fn metric(value: Json) -> Outputs {
        let artifact =
            Artifact { kind: Kind::Metric, meta: serde_json::json!({ "value": value }), files: BTreeMap::new() };
        vec![(String::new(), Output::Artifact(artifact))]
    }

    /// Stores a file of an output.
    pub fn put(&self, bytes: &[u8]) -> Result<FileRef, OpError> {
        Ok(self.store.put(bytes)?)
    }
}
