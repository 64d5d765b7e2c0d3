//! What happens during a run, as it happens: for the journal, for `--events`, and for people.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

/// One thing that happened.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// When, as RFC 3339.
    pub t: String,
    /// `run_started node_hit node_waits node_started node_progress node_finished node_failed node_stopped node_skipped expect_passed expect_failed
    /// output_published run_finished …`
    pub event: String,
    /// The node's name.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub node: Option<String>,
    /// Its operator.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub op: Option<String>,
    /// Its action key.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub key: Option<String>,
    /// What else there is to say.
    #[serde(flatten)]
    pub fields: Map<String, Json>,
}

impl Event {
    /// Returns an event of now.
    pub fn new(event: &str) -> Self {
        Self { t: now(), event: event.to_owned(), node: None, op: None, key: None, fields: Map::new() }
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Json>) -> Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }

    /// Returns a number among the fields.
    pub fn number(&self, name: &str) -> Option<f64> {
        self.fields.get(name).and_then(Json::as_f64)
    }

    /// Returns a text among the fields.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Json::as_str)
    }
}

/// Wants to know what happens.
pub trait Listener: Sync {
    /// Something happened.
    fn hear(&self, event: &Event);
    /// Nothing more happens for now: whoever gathers what comes in crowds passes it on.
    fn settled(&self) {}
}

/// Says whether an event comes in crowds, and may wait for the next other one: a node whose result is there.
pub fn in_crowds(event: &Event) -> bool {
    event.event == "node_hit"
}

/// Tells the most memory that one of a node's processes has had: `bytes`.
pub const MEMORY: &str = "node_memory";

/// Tells how busy the GPUs of a node were: `utilisation` (a share), `memory` (the most bytes in use on one of them), `looks`.
pub const GPUS: &str = "node_gpus";

/// So much is gathered at most, in bytes.
pub const CROWD: usize = 1 << 16;

/// Tells several.
pub struct Several<'a>(pub Vec<&'a dyn Listener>);

impl Listener for Several<'_> {
    fn hear(&self, event: &Event) {
        self.0.iter().for_each(|l| l.hear(event));
    }

    fn settled(&self) {
        self.0.iter().for_each(|l| l.settled());
    }
}

/// The time of day as RFC 3339, in UTC, always with three digits of a second, so that texts sort as times do. It stands in
/// journals and records, never in a key.
pub fn now() -> String {
    time(jiff::Timestamp::now())
}

fn time(at: jiff::Timestamp) -> String {
    format!("{at:.3}")
}

/// The same as the beginning of a file's name, so that names sort by age.
pub fn stamp() -> String {
    now().chars().filter(char::is_ascii_alphanumeric).collect()
}
