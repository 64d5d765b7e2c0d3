//! The last run of a recipe, as its journal and the records tell it.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;
use serde_json::{Map, Value as Json};

use super::event::Event;
use super::record::{self, Record};
use super::{Store, journal};
use crate::base::Digest;

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
    /// `hit`, `done`, `failed`, `skipped`, `missed`; `running` if the run ended in between.
    pub state: &'static str,
    /// Seconds from the start of the run to its own.
    pub from: Option<f64>,
    /// How long it took, now or when it was made.
    pub seconds: Option<f64>,
    /// How long the plan said it would take, before the first node was executed.
    pub foreseen: Option<f64>,
    /// Rows that it made.
    pub rows: Option<u64>,
    /// What it counted.
    pub counts: BTreeMap<String, u64>,
    /// Why it failed or was skipped, and what to do.
    pub why: String,
    /// The curves of a training, as SVG.
    pub curve: Option<String>,
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
    let path = journal::runs(store, recipe).into_iter().next()?;
    Some(of(store, &journal::read(&path)))
}

fn of(store: &Store, events: &[Event]) -> Chronicle {
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
            "notice" | "run_failed" => run.notes.push(text("message")),
            "divergence" | "remote_refused" | "remote_failed" | "bytes_damaged" => {
                let what = match event.event.as_str() {
                    "bytes_damaged" => format!("{}; it is made anew", text("message")),
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
    node.curve = curve.and_then(|bytes| String::from_utf8(bytes).ok());
}

fn why(event: &Event) -> String {
    let said = |name: &str| event.text(name).map(str::to_owned);
    let because = said("because").map(|name| format!("because of {name}"));
    [said("code"), said("message"), said("help"), because].into_iter().flatten().collect::<Vec<_>>().join(" · ")
}
