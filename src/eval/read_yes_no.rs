//! Reads yes or no out of a reply.

use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::strip::{pattern, strip};

static LABELLED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)(?:\banswer\b|答案)["'\s*_]*(?:is\b)?[\s*_]*[:=]?[\s*_`"'(]*(yes|no)\b"#));
/// The choice between the words, as a prompt puts it; it says neither.
static EITHER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?i)["'`]?\b(?:yes["'`]?\s*(?:or|/)\s*["'`]?no|no["'`]?\s*(?:or|/)\s*["'`]?yes)\b["'`]?"#)
});
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b(yes|no)\b"));

/// Which rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum YesNoMode {
    /// The last "Answer: yes", else the only one of the two words in the reply; "yes or no" is neither.
    LabelledThenOnlyOne,
    /// The reply starts with the word.
    StartsWith,
    /// Its last line does; the official RoboSpatial rule.
    LastLineStartsWith,
    /// Only one of the two words is there; "yes or no" is neither.
    OnlyOne,
}

/// Returns `true` for yes, and the rule that found it.
pub fn yes_no(reply: &str, mode: YesNoMode) -> Option<(bool, &'static str)> {
    let text = strip(reply);
    let said = || EITHER.replace_all(&text, "");
    match mode {
        YesNoMode::StartsWith => starts(&text).map(|b| (b, "starts_with")),
        // As it was published: a tag around the word hides it.
        YesNoMode::LastLineStartsWith => {
            reply.trim().lines().next_back().and_then(|l| starts(l.trim())).map(|b| (b, "last_line"))
        }
        YesNoMode::OnlyOne => only_one(&said()).map(|b| (b, "only_one")),
        YesNoMode::LabelledThenOnlyOne => {
            let text = said();
            let labelled = LABELLED.captures_iter(&text).last().map(|m| m[1].eq_ignore_ascii_case("yes"));
            labelled.map(|b| (b, "labelled")).or_else(|| only_one(&text).map(|b| (b, "only_one")))
        }
    }
}

fn starts(text: &str) -> Option<bool> {
    let text = text.to_lowercase();
    if text.starts_with("yes") {
        Some(true)
    } else if text.starts_with("no") {
        Some(false)
    } else {
        None
    }
}

fn only_one(text: &str) -> Option<bool> {
    let mut words = WORD.find_iter(text).map(|m| m.as_str().eq_ignore_ascii_case("yes"));
    let first = words.next()?;
    words.all(|w| w == first).then_some(first)
}
