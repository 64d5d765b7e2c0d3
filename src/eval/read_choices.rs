//! Reads several option letters out of a reply to a question with more than one right option.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::letters::legal_letter;
use super::strip::{pattern, strip};

static LABELLED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)(?:\b(?:correct\s+)?(?:answers?|options?|choices?)\b|答案)[\s*_]*(?:(?:is|are)\b|:)[\s:*_]*(.*)$")
});
static BOXED: LazyLock<Regex> = LazyLock::new(|| pattern(r"\\boxed\s*\{\s*(?:\\text\s*\{)?([^{}]*)\}|`+([^`]*)`+"));
static LISTED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[\s*_-]*[(\[]?([A-Z])[.)\]:][*_]*(?:\s|$)"));

/// Returns the option letters that a reply names, in order, and the rule that found them; only letters that the item has.
///
/// Rules in order: `letters` (the whole reply is a list of letters), `labelled` (what follows "answers:" or "options are" on one of the last
/// three lines), `boxed`, `last_line`, `listed` (each line begins with a letter).
pub fn choices(reply: &str, options: usize) -> Option<(String, &'static str)> {
    let text = strip(reply);
    let letters = |part: &str| list(part, options);
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if let Some(found) = letters(&text) {
        return Some((found, "letters"));
    }
    let after = |line: &&str| LABELLED.captures(line).and_then(|m| letters(m.get(1)?.as_str()));
    if let Some(found) = lines.iter().rev().take(3).find_map(after) {
        return Some((found, "labelled"));
    }
    let boxed = BOXED.captures_iter(&text).filter_map(|m| m.get(1).or(m.get(2)).and_then(|g| letters(g.as_str())));
    if let Some(found) = boxed.last() {
        return Some((found, "boxed"));
    }
    if let Some(found) = lines.last().and_then(|l| letters(l)) {
        return Some((found, "last_line"));
    }
    let starts: Option<Vec<&str>> =
        lines.iter().map(|l| LISTED.captures(l).and_then(|m| m.get(1)).map(|g| g.as_str())).collect();
    let found = starts.filter(|s| s.len() > 1).and_then(|s| letters(&s.join(" ")));
    found.map(|found| (found, "listed"))
}

/// Returns the letters of a text that is nothing but letters of options, run together or apart (`ABD`, `A, b and D`, `(A)/(C)`), in order and
/// each once.
pub fn list(text: &str, options: usize) -> Option<String> {
    let mut found = BTreeSet::new();
    for word in text.split(|c: char| !c.is_alphanumeric()).filter(|w| !w.is_empty()) {
        if ["and", "as", "well", "both"].contains(&word.to_lowercase().as_str()) {
            continue;
        }
        // Run together they are letters only in capitals: `bad` is a word.
        if word.chars().count() > 1 && word.chars().any(char::is_lowercase) {
            return None;
        }
        for c in word.chars() {
            found.insert(legal_letter(c, options)?);
        }
    }
    (!found.is_empty()).then(|| found.into_iter().collect())
}
