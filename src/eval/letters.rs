//! Option letters as words of a text: which capital is a letter, and not an article, a pronoun or part of a name.

use std::sync::LazyLock;

use regex::Regex;

use super::strip::pattern;

static WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"[A-Za-z0-9']+"));
/// Names what the next word is: "option A".
static NAMED: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?i)\b(?:option|choice|answer|letter)\s+[*_`"'(\[]*$"#));
static NEXT_WORD: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s+([a-z]+)([-'’]?)"));
/// Goes on as one word: "T-shirt", "I'd", "C++".
static JOINED: LazyLock<Regex> = LazyLock::new(|| pattern(r"^(?:[-'’][A-Za-z]|[+#])"));
static REJECTED_AFTER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xi) ^ [)\]*_`"'.]* \s+ (?: (?:is|was|are|seems|looks|appears|would\s+be|must\s+be) \s+ (?:clearly\s+|also\s+|obviously\s+)?
        (?: wrong | incorrect | false | impossible | (?:ruled\s+)?out\b | eliminated
          | not\s+(?:right|correct|possible|(?:the\s+)?(?:right\s+|correct\s+|best\s+)?(?:answer|option|choice|one)\b) )
        | (?:isn't|isn’t|can't|can’t|cannot)\s+(?:be\s+)?(?:right|correct|possible|the\s+(?:answer|option|choice)\b) )"#,
    )
});
static REJECTED_BEFORE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xi) (?: \b(?:not|neither|nor|cannot\s+be|rather\s+than|instead\s+of|except|excluding|eliminate|rule\s+out)
        | \b(?:is|are|was|can|could|would|won)n?['’]t(?:\s+be)? ) \s+ (?:(?:option|choice|answer)\s+)? [*_`"'(\[]* $"#,
    )
});
/// "A? No, B", "A... wait, B".
static TAKEN_BACK: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r"(?i)^[)\]*_`.…\s]*(?:\?\s*no\b|[,;–-]?\s*(?:no,?\s+)?(?:wait|hold\s+on|correction|sorry)\b)")
});
static OR: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"^[)\]*_`"'.]*\s*(?:/|&|\b(?:or|and)\b)\s*(?:(?:option|choice)\s+)?[*_`"'(\[]*([A-Z])"#)
});

/// Words that no noun phrase begins with, so that an `A` or `I` before them is a letter: "A is closest", "A because".
const NO_NOUN: &[&str] = &[
    // Verbs in the third person.
    "is",
    "isn",
    "has",
    "hasn",
    "does",
    "doesn",
    "seems",
    "looks",
    "appears",
    "shows",
    "matches",
    "fits",
    "makes",
    "gives",
    "describes",
    "represents",
    "depicts",
    "corresponds",
    "lies",
    "remains",
    "satisfies",
    "contradicts",
    "contains",
    "indicates",
    "suggests",
    "says",
    // Conjunctions, prepositions, pronouns and determiners.
    "because",
    "since",
    "as",
    "and",
    "or",
    "but",
    "if",
    "when",
    "while",
    "whereas",
    "though",
    "although",
    "so",
    "then",
    "than",
    "rather",
    "over",
    "for",
    "from",
    "in",
    "on",
    "at",
    "of",
    "by",
    "with",
    "without",
    "to",
    "which",
    "the",
    "this",
    "that",
    "these",
    "those",
    "it",
    "its",
    "there",
    "they",
];
/// The same for `A` alone: "I was", "I would".
const NO_NOUN_NOR_SPEAKER: &[&str] =
    &["was", "wasn", "were", "are", "would", "could", "should", "might", "may", "cannot"];

/// A capital letter that stands alone in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Letter {
    /// It, illegal ones included.
    pub letter: char,
    /// The text says that it is not the answer.
    pub rejected: bool,
    /// Another word follows it in the same line.
    pub followed: bool,
    /// Where it ends in the text, in bytes.
    pub end: usize,
}

/// Returns the capital letters that are words of their own, in order; "A cup" and the pronoun "I" are none.
pub fn letters(text: &str) -> Vec<Letter> {
    let mut out = Vec::new();
    for word in WORD.find_iter(text) {
        let mut chars = word.as_str().chars();
        let (Some(letter), None) = (chars.next(), chars.next()) else { continue };
        let (before, after) = (&text[..word.start()], &text[word.end()..]);
        if letter.is_ascii_uppercase() && is_letter(before, letter, after) {
            let followed = after.trim_start_matches(' ');
            let followed = followed.len() < after.len() && followed.starts_with(char::is_alphabetic);
            out.push(Letter { letter, rejected: rejected(before, after), followed, end: word.end() });
        }
    }
    out
}

/// Says whether a capital between two texts is a letter: no article, no pronoun, no part of a longer word.
pub fn is_letter(before: &str, letter: char, after: &str) -> bool {
    if JOINED.is_match(after) {
        return false;
    }
    if !matches!(letter, 'A' | 'I') {
        return true;
    }
    let Some(next) = NEXT_WORD.captures(after) else { return true };
    let (word, joined) = (&next[1], &next[2]);
    // "A so-called", "A on-off switch": a word with a hyphen is an adjective.
    let free = |list: &[&str]| joined != "-" && list.contains(&word);
    free(NO_NOUN) || letter == 'A' && (free(NO_NOUN_NOR_SPEAKER) || NAMED.is_match(tail(before)))
}

/// Says whether a letter between two texts is named as not the answer: "B is wrong", "not B".
pub fn rejected(before: &str, after: &str) -> bool {
    REJECTED_AFTER.is_match(after) || TAKEN_BACK.is_match(after) || REJECTED_BEFORE.is_match(tail(before))
}

/// The end of a text, long enough for what may stand right before a letter: long replies hold many letters.
pub fn tail(text: &str) -> &str {
    const MOST: usize = 64;
    let mut from = text.len().saturating_sub(MOST);
    while !text.is_char_boundary(from) {
        from += 1;
    }
    &text[from..]
}

/// Says whether another letter is named as just as good: "B or C".
pub fn hedged(letter: char, after: &str) -> bool {
    OR.captures(after).is_some_and(|found| {
        let end = found.get(0).map_or(0, |m| m.end());
        let other = found[1].chars().next().unwrap_or(letter);
        other != letter && !after[end..].starts_with(char::is_alphanumeric) && is_letter("", other, &after[end..])
    })
}

/// Says whether the text after a letter goes on with a word that makes a name with it: "L shape", "T junction".
pub fn begins_name(after: &str) -> bool {
    let word = after.trim_start_matches(' ');
    let word = &word[..word.find(|c: char| !c.is_alphabetic()).unwrap_or(word.len())];
    after.starts_with(' ')
        && !word.is_empty()
        && ![NO_NOUN, NO_NOUN_NOR_SPEAKER].concat().contains(&word.to_lowercase().as_str())
}

/// Returns a letter in capitals if it names one of so many options.
pub fn legal_letter(c: char, options: usize) -> Option<char> {
    let c = c.to_ascii_uppercase();
    (c.is_ascii_uppercase() && (c as usize - 'A' as usize) < options).then_some(c)
}
