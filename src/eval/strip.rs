//! Takes the answer out of its wrapping: reasoning tags, answer tags, code fences, full-width forms.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;

static CLOSER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)</\s*(?:think|thinking|thought|reasoning)\s*>|◁/think▷|<\|end_of_thought\|>|\[/THINK\]")
});
static OPENER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)<\s*(?:think|thinking|thought|reasoning)\s*>|◁think▷|<\|begin_of_thought\|>|\[THINK\]")
});
/// What a template puts around a turn, where a server leaves it in the reply.
static TURN: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?x) ^ (?: <\|im_start\|> | <start_of_turn> ) (?:assistant|model) \s
        | (?: <\|(?:im_end|endoftext|eot_id|end|eom_id)\|> | </s> | <eos> | <end_of_turn> ) \s* $",
    )
});
static ANSWER: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)<\s*answer\s*>"));
static ANSWER_END: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)</\s*answer\s*>"));
static FENCE: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?s)^```[\w-]*[ \t]*\n(.*?)\n?```$"));

/// Fields of a JSON object that hold its answer.
const NAMES: [&str; 3] = ["answer", "final_answer", "answers"];

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

/// Returns the reply without reasoning, unwrapped from its last `<answer>` tag, from code fences, from the marks of a turn and from a JSON
/// object that names its answer, in plain forms of letters and digits ([`narrow`]), trimmed.
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
    let rest = TURN.replace(rest.trim(), "");
    let rest = rest.trim();
    match FENCE.captures(rest) {
        // Two fences are not one.
        Some(found) if !found[1].contains("```") => found[1].trim().to_owned(),
        _ => named(rest).unwrap_or_else(|| rest.to_owned()),
    }
}

/// The answer of `{"answer": "B"}`, whatever else stands in the object.
fn named(text: &str) -> Option<String> {
    if !text.starts_with('{') || !text.ends_with('}') {
        return None;
    }
    let fields: serde_json::Map<String, Json> = serde_json::from_str(text).ok()?;
    let (_, value) =
        fields.iter().find(|(name, _)| NAMES.contains(&name.to_lowercase().replace([' ', '-'], "_").as_str()))?;
    Some(match value {
        Json::String(text) => text.trim().to_owned(),
        other => other.to_string(),
    })
}
