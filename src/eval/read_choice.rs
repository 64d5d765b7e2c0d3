//! Reads an option letter out of a reply.

use std::sync::LazyLock;

use regex::Regex;

use super::letters::{begins_name, hedged, is_letter, legal_letter, letters, rejected};
use super::strip::{pattern, strip};

static LABELLED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?x) (?: (?i:\b(?:answer|correct\s+option|correct\s+choice|option\s+is|choice\s+is)\b) | 答案 | 选择 )
        [\s:=*_`"'(\[{\\]* (?: (?i:is|would\s+be)\b | 是 | 为 )? [\s:=*_`"'(\[{\\]* (?: (?i:option|choice)\b )? [\s:*_`"'(\[{]*
        ([A-Z]) (?:[^A-Za-z0-9]|$)"#,
    )
});
/// A small letter counts where nothing else follows, or between quotes; a bare "is a" may be a sentence that was cut.
static LABELLED_LOWER: LazyLock<Regex> = LazyLock::new(|| {
    pattern(
        r#"(?xi) ^\s* (?:option|choice) \s+ [*_`"'(\[]* ([a-z]) [)\]}*_`"'.,。]* \s*$ | (?:\b(?:answer|option|choice)\b|答案) ["'*_`]*
        (?: \s*[:=]\s* ["'] ([a-z]) ["'] | (?: \s*[:=]\s*[*_`"'(\[]* ([a-z]) | \s+is\s+ (?: [*_`"'(\[]+ ([a-z]) | ([b-hj-z]) ) ) [)\]}*_`"'.,。]*\s*$ )"#,
    )
});
static BOXED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"\\boxed\s*\{\s*(?:\\text\s*\{\s*)?\(?\s*([A-Za-z])\s*[)}.]|`+\s*\(?([A-Z])\)?\.?\s*`+"));
static LONE: LazyLock<Regex> = LazyLock::new(|| pattern(r"^[\s\W_]*([A-Za-z])[\s\W_]*$"));
static LINE_START: LazyLock<Regex> = LazyLock::new(|| pattern(r"^\s*[*_]*[(\[]?([A-Za-z])[.)\]:][*_]*\s+\S"));
/// A label of an option in an enumeration: `A.`, `(B)`, `C:`.
static ENUMERATED: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?:^|\s)[*_]*[(\[]?([A-Z])[.)\]:][*_]*\s+\S"));
/// A letter with its reason: "B because A is farther".
static REASONED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r#"(?i)^[)\]*_`"'.]*,?\s+(?:because|since|given\s+that|due\s+to)\b"#));
static CONCLUDED: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:so|thus|therefore|hence|but|however|answer)\b"));
/// "None of the above" names no option, whatever words it shares with one.
static OF_THEM: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"(?i)\b(?:none|neither|all|any|both|either|each)\s+of\b|\bneither\b"));
static BACKTICKS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"``\s*([^`]*?)\s*``|`\s*([^`]*?)\s*`|\{\s*([A-Za-z])\s*\}"));

