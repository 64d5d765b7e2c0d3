//! The arguments of `op.run`, as the plan writes them.

use std::path::PathBuf;

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use crate::data::formats::load::Bad;
use crate::data::schema::Columns;

/// The arguments.
#[derive(Deserialize)]
pub(super) struct Args {
    /// Its words.
    pub command: Vec<String>,
    /// Names of files, folders and patterns beside the recipe.
    pub files: Vec<String>,
    /// The lock of its environment.
    pub env: Option<String>,
    pub reads: Columns,
    /// The columns that it promises.
    pub gives: Columns,
    /// What it does to rows.
    pub effect: Effect,
    /// How rows pass.
    pub format: Format,
    /// What else the call gave it.
    pub args: Map<String, Json>,
    pub bad: Bad,
    /// Other columns are joined by `__row` afterwards.
    pub joined: bool,
    /// It draws at random.
    pub seeded: bool,
    #[serde(rename = "$log")]
    pub log: Option<PathBuf>,
    /// The GPUs that it may use, by the names that CUDA knows them by.
    #[serde(rename = "$gpus", default)]
    pub gpus: Vec<String>,
    /// Other processes elsewhere take the other rows.
    #[serde(rename = "$part")]
    pub part: Option<Part>,
}

/// One of several parts of the rows.
#[derive(Clone, Copy, Deserialize)]
pub(super) struct Part {
    /// From 0.
    pub at: usize,
    pub of: usize,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Effect {
    RowMap,
    RowSubset,
    RowExpand,
    Reduce,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Format {
    Jsonl,
    Arrow,
}

impl Format {
    /// As the process reads it.
    pub(super) fn word(self) -> &'static str {
        match self {
            Format::Jsonl => "jsonl",
            Format::Arrow => "arrow",
        }
    }
}

impl Args {
    /// All rows go to one process.
    pub(super) fn whole(&self) -> bool {
        self.effect == Effect::Reduce
    }
}
