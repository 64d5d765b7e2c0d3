//! `rbpipe rehearse`: the whole recipe on made-up rows and tiny random models, in a store of its own that is gone afterwards.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use super::args::RecipeArgs;
use super::recipe::{self, Compiled};
use super::{Exit, engine, progress, render, say};
use crate::base::{Diagnostic, OpError, phrase};
use crate::engine::Store;
use crate::engine::event::{Event, Listener, Several};
use crate::engine::executors::LOCAL;
use crate::engine::executors::{Executor, Executors, Local};
use crate::engine::inputs::needed;
use crate::engine::inputs::terms::Flowed;
use crate::engine::outputs::publish;
use crate::engine::run::scheduler::{self, Summary};
use crate::engine::run::setup::Setup;
use crate::engine::run::state::NodeState;
use crate::engine::stop::Stop;
use crate::engine::storage::files::FileIndex;
use crate::plan::NodeId;
use crate::plan::select::Selection;
use crate::plan::val::Val;
use crate::rehearsal::{self, Actor, Judge, Notes, Stage};

/// Runs the command.
pub(super) fn run(args: &RecipeArgs) -> Exit {
    rehearse(args).unwrap_or_else(|exit| exit)
}

fn rehearse(args: &RecipeArgs) -> Result<Exit, Exit> {
    let mut compiled = recipe::compile(args)?;
    let mut selection = compiled.select(&[])?;
    let failed = |what: &str, why: &dyn std::fmt::Display| {
        eprintln!("error: cannot {what}: {why}");
        Exit::Refused
    };
    let folder =
        tempfile::Builder::new().prefix("rbpipe-rehearsal-").tempdir().map_err(|e| failed("make a folder", &e))?;
    let judge = Judge::start().map_err(|e| failed("start the stand-in of judges", &e))?;
    let graph = &mut compiled.planned.graph;
    let stage =
        rehearsal::prepare(graph, &selection, folder.path(), &judge).map_err(|e| failed("set the stage", &e))?;
    let left_out = leave_out(&compiled, &mut selection, &stage);
    compiled.refuse(needed::missing(&compiled.planned.graph, &selection))?;
    let store = Store::open(folder.path().join("store")).map_err(|e| failed("open a store", &e))?;
    let notes = Notes::default();
    let heard = Heard::default();
    let summary = act(&compiled, &selection, &store, &notes, &heard);
    let told = Told { compiled: &compiled, summary: &summary, stage: &stage, left_out, notes, heard };
    told.print();
    let mut problems: Vec<Diagnostic> = told.failures();
    problems.extend(outputs(&compiled, &selection, &summary, &store, &folder.path().join("out")));
    render::print_human(&compiled.sources, &problems);
    told.last_word(problems.len());
    Ok(match (summary.interrupted, problems.is_empty()) {
        (true, _) => Exit::Interrupted,
        (_, false) => Exit::Node,
        _ => Exit::Done,
    })
}

/// Takes sources that nothing can stand in for out of a selection, with all that reads them; returns them.
fn leave_out(compiled: &Compiled, selection: &mut Selection, stage: &Stage) -> BTreeMap<NodeId, String> {
    let graph = &compiled.planned.graph;
    let mut out: BTreeMap<NodeId, String> = stage.unknown.clone();
    for id in graph.order().into_iter().filter(|id| selection.nodes.contains(id)) {
        if let Some(input) = graph.node(id).inputs.iter().find(|i| out.contains_key(&i.node)) {
            let why = format!("reads `{}`", graph.node(input.node).name);
            out.insert(id, why);
        }
    }
    selection.nodes.retain(|id| !out.contains_key(id));
    let kept: BTreeSet<NodeId> = selection.nodes.clone();
    selection.outputs.retain(|&at| match &graph.outputs[at].value {
        Val::Artifact(a) => kept.contains(&a.node),
        _ => false,
    });
    out
}

