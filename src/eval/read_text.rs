//! Reads a short text answer out of a reply, and brings texts into one form.

use std::sync::LazyLock;

use regex::Regex;

use super::normalise::{flagevalmm_string, number_word};
use super::similarity::ratio;
use super::strip::{narrow, pattern, strip};

static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?xi) ^[\s*_\#>]* (?:the\s+|my\s+)?(?:final\s+)? (?: (?:answer|答案)[\s*_]* (?: is\b[\s*_]*:? | [:=] | [是为]:? | $ ) | ans\s*[:.] ) [\s*_]*",
    )
});
/// An article before a thing: "a red mug".
static ARTICLE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^(?:an?|the)\s+([\w])"));
static BOXED: LazyLock<Regex> = LazyLock::new(|| pattern(r"\\boxed\s*\{\s*(?:\\text\s*\{\s*)?([^{}]*)\}"));

/// Returns the last labelled line of a reply, else the last box, else the whole reply, in the form of [`plain`].
pub fn text(reply: &str, number_words: bool, case: bool) -> Option<(String, &'static str)> {
    let whole = strip(reply);
    let lines: Vec<&str> = whole.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    // A label alone on its line belongs to the next.
    let labelled = lines.iter().enumerate().rev().find_map(|(at, line)| {
        let own = LABEL.find(line).map(|m| &line[m.end()..])?;
        if own.is_empty() { lines.get(at + 1).copied() } else { Some(own) }
    });
    let labelled = labelled.filter(|t| !t.trim().is_empty());
    let (found, rule) = labelled.map_or((whole.as_str(), "whole"), |t| (t, "labelled"));
    let (found, rule) = match BOXED.captures_iter(found).last().and_then(|m| m.get(1)) {
        Some(inside) => (inside.as_str(), if labelled.is_some() { rule } else { "boxed" }),
        None => (found, rule),
    };
    let found = plain(found, number_words, case);
    (!found.is_empty()).then_some((found, rule))
}

/// Returns a text trimmed, without quotes, brackets and marks around it, blanks as one, case-folded unless `case`, with number words zero…ten as digits and in plain forms of letters and digits.
pub fn plain(text: &str, number_words: bool, case: bool) -> String {
    const QUOTES: [char; 8] = ['"', '\'', '`', '*', '“', '”', '‘', '’'];
    let narrow = narrow(text).split_whitespace().collect::<Vec<_>>().join(" ");
    let mut trimmed = narrow.as_str();
    loop {
        let mut next = trimmed.trim().trim_matches(QUOTES).trim_end_matches(['.', '。', '!', '?', ',', ';', ':']);
        next = next.trim_start_matches("- ").trim_start_matches(": ");
        for (open, close) in [('(', ')'), ('[', ']')] {
            let inside = next.strip_prefix(open).and_then(|n| n.strip_suffix(close));
            next = inside.filter(|i| !i.contains([open, close, ','])).unwrap_or(next);
        }
        if next.len() == trimmed.len() {
            break;
        }
        trimmed = next;
    }
    let text = if case { trimmed.to_owned() } else { trimmed.to_lowercase() };
    if !number_words {
        return text;
    }
    let words: Vec<String> = text
        .split_whitespace()
        .map(|w| number_word(w).filter(|n| *n <= 10.0).map_or_else(|| w.to_owned(), |n| format!("{n}")))
        .collect();
    words.join(" ")
}

/// Says whether two texts are the same answer: equal in the form of [`plain`], but for an article before either.
pub fn same_text(a: &str, b: &str) -> bool {
    let bare = |text: &str| ARTICLE.replace(&plain(text, true, false), "$1").into_owned();
    bare(a) == bare(b)
}

/// Returns the lines that FlagEvalMM compares: those after `</think>`, each normalised, joined again with newlines.
pub fn text_flagevalmm(reply: &str) -> String {
    let rest = reply.rsplit("</think>").next().unwrap_or(reply);
    rest.trim().lines().map(flagevalmm_string).collect::<Vec<_>>().join("\n")
}

/// Returns the best similarity between any line of `lines` and the key, both as FlagEvalMM normalises them.
pub fn best_line(lines: &str, key: &str) -> f64 {
    let key = flagevalmm_string(key);
    lines.lines().map(|line| ratio(line, &key)).fold(0.0, f64::max)
}
