//! Worked examples of a benchmark: replies with the score that they must get.

use std::path::PathBuf;

use serde::Deserialize;

use super::benchmark::Declaration;
use super::coords::Coords;
use super::item::{Item, ItemKind};
use super::marker::{Masks, key_point};
use super::reader::read_first;
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;

/// Runs the worked examples of a declaration.
///
/// # Errors
/// E0803 for the first example whose reply gets another score, or parses where it should not.
pub fn check_examples(declare: &Declaration) -> Result<(), OpError> {
    #[derive(Deserialize)]
    struct Example {
        kind: String,
        key: String,
        reply: String,
        score: f64,
        #[serde(default)]
        parsed: Option<bool>,
        #[serde(default)]
        options: Option<Vec<String>>,
    }
    for (at, json) in declare.examples.iter().enumerate() {
        let example: Example = serde_json::from_value(json.clone())?;
        let kind = ItemKind::parse(&example.kind).ok_or_else(|| {
            OpError::new("E0213", format!("example {}: `{}` is no kind of item", at + 1, example.kind))
        })?;
        let letters = || ["A", "B", "C", "D"].map(str::to_owned).to_vec();
        let item = Item {
            id: format!("example {}", at + 1),
            kind,
            options: if kind.has_options() { example.options.unwrap_or_else(letters) } else { Vec::new() },
            polygon: (kind == ItemKind::Point && key_point(&example.key).is_none()).then(|| example.key.clone()),
            key: example.key,
            rotation: 0,
            question: String::new(),
            options_in_question: false,
            images: Vec::new(),
            offsets: None,
            mask: None,
            cluster: None,
            groups: Vec::new(),
            pair: None,
            chance: 0.0,
        };
        let rule = declare.rule(kind)?;
        let read = read_first(&rule.readers, &example.reply, &item);
        let got = match &read {
            Some((value, _)) => rule.marker.mark(value, &item, &Coords::default(), &Masks::new(&NoBlobs))?,
            None => 0.0,
        };
        let shown = read.as_ref().map_or("nothing".to_owned(), |(v, rule)| format!("{} by rule `{rule}`", v.show()));
        if (got - example.score).abs() > 1e-9 {
            let message =
                format!("example {}: {:?} scores {got}, not {}; read: {shown}", at + 1, example.reply, example.score);
            return Err(OpError::new("E0803", message));
        }
        if example.parsed.is_some_and(|parsed| parsed != read.is_some()) {
            return Err(OpError::new("E0803", format!("example {}: {:?} gives {shown}", at + 1, example.reply)));
        }
    }
    Ok(())
}

/// Examples have no pictures.
struct NoBlobs;

impl Blobs for NoBlobs {
    fn get(&self, _: Digest) -> Result<Vec<u8>, OpError> {
        Err(OpError::new("E0803", "an example has no mask; give its key as a polygon"))
    }

    fn file(&self, _: Digest) -> Result<PathBuf, OpError> {
        Err(OpError::new("E0803", "an example has no files"))
    }

    fn put(&self, _: &[u8]) -> Result<Digest, OpError> {
        Err(OpError::new("E0803", "an example stores nothing"))
    }
}
