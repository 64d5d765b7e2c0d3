//! Takes the answer out of its wrapping: reasoning tags, answer tags, code fences, full-width forms.

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

/// Returns a text with the full-width forms of East Asian typing (`Ｂ`, `５`, `（`, `：`) as plain ASCII.
pub fn narrow(text: &str) -> String {
    let plain = |c: char| match c {
        '\u{ff01}'..='\u{ff5e}' => char::from_u32(c as u32 - 0xfee0).unwrap_or(c),
        '\u{3000}' => ' ',
        _ => c,
    };
    text.chars().map(plain).collect()
}

/// Returns the reply without reasoning, unwrapped from its last `<answer>` tag and from code fences, in plain forms of letters
/// and digits ([`narrow`]), trimmed.
///
/// A reasoning tag that is opened and never closed means that the reply was cut: nothing is left of it. Applying it twice
/// changes nothing more.
pub fn strip(reply: &str) -> String {
    let mut text = narrow(reply.trim());
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
        // Two fences are not one.
        Some(found) if !found[1].contains("```") => found[1].trim().to_owned(),
        _ => rest.to_owned(),
    }
}
