//! Executes what a recipe asks for, publishes its outputs, and says how it ended.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::json;

use super::args::RunArgs;
use super::ending::{Counts, Ending, RESUME, stop_on_signals};
use super::recipe::{self, Compiled};
use super::{Exit, engine, placement, progress, render, say, store};
use crate::base::phrase;
use crate::engine::Store;
use crate::engine::event::{Event, Listener, Several};
use crate::engine::inputs::terms;
use crate::engine::outputs::publish::{self, Done};
use crate::engine::run::decide::Line;
use crate::engine::run::past;
use crate::engine::run::scheduler::{self, Summary};
use crate::engine::run::setup::Setup;
use crate::engine::run::state::NodeState;
use crate::engine::stop::Stop;
use crate::engine::storage::files::FileIndex;
use crate::engine::storage::identity::Results;
use crate::engine::storage::journal::Journal;
use crate::engine::storage::texts;
use crate::plan::NodeId;
use crate::plan::artifact::Artifact;
use crate::plan::select::Selection;
use crate::plan::val::Val;

/// What a command does around a run.
pub(super) struct Around<'a> {
    /// Hears what is foreseen before anything is executed, and may refuse it.
    pub before: &'a (dyn Fn(&[Line]) -> Result<(), Exit> + Sync),
    /// Hears what came of it before the last word is said.
    pub after: &'a mut dyn FnMut(&Summary, &dyn Listener),
}

/// Executes what is selected and publishes its outputs.
pub(super) fn execute(
    compiled: &Compiled,
    selection: &Selection,
    store: &Store,
    files: &FileIndex,
    secrets: BTreeMap<String, String>,
    args: &RunArgs,
    around: Around,
) -> Result<Exit, Exit> {
    let graph = &compiled.planned.graph;
    let events = match &args.events {
        None => None,
        Some(path) => Some(EventFile::open(path).map_err(|e| {
            eprintln!("error: cannot write `{}`: {e}", path.display());
            Exit::Usage
        })?),
    };
    let remote = store::remote(args.remote.as_deref())?;
    let events = events.map(Arc::new);
    let journal = Journal::create(store, &compiled.path).map(Arc::new).map_err(|e| {
        eprintln!("error: cannot write to the cache `{}`: {e}", store.root().display());
        Exit::Refused
    })?;
    let _ = store.sweep();
    let shown = progress::for_terminal();
    let mut listeners: Vec<&dyn Listener> = vec![journal.as_ref(), shown.as_ref()];
    listeners.extend(events.as_deref().map(|e| e as &dyn Listener));
    let listener = Several(listeners);
    let stop = Arc::new(Stop::default());
    let ending = Arc::new(Ending::new(&journal, events.clone().map(|e| e as Arc<dyn Listener + Send>)));
    stop_on_signals(&stop, Some(Arc::clone(&ending)));
    let operators = recipe::operators();
    let find = || engine::find(&|message| listener.hear(&Event::new("notice").with("message", message)));
    let executors = placement::executors(compiled, args, &find);
    placement::check(compiled, selection, store, files, args, &executors)?;
    let foresee = |there: &BTreeMap<NodeId, Results>| {
        let mut lines = compiled.forecaster(selection, store, files).rest(there);
        past::fill(graph, store, &mut lines);
        (around.before)(&lines).is_ok().then_some(lines)
    };
    let setup = Setup {
        store,
        files,
        operators: &operators,
        secrets,
        listener: &listener,
        executors: &executors,
        fail_fast: args.fail_fast,
        no_exec: args.no_exec,
        remote: remote.as_ref(),
        lazy: args.lazy,
        stop: &stop,
        foresee: Some(&foresee),
    };
    // As the journal: what cannot be kept must not stop the run.
    let files = texts::keep(store, &compiled.path, compiled.own_files()).unwrap_or_default();
    let machine = &compiled.site.machine;
    listener.hear(
        &Event::new("run_started")
            .with("recipe", compiled.path.display().to_string())
            .with("path", std::path::absolute(&compiled.path).unwrap_or_default().display().to_string())
            .with("host", crate::engine::machine::host())
            .with("cores", machine.cpus)
            .with("memory", machine.mem)
            .with("gpus", machine.gpus.len())
            .with("build", env!("CARGO_PKG_VERSION"))
            .with("files", files)
            .with("nodes", selection.nodes.len())
            .with("params", json!(compiled.planned.params.iter().cloned().collect::<BTreeMap<_, _>>())),
    );
    let mut summary = scheduler::run(graph, selection, &setup);
    if summary.refused {
        ending.take();
        listener.hear(&counts(compiled, &summary).event(Exit::Refused, summary.seconds));
        return Ok(Exit::Refused);
    }
    let mut published = publish_outputs(compiled, selection, &summary, store, &listener, args.force);
    if published.damaged {
        // The results that named damaged bytes are forgotten by now, so this makes them anew.
        summary = scheduler::run(graph, selection, &setup);
        published = publish_outputs(compiled, selection, &summary, store, &listener, args.force);
    }
    if args.to.is_empty() && !args.no_exec {
        for said in executors.values().flat_map(|e| e.leave(store)) {
            listener.hear(&Event::new("notice").with("message", said));
        }
    }
    (around.after)(&summary, &listener);
    ending.take();
    let exit = exit(&summary, published.failed || published.damaged);
    listener.hear(&counts(compiled, &summary).event(exit, summary.seconds));
    tell(compiled, &summary, &published, args.no_exec);
    std::mem::forget(summary);
    Ok(exit)
}

