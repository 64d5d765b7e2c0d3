//! Numbers with units, and strings: escapes, `{name}`, blocks, regexes.

use super::ast::{ExprKind, Name, StrLit, StrPart};
use crate::base::{Diagnostic, Problems, SourceId, Span, codes};

/// The largest whole number up to which every one is kept exactly: 2^53.
const EXACT: u128 = 9_007_199_254_740_992;

/// Reads `20_000rows`, `1e-5`, `2h30m`.
pub(super) fn number(text: &str, span: Span, problems: &mut Problems) -> ExprKind {
    let mut parts = Vec::new();
    let mut whole = true;
    let mut rest = text;
    while !rest.is_empty() {
        let (digits, after) = split_number(rest);
        whole &= !digits.contains(['.', 'e', 'E']);
        let value: f64 = digits.replace('_', "").parse().unwrap_or(f64::INFINITY);
        if !value.is_finite() {
            let problem = Diagnostic::new(codes::E0101, span, "this number is too large", "beyond 1.8e308");
            problems.push(problem.help("write a smaller number"));
        }
        let exact = !whole || digits.replace('_', "").parse::<u128>().is_ok_and(|n| n <= EXACT);
        if !exact && value.is_finite() {
            let message = "this whole number is too large to be kept exactly";
            let problem = Diagnostic::new(codes::E0101, span, message, "beyond 9_007_199_254_740_992");
            problems.push(problem.help("write a smaller number, or one with an exponent: `1e20`"));
        }
        let unit = after.find(|c: char| c.is_ascii_digit()).map_or(after, |at| &after[..at]);
        rest = &after[unit.len()..];
        parts.push((value, (!unit.is_empty()).then(|| unit.to_owned())));
        if digits.is_empty() {
            break;
        }
    }
    ExprKind::Number(parts, whole)
}

/// Splits `1.5e-3tok` into `1.5e-3` and `tok`.
fn split_number(text: &str) -> (&str, &str) {
    let bytes = text.as_bytes();
    let run = |mut at: usize| {
        while bytes.get(at).is_some_and(|b| b.is_ascii_digit() || *b == b'_') {
            at += 1;
        }
        at
    };
    let mut at = run(0);
    if bytes.get(at) == Some(&b'.') {
        at = run(at + 1);
    }
    if matches!(bytes.get(at), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(at + 1), Some(b'+' | b'-')));
        if bytes.get(at + 1 + sign).is_some_and(u8::is_ascii_digit) {
            at = run(at + 1 + sign);
        }
    }
    text.split_at(at)
}

/// Reads a string literal as written, quotes included; `start` is where it stands.
pub(super) fn string(source: SourceId, text: &str, start: usize, problems: &mut Problems) -> StrLit {
    let span = Span::new(source, start, start + text.len());
    if let Some(body) = text.strip_prefix("r\"") {
        let body = body.strip_suffix('"').unwrap_or(body);
        return StrLit { parts: vec![StrPart::Text(body.to_owned())], raw: true, span };
    }
    let block = text.len() >= 6 && text.starts_with("\"\"\"");
    let quotes = if block { 3 } else { 1 };
    let body = &text[quotes..text.len() - quotes];
    let start = start + quotes;
    let mut reader =
        Reader { source, body, start, parts: Vec::new(), text: String::new(), block, refused: false, problems };
    if block {
        reader.block();
    } else {
        reader.piece(0, body.len());
    }
    let Reader { mut parts, text, .. } = reader;
    if !text.is_empty() || parts.is_empty() {
        parts.push(StrPart::Text(text));
    }
    StrLit { parts, raw: false, span }
}

/// Returns the text of a quoted column name.
pub(super) fn quoted_name(text: &str) -> String {
    let body = text.strip_prefix("r\"").or(text.strip_prefix('"')).unwrap_or(text);
    body.strip_suffix('"').unwrap_or(body).replace("\\\"", "\"").replace("\\\\", "\\")
}

struct Reader<'t, 'p> {
    source: SourceId,
    body: &'t str,
    start: usize,
    parts: Vec<StrPart>,
    text: String,
    /// Between three quotes.
    block: bool,
    /// An escape that is none was told.
    refused: bool,
    problems: &'p mut Problems,
}

