//! Executes one node in this process: calls the operator, takes what it made into the store, and turns a panic into a
//! failure that names the operator.

use std::any::Any;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::AssertUnwindSafe;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::Value as Json;

use super::context::{Builtin, Context, Output};
use super::task::{Made, Task};
use crate::base::OpError;
use crate::engine::artifact::{Artifact, FileRef, Kind};
use crate::engine::storage::dataset;
use crate::engine::storage::store::Store;

/// Runs an operator.
///
/// # Errors
/// What the operator reports; `E0612` of class `bug` when it panics.
pub fn execute(
    builtin: &Builtin,
    task: &Task,
    secrets: BTreeMap<String, String>,
    store: &Store,
    emit: &(dyn Fn(&str, Json) + Sync),
    cancelled: &AtomicBool,
) -> Result<Made, OpError> {
    let Some(run) = builtin.run else {
        return Err(OpError::new("E0612", format!("`{}` has no code in this build", task.op))
            .help("`rbpipe engine install` builds the tensor engine"));
    };
    let mut cx = Context {
        args: task.args.clone(),
        inputs: task.inputs.clone(),
        with: task.with.clone(),
        store,
        scratch: task.scratch.clone(),
        folder: task.folder.clone(),
        secrets,
        seed: task.seed,
        stream: task.stream,
        threads: task.threads,
        checkpoints: task.checkpoints.clone(),
        rowwise: task.rowwise.clone(),
        emit,
        cancelled,
        fates: Vec::new(),
        counts: BTreeMap::new(),
    };
    quiet_panics();
    WATCHED.store(true, Ordering::Relaxed);
    let outputs = std::panic::catch_unwind(AssertUnwindSafe(|| run(&mut cx)))
        .unwrap_or_else(|payload| Err(panicked(&task.op, payload.as_ref())))?;
    let mut made = Made { fates: cx.fates, counts: cx.counts, ..Made::default() };
    for (field, output) in outputs {
        let artifact = match output {
            Output::Table(table) => dataset::save(store, &table)?,
            Output::Artifact(artifact) => artifact,
            Output::Folder { kind, meta, path, attached } => {
                let folder = task.scratch.join(path);
                let attached = attached.map(|inner| folder.join(inner));
                take_folder(store, kind, meta, &folder, attached.as_deref())?
            }
        };
        made.outputs.insert(field, artifact);
    }
    Ok(made)
}

/// Takes a folder of files into the store; those under `attached` as attachments.
fn take_folder(
    store: &Store,
    kind: Kind,
    meta: Json,
    folder: &Path,
    attached: Option<&Path>,
) -> Result<Artifact, OpError> {
    let mut files: BTreeMap<String, FileRef> = BTreeMap::new();
    let mut stack: Vec<PathBuf> = vec![folder.to_path_buf()];
    while let Some(dir) = stack.pop() {
        for entry in std::fs::read_dir(&dir)? {
            let path = entry?.path();
            if path.is_dir() {
                stack.push(path);
                continue;
            }
            let name = path.strip_prefix(folder).unwrap_or(&path).to_string_lossy().into_owned();
            let attached = attached.is_some_and(|inner| path.starts_with(inner));
            files.insert(name, FileRef { attached, ..store.put_file(&path)? });
        }
    }
    Ok(Artifact { kind, meta, files })
}

static WATCHED: AtomicBool = AtomicBool::new(false);

thread_local! {
    static LAST_PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// While operators run, a panic is reported as the failure of its node and not as a backtrace.
fn quiet_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            let place = info.location().map(|l| format!("{}:{}", l.file(), l.line()));
            LAST_PLACE.with(|p| *p.borrow_mut() = place);
            let main = std::thread::current().name() == Some("main");
            if main || !WATCHED.load(Ordering::Relaxed) {
                usual(info);
            }
        }));
    });
}

pub(crate) fn panicked(op: &str, payload: &(dyn Any + Send)) -> OpError {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".into());
    let place = LAST_PLACE.with(|p| p.borrow_mut().take()).map_or(String::new(), |p| format!(" ({p})"));
    OpError::new("E0612", format!("`{op}` stopped at a mistake of its own{place}: {text}"))
        .help("this is a bug of rbpipe: please report it with the recipe")
}
