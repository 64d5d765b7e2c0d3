//! The declaration of an operator: everything about it but its code, in one static record beside that code.

use serde::{Deserialize, Serialize};

use super::prelude;
use crate::base::OpError;

/// Looks at calls in the order against the flow: operator and arguments.
pub type Refuses = fn(&[(&str, &serde_json::Value)]) -> Result<(), OpError>;

/// What may be assumed of an operator's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Same bytes, always.
    Deterministic,
    /// Same up to hardware.
    Numeric,
    /// Numeric, and drawn from a seed: the operator has a hidden parameter `seed: Int`.
    Sampled,
    /// Depends on a remote party; responses are recorded.
    External,
}

/// What an operator does to rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// No rows in: reads files.
    Source,
    /// Some of the rows.
    RowSubset,
    /// Each row once.
    RowMap,
    /// Any number of rows for each.
    RowExpand,
    /// Rows to something else.
    Reduce,
    /// Makes a model.
    Train,
    /// Scores a model.
    Score,
    /// Not a node: a plain value known before anything runs (`read.choice()`), or a row function (`media.frames`).
    Value,
}

/// Where an operator runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Pool {
    /// In the scheduler's process, on its cores.
    Cpu,
    /// In a process of `rbpipe-engine`.
    Engine,
    /// Mostly waiting for a server.
    Net,
}

/// How the columns of the result follow from the arguments, where the signature alone cannot say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Columns {
    /// As the signature says.
    Signature,
    /// Any: they come from a file that nobody has described; the lock knows them once it is written.
    FromFile,
    /// Exactly the schema given as `as`.
    FromSchema,
    /// Only those named in `columns`.
    Select,
    /// All but those named in `columns`.
    Drop,
    /// Named arguments `new: .old`.
    Rename,
    /// Named arguments `new: expression` are added.
    Derive,
    /// Those that all inputs share, with a label column named by the argument `label`.
    Concat,
    /// Those that all inputs share.
    Shared,
    /// Adds a column whose name is the text of this argument, with the type that the signature's field `into` has.
    AddNamed(&'static str),
    /// As the signature says, but these columns only where the `Bool` of this name is true.
    Only(&'static str, &'static [&'static str]),
    /// Adds `<column>` (an enum of the classifier's options) and `<column>_p`.
    Classify,
}

/// Which columns of its datasets an operator looks at. It is given no others, and must keep the order of its rows if its result has them. For operators
/// whose work is no more than copying rows, `All` is the cheapest: `docs/decisions/columns-in-keys.md`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Looks {
    /// All of them.
    All,
    /// Those that its signature names, those that stand in an argument of the call, and these where they are there.
    At(&'static [&'static str]),
    /// All but those that stand in an argument of the call.
    Rest,
}

/// Which parameter of a source names a repository of the Hugging Face hub.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hub {
    /// None does.
    Nowhere,
    /// This one names a model, looked for in the local cache of the hub, unless it starts with `.` or `/`.
    Model(&'static str),
    /// This one names a dataset, looked for in the local mirror.
    Rows(&'static str),
}

/// The declaration of an operator.
pub struct OpSpec {
    /// Its signature in the language, docs as `##` comments: `op dedup.minhash(d: Dataset[{ ..r }], …) -> Dataset[{ ..r }]`.
    /// The first parameter is the positional or piped one.
    pub signature: &'static str,
    /// Semantic version: raised when results change. The only part of the code that a key sees.
    pub version: u32,
    /// What may be assumed of its result.
    pub class: Class,
    /// What it does to rows.
    pub effect: Effect,
    /// Where it runs.
    pub pool: Pool,
    /// How columns follow.
    pub columns: Columns,
    /// Which columns it looks at.
    pub looks: Looks,
    /// Arguments whose history the operator tells: how their rows came about. It gets it as the argument `$history`.
    pub history: &'static [&'static str],
    /// Takes the common `where: Where = true` of filters and dedups.
    pub takes_where: bool,
    /// Shows a model the pictures and videos that its rows have in `images`, `image` and `video`.
    pub shows_media: bool,
    /// Which parameter names a repository of the hub.
    pub hub: Hub,
    /// What the text of the file at `path` names that is read too, relative to it or `hf:REPOSITORY`; the arguments are given.
    pub index: Option<fn(&str, &serde_json::Map<String, serde_json::Value>) -> Vec<String>>,
    /// What it refuses before anything runs, from the arguments of its call and of those that its first input went through, nearest first.
    pub refuses: Option<Refuses>,
    /// `with` options of its own, beyond the common ones (`cpus mem disk timeout stall retries priority cache pin on_error`).
    pub with: &'static [&'static str],
}

impl OpSpec {
    /// A deterministic row-subset operator on the CPU; override what differs with `..OpSpec::BASE`.
    pub const BASE: OpSpec = OpSpec {
        signature: "",
        version: 1,
        class: Class::Deterministic,
        effect: Effect::RowSubset,
        pool: Pool::Cpu,
        columns: Columns::Signature,
        looks: Looks::All,
        history: &[],
        takes_where: false,
        shows_media: false,
        hub: Hub::Nowhere,
        index: None,
        refuses: None,
        with: &[],
    };

    /// Returns all options of `with` that it accepts beyond the common ones: its own, and for a source the terms of what it reads.
    pub fn options(&self) -> impl Iterator<Item = &'static str> + use<> {
        let terms = if self.effect == Effect::Source { prelude::WITH_SOURCE } else { &[] };
        self.with.iter().chain(terms).copied()
    }
}
