//! Reads a number out of a reply.

use std::sync::LazyLock;

use regex::Regex;

use super::normalise::{flagevalmm_string, number_word, numbers_in_words};
use super::strip::{pattern, strip};

static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)(?:\bfinal\s+answer\b|\banswer\b|\bresult\b|答案|结果)[\s*_]*(?:is\b|是|为)?[\s*_]*[:：=]?")
});
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"([-−+])?((?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE]([-+]?\d+))?(?:\s*/\s*(\d+(?:\.\d+)?))?")
});
static UNSIGNED: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d+(?:\.\d+)?"));

/// How numbers may be written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NumberForm {
    /// English number words count.
    pub words: bool,
    /// A minus sign belongs to the number.
    pub signed: bool,
    /// `1,200` is twelve hundred.
    pub thousands: bool,
}

/// Returns the number that a reply gives, and the rule that found it.
///
/// The last line with a label ("Answer:") must hold exactly one number (`labelled`); without such a line the last number of
/// the reply counts (`last`), digits before words (`words`). Units and fractions are tolerated.
pub fn number(reply: &str, form: NumberForm) -> Option<(f64, &'static str)> {
    let text = strip(reply);
    let labelled = text.lines().rev().find_map(|line| LABEL.find_iter(line).last().map(|m| &line[m.end()..]));
    if let Some(rest) = labelled.filter(|rest| !rest.trim().is_empty()) {
        let found = numbers(rest, form);
        return match found.as_slice() {
            [(n, _)] => Some((*n, "labelled")),
            _ => None,
        };
    }
    numbers(&text, form).last().map(|(n, words)| (*n, if *words { "words" } else { "last" }))
}

/// Returns what FlagEvalMM's number extractor makes of a reply: the first unsigned decimal (the sign and thousands are lost),
/// else the first word as a number word, else 0.
pub fn number_flagevalmm(reply: &str) -> f64 {
    let text = flagevalmm_string(reply);
    if let Some(found) = UNSIGNED.find(&text) {
        return found.as_str().parse().unwrap_or(0.0);
    }
    let first = text.split_whitespace().next().unwrap_or("");
    number_word(first.trim_matches(|c: char| !c.is_alphabetic())).unwrap_or(0.0)
}

/// All numbers in order; the flag says that it was written in words. Words count only where there are no digits.
fn numbers(text: &str, form: NumberForm) -> Vec<(f64, bool)> {
    let mut out = Vec::new();
    for found in NUMBER.captures_iter(text) {
        let whole = found.get(0).map_or(0..0, |m| m.range());
        let before = text[..whole.start].chars().next_back();
        if before.is_some_and(|c| c.is_alphabetic() || c == '_') {
            continue; // "x2", "block_3" are names.
        }
        let digits = &found[2];
        if digits.contains(',') && !form.thousands {
            out.extend(digits.split(',').filter_map(|d| d.parse().ok()).map(|n: f64| (n, false)));
            continue;
        }
        let Ok(mut n) = digits.replace(',', "").parse::<f64>() else { continue };
        if let Some(e) = found.get(3).and_then(|e| e.as_str().parse::<i32>().ok()) {
            n *= 10f64.powi(e);
        }
        if let Some(d) = found.get(4).and_then(|d| d.as_str().parse::<f64>().ok()).filter(|d| *d != 0.0) {
            n /= d;
        }
        let minus = found.get(1).is_some_and(|s| s.as_str() != "+");
        if form.signed && minus && !before.is_some_and(|c| c.is_ascii_digit()) {
            n = -n;
        }
        if n.is_finite() {
            out.push((n, false));
        }
    }
    if out.is_empty() && form.words {
        out.extend(numbers_in_words(text).into_iter().map(|n| (n, true)));
    }
    out
}
