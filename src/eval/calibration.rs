//! Calibration: how far the probabilities that a model gives its options can be believed, and the temperature that mends them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::item::{Item, ItemKind};
use super::stats::{largest, mean, softmax, wilson};
use crate::base::Digest;

/// The column of a score's items that holds the probabilities of options.
pub const OPTION_P: &str = "option_p";

/// Bins of equal width between 0 and 1.
const BINS: usize = 10;
/// Parts into which the clusters are dealt: the temperature of one comes from the others.
const FOLDS: u8 = 5;
/// A probability below this counts as this.
const LEAST: f64 = 1e-12;
/// Temperatures that are looked at.
const RANGE: (f64, f64) = (0.05, 20.0);

/// A question with options: what a model thinks of each, and which is right.
#[derive(Clone, Debug, PartialEq)]
pub struct Guess {
    /// The probability of each option, in order; they sum to 1.
    pub p: Vec<f64>,
    /// The place of the right one.
    pub right: usize,
    /// Questions that are not independent share this.
    pub cluster: String,
}

/// What is found in one bin of the reliability diagram.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Bin {
    /// Its least confidence; it ends where the next one begins.
    pub from: f64,
    /// Questions.
    pub n: usize,
    /// Their mean confidence.
    pub confidence: f64,
    /// The share whose likeliest option is right.
    pub accuracy: f64,
    /// Lower end of that share's 95 % interval (Wilson).
    pub low: f64,
    /// Upper end.
    pub high: f64,
}

/// How confidence and accuracy agree. The confidence of a question is the probability of its likeliest option.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Reliability {
    /// Expected calibration error: the mean distance of confidence and accuracy over bins, weighted by their questions.
    pub ece: f64,
    /// Mean negative log-likelihood of the right option, in nats.
    pub nll: f64,
    /// Brier score: the mean squared distance to 1 for the right option and 0 for the others, summed over options.
    pub brier: f64,
    /// Mean confidence.
    pub confidence: f64,
    /// Bins with questions in them.
    pub bins: Vec<Bin>,
}

/// The calibration of a model on a benchmark.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Questions with options.
    pub n: usize,
    /// The share whose likeliest option is right; no temperature changes it.
    pub accuracy: f64,
    /// As the model gave them.
    pub raw: Reliability,
    /// At a temperature that was fitted on other clusters of questions; none with fewer clusters than parts.
    pub held_out: Option<Reliability>,
    /// The temperature that fits all questions best; above 1 the model is too sure.
    pub temperature: f64,
}

/// Returns the calibration of some guesses; `None` for no guess.
///
/// # Source
/// Guo et al. 2017, On Calibration of Modern Neural Networks: temperature scaling by likelihood, expected calibration error.
pub fn calibration(guesses: &[Guess]) -> Option<Calibration> {
    if guesses.is_empty() {
        return None;
    }
    let clusters: BTreeSet<&str> = guesses.iter().map(|g| g.cluster.as_str()).collect();
    let parts: Vec<u8> = guesses.iter().map(|g| Digest::of(g.cluster.as_bytes()).0[0] % FOLDS).collect();
    let folds: BTreeSet<u8> = parts.iter().copied().collect();
    let held_out = (clusters.len() >= usize::from(FOLDS) && folds.len() > 1).then(|| {
        let mut out: Vec<Guess> = Vec::with_capacity(guesses.len());
        for own in folds {
            let of = |mine: bool| guesses.iter().zip(&parts).filter(move |(_, p)| (**p == own) == mine).map(|(g, _)| g);
            let t = temperature(of(false));
            out.extend(of(true).map(|g| Guess { p: scaled(&g.p, t), ..g.clone() }));
        }
        reliability(&out)
    });
    let right: Vec<f64> = guesses.iter().map(|g| f64::from(u8::from(likeliest(&g.p) == g.right))).collect();
    Some(Calibration {
        n: guesses.len(),
        accuracy: mean(&right),
        raw: reliability(guesses),
        held_out,
        temperature: temperature(guesses),
    })
}

/// Returns probabilities at another temperature: `p^(1/t)`, scaled to the sum 1.
pub fn scaled(p: &[f64], t: f64) -> Vec<f64> {
    softmax(&p.iter().map(|p| p.max(LEAST).ln() / t).collect::<Vec<_>>())
}