fn counts(compiled: &Compiled, summary: &Summary) -> Counts {
    Counts {
        run: summary.count(NodeState::Done) - asked(compiled, summary),
        hit: summary.count(NodeState::Hit),
        failed: summary.failures.len(),
        stopped: summary.count(NodeState::Stopped),
        skipped: summary.count(NodeState::Skipped),
    }
}

/// Expectations that were asked: they are no work.
fn asked(compiled: &Compiled, summary: &Summary) -> usize {
    let graph = &compiled.planned.graph;
    let done = |id| summary.states.get(id) == Some(&NodeState::Done);
    graph.gates.iter().filter(|id| done(id)).count()
}

/// Exit codes by priority: interrupted, a node failed, an expectation failed, the cache refused, done.
fn exit(summary: &Summary, outputs_failed: bool) -> Exit {
    if summary.interrupted {
        Exit::Interrupted
    } else if !summary.failures.is_empty() || outputs_failed {
        Exit::Node
    } else if !summary.broken.is_empty() {
        Exit::Expect
    } else if !summary.misses.is_empty() {
        Exit::Refused
    } else {
        Exit::Done
    }
}

#[derive(Default)]
struct Published {
    written: Vec<PathBuf>,
    same: usize,
    failed: bool,
    /// Bytes in the store were, for the first time in this run.
    damaged: bool,
}

