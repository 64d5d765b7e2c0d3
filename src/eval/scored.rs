//! A reply with what was made of it, and the scores of all replies gathered by item.

use std::collections::BTreeMap;

use super::generate::Reply;
use super::item::Item;
use super::total::Unit;

/// A reply to one item.
#[derive(Clone, Debug, PartialEq)]
pub struct Answer {
    /// Which item of the benchmark.
    pub item: usize,
    /// Which repeat, from 0.
    pub epoch: u32,
    /// What was sent, for people.
    pub prompt: String,
    /// What came back, or why nothing did.
    pub reply: Result<Reply, String>,
    /// Width and height of each picture as a server was sent it; empty in process.
    pub sent: Vec<(u32, u32)>,
}

/// A reply with what was made of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scored {
    /// The reply.
    pub answer: Answer,
    /// `ok`, `truncated`, `refused`, `empty` or `failed`.
    pub outcome: &'static str,
    /// The value read, as text; `None` is unparsed.
    pub parsed: Option<String>,
    /// The rule that found it.
    pub rule: String,
    /// 0…1; a reply that says nothing scores 0.
    pub score: f64,
    /// The same under the compat profile; only for the first rotation.
    pub compat: Option<f64>,
    /// Points (x, y) and boxes (two corners) as fractions of the picture.
    pub points: Vec<Vec<f64>>,
}

impl Scored {
    /// Says whether a reply came that holds no value which could be read.
    pub fn is_unparsed(&self) -> bool {
        self.parsed.is_none() && !matches!(self.outcome, "failed" | "refused")
    }
}

/// Gathers the scores of rotations and repeats by item; items in order of first appearance.
pub fn units<'a>(scores: impl Iterator<Item = (&'a Item, u32, f64)>) -> Vec<Unit> {
    let mut order: Vec<Unit> = Vec::new();
    let mut sums: Vec<BTreeMap<u32, (f64, f64)>> = Vec::new();
    let mut places: BTreeMap<&str, usize> = BTreeMap::new();
    for (item, _, score) in scores {
        let at = *places.entry(&item.id).or_insert_with(|| {
            let mut groups: BTreeMap<String, String> = item.groups.iter().cloned().collect();
            groups.entry("kind".into()).or_insert_with(|| item.kind.name().into());
            order.push(Unit {
                id: item.id.clone(),
                rotations: Vec::new(),
                chance: item.chance,
                cluster: item.cluster.clone().unwrap_or_else(|| item.id.clone()),
                groups,
                pair: item.pair.clone(),
            });
            sums.push(BTreeMap::new());
            order.len() - 1
        });
        let cell = sums[at].entry(item.rotation).or_insert((0.0, 0.0));
        cell.0 += score;
        cell.1 += 1.0;
    }
    for (unit, sums) in order.iter_mut().zip(sums) {
        unit.rotations = sums.into_values().map(|(sum, n)| sum / n).collect();
    }
    order
}
