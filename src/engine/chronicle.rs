//! The last run of a recipe, as its journal and the records tell it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::Store;
use super::artifact::Kind;
use super::event::{Event, GPUS, MEMORY};
use super::storage::record::{self, Record};
use super::storage::{journal, texts};
use crate::base::Digest;
use crate::plan::explain;

/// A run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Chronicle {
    /// When it began, RFC 3339.
    pub started: String,
    /// How long it took; none if it never ended.
    pub seconds: Option<f64>,
    /// What the plan said before the first node was executed: seconds of what had to run, and with what perhaps had to.
    pub foreseen: Option<(f64, f64)>,
    /// Its exit code; none if it never ended.
    pub exit: Option<u64>,
    /// Its process lives, and has not said that it ended.
    pub goes_on: bool,
    /// Where it ran, as `run_started` tells it.
    pub machine: Map<String, Json>,
    /// The files of the recipe that ran, with their texts as far as those are still there.
    pub files: Vec<(String, Option<String>)>,
    /// Params of the recipe.
    pub params: Map<String, Json>,
    /// Its nodes, in the order in which they were first heard of.
    pub nodes: Vec<Told>,
    /// What `expect` and `warn` asked.
    pub questions: Vec<Question>,
    /// What it said besides.
    pub notes: Vec<String>,
}

/// One node of a run.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Told {
    /// What people call it.
    pub name: String,
    /// The operator.
    pub op: String,
    /// `hit`, `done`, `failed`, `stopped`, `skipped`, `missed`, `waiting`; `running` if the run ended in between.
    pub state: &'static str,
    /// Seconds from the start of the run to its own.
    pub from: Option<f64>,
    /// How long it took, now or when it was made.
    pub seconds: Option<f64>,
    /// How long the plan said it would take, before the first node was executed.
    pub foreseen: Option<f64>,
    /// The most memory that one of its processes had, where it has some of its own.
    pub memory: Option<u64>,
    /// How busy its GPUs were on average, as a share, and the most memory in use on one of them, in bytes.
    pub gpus: Option<(f64, u64)>,
    /// Rows that it made.
    pub rows: Option<u64>,
    /// What it counted.
    pub counts: BTreeMap<String, u64>,
    /// Why it failed or was skipped, and what to do.
    pub why: String,
    /// Why it was executed: what differs from its result of an earlier run.
    pub because: String,
    /// The curves of a training, as SVG.
    pub curve: Option<String>,
    /// A table that it made, as HTML.
    pub table: Option<String>,
}

/// One thing that was asked.
#[derive(Clone, Debug, Serialize)]
pub struct Question {
    /// `passed`, `failed`, `warned`.
    pub state: &'static str,
    /// As written.
    pub text: String,
    /// The same with numbers.
    pub values: String,
    /// What the author says when the answer is no.
    pub message: String,
}

/// Reads the newest run of a recipe; nothing if there is none.
pub fn last(store: &Store, recipe: &Path) -> Option<Chronicle> {
    let journals = journal::runs(store, recipe);
    let (newest, older) = journals.split_first()?;
    // Asked before it is read: a run that ends in between has said so.
    let goes_on = journal::is_open(newest);
    let events = journal::read(newest);
    let names: BTreeSet<&str> = events.iter().filter_map(|e| e.node.as_deref()).collect();
    let mut run = of(store, &events, &journal::keys_of(older, &names));
    run.goes_on = goes_on && run.exit.is_none();
    let first = events.iter().find(|e| e.event == "run_started");
    let listed = first.and_then(|e| e.fields.get("files")).into_iter().flat_map(texts::listed);
    run.files = listed.map(|(name, digest)| (name.to_owned(), texts::read(store, recipe, digest))).collect();
    Some(run)
}

