//! Runs a graph: looks each node up once what it reads is there, executes what is not recorded, several at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Mutex, mpsc};
use std::time::{Duration, Instant};

use serde_json::{Map, Value as Json, json};

use super::decide::{Line, Tally};
use super::job::{Ended, Finished, Job, Outcome, service_of};
use super::lazily::Promised;
use super::passing::Passing;
use super::setup::{Setup, tell};
use super::slots::Slots;
use super::state::{NodeState, States};
use super::{lazily, place};
use crate::base::OpError;
use crate::base::world::OsWorld;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::event::{Event, Listener};
use crate::engine::executors::LOCAL;
use crate::engine::node::context::{Fate, QUARANTINED};
use crate::engine::node::in_process;
use crate::engine::node::task::Made;
use crate::engine::storage::identity::{self, Identity, Results};
use crate::engine::storage::record::{self, Came, Published, Record};
use crate::engine::storage::verify;
use crate::plan::select::Selection;
use crate::plan::{Graph, NodeId, memory};

/// How often a node may find damaged bytes before that counts as its failure.
const MENDED: usize = 3;

/// What became of a run.
#[derive(Debug, Default)]
pub struct Summary {
    /// How each selected node ended.
    pub states: BTreeMap<NodeId, NodeState>,
    /// Results by node.
    pub results: BTreeMap<NodeId, Results>,
    /// Their action keys, as far as what they read became known.
    pub identities: BTreeMap<NodeId, Identity>,
    /// Why nodes failed, in the order in which they did.
    pub failures: Vec<(NodeId, Failure)>,
    /// Nodes that are not recorded, under `no_exec`.
    pub misses: Vec<NodeId>,
    /// Expectations that failed.
    pub broken: Vec<NodeId>,
    /// How long it took.
    pub seconds: f64,
    /// It was stopped on request.
    pub interrupted: bool,
    /// What was foreseen was refused, so that nothing was executed.
    pub refused: bool,
}

/// Why a node failed.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The code.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// The next step.
    pub help: Option<String>,
}

impl Failure {
    /// Returns it as the error of an operator.
    pub fn error(&self) -> OpError {
        OpError { help: self.help.clone(), ..OpError::new(self.code, self.message.clone()) }
    }
}

impl Summary {
    /// Counts nodes that the run was stopped before.
    pub fn left(&self) -> usize {
        use NodeState::{Queued, Ready, Waiting};
        self.states.values().filter(|s| matches!(s, Waiting | Ready | Queued)).count()
    }

    /// Counts nodes in a state.
    pub fn count(&self, state: NodeState) -> usize {
        self.states.values().filter(|s| **s == state).count()
    }
}

/// Runs what is selected.
pub fn run(graph: &Graph, selection: &Selection, setup: &Setup) -> Summary {
    let mut run = Run {
        graph,
        setup,
        states: States::new(graph, &selection.nodes),
        summary: Summary::default(),
        slots: Slots::new(graph, setup.executors),
        identities: BTreeMap::new(),
        incomplete: BTreeSet::new(),
        mended: BTreeMap::new(),
        needed: if setup.lazy { lazily::needed(graph, selection) } else { selection.nodes.iter().copied().collect() },
        promised: BTreeMap::new(),
        foreseen: None,
    };
    let started = Instant::now();
    let (send, receive) = mpsc::channel();
    std::thread::scope(|scope| {
        loop {
            let stopping = setup.stop.soon.load(Ordering::Relaxed)
                || (setup.fail_fast && !(run.summary.failures.is_empty() && run.summary.broken.is_empty()));
            if !stopping {
                run.look_up();
                if !run.foresee() {
                    break;
                }
                while let Some(job) = run.next_job() {
                    let send = send.clone();
                    let started = std::thread::Builder::new().name("node".into()).spawn_scoped(scope, move || {
                        let (id, node) = (job.id, job.node);
                        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| job.run()))
                            .unwrap_or_else(|payload| Err(in_process::panicked(&node.op, payload.as_ref())));
                        let _ = send.send((id, outcome));
                    });
                    if let Err(e) = started {
                        run.summary.interrupted = true;
                        setup.stop.soon.store(true, Ordering::Relaxed);
                        setup.listener.hear(&Event::new("run_failed").with("message", e.to_string()));
                    }
                }
            }
            if !run.slots.busy() && (stopping || run.nothing_waits()) {
                break;
            }
            setup.listener.settled();
            match receive.recv_timeout(Duration::from_millis(100)) {
                Ok((id, outcome)) => run.finished(id, outcome),
                Err(mpsc::RecvTimeoutError::Timeout) => {}
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
            }
        }
    });
    setup.listener.settled();
    let mut summary = run.summary;
    summary.identities = run.identities;
    summary.interrupted |= setup.stop.soon.load(Ordering::Relaxed);
    summary.states = run.states.all().collect();
    summary.seconds = started.elapsed().as_secs_f64();
    summary
}

