//! What several replies to one question show: their vote, how far they agree, and how far whole runs differ.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::benchmark::Benchmark;
use super::scored::{Scored, units};
use super::stats::{mean, variance};
use super::total::Estimate;
use crate::base::OpError;

/// Several runs over the same questions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Repeats {
    /// Replies to a question at most.
    pub epochs: usize,
    /// The headline where each question counts by the value that most of its replies give; of as many the one that came first. Replies that
    /// cannot be read do not vote.
    pub consensus: Estimate,
    /// The share of questions with several replies whose replies all say the same.
    pub consistency: f64,
    /// The mean variance of scores within a question (with n − 1).
    pub within: f64,
    /// The headline of each run that asked every question.
    pub runs: Vec<f64>,
    /// Their standard deviation (with n − 1); none with fewer than two.
    pub spread: Option<f64>,
}

/// Returns what the repeats of a score show; `None` where every question was asked once.
///
/// # Errors
/// As the headline total's.
pub fn repeats(bench: &Benchmark, rows: &[Scored]) -> Result<Option<Repeats>, OpError> {
    let mut asked: BTreeMap<usize, Vec<&Scored>> = BTreeMap::new();
    for row in rows {
        asked.entry(row.answer.item).or_default().push(row);
    }
    let epochs = asked.values().map(Vec::len).max().unwrap_or(0);
    if epochs < 2 {
        return Ok(None);
    }
    let headline = bench.declare.headline()?;
    let voted = asked.iter().map(|(item, rows)| (&bench.items[*item], 0, winner(rows).map_or(0.0, |r| r.score)));
    let consensus = headline.estimate(&units(voted))?;
    let several: Vec<&Vec<&Scored>> = asked.values().filter(|rows| rows.len() > 1).collect();
    let same = several.iter().filter(|rows| rows.windows(2).all(|w| w[0].parsed == w[1].parsed)).count();
    let within: Vec<f64> =
        several.iter().map(|rows| variance(&rows.iter().map(|r| r.score).collect::<Vec<_>>())).collect();
    let mut by_run: BTreeMap<u32, Vec<&Scored>> = BTreeMap::new();
    rows.iter().for_each(|row| by_run.entry(row.answer.epoch).or_default().push(row));
    let whole = by_run.values().filter(|rows| rows.len() == asked.len());
    let value = |rows: &Vec<&Scored>| -> Result<f64, OpError> {
        let triples = rows.iter().map(|r| (&bench.items[r.answer.item], 0, r.score));
        Ok(headline.estimate(&units(triples))?.value)
    };
    let runs: Vec<f64> = whole.map(value).collect::<Result<_, _>>()?;
    Ok(Some(Repeats {
        epochs,
        consensus,
        consistency: same as f64 / several.len() as f64,
        within: mean(&within),
        spread: (runs.len() > 1).then(|| variance(&runs).sqrt()),
        runs,
    }))
}

/// The first reply with the value that most replies give.
fn winner<'a>(rows: &[&'a Scored]) -> Option<&'a Scored> {
    let votes = |value: &Option<String>| rows.iter().filter(|r| r.parsed == *value).count();
    let read = rows.iter().copied().rev().filter(|r| r.parsed.is_some());
    // The first of several that are alike: `max_by_key` would take the last.
    read.max_by_key(|r| votes(&r.parsed))
}
