//! What is recorded of a node, as data: [`super::record`] knows where it lies.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use crate::base::Digest;
use crate::engine::artifact::{Artifact, FileRef};

/// What a node made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The action key.
    pub key: Digest,
    /// The fields that the key hashes.
    pub preimage: Map<String, Json>,
    /// The digest of each field of the result.
    pub outputs: BTreeMap<String, Digest>,
    /// The attachments of each field of the result. They are no part of its identity, and nothing is made anew for their sake.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attachments: BTreeMap<String, BTreeMap<String, FileRef>>,
    /// How long it took.
    pub seconds: f64,
    /// Rows of the datasets among the results.
    pub rows: Option<u64>,
    /// Bytes of the results.
    pub bytes: u64,
    /// Counts that the operator reported.
    pub counts: BTreeMap<String, u64>,
    /// Rows that were dropped or changed, as JSONL.
    pub fates: Option<FileRef>,
    /// The key of what was decided of its rows, where columns passed that the operator does not look at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub of_rows: Option<Digest>,
    /// The key of the state that a training kept for longer ones.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kept: Option<Digest>,
    /// Where a training began that did not begin anew.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub began: Option<Began>,
    /// What the node was called where it ran first. For people.
    pub name: String,
    /// When it was made.
    pub made: String,
    /// The build that made it.
    pub build: String,
}

/// The field of a state's record.
pub(in crate::engine) const KEPT_STATE: &str = "state";

impl Record {
    /// Says whether it is that of a state which a training kept for longer ones.
    pub fn is_state(&self) -> bool {
        self.outputs.contains_key(KEPT_STATE) && self.preimage.get("step").is_some_and(Json::is_u64)
    }
}

/// The state of a shorter training, from which another one went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Began {
    /// Its key.
    pub state: Digest,
    /// Optimizer steps that were done.
    pub step: u64,
}

/// What became of a row that was left out because it could not be read or understood; each is named to the user.
pub const QUARANTINED: &str = "quarantined";

/// A row that an operator dropped or changed: what `trace` tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Fate {
    /// The row's `id` column, or its ordinal.
    pub row: String,
    /// `dropped`, `changed`, `quarantined`.
    pub what: String,
    /// Why: the rule, the score, the twin's id.
    pub why: String,
}

/// A record that counts as used since some moment.
#[derive(Debug)]
pub(super) struct Claimed {
    pub at: Instant,
    /// The inode of its file.
    pub number: u64,
    pub record: Record,
    pub artifacts: BTreeMap<String, Artifact>,
}