struct Run<'a> {
    graph: &'a Graph,
    setup: &'a Setup<'a>,
    states: States<'a>,
    summary: Summary,
    slots: Slots<'a>,
    identities: BTreeMap<NodeId, Identity>,
    /// Nodes that read something incomplete: their results are never recorded.
    incomplete: BTreeSet<NodeId>,
    /// Nodes whose bytes must be here.
    needed: BTreeSet<NodeId>,
    /// Results of which only the description is here.
    promised: BTreeMap<NodeId, Promised>,
    /// How often a node found damaged bytes in what it reads.
    mended: BTreeMap<NodeId, usize>,
    /// What the plan said of nodes that had no result when the first was executed.
    foreseen: Option<BTreeMap<NodeId, Json>>,
}

impl<'a> Run<'a> {
    /// Looks up every node that is ready.
    fn look_up(&mut self) {
        while let Some(&id) = self.states.ready.iter().next() {
            let node = self.graph.node(id);
            if node.gate.is_some() {
                self.ask(id);
                continue;
            }
            let inputs = identity::inputs(node, &self.summary.results);
            let holes = inputs.len() < node.inputs.len();
            if holes || node.inputs.iter().any(|i| self.incomplete.contains(&i.node)) {
                self.incomplete.insert(id);
            }
            let key = |of: NodeId| self.identities.get(&of).map(|i| i.key);
            match identity::identify(self.graph, id, inputs, self.setup.files, self.setup.store, &key) {
                Ok(identity) => {
                    let found =
                        identity::claimed(self.setup.store, identity.key).filter(|_| !self.incomplete.contains(&id));
                    let key = identity.key;
                    self.identities.insert(id, identity);
                    if found.is_none() && !self.setup.no_exec && !self.incomplete.contains(&id) {
                        self.forget_spoilt(id, key);
                    }
                    match found {
                        Some((record, results)) => self.hit(id, &record, results),
                        None if self.setup.no_exec
                            && (self.setup.remote.is_none() || self.incomplete.contains(&id))
                            && !self.passes(id) =>
                        {
                            self.missed(id);
                        }
                        None => {
                            let service = self.identities.get(&id).and_then(|i| service_of(node, &i.reads.inputs));
                            self.states.set(id, NodeState::Queued);
                            // What is only looked for needs no room anywhere.
                            // A server that is started for a node is on this machine.
                            let here = self.setup.no_exec || service.is_some();
                            let at = if here { LOCAL } else { place::of(node, self.setup.executors) };
                            self.slots.wait(id, node, at, service);
                        }
                    }
                }
                Err(e) => {
                    let code = if e.kind() == std::io::ErrorKind::NotFound { "E0501" } else { "E0612" };
                    self.failed(id, &OpError::new(code, e.to_string()));
                }
            }
        }
    }

    /// Says whether what a node decides of its rows is recorded, so that its result need only be put together.
    fn passes(&self, id: NodeId) -> bool {
        let node = self.graph.node(id);
        let identity = self.identities.get(&id).filter(|_| !self.incomplete.contains(&id));
        let passing = identity.and_then(|i| Passing::of(node, i, &identity::given(node, &self.summary.results)));
        passing.is_some_and(|passing| passing.is_known(self.setup.store))
    }

    /// A result that is recorded and cannot be used is damage, and told as such before it is made anew.
    fn forget_spoilt(&self, id: NodeId, key: crate::base::Digest) {
        if let Some(message) = verify::forget_spoilt(self.setup.store, key) {
            self.tell(id, "bytes_damaged", Map::from_iter([("message".to_owned(), json!(message))]));
        }
    }

