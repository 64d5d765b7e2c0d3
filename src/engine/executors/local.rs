//! This machine: tensors in a process of `rbpipe-engine`, everything else in this one.

use serde_json::json;

use super::{Executor, FindEngine, Work};
use crate::base::OpError;
use crate::engine::capacity::Capacity;
use crate::engine::capacity::Machine;
use crate::engine::event::GPUS;
use crate::engine::node::gpu_use;
use crate::engine::node::in_process;
use crate::engine::node::process::Limits;
use crate::engine::node::ranks;
use crate::engine::node::task::Made;
use crate::engine::storage::store::Store;
use crate::spec::{Pool, user_op};

/// Executes nodes on this machine.
pub struct Local<'a> {
    /// What it has.
    pub machine: Machine,
    /// How many nodes of this process run at a time.
    pub jobs: usize,
    /// The engine binary.
    pub engine: FindEngine<'a>,
}

impl Executor for Local<'_> {
    fn capacity(&self) -> Capacity {
        Capacity::Machine(self.machine.clone(), self.jobs.max(1))
    }

    fn execute(&self, store: &Store, work: &Work) -> Result<Made, OpError> {
        let scratch = store.scratch()?;
        let mut task = work.task.clone();
        task.scratch = scratch.path().to_path_buf();
        if let Some(checkpoints) = &task.checkpoints {
            std::fs::create_dir_all(checkpoints)?;
        }
        if let (user_op::RUN, Some(args)) = (task.op.as_str(), task.args.as_object_mut()) {
            args.insert("$log".into(), json!(work.log));
            args.insert("$gpus".into(), json!(task.gpus));
        }
        let watch = gpu_use::Watch::begin(&task.gpus);
        let made = if work.task.pool == Pool::Engine {
            let limits = Limits::of(&task.with);
            (self.engine)().and_then(|engine| {
                ranks::execute(&engine, &task, &json!(work.secrets), &work.log, work.emit, work.stop, limits)
            })
        } else {
            in_process::execute(work.builtin, &task, work.secrets.clone(), store, work.emit, &work.stop.soon)
        };
        if let Some(told) = watch.and_then(gpu_use::Watch::end) {
            (work.emit)(GPUS, told);
        }
        made
    }
}
