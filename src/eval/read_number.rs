//! Reads a number out of a reply.

use std::sync::LazyLock;

use regex::Regex;

use super::normalise::{flagevalmm_string, number_word};
use super::numerals::{NumberForm, all, hedged, nothing};
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
static UNSIGNED: LazyLock<Regex> = LazyLock::new(|| pattern(r"\d+(?:\.\d+)?"));
/// A number with its unit and nothing else on its line.
static BARE: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^[\s*_`~≈$]*[-−+]?(?:\d[\d.,  ]*|\.\d+)\s*[\p{L}%°²³/]{0,12}[\s*_`.$]*$"));
/// What stands in brackets beside a number says it once more, or takes it apart.
static ASIDE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\([^()]*\)"));

/// Labels of a line that are looked at, from its end: a reply that repeats itself has thousands.
const LABELS: usize = 8;

/// Returns the number that a reply gives, and the rule that found it.
///
/// What the last label gives must be exactly one number (`labelled`), and so must what stands in the last box (`boxed`). Without
/// either a number alone on the first line counts, where the last line holds another text (`first_line`); else the last number of the
/// reply, digits (`last`) before words (`words`). A label with a colon covers its line, "the answer is" only a number that follows at
/// once; after an equals sign only its result counts, and what stands in brackets only where nothing else does. Units, fractions,
/// thousands and decimal commas are understood. Two numbers that are meant at once ("5 or 6", "2-3 m", "6 ft 2 in") are none.
pub fn number(reply: &str, form: NumberForm) -> Option<(f64, &'static str)> {
    let text = strip(reply);
    let one = |rest: &str, rule| {
        let result = outcome(rest);
        let found = outside(result, form);
        match found.as_slice() {
            [(n, _)] if !hedged(result) => Some((*n, rule)),
            _ => None,
        }
    };
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let mut promised = false;
    for (at, line) in lines.iter().enumerate().rev() {
        for label in LABEL.captures_iter(line).collect::<Vec<_>>().into_iter().rev().take(LABELS) {
            let own = &line[label.get(0).map_or(0, |m| m.end())..];
            let (verb, colon) = (label.get(1).is_some(), label.get(2).is_some());
            // A label alone on its line belongs to the next.
            let alone = own.trim_matches(['*', '_', ' ']).is_empty();
            let rest = if alone { lines.get(at + 1).copied().unwrap_or("") } else { own };
            if (colon || follows(rest, form)) && !all(rest, form).is_empty() {
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
    if let [first, .., last] = lines.as_slice()
        && BARE.is_match(first)
        && !BARE.is_match(last)
        && last.contains(' ')
    {
        return one(first, "first_line");
    }
    let found = lines.iter().rev().find(|line| !all(line, form).iter().all(|(_, words)| *words)).copied();
    let (line, digits) = (found.unwrap_or(&text), found.is_some());
    let result = if digits { outcome(line) } else { line };
    // In several lines a dash is the mark of a list.
    let result = if lines.len() > 1 { result.trim_start_matches("- ") } else { result };
    if hedged(result) {
        return None;
    }
    let found = outside(result, form).last().map(|(n, words)| (*n, if *words { "words" } else { "last" }));
    found.or_else(|| (form.words && nothing(&text)).then_some((0.0, "words")))
}

/// What follows the last equals sign, if that is a number.
fn outcome(text: &str) -> &str {
    match text.rsplit_once('=') {
        Some((_, result)) if result.contains(|c: char| c.is_ascii_digit()) => result,
        _ => text,
    }
}

/// The numbers outside of brackets; those inside where there are no others.
fn outside(text: &str, form: NumberForm) -> Vec<(f64, bool)> {
    let found = all(&ASIDE.replace_all(text, " "), form);
    if found.is_empty() { all(text, form) } else { found }
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
