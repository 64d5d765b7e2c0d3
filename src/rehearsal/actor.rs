//! Executes the nodes of a rehearsal: as ever, but nothing ends for want of rows, and a model is not asked what another one was asked already.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, PoisonError};

use super::small;
use crate::base::{Digest, OpError};
use crate::engine::capacity::Capacity;
use crate::engine::executors::{Executor, Work};
use crate::engine::node::task::{Made, Task};
use crate::engine::storage::store::Store;
use crate::spec::Effect;

/// What is said of a model and a benchmark that were both asked before, each with another one.
pub const ALIKE: &str = "model and benchmark were asked before, each with another one";
/// What there is to say of nodes, by name.
pub type Notes = Mutex<BTreeMap<String, String>>;

/// An executor in front of another one.
pub struct Actor<'a> {
    inner: Box<dyn Executor + 'a>,
    notes: &'a Notes,
    /// What each benchmark made of the first model that it was put to.
    scores: Mutex<BTreeMap<String, Made>>,
    /// Models that were asked something.
    asked: Mutex<BTreeSet<Digest>>,
}

impl<'a> Actor<'a> {
    /// Puts itself before an executor.
    pub fn new(inner: Box<dyn Executor + 'a>, notes: &'a Notes) -> Self {
        Self { inner, notes, scores: Mutex::default(), asked: Mutex::default() }
    }

    fn note(&self, name: &str, what: String) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned(), what);
    }

    /// A sweep puts every model to every benchmark: each of both once is enough to know that they fit.
    fn score(&self, store: &Store, work: &Work) -> Result<Made, OpError> {
        let question =
            Digest::of_json(&serde_json::json!([work.task.args, work.task.inputs.get("on").map(|a| a.digest())]));
        let question = question.hex();
        let model = work.task.inputs.get("m").map(|a| a.digest());
        let known = self.scores.lock().unwrap_or_else(PoisonError::into_inner).get(&question).cloned();
        let fresh = model.is_none_or(|m| self.asked.lock().unwrap_or_else(PoisonError::into_inner).insert(m));
        if let Some(made) = known.filter(|_| !fresh) {
            self.note(work.name, ALIKE.to_owned());
            return Ok(made);
        }
        let made = self.inner.execute(store, work)?;
        self.scores.lock().unwrap_or_else(PoisonError::into_inner).insert(question, made.clone());
        Ok(made)
    }
}

impl Executor for Actor<'_> {
    fn capacity(&self) -> Capacity {
        self.inner.capacity()
    }

    fn execute(&self, store: &Store, work: &Work) -> Result<Made, OpError> {
        if work.builtin.spec.effect == Effect::Score && work.task.op == "eval.run" {
            return self.score(store, work);
        }
        let made = self.inner.execute(store, work)?;
        let read: u64 = work.task.inputs.values().filter_map(|a| a.rows()).sum();
        let none = |made: &Made| !made.outputs.is_empty() && made.outputs.values().all(|a| a.rows() == Some(0));
        if read == 0 || !none(&made) {
            return Ok(made);
        }
        // Made-up rows are no reason for what comes after to have none.
        if let Some(args) = small::easier(&work.task.op, &work.task.args) {
            let task = Task { args, ..work.task.clone() };
            let again = Work { task, secrets: work.secrets.clone(), log: work.log.clone(), ..*work };
            if let Ok(made) = self.inner.execute(store, &again)
                && !none(&made)
            {
                self.note(work.name, "kept no made-up row, so that its conditions were dropped".to_owned());
                return Ok(made);
            }
        }
        self.note(work.name, "keeps no made-up row: nothing after it has rows".to_owned());
        Ok(made)
    }
}