fn publish_outputs(
    compiled: &Compiled,
    selection: &Selection,
    summary: &Summary,
    store: &Store,
    listener: &dyn Listener,
    force: bool,
) -> Published {
    let graph = &compiled.planned.graph;
    let flowed = terms::flow(graph);
    let mut out = Published::default();
    for &at in &selection.outputs {
        let output = &graph.outputs[at];
        let Some(target) = &output.to else { continue };
        let Some(artifact) = single(&output.value) else {
            eprintln!("error: output `{}` is {}, which has no file form", output.name, output.value.describe());
            out.failed = true;
            continue;
        };
        // What an expectation rejected is not handed on as if nothing had happened.
        let rejected = summary.broken.iter().any(|&gate| {
            graph.node(gate).inputs.iter().any(|i| {
                i.node == artifact.node || {
                    let asks = graph.node(i.node);
                    asks.effect == crate::spec::Effect::Reduce && asks.inputs.iter().any(|j| j.node == artifact.node)
                }
            })
        });
        let Some((_, made)) = summary.results.get(&artifact.node).and_then(|r| r.get(&artifact.field)) else {
            continue;
        };
        if rejected {
            continue;
        }
        let node = graph.node(artifact.node);
        let key = summary.identities.get(&artifact.node).map(|i| i.key);
        let (params, terms) = (&compiled.planned.params, &flowed[&artifact.node]);
        let provenance = publish::provenance(&compiled.path, &output.name, &node.name, key, params, terms);
        match publish::publish(store, made, target, provenance, force) {
            Ok(Done::Written) => {
                let event = Event::new("output_published").with("output", output.name.clone());
                listener.hear(&event.with("path", target.display().to_string()));
                out.written.push(target.clone());
            }
            Ok(Done::Same) => out.same += 1,
            Err(e) => {
                if e.class == "damaged" {
                    out.damaged = true;
                    let mut event = Event::new("bytes_damaged").with("message", e.message.clone());
                    event.node = Some(node.name.clone());
                    listener.hear(&event);
                    continue;
                }
                render::print_human(&compiled.sources, &[render::problem(&e, output.span, "this output")]);
                out.failed = true;
            }
        }
    }
    out
}

fn single(val: &Val) -> Option<&Artifact> {
    match val {
        Val::Artifact(a) => Some(a),
        _ => None,
    }
}

fn tell(compiled: &Compiled, summary: &Summary, published: &Published, no_exec: bool) {
    let graph = &compiled.planned.graph;
    if no_exec && !summary.misses.is_empty() {
        let names: Vec<&str> = summary.misses.iter().take(5).map(|id| graph.node(*id).name.as_str()).collect();
        say(&format!("not in the cache: {}", phrase::quoted(&names)));
    }
    let failed = summary.failures.iter().map(|(id, failure)| {
        let node = graph.node(*id);
        render::problem(&failure.error(), node.span, &format!("`{}` failed here", node.name))
    });
    render::print_human(&compiled.sources, &failed.collect::<Vec<_>>());
    let run = summary.count(NodeState::Done) - asked(compiled, summary);
    let mut parts = vec![format!("{run} run"), format!("{} hit", summary.count(NodeState::Hit))];
    for (count, word) in [
        (summary.failures.len(), "failed"),
        (summary.broken.len(), if summary.broken.len() == 1 { "expectation failed" } else { "expectations failed" }),
        (summary.count(NodeState::Skipped), "skipped"),
        (summary.count(NodeState::Stopped), "stopped"),
        (if summary.interrupted { summary.left() } else { 0 }, "not reached"),
    ] {
        if count > 0 {
            parts.push(format!("{count} {word}"));
        }
    }
    let outputs = match (published.written.len(), published.same) {
        (0, 0) => String::new(),
        (0, same) => format!(" · {} unchanged", phrase::count(same, "output")),
        (written, _) => format!(" · {} written", phrase::count(written, "output")),
    };
    let (before, after) = if summary.interrupted { ("stopped: ", format!("; {RESUME}")) } else { ("", String::new()) };
    say(&format!("{before}{} · {:.1} s{outputs}{after}", parts.join(", "), summary.seconds));
}

/// `--events FILE`
struct EventFile(Mutex<File>);

impl EventFile {
    fn open(path: &std::path::Path) -> std::io::Result<Self> {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(Self(Mutex::new(OpenOptions::new().create(true).append(true).open(path)?)))
    }
}

impl Listener for EventFile {
    fn hear(&self, event: &Event) {
        if let Ok(mut line) = serde_json::to_vec(event) {
            line.push(b'\n');
            let mut file = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            // A full disk must not end a training; the journal in the store has the same events.
            let _ = file.write_all(&line);
        }
    }
}
