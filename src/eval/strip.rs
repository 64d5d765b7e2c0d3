//! Takes the answer out of its wrapping: reasoning tags, answer tags, code fences.

use std::sync::LazyLock;

use regex::Regex;

static CLOSER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)</\s*(?:think|thinking|thought|reasoning)\s*>"));
static OPENER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)<\s*(?:think|thinking|thought|reasoning)\s*>"));
static ANSWER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)<\s*answer\s*>"));
static ANSWER_END: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)</\s*answer\s*>"));
static FENCE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)^```[\w-]*[ \t]*\n(.*?)\n?```$"));

/// Compiles a pattern of ours.
///
/// # Panics
/// When the pattern is wrong: a bug of ours that every test of the reader would hit.
pub(super) fn pattern(text: &str) -> Regex {
    Regex::new(text).expect("a built-in pattern compiles")
}

/// Returns the reply without reasoning, unwrapped from its last `<answer>` tag and from code fences, trimmed.
///
/// A reasoning tag that is opened and never closed means that the reply was cut: nothing is left of it. Applying it twice
/// changes nothing more.
pub fn strip(reply: &str) -> String {
    let mut text = reply.trim().to_owned();
    loop {
        let next = step(&text);
        if next == text {
            return text;
        }
        text = next;
    }
}

fn step(text: &str) -> String {
    let mut rest = text;
    if let Some(closer) = CLOSER.find_iter(rest).last() {
        rest = &rest[closer.end()..];
    }
    if OPENER.is_match(rest) {
        return String::new();
    }
    if let Some(open) = ANSWER.find_iter(rest).last() {
        rest = &rest[open.end()..];
    }
    if let Some(close) = ANSWER_END.find(rest) {
        rest = &rest[..close.start()];
    }
    let rest = rest.trim();
    match FENCE.captures(rest) {
        Some(found) => found[1].trim().to_owned(),
        None => rest.to_owned(),
    }
}
