//! How often each answer was given, against how often it is right: what shows a model that always says the same.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::benchmark::Benchmark;
use super::item::{Item, ItemKind};
use super::scored::Scored;

/// Values listed by name; rarer ones are counted together.
const MOST: usize = 12;
/// What rarer values are called together.
const REST: &str = "other";

/// One answer of a histogram.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bar {
    /// The answer: a letter, the text of an option, yes or no, a number.
    pub answer: String,
    /// Replies that gave it.
    pub said: u64,
    /// Replies that should have given it.
    pub right: u64,
    /// Replies that gave it and should have.
    pub hit: u64,
}

impl Bar {
    fn add(&mut self, more: &Bar) {
        self.said += more.said;
        self.right += more.right;
        self.hit += more.hit;
    }
}

/// The answers of one sort.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Histogram {
    /// `letter`, `option`, `yes_no`, `number` or `text`.
    pub of: String,
    /// Replies.
    pub n: u64,
    /// Replies from which nothing was read.
    pub unreadable: u64,
    /// The most frequent right answers first.
    pub bars: Vec<Bar>,
}

impl Histogram {
    /// Returns the answer that was given far more often than it is right, with both shares.
    pub fn favourite(&self) -> Option<(&str, f64, f64)> {
        let share = |count: u64| count as f64 / self.n.max(1) as f64;
        let over = |b: &Bar| i128::from(b.said) - i128::from(b.right);
        let most = self.bars.iter().filter(|b| b.answer != REST).max_by_key(|b| (over(b), b.said))?;
        (most.said > 0).then(|| (most.answer.as_str(), share(most.said), share(most.right)))
    }
}

/// Counts the answers of scored replies. Options are counted by their texts too where all questions share a few.
pub fn histograms(bench: &Benchmark, rows: &[Scored]) -> Vec<Histogram> {
    let mut sorts: BTreeMap<&'static str, Counts> = BTreeMap::new();
    for row in rows {
        let item = &bench.items[row.answer.item];
        let Some(sort) = sort(item.kind) else { continue };
        sorts.entry(sort).or_default().count(row.parsed.as_deref(), &item.key);
        if item.kind == ItemKind::Choice {
            let said = row.parsed.as_deref().and_then(|p| option(item, p));
            sorts.entry("option").or_default().count(said, option(item, &item.key).unwrap_or_default());
        }
    }
    if sorts.get("option").is_some_and(|c| c.bars.len() > MOST) {
        sorts.remove("option");
    }
    sorts.into_iter().map(|(of, counts)| counts.histogram(of)).collect()
}

/// The histograms of several runs as those of one.
pub fn pooled(runs: &[Vec<Histogram>]) -> Vec<Histogram> {
    let mut sorts: BTreeMap<&str, Counts> = BTreeMap::new();
    for one in runs.iter().flatten() {
        let counts = sorts.entry(&one.of).or_default();
        counts.n += one.n;
        counts.unreadable += one.unreadable;
        for bar in &one.bars {
            counts.bar(&bar.answer).add(bar);
        }
    }
    sorts.into_iter().map(|(of, counts)| counts.histogram(of)).collect()
}

fn sort(kind: ItemKind) -> Option<&'static str> {
    match kind {
        ItemKind::Choice => Some("letter"),
        ItemKind::Choices => Some("letters"),
        ItemKind::YesNo => Some("yes_no"),
        ItemKind::Number => Some("number"),
        ItemKind::Text => Some("text"),
        ItemKind::Point | ItemKind::Judge | ItemKind::Pair => None,
    }
}

/// The text of the option that a letter stands for.
fn option<'a>(item: &'a Item, letter: &str) -> Option<&'a str> {
    let at = letter.bytes().next()?.checked_sub(b'A')?;
    item.options.get(usize::from(at)).map(String::as_str)
}

#[derive(Default)]
struct Counts {
    n: u64,
    unreadable: u64,
    bars: BTreeMap<String, Bar>,
}

impl Counts {
    fn count(&mut self, said: Option<&str>, right: &str) {
        self.n += 1;
        self.bar(right).right += 1;
        match said {
            None => self.unreadable += 1,
            Some(said) => {
                let bar = self.bar(said);
                bar.said += 1;
                bar.hit += u64::from(said == right);
            }
        }
    }

    fn bar(&mut self, answer: &str) -> &mut Bar {
        let new = || Bar { answer: answer.to_owned(), ..Bar::default() };
        self.bars.entry(answer.to_owned()).or_insert_with(new)
    }

    fn histogram(self, of: &str) -> Histogram {
        let mut bars: Vec<Bar> = self.bars.into_values().collect();
        if of == "letter" {
            bars.sort_by(|a, b| a.answer.cmp(&b.answer));
        } else {
            bars.sort_by(|a, b| (b.right.max(b.said)).cmp(&a.right.max(a.said)).then(a.answer.cmp(&b.answer)));
        }
        let named = bars.iter().filter(|b| b.answer != REST).count();
        if named > MOST || named < bars.len() {
            // What is rare in one of several runs is counted there already.
            let (mut named, rest): (Vec<Bar>, Vec<Bar>) = bars.into_iter().partition(|b| b.answer != REST);
            let more = named.split_off(MOST.min(named.len()));
            let mut sum = Bar { answer: REST.into(), ..Bar::default() };
            rest.iter().chain(&more).for_each(|bar| sum.add(bar));
            named.push(sum);
            bars = named;
        }
        Histogram { of: of.to_owned(), n: self.n, unreadable: self.unreadable, bars }
    }
}
