//! The form of an answer, read from its text.

use std::sync::LazyLock;

use regex::Regex;

use super::points;

/// What an answer is.
#[derive(Clone, Debug, PartialEq)]
pub enum Form {
    /// `true` for yes.
    YesNo(bool),
    /// One letter A-Z.
    Letter(char),
    /// A whole number.
    Number(i64),
    /// `[(x, y), …]`
    Points(Vec<(f64, f64)>),
    /// Numbered lines `1. …` without gaps, without their numbers.
    Steps(Vec<String>),
    /// Anything else.
    Text,
}

impl Form {
    /// Reads the form of an answer.
    pub fn of(answer: &str) -> Self {
        let answer = answer.trim();
        let bare = answer.trim_end_matches('.');
        let mut letters = bare.chars();
        match bare.to_ascii_lowercase().as_str() {
            "yes" => return Self::YesNo(true),
            "no" => return Self::YesNo(false),
            _ => {}
        }
        if let (Some(letter @ 'A'..='Z'), None) = (letters.next(), letters.next()) {
            return Self::Letter(letter);
        }
        if let Ok(number) = bare.parse() {
            return Self::Number(number);
        }
        let points = points::read(answer);
        if !points.is_empty() && answer.starts_with('[') && answer.ends_with(']') {
            return Self::Points(points);
        }
        steps(answer).map_or(Self::Text, Self::Steps)
    }
}

/// Returns the steps of a numbered list; `None` when a line has no number or one is skipped, or there is only one.
pub fn steps(text: &str) -> Option<Vec<String>> {
    let lines: Vec<&str> = text.trim().lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    let step = |(i, line): (usize, &&str)| line.strip_prefix(&format!("{}. ", i + 1)).map(str::to_owned);
    let steps: Option<Vec<String>> = lines.iter().enumerate().map(step).collect();
    steps.filter(|s| s.len() >= 2)
}

/// Writes steps as numbered lines.
pub fn numbered<S: AsRef<str>>(steps: &[S]) -> String {
    let line = |(i, step): (usize, &S)| format!("{}. {}", i + 1, step.as_ref());
    steps.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

/// Returns the options `A. …`, one a line, of a question.
pub fn options(question: &str) -> Vec<(char, String)> {
    static OPTION: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"(?m)^\(?([A-Z])[.):]\s+(.+?)\s*$").expect("a constant"));
    let found = OPTION.captures_iter(question);
    found.filter_map(|c| Some((c[1].chars().next()?, c[2].to_owned()))).collect()
}