impl Reader<'_, '_> {
    /// A block loses the line break after the opening quotes, the one before closing quotes that stand alone on their
    /// line, and the blanks that all its lines share.
    fn block(&mut self) {
        let mut lines: Vec<(usize, &str)> = Vec::new();
        let mut at = 0;
        for line in self.body.split('\n') {
            lines.push((at, line.strip_suffix('\r').unwrap_or(line)));
            at += line.len() + 1;
        }
        let opens_line = lines.len() > 1 && lines[0].1.trim().is_empty();
        let closes_line = lines.len() > 1 && lines.last().is_some_and(|(_, l)| l.trim().is_empty());
        let blanks = |l: &str| l.len() - l.trim_start_matches(' ').len();
        let indent =
            lines.iter().skip(1).filter(|(_, l)| !l.trim().is_empty()).map(|(_, l)| blanks(l)).min().unwrap_or(0);
        let first = usize::from(opens_line);
        let last = lines.len() - usize::from(closes_line);
        for (index, &(at, line)) in lines.iter().enumerate().take(last).skip(first) {
            if index > first {
                self.text.push('\n');
            }
            let cut = if index == 0 { 0 } else { indent.min(blanks(line)) };
            self.piece(at + cut, at + line.len());
        }
    }

    fn piece(&mut self, from: usize, to: usize) {
        let body = self.body;
        let mut at = from;
        while at < to {
            let rest = &body[at..to];
            if rest.starts_with('\\') {
                at += self.escape(at, to);
            } else if let Some(name) = interpolation(rest) {
                self.interpolate(name, at);
                at += name.len() + 2;
            } else {
                let c = rest.chars().next().unwrap_or_default();
                self.text.push(c);
                at += c.len_utf8();
            }
        }
    }

    fn interpolate(&mut self, name: &str, at: usize) {
        let start = self.start + at + 1;
        let span = Span::new(self.source, start, start + name.len());
        if name.contains('.') {
            self.problems.push(
                Diagnostic::new(
                    codes::E0101,
                    span,
                    "only a name can stand between the braces of a string",
                    "not a field",
                )
                .help(format!("give it a name first: `let x = {name}`; a brace as a character is written `\\{{`")),
            );
            return;
        }
        if !self.text.is_empty() {
            self.parts.push(StrPart::Text(std::mem::take(&mut self.text)));
        }
        self.parts.push(StrPart::Name(Name { text: name.to_owned(), span }));
    }

    /// Says how a text with a backslash that starts no escape is written: a path, or a pattern.
    fn unescaped(&self, problem: Diagnostic) -> Diagnostic {
        let plain = !self.block && !self.body.contains(['{', '"']);
        let whole = Span::new(self.source, self.start - self.quotes(), self.start + self.body.len() + self.quotes());
        let part = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '\\' | ':' | ' ');
        let path = self.body.chars().all(part) && (self.body.contains(":\\") || self.body.starts_with('.'));
        if path && plain {
            let written = format!("\"{}\"", self.body.replace('\\', "/"));
            return problem
                .help(format!("the parts of a path are joined with `/`: write `{written}`"))
                .fix(whole, written);
        }
        let help = "known are `\\n \\t \\r \\\" \\\\ \\{ \\}` and `\\u{…}`; a regex is written `r\"…\"`";
        let problem = problem.help(help);
        if plain { problem.fix(whole, format!("r\"{}\"", self.body)) } else { problem }
    }

    fn quotes(&self) -> usize {
        if self.block { 3 } else { 1 }
    }

    /// Reads the escape at `at` and returns its length.
    fn escape(&mut self, at: usize, to: usize) -> usize {
        let rest = &self.body[at + 1..to];
        let Some(c) = rest.chars().next() else {
            self.text.push('\\');
            return 1;
        };
        let known = match c {
            'n' => Some('\n'),
            't' => Some('\t'),
            'r' => Some('\r'),
            '"' | '\\' | '{' | '}' => Some(c),
            'u' => {
                let code = rest.strip_prefix("u{").and_then(|r| r.split_once('}')).map(|(hex, _)| hex);
                if let Some((hex, found)) =
                    code.and_then(|hex| Some((hex, char::from_u32(u32::from_str_radix(hex, 16).ok()?)?)))
                {
                    self.text.push(found);
                    return hex.len() + 4;
                }
                None
            }
            _ => None,
        };
        let length = 1 + c.len_utf8();
        match known {
            Some(known) => self.text.push(known),
            None => {
                // A pattern keeps its backslashes, and one problem is told of a text.
                self.text.push('\\');
                self.text.push(c);
                if !std::mem::replace(&mut self.refused, true) {
                    let start = self.start + at;
                    let span = Span::new(self.source, start, start + length);
                    let problem =
                        Diagnostic::new(codes::E0101, span, format!("unknown escape `\\{c}`"), "in this string");
                    self.problems.push(self.unescaped(problem));
                }
            }
        }
        length
    }
}

/// Returns the name (or dotted path) when `text` starts with `{name}`; any other brace is a character.
fn interpolation(text: &str) -> Option<&str> {
    let (name, _) = text.strip_prefix('{')?.split_once('}')?;
    let is_name = |part: &str| {
        part.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
            && part.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    };
    name.split('.').all(is_name).then_some(name)
}
