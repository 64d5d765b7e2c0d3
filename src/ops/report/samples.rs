//! The samples of a report page: every question with every model's reply, in blocks that the page reads when it shows them.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use crate::base::Digest;
use crate::eval::item::{Item, ItemKind, Picture};
use crate::eval::marker::key_point;
use crate::eval::polygon;

/// Samples in a block.
const BLOCK: usize = 200;
/// Characters of a reply or prompt at most.
const MOST_TEXT: usize = 2000;

/// What a model said to a question.
pub(super) struct Reply {
    /// As it was.
    pub text: Option<String>,
    /// The value that was read from it; none if it cannot be read.
    pub parsed: Option<String>,
    /// The rule that read it.
    pub rule: Option<String>,
    /// From 0 to 1.
    pub score: f64,
    /// The score under the second profile.
    pub compat: Option<f64>,
    /// How the request ended.
    pub outcome: Option<String>,
    /// What is worth telling about it.
    pub note: Option<String>,
    /// Points and boxes as fractions of the picture.
    pub points: Option<Json>,
    /// The probability of each option.
    pub option_p: Option<Vec<f64>>,
}

/// The samples of all benchmarks.
#[derive(Default)]
pub(super) struct Samples {
    /// By benchmark, then place in it.
    benches: BTreeMap<String, BTreeMap<usize, Sample>>,
    pictures: BTreeSet<Digest>,
}

struct Sample {
    name: String,
    shown: Json,
    /// By model.
    marks: BTreeMap<String, Mark>,
}

struct Mark {
    score: f64,
    readable: bool,
}

impl Samples {
    /// Adds the reply that a run of a model gave to an item, given with its row among the run's replies.
    pub fn add(&mut self, bench: &str, model: &str, (row, item): (usize, &Item), prompt: Option<String>, reply: Reply) {
        self.pictures.extend(item.images.iter().chain(&item.mask).map(|p| p.digest));
        let samples = self.benches.entry(bench.to_owned()).or_default();
        let rotation = if item.rotation > 0 { format!(" rotated {}", item.rotation) } else { String::new() };
        let name = format!("{}{rotation}", item.id);
        // Models answer the same items in the same order; one that answered fewer still finds its place by name.
        let place = match samples.get(&row) {
            Some(known) if known.name != name => {
                samples.iter().find(|(_, s)| s.name == name).map_or(samples.len() + row, |(at, _)| *at)
            }
            _ => row,
        };
        let sample = samples.entry(place).or_insert_with(|| {
            let shown = shown(&name, item, prompt);
            Sample { name, shown, marks: BTreeMap::new() }
        });
        sample.marks.insert(model.to_owned(), Mark { score: reply.score, readable: reply.parsed.is_some() });
        sample.shown["r"][model] = told(reply);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.benches.values().map(BTreeMap::len).sum()
    }

    /// The pictures that they show.
    pub fn pictures(&self) -> &BTreeSet<Digest> {
        &self.pictures
    }

    /// Returns what filters need, by benchmark: how many samples (`n`) in blocks of what size (`block`) and under which name (`id`); for
    /// each model a text of one digit a sample (`marks`: 1 for wrong plus 2 for unreadable, `-` without a reply); the places where models
    /// differ as a text of `0` and `1` (`differ`).
    pub fn index(&self, models: &[String]) -> Json {
        let one = |(at, (bench, samples)): (usize, (&String, &BTreeMap<usize, Sample>))| {
            let of = |model: &String| -> String {
                samples.values().map(|s| s.marks.get(model).map_or('-', Mark::digit)).collect()
            };
            let marks: Map<String, Json> = models.iter().map(|m| (m.clone(), json!(of(m)))).collect();
            let differ: String = samples.values().map(|s| if s.differs() { '1' } else { '0' }).collect();
            let facts =
                json!({ "id": format!("b{at}"), "n": samples.len(), "block": BLOCK, "marks": marks, "differ": differ });
            (bench.clone(), facts)
        };
        Json::Object(self.benches.iter().enumerate().map(one).collect())
    }

    /// Returns the blocks, each with its name (`b0-0`, `b0-1`, …).
    pub fn blocks(&self) -> impl Iterator<Item = (String, Json)> {
        self.benches.values().enumerate().flat_map(|(at, samples)| {
            let samples: Vec<&Json> = samples.values().map(|s| &s.shown).collect();
            let blocks: Vec<_> = samples.chunks(BLOCK).map(|block| json!(block)).enumerate().collect();
            blocks.into_iter().map(move |(k, block)| (format!("b{at}-{k}"), block))
        })
    }
}

impl Sample {
    fn differs(&self) -> bool {
        let mut scores = self.marks.values().map(|m| m.score);
        scores.next().is_some_and(|first| scores.any(|s| s != first))
    }
}

impl Mark {
    fn digit(&self) -> char {
        match (self.score < 1.0, self.readable) {
            (false, true) => '0',
            (true, true) => '1',
            (false, false) => '2',
            (true, false) => '3',
        }
    }
}

fn shown(name: &str, item: &Item, prompt: Option<String>) -> Json {
    let digest = |p: &Picture| p.digest.short();
    bare(json!({
        "i": name,
        "q": cut(&item.question),
        "o": item.options,
        "k": item.key,
        "g": item.groups.iter().cloned().collect::<BTreeMap<_, _>>(),
        "p": item.images.iter().map(digest).collect::<Vec<_>>(),
        "m": item.mask.as_ref().map(digest),
        "d": if item.kind == ItemKind::Point { key_point(&item.key) } else { None },
        "a": item.polygon.as_deref().and_then(polygon::parse),
        "t": prompt.map(|p| cut(&p)),
        "r": {},
    }))
}

fn told(reply: Reply) -> Json {
    let rounded = |p: Vec<f64>| p.into_iter().map(|p| (1e4 * p).round() / 1e4).collect::<Vec<_>>();
    bare(json!({
        "t": reply.text.map(|t| cut(&t)),
        "v": reply.parsed,
        "u": reply.rule,
        "s": reply.score,
        "c": reply.compat,
        "o": reply.outcome,
        "n": reply.note,
        "x": reply.points,
        "p": reply.option_p.map(rounded),
    }))
}

/// Without fields that say nothing: a page of many rows opens sooner.
fn bare(mut of: Json) -> Json {
    if let Some(fields) = of.as_object_mut() {
        fields.retain(|name, value| !value.is_null() && (name.as_str(), value.as_str()) != ("o", Some("ok")));
    }
    of
}

fn cut(text: &str) -> String {
    match text.char_indices().nth(MOST_TEXT) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text.to_owned(),
    }
}