fn of(store: &Store, events: &[Event], earlier: &BTreeMap<String, Digest>) -> Chronicle {
    let mut run = Chronicle::default();
    let mut places: BTreeMap<String, usize> = BTreeMap::new();
    let begin = events.first().and_then(|e| e.t.parse::<jiff::Timestamp>().ok());
    let since = |event: &Event| {
        let now = event.t.parse::<jiff::Timestamp>().ok()?;
        Some((now.as_millisecond() - begin?.as_millisecond()) as f64 / 1000.0)
    };
    for event in events {
        let text = |name: &str| event.text(name).unwrap_or_default().to_owned();
        match event.event.as_str() {
            "run_started" => {
                run.started.clone_from(&event.t);
                run.machine.clone_from(&event.fields);
                run.params = event.fields.get("params").and_then(Json::as_object).cloned().unwrap_or_default();
            }
            "run_foreseen" => {
                let sure = event.number("seconds").unwrap_or(0.0);
                run.foreseen = Some((sure, sure + event.number("seconds_maybe").unwrap_or(0.0)));
            }
            "run_finished" => {
                run.seconds = event.number("seconds");
                run.exit = event.fields.get("exit").and_then(Json::as_u64);
            }
            "expect_passed" | "expect_failed" | "warning" => {
                let state = match event.event.as_str() {
                    "expect_passed" => "passed",
                    "expect_failed" => "failed",
                    _ => "warned",
                };
                run.questions.push(Question {
                    state,
                    text: text("text"),
                    values: text("values"),
                    message: text("message"),
                });
            }
            MEMORY => {
                let at = event.node.as_ref().and_then(|name| places.get(name));
                if let Some(node) = at.map(|at| &mut run.nodes[*at]) {
                    node.memory = node.memory.max(event.fields.get("bytes").and_then(Json::as_u64));
                }
            }
            GPUS => {
                let at = event.node.as_ref().and_then(|name| places.get(name));
                if let (Some(at), Some(share)) = (at, event.number("utilisation")) {
                    let memory = event.fields.get("memory").and_then(Json::as_u64).unwrap_or(0);
                    run.nodes[*at].gpus = Some((share, memory));
                }
            }
            "notice" | "run_failed" => run.notes.push(text("message")),
            "divergence" | "remote_refused" | "remote_failed" | "bytes_damaged" | "lease_lost" => {
                let what = match event.event.as_str() {
                    "bytes_damaged" => format!("{}; it is made anew", text("message")),
                    "lease_lost" => "this process was silent for so long that another one took it over".to_owned(),
                    "divergence" => "there were other bytes under the same key; the first result stays".to_owned(),
                    "remote_refused" => format!("the remote's {} was refused: {}", text("what"), text("message")),
                    _ => format!("the remote gave nothing: {}", text("message")),
                };
                run.notes.push(format!("{}: {what}", event.node.as_deref().unwrap_or_default()));
            }
            _ => {
                let (Some(name), Some(state)) = (&event.node, state(&event.event)) else { continue };
                let at = *places.entry(name.clone()).or_insert_with(|| {
                    run.nodes.push(Told { name: name.clone(), ..Told::default() });
                    run.nodes.len() - 1
                });
                let node = &mut run.nodes[at];
                node.op = event.op.clone().unwrap_or_default();
                node.state = state;
                if state == "running" {
                    node.from = since(event);
                }
                let key = event.key.as_deref().and_then(Digest::parse);
                if let Some(record) =
                    key.filter(|_| ["hit", "done"].contains(&state)).and_then(|k| record::read(store, k))
                {
                    fill(node, &record, store);
                    if state == "done" {
                        node.because = because(&record, earlier.get(name), store);
                    }
                }
                node.foreseen = event.fields.get("foreseen").and_then(|f| f["seconds"].as_f64());
                node.why = why(event);
            }
        }
    }
    run
}

/// Returns the state that an event puts a node into.
fn state(event: &str) -> Option<&'static str> {
    Some(match event {
        "node_waits" => "waiting",
        "node_started" | "node_retried" => "running",
        "node_finished" => "done",
        "node_hit" => "hit",
        "node_failed" => "failed",
        "node_stopped" => "stopped",
        "node_skipped" => "skipped",
        "node_missed" => "missed",
        _ => return None,
    })
}

fn fill(node: &mut Told, record: &Record, store: &Store) {
    node.seconds = Some(record.seconds);
    node.rows = record.rows;
    node.counts.clone_from(&record.counts);
    let files = record.attachments.values().flatten();
    let curve = files.filter(|(path, _)| path.ends_with(".svg")).find_map(|(_, file)| store.read(file.digest).ok());
    node.table = table(record, store);
    node.curve = curve.and_then(|bytes| String::from_utf8(bytes).ok());
}

/// Says why a node was executed, by the record of its result before.
fn because(record: &Record, before: Option<&Digest>, store: &Store) -> String {
    match before.map(|key| (key, record::read(store, *key))) {
        None | Some((_, None)) => "no result was recorded".into(),
        Some((key, _)) if *key == record.key => "its result was not there any more".into(),
        Some((_, Some(before))) => explain::why(&before.preimage, &record.preimage),
    }
}

/// Returns the rows and the legend of a table, without the page around them.
fn table(record: &Record, store: &Store) -> Option<String> {
    // A dataset is never shown whole, so nothing need be read to know that it is one.
    let digest = record.outputs.values().next().filter(|_| record.rows.is_none())?;
    let artifact = store.artifact(*digest).filter(|a| a.kind == Kind::Table)?;
    let page = String::from_utf8(store.read(artifact.files.get("table.html")?.digest).ok()?).ok()?;
    Some(page[page.find("<table")?..].to_owned())
}

fn why(event: &Event) -> String {
    let said = |name: &str| event.text(name).map(str::to_owned);
    let because = said("because").map(|name| format!("because of {name}"));
    [said("code"), said("message"), said("help"), because].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}
