//! Reads several option letters out of a reply to a question with more than one right option.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use regex::Regex;

use super::letters::legal_letter;
use super::strip::{pattern, strip};

static LABELLED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?i)(?:\b(?:correct\s+)?(?:answers?|options?|choices?)\b[\s*_]*(?:(?:is|are)\b|:)|答案[\s*_]*[是为:]?|故?选(?:项|择)?[\s*_]*[是为:]?)[\s:*_]*(.*)$",
    )
});
static BOXED: LazyLock<Regex> = LazyLock::new(|| pattern(r"\\boxed\s*\{\s*(?:\\text\s*\{)?([^{}]*)\}|`+([^`]*)`+"));
static LISTED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"^[\s*_•-]*(?:\d+[.)]\s+)?[*_]*[(\[]?([A-Z])(?:[.)\]:][*_]*(?:\s+(.*))?|[*_]*)$"));
/// What a line of an enumeration says of its option.
static TURNED_DOWN: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)^\W*(?:no|not|false|wrong|incorrect)\b|^\W*[✗✘❌]"));
static TAKEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)^\W*(?:yes|true|right|correct)\b|^\W*[✓✔✅]"));
/// What people say before the letters.
static LEAD: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r"(?xi) ^ (?: i\s+(?:would\s+|will\s+)?(?:choose|select|pick) | (?:my|the) | (?:final|correct|right) | only | just | both
        | (?:answers?|options?|choices?|letters?)(?:\s+(?:is|are)\b|:)? ) \b [\s:*_]* ",
    )
});
/// A range (`A-C`) names more than it says.
static RANGE: LazyLock<Regex> = LazyLock::new(|| pattern(r"\b[A-Z][ \t]*[-–~][ \t]*[A-Z]\b"));
static IN_BRACKETS: LazyLock<Regex> = LazyLock::new(|| pattern(r"\(([^()]{2,})\)"));
static ALL: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)^all(?:\s+(?:of\s+)?(?:them|the\s+above|(?:the\s+)?options))?$"));
static BETWEEN: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)\s*(?:[,;/&+、\n]|\band\b|和|以及)\s*(?:and\s+)?"));

/// Words between letters of a list.
const JOINTS: [&str; 7] = ["and", "as", "well", "both", "option", "和", "以及"];
/// Words after a list of letters that give a reason: letters behind them are not of the list.
const REASONS: [&str; 4] = ["because", "since", "due", "explanation"];
/// Words after a list of letters that say something about it; another letter behind them may belong to it.
const SAID: [&str; 5] = ["is", "are", "but", "only", "not"];

/// Returns the option letters that a reply names, in order, and the rule that found them; only letters that the item has.
///
/// Rules in order: `letters` (the whole reply is a list of letters), `labelled` (what follows "answers:" or "options are" on one of the last
/// three lines), `boxed`, `last_line`, `listed` (each line begins with a letter, those that it turns down left out), `option_text` (the
/// texts of options and nothing else; "all of the above"), `sentence` ("A and C are correct").
pub fn choices(reply: &str, options: &[String]) -> Option<(String, &'static str)> {
    let text = strip(reply);
    let letters = |part: &str| list(part, options.len()).filter(|_| !RANGE.is_match(part));
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if let Some(found) = letters(&text) {
        return Some((found, "letters"));
    }
    let after = |line: &&str| {
        let rest = LABELLED.captures(line)?.get(1)?.as_str();
        letters(rest).or_else(|| leading(rest, options.len()))
    };
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
    if let Some(found) = listed(&lines).and_then(|s| letters(&s)) {
        return Some((found, "listed"));
    }
    if let Some(found) = by_text(&text, options) {
        return Some((found, "option_text"));
    }
    lines.first().and_then(|l| leading(l, options.len())).map(|found| (found, "sentence"))
}

/// Returns the letters of a text that is nothing but letters of options, run together or apart (`ABD`, `A, b and D`, `(A)/(C)`), in order and
/// each once.
pub fn list(text: &str, options: usize) -> Option<String> {
    let mut found = BTreeSet::new();
    for word in words(text) {
        if JOINTS.contains(&word.to_lowercase().as_str()) {
            continue;
        }
        found.extend(together(word, options)?);
    }
    (!found.is_empty()).then(|| found.into_iter().collect())
}