fn act(compiled: &Compiled, selection: &Selection, store: &Store, notes: &Notes, heard: &Heard) -> Summary {
    let shown = progress::for_bars();
    let mut listeners: Vec<&dyn Listener> = vec![heard];
    listeners.extend(shown.as_deref());
    let listener = Several(listeners);
    let stop = Arc::new(Stop::default());
    super::ending::stop_on_signals(&stop, None);
    let find = || engine::find(&|message| say(&message));
    let machine = compiled.site.machine.clone();
    let local: Box<dyn Executor + '_> = Box::new(Local { jobs: machine.cpus, machine, engine: &find });
    let actor: Box<dyn Executor + '_> = Box::new(Actor::new(local, notes));
    let executors = Executors::from([(LOCAL.to_owned(), actor)]);
    let secrets = compiled.planned.secrets.keys().map(|name| (name.clone(), "rehearsal".to_owned())).collect();
    let setup = Setup {
        store,
        files: &FileIndex::open(store),
        operators: &recipe::operators(),
        secrets,
        listener: &listener,
        executors: &executors,
        fail_fast: false,
        no_exec: false,
        remote: None,
        lazy: false,
        stop: &stop,
        foresee: None,
    };
    scheduler::run(&compiled.planned.graph, selection, &setup)
}

/// Writes each output as it would be published, below a folder that is gone afterwards.
fn outputs(
    compiled: &Compiled,
    selection: &Selection,
    summary: &Summary,
    store: &Store,
    folder: &Path,
) -> Vec<Diagnostic> {
    let graph = &compiled.planned.graph;
    let mut found = Vec::new();
    for &at in &selection.outputs {
        let output = &graph.outputs[at];
        let (Some(target), Val::Artifact(artifact)) = (&output.to, &output.value) else { continue };
        let made = summary.results.get(&artifact.node).and_then(|r| r.get(&artifact.field));
        let Some((_, made)) = made else { continue };
        let target = folder.join(at.to_string()).join(target.file_name().unwrap_or_default());
        let node = &graph.node(artifact.node).name;
        let (params, terms) = (&compiled.planned.params, Flowed::default());
        let provenance = publish::provenance(&compiled.path, &output.name, node, None, params, &terms);
        if let Err(e) = publish::publish(store, made, &target, provenance, false) {
            found.push(render::problem(&e, output.span, "this output"));
        }
    }
    found
}

/// How many seconds each node took.
#[derive(Default)]
struct Heard(Mutex<BTreeMap<String, f64>>);

impl Listener for Heard {
    fn hear(&self, event: &Event) {
        if let (Some(node), "node_finished") = (&event.node, event.event.as_str()) {
            let seconds = event.number("seconds").unwrap_or(0.0);
            self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(node.clone(), seconds);
        }
    }
}

/// All that there is to say.
struct Told<'a> {
    compiled: &'a Compiled,
    summary: &'a Summary,
    stage: &'a Stage,
    left_out: BTreeMap<NodeId, String>,
    notes: Notes,
    heard: Heard,
}