    /// Asks once, before anything is executed, what the plan says of what has no result yet. Says whether the run goes on.
    fn foresee(&mut self) -> bool {
        if self.foreseen.is_some() || self.slots.empty() || self.setup.no_exec {
            return true;
        }
        let foresee = self.setup.foresee.unwrap_or(&|_| Some(Vec::new()));
        let Some(lines) = foresee(&self.summary.results) else {
            self.summary.refused = true;
            return false;
        };
        let tally = Tally::of(self.graph, &lines);
        let event = Event::new("run_foreseen")
            .with("run", tally.run)
            .with("maybe", tally.maybe)
            .with("seconds", tally.seconds)
            .with("seconds_maybe", tally.seconds_maybe)
            .with("untimed", tally.untimed);
        if !lines.is_empty() {
            self.setup.listener.hear(&event);
        }
        let told = |l: &Line| (l.node, json!({ "state": l.forecast.word(), "seconds": l.seconds }));
        self.foreseen = Some(lines.iter().map(told).collect());
        true
    }

    fn hit(&mut self, id: NodeId, record: &Record, results: Results) {
        let mut fields = Map::new();
        if let Some(rows) = record.rows {
            fields.insert("rows".into(), json!(rows));
        }
        fields.insert("output".into(), output(&record.outputs));
        self.summary.results.insert(id, results);
        self.tell(id, "node_hit", fields);
        self.states.set(id, NodeState::Hit);
    }

    fn missed(&mut self, id: NodeId) {
        self.summary.misses.push(id);
        self.tell(id, "node_missed", Map::new());
        let skipped = self.states.set(id, NodeState::Skipped);
        self.summary.misses.extend(skipped);
    }

    /// Asks an expectation. It costs nothing, so it is asked in every run.
    fn ask(&mut self, id: NodeId) {
        let Some(gate) = &self.graph.node(id).gate else { return };
        let results = &self.summary.results;
        let meta =
            |of: &crate::plan::artifact::Artifact, path: &str| fact(&results.get(&of.node)?.get(&of.field)?.1, path);
        let answer = gate.cond.value(&meta);
        let mut fields = Map::new();
        fields.insert("text".into(), json!(gate.text));
        fields.insert("values".into(), json!(gate.cond.with_values(&meta)));
        if let Some(message) = &gate.message {
            fields.insert("message".into(), json!(message));
        }
        match answer {
            Ok(Json::Bool(true)) => {
                self.summary.results.insert(id, Results::new());
                self.tell(id, "expect_passed", fields);
                self.states.set(id, NodeState::Done);
            }
            Ok(Json::Bool(false)) if gate.warn => {
                self.summary.results.insert(id, Results::new());
                self.tell(id, "warning", fields);
                self.states.set(id, NodeState::Done);
            }
            Ok(Json::Bool(false)) => {
                self.summary.broken.push(id);
                self.tell(id, "expect_failed", fields);
                let skipped = self.states.set(id, NodeState::Failed);
                self.skipped(id, &skipped);
            }
            Ok(other) => self.failed(id, &OpError::new("E0612", format!("`{}` gave {other}, not a Bool", gate.text))),
            Err(why) => self.failed(id, &OpError::new("E0612", format!("`{}`: {why}", gate.text))),
        }
    }

    fn nothing_waits(&self) -> bool {
        self.states.ready.is_empty() && self.slots.empty()
    }

