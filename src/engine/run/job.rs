//! One node's execution by a run: its lease, what others made meanwhile, attempts and their retries.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use super::lazily::{self, Promised};
use super::passing::Passing;
use super::prolong::Start;
use super::setup::{Setup, tell};
use super::{fit, place, prolong, slots};
use crate::base::world::OsWorld;
use crate::base::{Digest, OpError};
use crate::engine::artifact::Artifact;
use crate::engine::executors::{self, Work};
use crate::engine::node::task::{Made, Task};
use crate::engine::remote::Offer;
use crate::engine::storage::identity::{self, Identity, Results};
use crate::engine::storage::lease::{self, Lease};
use crate::engine::storage::record::Record;
use crate::engine::storage::recorded::Began;
use crate::engine::storage::verify;
use crate::plan::memory::ladder::Plan;
use crate::plan::prolong::KEEP;
use crate::plan::{Graph, Node, NodeId, key, memory, serving};
use crate::spec::{Class, Effect, Pool};

/// The option that tells a training how many steps down the ladder of memory it is, because memory ran out or would have.
pub const SQUEEZE: &str = "$squeeze";
/// How many of them were taken before memory ran out.
pub const FORESEEN: &str = "$foreseen";

/// How often a node goes on after it was preempted, before that counts as its failure.
const RESUMED: usize = 100;

/// What comes back of a job.
pub(super) type Outcome = Result<(Finished, Made), OpError>;

/// How a job's result came about.
pub(super) enum Finished {
    /// It was executed, or put together; the lease is held until it is recorded.
    Executed { ended: Ended, lease: Lease },
    /// Another run made it in the meantime, or it came from the remote.
    Found(Box<Record>, Results),
    /// The remote has it; so many bytes were left there.
    Promised(Box<Record>, Results, u64),
    /// It is recorded nowhere, under `no_exec`.
    Missed,
}

/// What an execution came to besides what it made.
pub(super) struct Ended {
    /// What it took; what it had taken, where the result was only put together.
    pub seconds: f64,
    /// Under which what it decided of the rows is recorded.
    pub of_rows: Option<Digest>,
    /// The key of the state that a training kept for longer ones.
    pub kept: Option<Digest>,
    /// The state from which a training went on.
    pub began: Option<Began>,
    /// The operator did not run: what it decides of the rows was recorded.
    pub passed: bool,
}

/// Executes a node whose result is recorded once more; nothing is recorded of it.
///
/// # Errors
/// What the operator reports; class `damaged` when bytes that it reads are.
pub(crate) fn execute_again(
    graph: &Graph,
    id: NodeId,
    identity: &Identity,
    results: &BTreeMap<NodeId, Results>,
    setup: &Setup,
) -> Result<Made, OpError> {
    let node = graph.node(id);
    let (inputs, identity) = (identity::given(node, results), identity.clone());
    verify::sound(setup.store, inputs.values().flat_map(|artifact| artifact.files.values()))?;
    let (executor, gpus) = (place::of(node, setup.executors).to_owned(), Vec::new());
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let job = Job {
        id,
        node,
        inputs,
        holes: Map::new(),
        identity,
        complete: true,
        afresh: true,
        executor,
        threads,
        gpus,
        lease: None,
        told: true,
        foreseen: memory::foreseen(graph, node, &OsWorld),
        whole: true,
        promised: Vec::new(),
        setup,
    };
    job.attempt(job.foreseen, None, None)
}

/// One execution, on a thread of its own.
pub(super) struct Job<'a> {
    pub id: NodeId,
    pub node: &'a Node,
    pub inputs: BTreeMap<String, Artifact>,
    /// Why inputs are missing, by slot.
    pub holes: Map<String, Json>,
    pub identity: Identity,
    pub complete: bool,
    /// It is executed for comparison: nothing that is remembered of rows counts.
    pub afresh: bool,
    pub executor: String,
    pub threads: usize,
    pub gpus: Vec<String>,
    /// The lease, where nobody had it when the job was given out.
    pub lease: Option<Lease>,
    /// It was told that the node runs.
    pub told: bool,
    /// Steps down the ladder of memory that are taken before it runs at all.
    pub foreseen: u64,
    /// The bytes of its result must be here.
    pub whole: bool,
    /// What it reads and is not here yet.
    pub promised: Vec<Promised>,
    pub setup: &'a Setup<'a>,
}

