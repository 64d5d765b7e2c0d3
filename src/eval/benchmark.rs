//! A benchmark: its items, and how they are asked, read, marked and totalled.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::item::{self, Item, ItemKind};
use super::marker::Marker;
use super::reader::{Reader, readers};
use super::total::{Total, total};
use crate::base::OpError;
use crate::engine::Store;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::storage::dataset;

/// What the verbs of a recipe declared, as JSON: the `meta.benchmark` of the dataset or benchmark on its way.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Declaration {
    /// Asking text by kind, slots left in.
    pub ask: BTreeMap<String, String>,
    /// System text.
    pub system: Option<String>,
    /// `A. text` or `(A) text`.
    pub option_style: String,
    /// Default decoding: `max_tokens`, `stop`.
    pub generate: Json,
    /// Readers by kind.
    pub read: BTreeMap<String, Json>,
    /// Marker by kind.
    pub mark: BTreeMap<String, Json>,
    /// The headline aggregator.
    pub headline: Json,
    /// Further aggregators.
    pub also: Vec<Json>,
    /// By kind: readers, or `{read, mark}`.
    pub compat: BTreeMap<String, Json>,
    /// The aggregator of the compat score, if another.
    pub compat_total: Json,
    /// Worked examples.
    pub examples: Vec<Json>,
}

/// How one kind of item is read and marked.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// Tried in order.
    pub readers: Vec<Reader>,
    /// What the value is worth.
    pub marker: Marker,
}

impl Declaration {
    /// Reads it from the metadata of an artifact; empty where there is none yet.
    pub fn of(artifact: &Artifact) -> Result<Self, OpError> {
        match artifact.meta.get("benchmark") {
            Some(json) => Ok(serde_json::from_value(json.clone())?),
            None => Ok(Self { option_style: "A. text".into(), ..Self::default() }),
        }
    }

    /// Returns how items of a kind are read and marked.
    ///
    /// # Errors
    /// E0801 when a verb does not cover the kind, E0612 when it does not fit it.
    pub fn rule(&self, kind: ItemKind) -> Result<Rule, OpError> {
        let name = kind.name();
        let missing = |verb: &str| {
            OpError::new("E0801", format!("there are `{name}` items, but `bench.{verb}` says nothing about them"))
                .help(format!("add `{name}: …` to `bench.{verb}`"))
        };
        let readers = readers(self.read.get(name).ok_or_else(|| missing("read"))?)?;
        let marker: Marker = marker(self.mark.get(name).ok_or_else(|| missing("mark"))?)?;
        check(kind, &readers, &marker)?;
        Ok(Rule { readers, marker })
    }

    /// Returns how items of a kind are read and marked for the compat score; `None` where nothing else was declared.
    pub fn compat_rule(&self, kind: ItemKind) -> Result<Option<Rule>, OpError> {
        let Some(json) = self.compat.get(kind.name()) else { return Ok(None) };
        let rule = match json.get("mark") {
            Some(mark) => Rule { readers: readers(&json["read"])?, marker: marker(mark)? },
            None => Rule { readers: readers(json.get("read").unwrap_or(json))?, marker: self.rule(kind)?.marker },
        };
        check(kind, &rule.readers, &rule.marker)?;
        Ok(Some(rule))
    }

    /// Returns the headline aggregator.
    pub fn headline(&self) -> Result<Total, OpError> {
        total(&self.headline)
    }

    /// Returns the aggregator of the compat score.
    pub fn compat_total(&self) -> Result<Total, OpError> {
        total(if self.compat_total.is_null() { &self.headline } else { &self.compat_total })
    }
}

/// Items with their declaration.
#[derive(Clone, Debug)]
pub struct Benchmark {
    /// Questions; several rotations of one follow each other.
    pub items: Vec<Item>,
    /// How they are asked and scored.
    pub declare: Declaration,
    /// What guessing among the options scores.
    pub chance: f64,
    /// What the best answer that never looks scores.
    pub majority: f64,
}

impl Benchmark {
    /// Reads a benchmark artifact.
    pub fn load(store: &Store, artifact: &Artifact) -> Result<Self, OpError> {
        if artifact.kind != Kind::Benchmark {
            return Err(OpError::new("E0304", "this is no benchmark yet: it lacks `bench.total`"));
        }
        Ok(Self {
            items: item::from_table(&dataset::load(store, &items_dataset(artifact))?)?,
            declare: Declaration::of(artifact)?,
            chance: artifact.meta["chance"].as_f64().unwrap_or(0.0),
            majority: artifact.meta["majority"].as_f64().unwrap_or(0.0),
        })
    }

    /// Returns each question once, in the first order in which it is asked, with its place among the items.
    pub fn firsts(&self) -> impl Iterator<Item = (usize, &Item)> {
        let mut seen: BTreeSet<&str> = BTreeSet::new();
        self.items.iter().enumerate().filter(move |(_, item)| seen.insert(&item.id))
    }

    /// Returns the number of different questions.
    pub fn questions(&self) -> usize {
        self.firsts().count()
    }
}

/// Returns the items of a score as a dataset.
///
/// # Errors
/// E0612 where it has none.
pub fn items_of(score: &Artifact) -> Result<Artifact, OpError> {
    if score.meta["items"].is_null() {
        return Err(OpError::new(
            "E0612",
            "this score has no items: it was published elsewhere or is no score of a benchmark",
        ));
    }
    Ok(items_dataset(score))
}

/// Returns the dataset that lies in a benchmark or score under `items/`.
pub fn items_dataset(artifact: &Artifact) -> Artifact {
    let files = artifact
        .files
        .iter()
        .filter_map(|(path, file)| path.strip_prefix("items/").map(|p| (p.to_owned(), *file)))
        .collect();
    Artifact { kind: Kind::Dataset, meta: artifact.meta["items"].clone(), files }
}

/// Puts a dataset under `items/` of another artifact: files to add, metadata to keep as `meta.items`.
pub fn put_items(dataset: &Artifact, files: &mut BTreeMap<String, crate::engine::FileRef>) -> Json {
    files.extend(dataset.files.iter().map(|(path, file)| (format!("items/{path}"), *file)));
    dataset.meta.clone()
}

fn marker(json: &Json) -> Result<Marker, OpError> {
    let verb = json["verb"].as_str().unwrap_or("?");
    serde_json::from_value(json.clone())
        .map_err(|e| OpError::new("E0612", format!("`{verb}` cannot be used here: {e}")))
}

fn check(kind: ItemKind, readers: &[Reader], marker: &Marker) -> Result<(), OpError> {
    if let Some(reader) = readers.iter().find(|r| !r.fits(kind)) {
        return Err(OpError::new("E0801", format!("`{reader:?}` does not read `{}` items", kind.name())));
    }
    if !marker.fits(kind) {
        return Err(OpError::new("E0801", format!("`{marker:?}` does not mark `{}` items", kind.name())));
    }
    if let Some(why) = marker.lacks(kind) {
        return Err(OpError::new("E0801", why).help("write, for example, `point: mark.near(abs: 0.1)`"));
    }
    Ok(())
}