    fn next_job(&mut self) -> Option<Job<'a>> {
        let (id, executor) = self.slots.next(self.graph)?;
        self.states.set(id, NodeState::Running);
        let node = self.graph.node(id);
        let inputs = identity::given(node, &self.summary.results);
        let identity = self.identities.get(&id).cloned()?;
        let complete = !self.incomplete.contains(&id);
        let absent = node.inputs.iter().filter(|i| !self.summary.results.contains_key(&i.node));
        let holes = absent.map(|i| (i.slot.clone(), json!(self.why_absent(i.node)))).collect();
        let (threads, gpus) = (self.slots.threads(&executor, node), self.slots.gpus(id));
        let mut job = Job {
            id,
            node,
            inputs,
            holes,
            identity,
            complete,
            afresh: false,
            executor,
            threads,
            gpus,
            lease: None,
            told: false,
            foreseen: memory::foreseen(self.graph, node, &OsWorld),
            whole: self.needed.contains(&id),
            promised: node.inputs.iter().filter_map(|i| self.promised.get(&i.node).cloned()).collect(),
            setup: self.setup,
        };
        job.begin();
        Some(job)
    }

    /// Says in a few words why a node has no result.
    fn why_absent(&self, id: NodeId) -> String {
        match self.summary.failures.iter().find(|(failed, _)| *failed == id) {
            Some((_, failure)) => {
                let first = failure.message.lines().next().unwrap_or_default();
                format!("failed: {}", crate::base::phrase::shortened(first, 80))
            }
            None => "not run: something before it failed".to_owned(),
        }
    }

    fn finished(&mut self, id: NodeId, outcome: Outcome) {
        self.slots.ended(id);
        match outcome {
            Ok((Finished::Found(record, results), _)) => self.hit(id, &record, results),
            Ok((Finished::Promised(record, results, bytes), _)) => {
                let name = self.graph.node(id).name.clone();
                self.promised.insert(id, Promised { name, key: record.key });
                self.tell(id, "bytes_left", Map::from_iter([("bytes".to_owned(), json!(bytes))]));
                self.hit(id, &record, results);
            }
            Ok((Finished::Missed, _)) => self.missed(id),
            Ok((Finished::Executed { ended, lease }, made)) => {
                let state = if ended.passed { NodeState::Hit } else { NodeState::Done };
                if lease.is_lost() {
                    self.tell(id, "lease_lost", Map::new());
                }
                let kept = self.keep(id, ended, made);
                drop(lease);
                match kept {
                    Ok(()) => {
                        self.states.set(id, state);
                    }
                    Err(e) => self.failed(id, &e),
                }
            }
            Err(e) if e.class == "damaged" && self.again(id, &e) => {}
            Err(e) if self.is_stopped_by(&e) => {
                self.tell(id, "node_stopped", Map::from_iter([("message".to_owned(), json!(e.message))]));
                self.states.set(id, NodeState::Stopped);
            }
            Err(e) => self.failed(id, &e),
        }
    }

    /// Says whether a node ended because the run is being stopped, which is no failure. What is killed ends in any way.
    fn is_stopped_by(&self, e: &OpError) -> bool {
        let stop = self.setup.stop;
        stop.now.load(Ordering::Relaxed) || (e.class == "preempted" && stop.soon.load(Ordering::Relaxed))
    }

    /// Bytes that a node reads turned out to be damaged, and the records that named them are forgotten by now: takes back those nodes that
    /// it depends on and whose result is gone, and the node itself. Says whether that helps.
    fn again(&mut self, id: NodeId, e: &OpError) -> bool {
        let store = self.setup.store;
        let lost = |of: &NodeId| {
            let key = self.identities.get(of).map(|identity| identity.key);
            let gone = key.is_some_and(|key| identity::recorded(store, key).is_none());
            // What is still in the remote is not lost, unless this node reads it.
            let left = self.promised.contains_key(of) && !self.graph.node(id).inputs.iter().any(|i| i.node == *of);
            self.states.get(*of).has_result() && gone && !left
        };
        let mut back: Vec<NodeId> = self.graph.ancestors([id]).into_iter().filter(|of| *of != id && lost(of)).collect();
        let times = self.mended.entry(id).or_default();
        *times += 1;
        if back.is_empty() || *times > MENDED {
            return false;
        }
        let names: Vec<&str> = back.iter().map(|of| self.graph.node(*of).name.as_str()).collect();
        let fields = [("message", json!(e.message)), ("anew", json!(names))];
        self.tell(id, "bytes_damaged", fields.map(|(name, value)| (name.to_owned(), value)).into_iter().collect());
        for of in &back {
            self.promised.remove(of);
            self.needed.insert(*of);
        }
        back.push(id);
        self.states.take_back(&back);
        true
    }

    /// Records what a node made, or what was put together of columns that passed it and what it had decided before.
    fn keep(&mut self, id: NodeId, ended: Ended, made: Made) -> Result<(), OpError> {
        let Ended { seconds, of_rows, kept, began, passed } = ended;
        let node = self.graph.node(id);
        let store = self.setup.store;
        for field in &node.fields {
            if !made.outputs.contains_key(field) {
                let message = format!("`{}` made no `{field}`", node.op);
                return Err(OpError::new("E0612", message).help("this is a bug of rbpipe: please report it"));
            }
        }
        let mut results = Results::new();
        for (field, mut artifact) in made.outputs {
            // As the store gives it back, so that whoever reads it next makes the same bytes now and in a later run.
            artifact.meta.sort_all_objects();
            results.insert(field, (store.put_artifact(&artifact)?, artifact));
        }
        let identity = &self.identities[&id];
        let came = Came { seconds, counts: made.counts, fates: &made.fates, of_rows, kept, began };
        let record = record::make(store, (identity.key, identity.preimage(node)), &node.name, &results, came)?;
        let mut fields = Map::new();
        fields.insert("seconds".into(), json!((seconds * 1000.0).round() / 1000.0));
        if let Some(rows) = record.rows {
            fields.insert("rows".into(), json!(rows));
        }
        if !record.counts.is_empty() {
            fields.insert("counts".into(), json!(record.counts));
        }
        let bad: Vec<&Fate> = made.fates.iter().filter(|f| f.what == QUARANTINED).collect();
        if !bad.is_empty() {
            let first: Vec<Json> = bad.iter().take(5).map(|f| json!({ "row": f.row, "why": f.why })).collect();
            fields.insert("quarantined".into(), json!(first));
            fields.insert("more".into(), json!(bad.len() - first.len()));
        }
        let mut outputs = record.outputs.clone();
        if self.incomplete.contains(&id) {
            fields.insert("complete".into(), json!(false));
        } else if let Published::Diverges(first) = record::publish(store, &record)? {
            // The first record wins: everything downstream of either run must read the same bytes.
            self.tell(
                id,
                "divergence",
                Map::from_iter([("first".to_owned(), output(&first.outputs)), ("second".to_owned(), output(&outputs))]),
            );
            if let Some((_, found)) = identity::recorded(store, record.key) {
                results = found;
                outputs.clone_from(&first.outputs);
            }
        }
        fields.insert("output".into(), output(&outputs));
        self.summary.results.insert(id, results);
        if passed {
            fields.remove("seconds");
            fields.insert("passed".into(), json!(true));
        }
        self.tell(id, if passed { "node_hit" } else { "node_finished" }, fields);
        Ok(())
    }

    fn failed(&mut self, id: NodeId, e: &OpError) {
        let mut fields = Map::new();
        fields.insert("code".into(), json!(e.code));
        fields.insert("class".into(), json!(e.class));
        fields.insert("message".into(), json!(e.message));
        if let Some(help) = &e.help {
            fields.insert("help".into(), json!(help));
        }
        self.tell(id, "node_failed", fields);
        let failure = Failure { code: e.code, message: e.message.clone(), help: e.help.clone() };
        self.summary.failures.push((id, failure));
        let skipped = self.states.set(id, NodeState::Failed);
        self.skipped(id, &skipped);
    }

    fn skipped(&self, blame: NodeId, skipped: &[NodeId]) {
        for &id in skipped {
            let because = json!(self.graph.node(blame).name);
            self.tell(id, "node_skipped", Map::from_iter([("because".to_owned(), because)]));
        }
    }

    fn tell(&self, id: NodeId, event: &str, mut fields: Map<String, Json>) {
        if matches!(event, "node_hit" | "node_finished" | "node_failed" | "node_stopped" | "node_skipped")
            && let Some(foreseen) = self.foreseen.as_ref().and_then(|all| all.get(&id))
        {
            fields.insert("foreseen".into(), foreseen.clone());
        }
        let key = self.identities.get(&id).map(|i| i.key.hex());
        tell(self.setup.listener, self.graph.node(id), key, event, fields);
    }
}

fn output(outputs: &BTreeMap<String, crate::base::Digest>) -> Json {
    match outputs.iter().next() {
        Some((field, digest)) if outputs.len() == 1 && field.is_empty() => json!(digest),
        _ => json!(outputs),
    }
}

/// Returns a fact of an artifact: `rows`, `value`, `by.dim`.
pub fn fact(artifact: &Artifact, path: &str) -> Option<Json> {
    if let Some(found) = artifact.meta.get(path) {
        return Some(found.clone());
    }
    if artifact.kind == Kind::Dataset && path == "value" {
        return artifact.rows().map(|r| json!(r));
    }
    path.split('.').try_fold(&artifact.meta, |at, part| at.get(part)).cloned()
}

/// Keeps events for whoever asks later.
#[derive(Default)]
pub struct Heard(pub Mutex<Vec<Event>>);

impl Listener for Heard {
    fn hear(&self, event: &Event) {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).push(event.clone());
    }
}