impl Job<'_> {
    /// Takes the lease if nobody has it, and says that the node runs: here, so that this is told in the order in which jobs are given out.
    pub(super) fn begin(&mut self) {
        // What goes wrong here does so again when the job waits for the lease, and is told then.
        self.lease = lease::at_once(self.setup.store, self.identity.key).unwrap_or_default();
        let known = || self.passing().is_some_and(|p| p.is_known(self.setup.store));
        let recorded =
            || self.complete && (identity::recorded(self.setup.store, self.identity.key).is_some() || known());
        // With a remote nobody knows yet whether it runs.
        if self.lease.is_some() && self.setup.remote.is_none() && !self.setup.no_exec && !recorded() {
            self.tell("node_started", Map::new());
            self.told = true;
        }
    }

    /// Executes the node, unless somebody else made its result in the meantime.
    pub(super) fn run(mut self) -> Outcome {
        let held = match self.lease.take() {
            Some(held) => held,
            None => {
                let waits = |holder: Json| self.emit("node_waits", holder);
                match lease::lease(self.setup.store, self.setup.stop, self.identity.key, &waits)? {
                    Some(held) => held,
                    None => return Err(OpError::stopped()),
                }
            }
        };
        // Whoever had the lease before may have made it, or somebody elsewhere.
        if self.complete
            && let Some(found) = self.made_by_others()
        {
            return Ok((found, Made::default()));
        }
        if self.stopped() {
            return Err(OpError::stopped());
        }
        let passing = self.passing();
        if let (Some(passing), Some(remote)) = (&passing, self.setup.remote)
            && !passing.is_known(self.setup.store)
        {
            // What somebody decided of these rows elsewhere saves the execution here.
            let emit = |event: &str, fields: Json| self.emit(event, fields);
            remote.fetch(self.setup.store, passing.key, &emit, &self.setup.stop.soon);
        }
        if !self.setup.no_exec || passing.as_ref().is_some_and(|p| p.is_known(self.setup.store)) {
            lazily::bring(self.setup, &self.promised, &|event: &str, fields: Json| self.emit(event, fields))?;
        }
        if let Some(passing) = &passing
            && let Some((record, decided)) = passing.known(self.setup.store)
        {
            verify::sound(self.setup.store, self.inputs.values().chain([&decided]).flat_map(|a| a.files.values()))?;
            let made = Made { outputs: BTreeMap::new(), fates: record.told(self.setup.store), counts: record.counts };
            let made = self.assembled(passing, &decided, made)?;
            let (seconds, of_rows) = (record.seconds, Some(passing.key));
            let ended = Ended { seconds, of_rows, kept: None, began: None, passed: true };
            return Ok((Finished::Executed { ended, lease: held }, made));
        }
        if self.setup.no_exec {
            return Ok((Finished::Missed, Made::default()));
        }
        if !fit::lacking(self.node, self.setup.executors).is_empty() {
            let message = fit::words(self.node, self.setup.executors);
            return Err(OpError::new("E0620", message).help(fit::help(self.node)));
        }
        if !self.told {
            self.tell("node_started", Map::new());
        }
        verify::sound(self.setup.store, self.inputs.values().flat_map(|artifact| artifact.files.values()))?;
        let start = self.start()?;
        let retries = self.node.with.get("retries").and_then(Json::as_u64).unwrap_or(0);
        let rungs = self.rungs();
        let (mut attempt, mut squeeze, mut resumed) = (0, self.foreseen.min(rungs), 0);
        if squeeze > 0 {
            self.emit("node_foreseen", json!({ "squeeze": squeeze }));
        }
        loop {
            let started = Instant::now();
            match self.attempt(squeeze, passing.as_ref(), start.as_ref()) {
                Ok(mut made) => {
                    self.same_inputs()?;
                    let seconds = started.elapsed().as_secs_f64();
                    if let Some(passing) = &passing {
                        made = passing.keep(self.setup.store, self.node, seconds, made)?;
                        let decided = made.outputs.remove("").ok_or_else(|| OpError::new("E0612", "no rows came"))?;
                        made = self.assembled(passing, &decided, made)?;
                    }
                    let (kept, began) = self.states(start.as_ref(), &mut made)?;
                    let ended = Ended { seconds, of_rows: passing.map(|p| p.key), kept, began, passed: false };
                    return Ok((Finished::Executed { ended, lease: held }, made));
                }
                Err(e) if e.class == "oom" && squeeze < rungs && !self.stopped() => {
                    squeeze += 1;
                    self.emit("node_retried", json!({ "squeeze": squeeze, "message": e.message }));
                }
                // Whoever took the machine away is to blame, so it goes on from its checkpoint and no attempt is counted.
                Err(e) if e.class == "preempted" && resumed < RESUMED && !self.stopped() => {
                    resumed += 1;
                    self.emit("node_retried", json!({ "resumed": resumed, "message": e.message }));
                    std::thread::sleep(Duration::from_secs(1));
                }
                Err(e) if attempt < retries && matches!(e.class, "flaky" | "oom") && !self.stopped() => {
                    attempt += 1;
                    self.emit("node_retried", json!({ "attempt": attempt, "message": e.message }));
                    std::thread::sleep(Duration::from_secs(1 << attempt.min(5)));
                }
                Err(e) => return Err(e),
            }
        }
    }

    /// Returns the state that a training begins from, its bytes compared.
    fn start(&self) -> Result<Option<Start>, OpError> {
        let (store, mut spoilt) = (self.setup.store, None);
        while let Some(start) = prolong::claimed(store, self.node, &self.identity) {
            match verify::sound(store, start.state.files.values()) {
                // Its record is forgotten by now, so the one before it is looked for, and in the end none; unless nothing can be written in the store.
                Err(e) if e.class == "damaged" && spoilt != Some(start.key) => {
                    self.emit("bytes_damaged", json!({ "message": e.message }));
                    spoilt = Some(start.key);
                }
                sound => return sound.map(|()| Some(start)),
            }
        }
        Ok(None)
    }

    /// Keeps the state that a training gave, and says which it began from.
    fn states(&self, start: Option<&Start>, made: &mut Made) -> Result<(Option<Digest>, Option<Began>), OpError> {
        let given = made.outputs.remove(prolong::STATE).filter(|_| self.complete);
        let kept = given.map(|state| prolong::keep(self.setup.store, self.node, &self.identity, state)).transpose()?;
        let begun = start.filter(|_| made.counts.contains_key(prolong::BEGUN));
        // Where its own would be the one that it began from, that one is kept for its sake too.
        let same = begun.filter(|_| self.node.with.get(KEEP).and_then(Json::as_bool) == Some(true));
        let kept = kept.or_else(|| same.map(|start| start.key));
        Ok((kept, begun.map(|start| Began { state: start.key, step: start.step })))
    }

    /// Returns how the node's execution is parted, if columns pass it that its operator does not look at. Who compares wants the operator to see all.
    fn passing(&self) -> Option<Passing> {
        let parted = self.complete && !self.afresh;
        parted.then(|| Passing::of(self.node, &self.identity, &self.inputs)).flatten()
    }

    /// Returns the result: what was decided of the rows, beside the columns that passed.
    fn assembled(&self, passing: &Passing, decided: &Artifact, made: Made) -> Result<Made, OpError> {
        let input = self.inputs.get(&passing.slot).ok_or_else(|| OpError::new("E0612", "no rows were given"))?;
        let whole = passing.assemble(self.setup.store, input, decided)?;
        Ok(Made { outputs: BTreeMap::from([(String::new(), whole)]), ..made })
    }

    fn made_by_others(&self) -> Option<Finished> {
        let (store, key) = (self.setup.store, self.identity.key);
        let found = |(record, results)| Finished::Found(Box::new(record), results);
        identity::claimed(store, key).map(found).or_else(|| {
            let emit = |event: &str, fields: Json| self.emit(event, fields);
            let remote = self.setup.remote?;
            if !self.whole {
                let Offer { entry, results, .. } = remote.recall(store, key).or_else(|| {
                    let offer = remote.offer(key, &emit)?;
                    // What cannot be remembered is asked again.
                    let _ = remote.remember(store, &offer);
                    Some(offer)
                })?;
                let left = entry.bytes_lacking(store);
                return Some(Finished::Promised(Box::new(entry.record), results, left));
            }
            remote.fetch(store, key, &emit, &self.setup.stop.soon)?;
            identity::claimed(store, key).map(found)
        })
    }

    fn emit(&self, event: &str, fields: Json) {
        self.tell(event, if let Json::Object(map) = fields { map } else { Map::new() });
    }

    /// Returns how often a training that runs out of memory can be asked to do with less.
    fn rungs(&self) -> u64 {
        let spec = self.setup.operators.get(&self.node.op).map(|builtin| &builtin.spec);
        let trains = spec.filter(|spec| spec.effect == Effect::Train && spec.with.contains(&"micro_batch"));
        trains.map_or(0, |spec| {
            let ranks = slots::ranks(self.node, spec.with) as u64;
            Plan::asked(&self.node.with, ranks).rungs().len() as u64
        })
    }

    /// Returns what the key holds besides the rows that the node reads. Draws may depend on more than a row, and who compares wants nothing remembered.
    fn rowwise(&self) -> Option<Map<String, Json>> {
        let remembers = !self.afresh && self.node.class != Class::Sampled && self.inputs.contains_key("d");
        let mut fields = remembers.then(|| self.identity.preimage(self.node))?;
        fields.remove("input.d");
        Some(fields)
    }

    fn attempt(&self, squeeze: u64, passing: Option<&Passing>, start: Option<&Start>) -> Result<Made, OpError> {
        let (store, key) = (self.setup.store, self.identity.key);
        let Some(builtin) = self.setup.operators.get(&self.node.op) else {
            return Err(OpError::new("E0204", format!("there is no operator `{}`", self.node.op)));
        };
        let Some(executor) = self.setup.executors.get(&self.executor) else {
            return Err(OpError::new("E0621", format!("there is no executor `{}`", self.executor)));
        };
        let sampled = self.node.class == Class::Sampled;
        let mut args = self.node.args.clone();
        if let (Some(args), Some(history)) = (args.as_object_mut(), &self.identity.reads.history) {
            args.insert("$history".into(), history.clone());
        }
        if let (Some(args), Some(server)) = (args.as_object_mut(), &self.identity.reads.server) {
            args.insert("$server".into(), server.clone());
        }
        if let Some(args) = args.as_object_mut().filter(|_| !self.holes.is_empty()) {
            args.insert("$holes".into(), Json::Object(self.holes.clone()));
        }
        if let (Some(service), Some(args)) = (service_of(self.node, &self.identity.reads.inputs), args.as_object_mut())
        {
            args.insert("$service".into(), json!({ "name": service, "gpus": self.gpus }));
        }
        let mut with = self.node.with.clone();
        if squeeze > 0 {
            with.insert(SQUEEZE.into(), json!(squeeze));
            with.insert(FORESEEN.into(), json!(self.foreseen));
        }
        if self.afresh {
            with.remove(KEEP);
        }
        let checkpoints = (self.node.pool == Pool::Engine).then(|| executors::checkpoints(store.root(), key));
        let mut inputs = self.inputs.clone();
        if let Some(passing) = passing {
            inputs.insert(passing.slot.clone(), passing.seen.clone());
        }
        inputs.extend(start.map(|start| (prolong::STATE.to_owned(), start.state.clone())));
        let task = Task {
            op: self.node.op.clone(),
            pool: self.node.pool,
            args,
            inputs,
            with: Json::Object(with),
            store: store.root().to_path_buf(),
            scratch: PathBuf::new(),
            folder: std::path::absolute(&self.node.folder)?,
            seed: if sampled { self.node.seed.unwrap_or(0).cast_unsigned() } else { 0 },
            stream: key::stream(self.node),
            threads: self.threads,
            gpus: self.gpus.clone(),
            ranks: slots::ranks(self.node, builtin.spec.with),
            launched: false,
            checkpoints: checkpoints.clone(),
            rowwise: self.rowwise(),
        };
        let named = self.setup.secrets.iter().filter(|(name, _)| self.node.secrets.contains(name));
        let emit = |event: &str, fields: Json| self.emit(event, fields);
        let made = executor.execute(
            store,
            &Work {
                name: &self.node.name,
                key,
                builtin,
                task,
                secrets: named.map(|(k, v)| (k.clone(), v.clone())).collect(),
                log: executors::log(store, key),
                emit: &emit,
                stop: self.setup.stop,
            },
        )?;
        if let Some(checkpoints) = checkpoints {
            // The result is there; what was kept to get to it is garbage.
            let _ = std::fs::remove_dir_all(&checkpoints);
        }
        Ok(made)
    }

    /// Files that changed while a source read them must not be taken for what their digest says.
    fn same_inputs(&self) -> Result<(), OpError> {
        for arg in &self.node.paths {
            let now = self.setup.files.look(arg)?;
            if self.identity.reads.files.get(&arg.arg) != Some(&now) {
                let message = format!("`{}` changed while it was read", arg.path.display());
                return Err(OpError::new("E0502", message).help("run again when nothing writes there any more"));
            }
        }
        Ok(())
    }

    fn stopped(&self) -> bool {
        self.setup.stop.soon.load(Ordering::Relaxed)
    }

    fn tell(&self, event: &str, fields: Map<String, Json>) {
        tell(self.setup.listener, self.node, Some(self.identity.key.hex()), event, fields);
    }
}

/// Returns the name of the server that a node asks, where one is started for it: which program, which model, how many GPUs.
pub(super) fn service_of(node: &Node, inputs: &BTreeMap<String, crate::base::Digest>) -> Option<String> {
    let program = node.args["backend"].as_str().filter(|b| *b != serving::SERVER)?;
    let gpus = node.with.get("gpus").and_then(Json::as_u64).unwrap_or(0);
    Some(format!("{program} {} on {gpus} gpus", inputs.get("m")?.short()))
}