impl Told<'_> {
    /// One line a node: how it ended, rows in and out, time, and what was not as in the real run.
    fn print(&self) {
        let graph = &self.compiled.planned.graph;
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let heard = self.heard.0.lock().unwrap_or_else(PoisonError::into_inner);
        let told: Vec<NodeId> = graph
            .order()
            .into_iter()
            .filter(|id| self.summary.states.contains_key(id) || self.left_out.contains_key(id))
            .collect();
        let width = told.iter().map(|&id| graph.node(id).name.chars().count()).max().unwrap_or(4).clamp(4, 48);
        println!("{:8}  {:width$}  {:>11}  {:>7}  ", "", "node", "rows", "time");
        let mut alike: BTreeMap<&str, usize> = BTreeMap::new();
        for id in told {
            let node = graph.node(id);
            if notes.get(&node.name).is_some_and(|note| note == rehearsal::ALIKE) {
                *alike.entry(node.name.split('[').next().unwrap_or_default()).or_default() += 1;
                continue;
            }
            let time = heard.get(&node.name).copied();
            let fields = self.summary.results.get(&id);
            let made = fields.and_then(|f| f.values().filter_map(|(_, a)| a.rows()).reduce(|a, b| a + b));
            let read: Option<u64> = node.inputs.iter().filter_map(|i| self.rows(i.node, &i.field)).reduce(|a, b| a + b);
            let rows = match (read, made) {
                (Some(read), Some(made)) => format!("{read} → {made}"),
                (Some(read), None) => format!("{read} →"),
                (None, Some(made)) => format!("→ {made}"),
                (None, None) => String::new(),
            };
            let state = match self.summary.states.get(&id) {
                None => "left out",
                Some(NodeState::Done) if node.gate.is_some() => "asked",
                Some(NodeState::Done | NodeState::Hit) => "ok",
                Some(NodeState::Failed) if self.stage.guessed(graph, id) => "left out",
                Some(NodeState::Failed) => "FAILED",
                Some(_) if self.behind_a_guess(id) => "left out",
                Some(_) => "skipped",
            };
            let unfit = self.unfit(id);
            let mut note: Vec<&str> = Vec::new();
            note.extend(self.stage.stand_ins.get(&id).map(String::as_str));
            note.extend(self.left_out.get(&id).map(String::as_str));
            note.extend(notes.get(&node.name).map(String::as_str));
            let took = time.map(phrase::duration).unwrap_or_default();
            note.extend(unfit.as_deref());
            let line = format!("{state:8}  {:width$}  {rows:>11}  {took:>7}  {}", node.name, note.join("; "));
            println!("{}", line.trim_end());
        }
        for (name, count) in alike {
            let name = format!("{name}[…] × {count}");
            println!("{:8}  {name:width$}  {:>11}  {:>7}  {}", "ok", "", "", rehearsal::ALIKE);
        }
    }

    /// Says what is wrong with a node that failed on rows that nobody described.
    fn unfit(&self, id: NodeId) -> Option<String> {
        let (_, failure) = self.summary.failures.iter().find(|(of, _)| *of == id)?;
        let guessed = self.stage.guessed(&self.compiled.planned.graph, id);
        let said = failure.message.lines().next().unwrap_or_default();
        guessed.then(|| format!("the rows that were made up for it do not fit: {said}"))
    }

    /// Says whether a node was skipped for no other reason than rows that could not be made up.
    fn behind_a_guess(&self, id: NodeId) -> bool {
        let graph = &self.compiled.planned.graph;
        let before = graph.ancestors([id]);
        let mut failed = self.summary.failures.iter().map(|(of, _)| *of).filter(|of| before.contains(of)).peekable();
        failed.peek().is_some() && failed.all(|of| self.stage.guessed(graph, of))
    }

    fn rows(&self, node: NodeId, field: &str) -> Option<u64> {
        self.summary.results.get(&node)?.get(field)?.1.rows()
    }

    fn failures(&self) -> Vec<Diagnostic> {
        let graph = &self.compiled.planned.graph;
        let said = |(id, f): &(NodeId, scheduler::Failure)| {
            let e = OpError { message: format!("`{}`: {}", graph.node(*id).name, f.message), ..f.error() };
            render::problem(&e, graph.node(*id).span, "fails on made-up rows")
        };
        self.summary.failures.iter().filter(|(id, _)| !self.stage.guessed(graph, *id)).map(said).collect()
    }

    fn last_word(&self, problems: usize) {
        let graph = &self.compiled.planned.graph;
        let states = &self.summary.states;
        let behind = states.iter().filter(|(id, s)| **s == NodeState::Skipped && self.behind_a_guess(**id)).count();
        let guessed = behind + self.summary.failures.iter().filter(|(id, _)| self.stage.guessed(graph, *id)).count();
        let skipped = self.summary.count(NodeState::Skipped) - behind;
        let done = self.summary.count(NodeState::Done) + self.summary.count(NodeState::Hit);
        let mut parts =
            vec![format!("rehearsed {} in {}", phrase::count(done, "node"), phrase::duration(self.summary.seconds))];
        for (count, what) in [(problems, "failed"), (skipped, "skipped"), (self.left_out.len() + guessed, "left out")] {
            if count > 0 {
                parts.push(format!("{count} {what}"));
            }
        }
        if problems == 0 && !self.summary.interrupted {
            parts.push("nothing was kept".to_owned());
        }
        println!("{}", parts.join(", "));
    }
}
