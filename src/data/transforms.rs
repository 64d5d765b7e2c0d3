//! Transforms of benchmark keys, options and questions: what published files need before they can be scored.

use std::sync::LazyLock;

use regex::Regex;

use super::cell::Cell;

/// Returns the first ASCII letter, upper-cased: "b) left" is "B".
pub fn letter(text: &str) -> Result<String, String> {
    let found = text.chars().find(char::is_ascii_alphabetic);
    found.map(|c| c.to_ascii_uppercase().to_string()).ok_or_else(|| format!("no letter A-Z in {text:?}"))
}

/// Returns the letter in parentheses, upper-cased: "(b) left" is "B".
pub fn paren_letter(text: &str) -> Result<String, String> {
    static FORM: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\(\s*([A-Za-z])\s*\)").expect("a constant"));
    let found = FORM.captures(text).and_then(|c| c.get(1));
    found.map(|m| m.as_str().to_ascii_uppercase()).ok_or_else(|| format!("no letter in parentheses in {text:?}"))
}

/// Returns the letter of a position that counts from `base`: a number, or its digits as text.
pub fn index_letter(index: &Cell<'_>, base: i64) -> Result<String, String> {
    let position = match index {
        Cell::Int(i) => Some(*i),
        Cell::Float(f) if f.fract() == 0.0 => Some(*f as i64),
        Cell::Str(s) => s.trim().parse().ok(),
        _ => None,
    };
    let position = position.ok_or_else(|| format!("{} is no position", index.to_json()))?;
    letter_at(position - base).ok_or_else(|| format!("position {position} has no letter A-Z"))
}

/// Returns the letter of the only item equal to the value, blanks around both ignored.
pub fn index_in(value: &Cell<'_>, items: &[Cell<'_>]) -> Result<String, String> {
    let wanted = value.text();
    let mut at = items.iter().enumerate().filter(|(_, item)| item.text().trim() == wanted.trim()).map(|(i, _)| i);
    match (at.next(), at.next()) {
        (Some(i), None) => letter_at(i as i64).ok_or_else(|| format!("position {i} has no letter A-Z")),
        (None, _) => Err(format!("{wanted:?} is not in the list")),
        (Some(_), Some(_)) => Err(format!("{wanted:?} is in the list more than once")),
    }
}

fn letter_at(index: i64) -> Option<String> {
    let index = u8::try_from(index).ok().filter(|i| *i < 26)?;
    Some(char::from(b'A' + index).to_string())
}

/// Reads the options "A. … B. …" out of a question, from one line or several; empty when there are not at least two.
///
/// The last run of labels A, B, C … counts; the text of the last option ends with its line, and before a closing instruction.
pub fn inline_options(question: &str) -> Vec<String> {
    static LABEL: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"(?:^|[\s])\(?([A-Z])[.):]\s+").expect("a constant"));
    let text = drop_last_instruction(question);
    let mut labels: Vec<(u8, usize, usize)> = Vec::new();
    let mut from = 0;
    while let Some(found) = LABEL.captures_at(text, from) {
        let (Some(whole), Some(label)) = (found.get(0), found.get(1)) else { break };
        labels.push((label.as_str().as_bytes()[0], whole.start(), whole.end()));
        // The blank after one label may be the blank before the next.
        from = label.end();
    }
    let starts = labels.iter().enumerate().rev().filter(|(_, l)| l.0 == b'A').map(|(i, _)| i);
    for start in starts {
        let mut run = vec![labels[start]];
        for label in &labels[start + 1..] {
            if label.0 == b'A' + run.len() as u8 {
                run.push(*label);
            }
        }
        if run.len() >= 2 {
            let ends = run.iter().skip(1).map(|l| l.1).chain([text.len()]);
            return run.iter().zip(ends).map(|(l, end)| option_text(&text[l.2..end])).collect();
        }
    }
    Vec::new()
}

fn option_text(text: &str) -> String {
    let line = text.trim().lines().next().unwrap_or("").trim();
    line.strip_suffix('.').unwrap_or(line).to_owned()
}

/// Removes a label such as "A. ", "(b) " or "C: " from the start.
pub fn strip_label(text: &str) -> &str {
    static LABEL: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"^\s*(?:\([A-Za-z]\)|[A-Za-z][.):])\s+").expect("a constant"));
    LABEL.find(text).map_or(text, |m| &text[m.end()..])
}

/// Removes trailing sentences that only ask for a form of answer; the rest is trimmed. A text that is nothing else stays.
pub fn drop_last_instruction(text: &str) -> &str {
    static ASKS: LazyLock<Regex> = LazyLock::new(|| {
        let forms = [
            concat!(
                r"(?:please\s+)?(?:answer|respond|reply|select|choose|pick|provide|give|output|return|format|write)\b.*",
                r"\b(?:letters?|options?|choices?|numbers?|words?|phrases?|yes|true|only|directly|formatted|points?)\b.*|",
                r"(?:please\s+)?(?:answer|respond|reply|select|choose|pick|provide|give|output|return|format|write)\b.*",
                r"\b(?:coordinates?|lists?|tuples?|json|format|integers?|box|boxes)\b.*",
            ),
            r"(?:your|the)\s+(?:final\s+)?(?:answers?|response|reply|output|coordinates?|points?)\s+(?:should|must)\b.*",
        ];
        Regex::new(&format!(r"(?is)^(?:{})$", forms.join("|"))).expect("a constant")
    });
    let mut rest = text.trim();
    loop {
        let start = last_sentence(rest);
        let sentence = rest[start..].trim();
        if start == 0 || !ASKS.is_match(sentence) {
            return rest;
        }
        rest = rest[..start].trim_end();
    }
}

/// Returns where the last sentence starts: after a line break, or after `.`, `?`, `!` or `:` followed by blanks and a capital letter.
fn last_sentence(text: &str) -> usize {
    let mut start = 0;
    let mut ended = false;
    let mut blank = false;
    for (at, c) in text.char_indices() {
        if (c == '\n') || (c.is_whitespace() && ended) {
            blank = true;
            ended = ended || c == '\n';
        } else {
            let after_break = text[..at].trim_end_matches([' ', '\t', '\r']).ends_with('\n');
            if blank && ended && (c.is_uppercase() || after_break) {
                start = at;
            }
            ended = matches!(c, '.' | '?' | '!' | ':');
            blank = false;
        }
    }
    start
}