/// Returns the option letter that a reply names, and the rule that found it; never a letter that the item does not have,
/// never a guess.
///
/// Rules in order: `single`, `labelled`, `boxed`, `lone_line`, `line_start`, `standalone` or `reasoned`, `option_text`. A reply that states a
/// letter that the item does not have, or two of them, is not searched further: what else it mentions is not its answer.
pub fn choice(reply: &str, options: &[String]) -> Option<(char, &'static str)> {
    let text = strip(reply);
    let legal = |c: char| legal_letter(c, options.len());
    let lines: Vec<&str> = text.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    if text.chars().count() == 1 {
        if let Some(c) = text.chars().next().and_then(legal) {
            return Some((c, "single"));
        }
    }
    if let Some(stated) = lines.iter().rev().take(3).find_map(|line| labelled(line, options.len())) {
        return stated.map(|c| (c, "labelled"));
    }
    if let Some(boxed) = BOXED.captures_iter(&text).last() {
        match first_group(&boxed).and_then(legal) {
            Some(c) => return Some((c, "boxed")),
            None if boxed.get(1).is_some() => return None,
            None => {}
        }
    }
    let lone = |l: &&str| LONE.captures(l).and_then(|m| first_group(&m));
    if let Some(c) = agreed(lines.iter().filter_map(lone).filter_map(legal)) {
        return Some((c, "lone_line"));
    }
    let starts = |lines: &[&str]| -> Vec<char> {
        let own = lines.iter().filter(|l| !enumerates(l));
        own.filter_map(|l| LINE_START.captures(l)).filter_map(|m| first_group(&m)).collect()
    };
    let labels = starts(&lines);
    if let Some(c) = agreed(labels.iter().copied().filter_map(legal)) {
        return Some((c, "line_start"));
    }
    let stated = lines.last().and_then(lone).or_else(|| agreed(labels.iter().copied()));
    if stated.is_some_and(|c| c.is_ascii_uppercase() && legal(c).is_none()) {
        return None;
    }
    // Where several lines have labels they repeat the options.
    let lines: Vec<&str> = lines.into_iter().filter(|l| labels.is_empty() || !LINE_START.is_match(l)).collect();
    let text = if labels.is_empty() { text.clone() } else { lines.join("\n") };
    for part in [lines.last().copied().unwrap_or(""), text.as_str()] {
        let found = letters(part);
        if let Some(c) = agreed(found.iter().filter(|l| !l.rejected).filter_map(|l| legal(l.letter))) {
            return Some((c, "standalone"));
        }
        // The first letter alone, where it is given with its reason and nothing is concluded from that.
        let reasoned = found.iter().find(|l| !l.rejected).filter(|l| REASONED.is_match(&part[l.end..]));
        if let Some(c) = reasoned.filter(|l| !CONCLUDED.is_match(&part[l.end..])).and_then(|l| legal(l.letter)) {
            return Some((c, "reasoned"));
        }
    }
    option_text(&text, options).map(|c| (c, "option_text"))
}

/// Returns the letter of a reply that was asked to stand between backticks: double, then single backticks, then braces, then
/// the first stand-alone A–F that no word follows; then the rules of [`choice`].
pub fn choice_backtick(reply: &str, options: &[String]) -> Option<(char, &'static str)> {
    let text = strip(reply);
    for group in 1..=3 {
        let found = BACKTICKS.captures_iter(&text).find_map(|m| m.get(group).and_then(|g| leading_letter(g.as_str())));
        if let Some(c) = found.and_then(|c| legal_letter(c, options.len())) {
            return Some((c, "backtick"));
        }
    }
    let lone = letters(&text).into_iter().find(|l| ('A'..='F').contains(&l.letter) && !l.followed && !l.rejected);
    match lone.and_then(|l| legal_letter(l.letter, options.len())) {
        Some(c) => Some((c, "standalone")),
        None => choice(reply, options),
    }
}

/// Returns what FlagEvalMM's letter extractor makes of a reply, its faults included; `None` stands for its empty string.
///
/// # Source
/// Behaviour of FlagEvalMM at `fef27ec`: the letters of two instruction tags (`I N S T /`) are deleted one by one, and
/// everything before the last occurrence of the first keyword goes.
pub fn choice_flagevalmm(reply: &str) -> Option<char> {
    const KEYWORDS: &[&str] = &[
        "boxed",
        "Answer:",
        "Answer is",
        "answer is",
        "option is",
        "Correct option",
        "correct option",
        "Answer",
        "answer",
        "故选",
        "选择",
        "正确选项是",
        "答案选",
        "答案是",
        "答案为",
        "因此",
        "答案",
    ];
    let mut chars = reply.chars();
    if let (Some(c), None) = (chars.next(), chars.next()) {
        return c.to_uppercase().next();
    }
    let text = reply.replace("The", "").replace("If", "").replace(['I', 'N', 'S', 'T', '/'], "");
    let mut rest = text.trim();
    let mut head = rest.chars();
    if let (Some(c), Some('.')) = (head.next(), head.next()) {
        if c.is_ascii_uppercase() {
            return Some(c);
        }
    }
    if let Some((at, keyword)) = KEYWORDS.iter().find_map(|k| rest.rfind(k).map(|at| (at, k))) {
        rest = &rest[at + keyword.len()..];
    }
    rest.chars().find(char::is_ascii_uppercase)
}

