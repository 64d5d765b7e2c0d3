//! Reads a number out of a reply.

use std::sync::LazyLock;

use regex::Regex;

use super::normalise::{flagevalmm_string, number_word, numbers_in_words};
use super::strip::{pattern, strip};

static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xi) (?: \b(?:final\s+)?answer\b | \bresult\b | 答案 | 结果 ) ["'\s*_]* ( (?:is|are|was|equals|would\s+be)\b | 是 | 为 )? [\s*_]* ([:=])?"#,
    )
});
/// What may stand between a label without a colon and its number.
static ABOUT: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xi) ^ [\s*_`"'(\[$\\~≈]* (?:boxed\s*\{)? (?: (?:about|approximately|around|roughly|exactly|minus|negative) \s+ )*
        (?: [-−+]?\s?\.?\d | ([a-z]+) )"#,
    )
});
static BOXED: LazyLock<Regex> = LazyLock::new(|| pattern(r"\\boxed\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}"));
static NUMBER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x) ([-−+]\s?)? ( (?: [1-9]\d{0,2}(?:[\ \u{a0}\u{2009}\u{202f}]\d{3})+\b | \d{1,3}(?:,\d{3})+ | \d+ ) (?:\.\d+)? | \.\d+ )
        (?: [eE]([-+]?\d+) )? (?: \s*/\s*(\d+(?:\.\d+)?) )?",
    )
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
/// What the last label gives must be exactly one number (`labelled`), and so must what stands in the last box (`boxed`); without
/// either the last number of the reply counts (`last`), digits before words (`words`). A label with a colon covers its line, "the
/// answer is" only a number that follows at once. Units and fractions are tolerated.
pub fn number(reply: &str, form: NumberForm) -> Option<(f64, &'static str)> {
    let text = strip(reply);
    let one = |rest: &str, rule| match numbers(rest, form).as_slice() {
        [(n, _)] => Some((*n, rule)),
        _ => None,
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let mut promised = false;
    for (at, line) in lines.iter().enumerate().rev() {
        for label in LABEL.captures_iter(line).collect::<Vec<_>>().into_iter().rev() {
            let own = &line[label.get(0).map_or(0, |m| m.end())..];
            let (verb, colon) = (label.get(1).is_some(), label.get(2).is_some());
            // A label alone on its line belongs to the next.
            let alone = own.trim_matches(['*', '_', ' ']).is_empty();
            let rest = if alone { lines.get(at + 1).copied().unwrap_or("") } else { own };
            if (colon || follows(rest, form)) && !numbers(rest, form).is_empty() {
                return one(rest, "labelled");
            }
            promised |= verb || colon;
        }
    }
    // "Answer: unclear" gives no number, whatever was counted before.
    if promised {
        return None;
    }
    if let Some(inside) = BOXED.captures_iter(&text).last().and_then(|m| m.get(1)) {
        return one(inside.as_str(), "boxed");
    }
    numbers(&text, form).last().map(|(n, words)| (*n, if *words { "words" } else { "last" }))
}

/// Says whether a text begins with a number.
fn follows(text: &str, form: NumberForm) -> bool {
    ABOUT.captures(text).is_some_and(|m| m.get(1).is_none_or(|word| form.words && number_word(word.as_str()).is_some()))
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
        let start = found.get(0).map_or(0, |m| m.start());
        let before = &text[..start];
        if before.ends_with(|c: char| c.is_alphabetic() || c == '_') {
            continue; // "x2", "block_3" are names.
        }
        let digits = &found[2];
        if digits.contains(|c: char| c == ',' || c.is_whitespace()) && !form.thousands {
            let parts = digits.split(|c: char| c == ',' || c.is_whitespace());
            out.extend(parts.filter_map(|d| d.parse().ok()).map(|n: f64| (n, false)));
            continue;
        }
        let plain: String = digits.chars().filter(|c| *c != ',' && !c.is_whitespace()).collect();
        let Ok(mut n) = plain.parse::<f64>() else { continue };
        if let Some(e) = found.get(3).and_then(|e| e.as_str().parse::<i32>().ok()) {
            n *= 10f64.powi(e);
        }
        if let Some(d) = found.get(4).and_then(|d| d.as_str().parse::<f64>().ok()).filter(|d| *d != 0.0) {
            n /= d;
        }
        if form.signed && negative(text, before, found.get(1).map_or("", |s| s.as_str())) {
            n = -n;
        }
        if n.is_finite() {
            out.push((n, false));
        }
    }
    if out.is_empty() && form.words {
        out.extend(numbers_in_words(text, form.signed).into_iter().map(|n| (n, true)));
    }
    out
}

/// Says whether a number is below nought: by a minus that is no subtraction, range, dash or mark of a list, or by the word.
fn negative(text: &str, before: &str, sign: &str) -> bool {
    let before = before.trim_end_matches([' ', '\t']);
    if sign.starts_with(['-', '−']) {
        return if sign.chars().count() == 1 {
            !before.ends_with(|c: char| c.is_ascii_digit())
        } else {
            before.is_empty() && !text.trim().contains('\n')
                || before.ends_with(['(', '=', ':', '≈'])
                || before.ends_with(" is")
        };
    }
    let mut words = before.rsplit(' ').filter(|w| !w.is_empty());
    let minus = words.next().is_some_and(|w| ["minus", "negative"].contains(&w.to_lowercase().as_str()));
    let less_than = words.next().is_some_and(|w| w.ends_with(|c: char| c.is_ascii_digit()) || number_word(w).is_some());
    sign.is_empty() && minus && !less_than
}
