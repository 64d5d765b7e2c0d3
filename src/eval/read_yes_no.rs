//! Reads yes or no out of a reply.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::Regex;
use serde::Deserialize;

use super::strip::{pattern, strip};

static LABELLED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xi) (?:\banswer\b|答案) ["'\s*_]* (?:(?:is|should\s+be|would\s+be)\b|[是为])? [\s*_]* [:=]? [\s*_`"'(]*
        (?: (?:option\s+)? \(?[A-Z][).:]\)? \s* )? (yes|no|true|false|是的?|否|不是) (?:\b|$|[^\w])"#,
    )
});
/// The choice between the words, as a prompt puts it; it says neither.
static EITHER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?i)["'`]?\b(?:yes["'`]?\s*(?:or|/)\s*["'`]?no|no["'`]?\s*(?:or|/)\s*["'`]?yes)\b["'`]?"#)
});
/// "There is no room", "I have no idea", "not yes": the word answers nothing.
static NO_ANSWER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xi) \b(?:is|are|was|were|be|has|have|had|with|sees?|shows?|there['’]s|there\s+is) \s+ no \s+ [a-z]+
        | \bno\s+(?:idea|clue|doubt|way|longer|other|one|such|sign|visible|obstacles?|objects?)\b | \bnot\s+(?:a\s+)?["'`]?(?:yes|no)\b"#,
    )
});
static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\b(yes|no)\b"));
/// A word that is a sentence, begins one before a comma, or closes the text after a colon or "so".
static SENTENCE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xim) (?: ^[\s*_`"'(>\#-]* (?:\(?[A-Z][).:]\s+)? | [.!?]\s+[*_"']* ) (?:definitely\s+|certainly\s+)? (yes|no)\b [*_`"')]* (?: \s*[.,!;:–—] | \s*$ )
        | (?: : | \b(?:so|thus|therefore|hence|think|believe)[\s,:]+(?:so,?\s+)?(?:the\s+answer\s+is\s+)? ) \s*[*_"']* (yes|no)\b [*_"']* \s*[.!]?\s*$
        | \A\s*(yes)\s+(?:it|there|the|this|that|he|she|they|we|you|because|since|i)\b"#,
    )
});
/// What may not follow a first word for it to be the answer: "yes, but no".
static TURNED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)^\W*(?:yes[\s,;/-]+(?:but\s+|and\s+|or\s+)?no\b|no[\s,;/-]+(?:but\s+|and\s+|or\s+)?yes\b)")
});

/// Whole replies, and first words before a comma, that are the answer in other words.
const SYNONYMS: [(&[&str], bool); 2] = [
    (
        &[
            "true", "correct", "right", "yeah", "yep", "yup", "y", "是", "是的", "对", "对的", "可以", "能", "はい",
            "네", "예", "oui", "ja", "sí", "si", "sim", "да",
        ],
        true,
    ),
    (
        &[
            "false",
            "incorrect",
            "wrong",
            "nope",
            "nah",
            "n",
            "否",
            "不是",
            "不",
            "不对",
            "不可以",
            "不能",
            "いいえ",
            "아니요",
            "아니오",
            "non",
            "nein",
            "não",
            "нет",
        ],
        false,
    ),
];

/// Which rule decides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum YesNoMode {
    /// The last "Answer: yes"; else the sentences that are the word or begin with it, if they agree; else the only one of the two words in
    /// the reply; else the same in other words ("true", "是"). "yes or no" is neither, and "there is no …" answers nothing.
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
        YesNoMode::LabelledThenOnlyOne => labelled_then_only_one(&said()),
    }
}

fn labelled_then_only_one(text: &str) -> Option<(bool, &'static str)> {
    if let Some(found) = LABELLED.captures_iter(text).last() {
        return Some((["yes", "true", "是", "是的"].contains(&found[1].to_lowercase().as_str()), "labelled"));
    }
    if TURNED.is_match(text) {
        return None;
    }
    let text: Cow<str> = NO_ANSWER.replace_all(text, " ");
    let word = |m: regex::Captures| m.iter().skip(1).flatten().next().map(|g| g.as_str().eq_ignore_ascii_case("yes"));
    let mut sentences = SENTENCE.captures_iter(&text).filter_map(word).peekable();
    if let Some(&first) = sentences.peek() {
        return sentences.all(|s| s == first).then_some((first, "sentence"));
    }
    if WORD.is_match(&text) {
        return only_one(&text).map(|b| (b, "only_one"));
    }
    synonym(&text).map(|b| (b, "synonym"))
}

fn synonym(text: &str) -> Option<bool> {
    let mark = |c: char| !c.is_alphanumeric();
    let whole = text.trim_matches(mark).to_lowercase();
    let first = whole.split([',', '，', '、']).next().unwrap_or("").trim();
    SYNONYMS.iter().find(|(words, _)| words.contains(&whole.as_str()) || words.contains(&first)).map(|(_, yes)| *yes)
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