/// Returns the temperature with the highest likelihood of the right options.
pub fn temperature<'g>(guesses: impl IntoIterator<Item = &'g Guess>) -> f64 {
    let logs = |g: &Guess| (g.p.iter().map(|p| p.max(LEAST).ln()).collect(), g.right);
    let logs: Vec<(Vec<f64>, usize)> = guesses.into_iter().map(logs).collect();
    // The likelihood is concave in 1/t; its slope is what the right option's logarithm exceeds the expected one by.
    let slope = |inverse: f64| -> f64 {
        let t = 1.0 / inverse;
        let of = |(logs, right): &(Vec<f64>, usize)| {
            let shares = softmax(&logs.iter().map(|l| l / t).collect::<Vec<_>>());
            let expected: f64 = shares.iter().zip(logs).map(|(q, l)| q * l).sum();
            logs[*right] - expected
        };
        logs.iter().map(of).sum()
    };
    let (mut low, mut high) = (1.0 / RANGE.1, 1.0 / RANGE.0);
    for _ in 0..60 {
        let middle = (low * high).sqrt();
        if slope(middle) > 0.0 {
            low = middle;
        } else {
            high = middle;
        }
    }
    1.0 / (low * high).sqrt()
}

fn reliability(guesses: &[Guess]) -> Reliability {
    let n = guesses.len() as f64;
    let mut sums = vec![(0usize, 0.0, 0.0); BINS];
    let (mut nll, mut brier) = (0.0, 0.0);
    for guess in guesses {
        let best = likeliest(&guess.p);
        let bin = &mut sums[((guess.p[best] * BINS as f64) as usize).min(BINS - 1)];
        bin.0 += 1;
        bin.1 += guess.p[best];
        bin.2 += f64::from(u8::from(best == guess.right));
        nll -= guess.p[guess.right].max(LEAST).ln();
        let off = |(i, p): (usize, &f64)| (p - f64::from(u8::from(i == guess.right))).powi(2);
        brier += guess.p.iter().enumerate().map(off).sum::<f64>();
    }
    let bins = sums.iter().enumerate().filter(|(_, s)| s.0 > 0).map(|(i, &(count, confidence, right))| {
        let of = count as f64;
        let (low, high) = wilson(right, of);
        Bin { from: i as f64 / BINS as f64, n: count, confidence: confidence / of, accuracy: right / of, low, high }
    });
    let bins: Vec<Bin> = bins.collect();
    let ece = bins.iter().map(|b| b.n as f64 / n * (b.confidence - b.accuracy).abs()).sum();
    let confidence = sums.iter().map(|s| s.1).sum::<f64>() / n;
    Reliability { ece, nll: nll / n, brier: brier / n, confidence, bins }
}

fn likeliest(p: &[f64]) -> usize {
    largest(p).unwrap_or(0)
}

/// Returns the probability of each option among the options, from the tokens that a server listed for the first word of a reply with their
/// log-probabilities. Marks and spaces around a token do not count, nor the case of a word. An option that is not listed is given the least
/// probability that is, which bounds its own; `None` where no option is listed.
pub fn among(options: &[String], tokens: &[(String, f64)]) -> Option<Vec<f64>> {
    let bare = |token: &str| {
        let word = token.trim_matches(|c: char| !c.is_alphanumeric());
        // A letter is an option, its small form a word.
        if word.chars().count() > 1 { word.to_lowercase() } else { word.to_owned() }
    };
    let listed: Vec<(String, f64)> = tokens.iter().map(|(token, logp)| (bare(token), logp.exp())).collect();
    let of = |option: &String| {
        let wanted = bare(option);
        let own: Vec<f64> = listed.iter().filter(|(word, _)| *word == wanted).map(|(_, p)| *p).collect();
        (!own.is_empty()).then(|| own.iter().sum::<f64>())
    };
    let found: Vec<Option<f64>> = options.iter().map(of).collect();
    let least = listed.iter().map(|(_, p)| *p).fold(f64::INFINITY, f64::min);
    let p: Vec<f64> = found.iter().map(|p| p.unwrap_or(least)).collect();
    let sum: f64 = p.iter().sum();
    (found.iter().any(Option::is_some) && sum > 0.0).then(|| p.iter().map(|p| p / sum).collect())
}

/// Returns the guess at an item; `None` where it has no options, or as many probabilities as options are not there.
pub fn guess(item: &Item, p: &[f64]) -> Option<Guess> {
    let right = match item.kind {
        ItemKind::Choice if item.options.len() == p.len() => usize::from(item.key.bytes().next()?.checked_sub(b'A')?),
        ItemKind::YesNo if p.len() == 2 => usize::from(item.key != "yes"),
        _ => return None,
    };
    let sum: f64 = p.iter().sum();
    let fine = right < p.len() && p.iter().all(|p| (0.0..=1.0).contains(p)) && sum > 0.0;
    let cluster = || item.cluster.clone().unwrap_or_else(|| item.id.clone());
    fine.then(|| Guess { p: p.iter().map(|p| p / sum).collect(), right, cluster: cluster() })
}

/// Reads the probabilities of options as a score's items hold them, a JSON list.
pub fn parse(text: &str) -> Option<Vec<f64>> {
    numbers(&serde_json::from_str(text).ok()?)
}

/// As [`parse`], of the list itself.
pub fn numbers(list: &Json) -> Option<Vec<f64>> {
    list.as_array()?.iter().map(Json::as_f64).collect()
}