/// The letters with which a sentence begins, where what follows them is no word of another list: `A and C are correct`, `A, C.`
fn leading(text: &str, options: usize) -> Option<String> {
    let mut rest = text;
    while let Some(found) = LEAD.find(rest) {
        rest = &rest[found.end()..];
    }
    // Texts in brackets say what a letter stands for.
    let rest = IN_BRACKETS.replace_all(rest, " ");
    let mut found = BTreeSet::new();
    // A full stop ends the list, but for that of a label, which a text follows.
    let sentence = rest.split_once(". ").map_or(rest.as_ref(), |(first, _)| first).trim_end_matches('.');
    if RANGE.is_match(sentence) {
        return None;
    }
    for word in words(sentence) {
        let lower = word.to_lowercase();
        if !found.is_empty() && REASONS.contains(&lower.as_str()) {
            break;
        }
        if !found.is_empty() && SAID.contains(&lower.as_str()) {
            let at = word.as_ptr() as usize - sentence.as_ptr() as usize;
            let more = super::letters::letters(&sentence[at..]);
            let more = more
                .iter()
                .any(|l| !l.rejected && legal_letter(l.letter, options).is_some_and(|c| !found.contains(&c)));
            if more {
                return None;
            }
            break;
        }
        if JOINTS.contains(&lower.as_str()) {
            continue;
        }
        found.extend(together(word, options)?);
    }
    (!found.is_empty()).then(|| found.into_iter().collect())
}

/// The letters of lines that all begin with one; where some are said to be right, these, and never those that are said to be wrong.
fn listed(lines: &[&str]) -> Option<String> {
    let found: Option<Vec<_>> = lines.iter().map(|l| LISTED.captures(l)).collect();
    let found = found.filter(|f| f.len() > 1)?;
    let said = |m: &regex::Captures| m.get(2).map_or(String::new(), |g| g.as_str().to_owned());
    let verdicts = found.iter().any(|m| TAKEN.is_match(&said(m)));
    let kept =
        found.iter().filter(|m| if verdicts { TAKEN.is_match(&said(m)) } else { !TURNED_DOWN.is_match(&said(m)) });
    Some(kept.map(|m| m[1].to_owned()).collect::<Vec<_>>().join(" "))
}

/// The options whose texts, with or without their letters, make up the whole reply.
fn by_text(text: &str, options: &[String]) -> Option<String> {
    let text = text.trim().trim_end_matches(['.', '!', '。']);
    let letter = |at: usize| char::from(b'A' + at as u8);
    if ALL.is_match(text) {
        return Some((0..options.len().min(26)).map(letter).collect());
    }
    let plain = |t: &str| t.trim().trim_end_matches('.').to_lowercase();
    let texts: Vec<String> = options.iter().map(|o| plain(o)).collect();
    let mut found = BTreeSet::new();
    for part in BETWEEN.split(text).filter(|p| !p.trim().is_empty()) {
        let part = plain(part);
        let bare = part.split_once([' ', '.', ')']).map_or("", |(_, rest)| rest.trim_start_matches(['.', ')', ' ']));
        let (at, labelled) = match texts.iter().position(|t| *t == part) {
            Some(at) => (at, None),
            None => (texts.iter().position(|t| t == bare)?, part.trim_start_matches('(').chars().next()),
        };
        if labelled.is_some_and(|c| c.to_ascii_uppercase() != letter(at)) {
            return None;
        }
        found.insert(letter(at));
    }
    (!found.is_empty()).then(|| found.into_iter().collect())
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    // A joint of another script stands against the letters.
    let apart = |c: char| !c.is_alphanumeric();
    text.split(apart)
        .flat_map(|w| w.split_inclusive(['和']))
        .flat_map(|w| match w.strip_suffix('和') {
            Some(letters) => [letters, "和"],
            None => [w, ""],
        })
        .filter(|w| !w.is_empty())
}

/// The letters of a word: run together they are letters only in capitals, for `bad` is a word.
fn together(word: &str, options: usize) -> Option<Vec<char>> {
    if word.chars().count() > 1 && word.chars().any(char::is_lowercase) {
        return None;
    }
    word.chars().map(|c| legal_letter(c, options)).collect()
}
