//! What a node makes: a kind, a little metadata and a tree of files, each by digest.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use crate::base::Digest;

/// Where in a report the files lie that its page needs beside it.
pub const BESIDE: &str = "report.media/";

/// The kinds of artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// `meta`: `{rows, columns:[{name, type}]}`; files `columns/NAME.arrow` (Arrow IPC, one column each).
    Dataset,
    /// Files in Hugging Face layout; `meta`: `{family}`. A fused model has `fusion.json`, `base/…`, `expert/…`.
    Model,
    /// Options, prompt and column in `meta`; the model's files.
    Classifier,
    /// `meta`: the declaration; files: the items as a dataset under `items/`.
    Benchmark,
    /// `meta`: value, interval, counts; files: the scored items.
    Score,
    /// `meta`: rows, columns and cells with intervals.
    Table,
    /// `report.html` and what it needs, below [`BESIDE`].
    Report,
    /// One file.
    File,
    /// `meta.value`: a number or a Bool.
    Metric,
    /// A training between two steps, for longer ones; `meta`: `{step, per_epoch, seconds}`, files as in a checkpoint.
    State,
}

/// A file of an artifact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileRef {
    /// BLAKE3 of its bytes.
    pub digest: Digest,
    /// Its size.
    pub bytes: u64,
    /// It is an attachment: something for people, such as a log with clock times, that is no part of the artifact's identity.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub attached: bool,
}

/// What a node makes. Its identity is the digest of its canonical JSON without attachments.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Artifact {
    /// What it is.
    pub kind: Kind,
    /// Facts about it; part of its identity.
    pub meta: Json,
    /// Relative path to file.
    pub files: BTreeMap<String, FileRef>,
}

impl Artifact {
    /// Returns its identity.
    pub fn digest(&self) -> Digest {
        Digest::of_json(&serde_json::to_value(self.bare()).expect("an artifact is plain data"))
    }

    /// Returns it without its attachments.
    pub fn bare(&self) -> Self {
        let own = self.files.iter().filter(|(_, file)| !file.attached);
        Self { files: own.map(|(path, file)| (path.clone(), *file)).collect(), ..self.clone() }
    }

    /// Returns its attachments.
    pub fn attachments(&self) -> BTreeMap<String, FileRef> {
        self.files.iter().filter(|(_, file)| file.attached).map(|(path, file)| (path.clone(), *file)).collect()
    }

    /// Returns the sum of its files' sizes.
    pub fn bytes(&self) -> u64 {
        self.files.values().map(|f| f.bytes).sum()
    }

    /// Returns its number of rows, for a dataset.
    pub fn rows(&self) -> Option<u64> {
        self.meta.get("rows").and_then(Json::as_u64)
    }
}