/// Says whether a line runs through options: `A: no. B: yes.`, `A. left B. right C. above`.
fn enumerates(line: &str) -> bool {
    let labels: Vec<char> = ENUMERATED.captures_iter(line).filter_map(|m| first_group(&m)).collect();
    let colons = ENUMERATED.captures_iter(line).filter(|m| m[0].contains(':')).count();
    labels.len() >= if colons > 1 { 2 } else { 3 } && labels[0] == 'A' && labels.windows(2).all(|w| w[0] < w[1])
}

/// What a line states as the answer: `None` where it has no label with a letter, `Some(None)` for a letter that the item does
/// not have and for more than one.
fn labelled(line: &str, options: usize) -> Option<Option<char>> {
    let upper = LABELLED.captures_iter(line).filter_map(|m| m.get(1)).filter_map(|m| {
        let (letter, before, after) = (m.as_str().chars().next()?, &line[..m.start()], &line[m.end()..]);
        let legal = legal_letter(letter, options);
        let named =
            is_letter(before, letter, after) && !rejected(before, after) && (legal.is_some() || !begins_name(after));
        named.then(|| legal.filter(|_| !hedged(letter, after)))
    });
    let lower = || LABELLED_LOWER.captures(line).and_then(|m| first_group(&m)).map(|c| legal_letter(c, options));
    upper.last().or_else(lower)
}

fn first_group(found: &regex::Captures) -> Option<char> {
    found.iter().skip(1).flatten().next().and_then(|g| g.as_str().chars().next())
}

/// The letter that a marked text consists of or begins with: `B`, `b)`, `B. left`.
fn leading_letter(text: &str) -> Option<char> {
    let text = text.trim_start_matches(['(', '[', '*']);
    let letter = text.chars().next().filter(char::is_ascii_alphabetic)?;
    let after = &text[1..];
    let alone = !after.starts_with(|c: char| c.is_alphanumeric()) && is_letter("", letter.to_ascii_uppercase(), after);
    (alone && (letter.is_ascii_uppercase() || !after.starts_with(' '))).then_some(letter)
}

/// The one letter that all agree on.
fn agreed(mut letters: impl Iterator<Item = char>) -> Option<char> {
    let first = letters.next()?;
    letters.all(|c| c == first).then_some(first)
}

/// The only option whose text the reply holds; a text inside a longer matching one does not count.
fn option_text(text: &str, options: &[String]) -> Option<char> {
    if OF_THEM.is_match(text) {
        return None;
    }
    let folded = text.to_lowercase();
    let texts: Vec<String> = options.iter().map(|o| o.trim().trim_end_matches('.').to_lowercase()).collect();
    if texts.iter().all(|t| t.chars().count() <= 1 && t.chars().all(char::is_alphabetic)) {
        return None; // The texts are letters: nothing that an earlier rule has not seen.
    }
    if folded.chars().count() > 2 * texts.iter().map(|t| t.chars().count() + 1).sum::<usize>() {
        return None;
    }
    let held: Vec<usize> = (0..texts.len()).filter(|&i| holds_words(&folded, &texts[i])).collect();
    let mut widest = held
        .iter()
        .filter(|&&i| !held.iter().any(|&j| j != i && texts[j] != texts[i] && holds_words(&texts[j], &texts[i])));
    match (widest.next(), widest.next()) {
        (Some(&i), None) => char::from_u32('A' as u32 + i as u32),
        _ => None,
    }
}

fn holds_words(text: &str, part: &str) -> bool {
    !part.is_empty()
        && text.match_indices(part).any(|(at, _)| {
            let before = text[..at].chars().next_back();
            let after = text[at + part.len()..].chars().next();
            !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
        })
}
