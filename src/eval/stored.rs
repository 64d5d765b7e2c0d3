//! A score as tables and comparisons read it: its facts, its questions, and the runs that it is a mean of.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::stats::variance;
use super::total::Unit;

/// A score read back from the store.
#[derive(Clone, Debug, Default)]
pub struct Stored {
    /// Its facts.
    pub meta: Json,
    /// Questions with their scores; empty for numbers that were published elsewhere.
    pub units: Vec<Unit>,
    /// Digest of each unit's question, options and key, so that only equal items are compared.
    pub items: Vec<String>,
    /// The runs that it is the mean of, if it is one; the units are then those of the first.
    pub runs: Vec<Run>,
    /// How many runs the sweep has for it; 0 where nothing was averaged.
    pub asked: usize,
}

/// One run of a cell.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its labels on the axes that are averaged over, joined by commas.
    pub label: String,
    /// Its score.
    pub score: Stored,
}

/// What the runs of a cell say.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// Runs with a score.
    pub n: usize,
    /// Runs of the sweep.
    pub of: usize,
    /// The standard deviation of their scores (with n − 1); none with fewer than two.
    pub sd: Option<f64>,
    /// Their scores by label, in the order of the sweep.
    pub values: Vec<(String, f64)>,
}

impl Spread {
    /// Returns what scores by label say, of so many runs that there should be.
    pub fn of(values: Vec<(String, f64)>, of: usize) -> Self {
        let numbers: Vec<f64> = values.iter().map(|v| v.1).collect();
        let sd = (numbers.len() > 1).then(|| variance(&numbers).sqrt());
        Self { n: numbers.len(), of, sd, values }
    }
}
