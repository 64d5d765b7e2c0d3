//! What passes between the scheduler and `rbpipe-engine`: a task in, events and a result out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use super::context::Fate;
use crate::base::{Digest, OpError, codes};
use crate::engine::artifact::Artifact;
use crate::spec::Pool;

/// One execution of one operator.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Task {
    /// The operator.
    pub op: String,
    /// Where it runs: the operator's pool, unless the plan sends this node to a server.
    pub pool: Pool,
    /// Its arguments in canonical form.
    pub args: Json,
    /// Artifacts by slot.
    pub inputs: BTreeMap<String, Artifact>,
    /// Options of `with`.
    pub with: Json,
    /// The store's folder.
    pub store: PathBuf,
    /// A private folder.
    pub scratch: PathBuf,
    /// The folder that relative paths start from.
    pub folder: PathBuf,
    /// The seed of a sampled operator.
    pub seed: u64,
    /// The stream of row randomness.
    pub stream: Digest,
    /// Threads to use.
    pub threads: usize,
    /// GPUs to use, by the names that CUDA knows them by.
    #[serde(default)]
    pub gpus: Vec<String>,
    /// Processes that work on it together.
    #[serde(default = "one")]
    pub ranks: usize,
    /// This process is one rank of several that a launcher elsewhere has started, and has its variables.
    #[serde(default)]
    pub launched: bool,
    /// Where checkpoints of this key are kept.
    pub checkpoints: Option<PathBuf>,
    /// What the key holds besides the rows in slot `d`; nothing where each row must be asked anew.
    #[serde(default)]
    pub rowwise: Option<Map<String, Json>>,
}

fn one() -> usize {
    1
}

/// What an execution gave.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Made {
    /// Results by field; their files are in the store.
    pub outputs: BTreeMap<String, Artifact>,
    /// Rows that were dropped or changed.
    pub fates: Vec<Fate>,
    /// Counts worth showing.
    pub counts: BTreeMap<String, u64>,
}

/// The last line that `rbpipe-engine` prints.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "event")]
pub enum Outcome {
    /// It worked.
    #[serde(rename = "result")]
    Result(Made),
    /// The operator stopped.
    #[serde(rename = "error")]
    Error {
        /// The code.
        code: String,
        /// The class.
        class: String,
        /// What happened.
        message: String,
        /// The next step.
        help: Option<String>,
    },
}

impl Outcome {
    /// Writes down how an execution ended.
    pub fn of(made: Result<Made, OpError>) -> Self {
        match made {
            Ok(made) => Self::Result(made),
            Err(e) => Self::Error { code: e.code.into(), class: e.class.into(), message: e.message, help: e.help },
        }
    }

    /// Returns what the execution made.
    ///
    /// # Errors
    /// What it reported. A code that this build does not know counts as E0612, such a class as `bug`.
    pub fn made(self) -> Result<Made, OpError> {
        match self {
            Self::Result(made) => Ok(made),
            Self::Error { code, class, message, help } => {
                let code = codes::lookup(&code).map_or("E0612", |(c, _)| c.0);
                let known = ["oom", "preempted", "flaky", "budget", "damaged", "peer", "server"];
                let class = known.into_iter().find(|c| *c == class).unwrap_or("bug");
                Err(OpError { help, ..OpError::new(code, message).class(class) })
            }
        }
    }
}

/// Returns an event as the line that is said of it: its name among its fields.
pub fn line(event: &str, fields: Json) -> Json {
    let mut line = json!({ "event": event });
    if let (Json::Object(line), Json::Object(fields)) = (&mut line, fields) {
        line.extend(fields.into_iter().filter(|(k, _)| k != "event"));
    }
    line
}

/// What a line said.
pub enum Said {
    /// The execution has ended.
    Ended(Outcome),
    /// An event, and its fields.
    Event(String, Json),
}

/// Reads a line; nothing if it is none of this protocol.
pub fn hear(line: &str) -> Option<Said> {
    let mut json = serde_json::from_str::<Json>(line).ok()?;
    let name = json["event"].as_str()?.to_owned();
    if name == "result" || name == "error" {
        return serde_json::from_value(json).ok().map(Said::Ended);
    }
    json.as_object_mut()?.remove("event");
    Some(Said::Event(name, json))
}
