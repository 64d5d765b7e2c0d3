//! Brackets and commas: what is not closed, what closes nothing, what is missing or too many between values.

use super::Case;
use super::words::short;
use crate::base::{Diagnostic, Span, codes, phrase};
use crate::syntax::grammar::{RESERVED, Rule};
use crate::syntax::scan::Kind;

/// Units that may have been written apart from their number.
const UNITS: &[&str] = &[
    "pt", "ms", "s", "m", "h", "d", "B", "KB", "MB", "GB", "TB", "KiB", "MiB", "GiB", "TiB", "tok", "steps", "rows",
    "px", "deg",
];

impl Case<'_> {
    pub(super) fn stray_close(&self, found: &str) -> Option<Diagnostic> {
        if self.tokens.get(self.found)?.kind != Kind::Close || self.open_bracket().is_some() {
            return None;
        }
        let problem =
            Diagnostic::new(codes::E0101, self.here(), format!("`{found}` closes nothing"), "no bracket is open here");
        Some(problem.help("remove it").fix(self.here(), ""))
    }

    /// A bracket that the item never closes, or that another kind of bracket closes.
    pub(super) fn unclosed(&self, found: &str, open: Option<usize>) -> Option<Diagnostic> {
        let open = open?;
        let bracket = self.word(open);
        let close = closing(bracket);
        let kind = self.tokens.get(self.found).map(|t| t.kind);
        let ends = kind.is_none()
            || matches!(found, "to" | "with" | "runs")
            || self.line_of(self.found) > self.line_of(open) && found == "|>";
        let dangling = self.dangling(self.found);
        if let Some(missing) = self.unopened_list(found, open) {
            return Some(missing);
        }
        if kind == Some(Kind::Close) && found != close {
            let outer = (0..open).rev().any(|i| closing(self.word(i)) == found && self.closes_at(i).is_none());
            let problem = Diagnostic::new(
                codes::E0101,
                self.here(),
                format!("`{bracket}` is not closed before this `{found}`"),
                format!("expected `{close}`"),
            )
            .also(self.span_of(open), format!("this `{bracket}` is still open"))
            .help(format!("close it with `{close}`"));
            // Where a bracket spans lines or steps, it may as well have been meant to close long before.
            let far = self.line_of(self.found) > self.line_of(open) || self.steps_within(open);
            return Some(match (outer, dangling || far) {
                (_, true) => problem,
                (true, false) => problem.fix(self.gap_before(self.found), close),
                (false, false) => problem.fix(self.here(), close),
            });
        }
        if !ends || dangling && kind.is_some() {
            return None;
        }
        // A line that starts no further in than the one with the bracket is most likely outside of it.
        let at = self.left_at(open).unwrap_or(self.found);
        let gap = self.gap_before(at);
        let problem = Diagnostic::new(
            codes::E0101,
            gap,
            format!("`{bracket}` is never closed"),
            format!("expected `{close}` here"),
        )
        .also(self.span_of(open), format!("this `{bracket}` is still open"))
        .help(format!("close it with `{close}`"));
        Some(if self.dangling(at) || self.steps_within(open) { problem } else { problem.fix(gap, close) })
    }

    /// `f(within: .images])`: the list of an argument lacks its `[`. The `)` behind it closes the call, and no bracket around waits for one.
    fn unopened_list(&self, found: &str, open: usize) -> Option<Diagnostic> {
        let around = (0..open).any(|i| self.tokens[i].kind == Kind::Open && self.closes_at(i).is_none());
        if found != "]" || self.word(open) != "(" || self.word(self.found + 1) != ")" || around {
            return None;
        }
        let mut depth = 0usize;
        let colon = (open + 1..self.found).filter(|&i| {
            match self.tokens[i].kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 0 && self.word(i) == ":"
        });
        let first = colon.last().unwrap_or(open) + 1;
        if first == self.found {
            return None;
        }
        let at = self.span_of(first);
        let problem = self.says(at, "this list has no `[`", "expected `[` before this");
        let problem = problem.also(self.here(), "closed here").help("write `[` before its first value");
        Some(problem.fix(Span { end: at.start, ..at }, "["))
    }

    /// Says whether a pipe goes on right inside of an open bracket: its steps may have been meant to stand behind it.
    fn steps_within(&self, open: usize) -> bool {
        let mut depth = 0usize;
        (open..self.found).any(|i| {
            match self.tokens[i].kind {
                Kind::Open => depth += 1,
                Kind::Close => depth = depth.saturating_sub(1),
                _ => {}
            }
            depth == 1 && self.word(i) == "|>"
        })
    }

    /// The first token behind an open bracket that starts a line no further in than the line of the bracket.
    fn left_at(&self, open: usize) -> Option<usize> {
        let line = self.line_of(open);
        let column = |index: usize| {
            let start = self.tokens[index].start;
            start - self.text[..start].rfind('\n').map_or(0, |n| n + 1)
        };
        let first = (0..=open).rev().take_while(|&i| self.line_of(i) == line).last()?;
        (open + 1..self.found)
            .find(|&i| self.line_of(i) > self.line_of(i - 1) && column(i) <= column(first) && self.word(i) == "|>")
    }

    /// Says whether what stands before a token still waits for a value.
    fn dangling(&self, index: usize) -> bool {
        let before = index.checked_sub(1).map_or("", |i| self.word(i));
        matches!(before, "," | ":" | "=" | "|>" | "and" | "or" | "not" | "then" | "else" | "in" | "if" | "??")
            || matches!(before, "+" | "-" | "*" | "/" | "==" | "!=" | "<" | "<=" | ">" | ">=")
    }

    pub(super) fn commas(&self, found: &str, before: &str) -> Option<Diagnostic> {
        if found != "," || !matches!(before, "," | "(" | "[" | "{") {
            return None;
        }
        let problem =
            Diagnostic::new(codes::E0101, self.here(), "a comma too many", "no value stands before this comma");
        Some(problem.help("remove it").fix(self.here(), ""))
    }

    pub(super) fn missing_comma(&self, found: &str, open: Option<usize>) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        let starts_value = matches!(token.kind, Kind::Word | Kind::Number | Kind::Str | Kind::TypeName | Kind::Open)
            || found == ".." && self.expects(&[Rule::comma]);
        let named = self.word(self.found + 1) == ":";
        if !starts_value || RESERVED.contains(&found) && !named {
            return None;
        }
        if let Some(apart) = self.unit_apart(found).filter(|_| !named) {
            return Some(apart);
        }
        let open = open?;
        if token.kind == Kind::TypeName && named && self.word(open) != "[" {
            let name = super::items::snake(found);
            let problem =
                self.says(self.here(), "names of arguments and fields are written small", "starts with a capital");
            return Some(problem.help(format!("write `{name}: …`")).fix(self.here(), name));
        }
        if !self.expects(&[Rule::comma]) {
            return None;
        }
        let before = self.found.checked_sub(1)?;
        let gap = self.gap_before(self.found);
        // `f(data raw)`: a name, then its value.
        let opens = before.checked_sub(1).map_or("", |i| self.word(i));
        let argument = matches!(opens, "(" | ",") && self.word(open) == "(" || opens == "{" || opens == ",";
        let pun = self.word(open) == "{" && token.kind == Kind::Word;
        let names = open.checked_sub(1).is_some_and(|i| self.word(i) == ".");
        if self.tokens[before].kind == Kind::Word && argument && !named && !pun && !names && self.word(open) != "[" {
            let name = self.word(before);
            let problem = Diagnostic::new(
                codes::E0101,
                gap,
                format!("a colon is missing between `{name}` and its value"),
                "expected `:` here",
            );
            return Some(problem.help(format!("write `{name}: {}`", short(found))).fix(gap, ":"));
        }
        if matches!(found, "asc" | "desc" | "ASC" | "DESC") {
            let problem =
                Diagnostic::new(codes::E0101, self.here(), "a column is named without a direction", "no part of it");
            let help = "rows are sorted upwards; the highest come with `data.top(by: .score, n: 100rows)`";
            return Some(problem.help(help).fix(gap.to(self.here()), ""));
        }
        Some(
            Diagnostic::new(
                codes::E0101,
                self.here(),
                format!("a comma is missing before `{}`", short(found)),
                "expected `,` before this",
            )
            .help("separate them with `,`")
            .fix(gap, ","),
        )
    }

    /// `50%rows` and `1k rows`: a unit behind a number that ends with another one, or with a factor.
    fn second_unit(&self, number: &str, found: &str, before: usize) -> Option<Diagnostic> {
        let unit = if UNITS.contains(&found) { found } else { spelled_out(found)? };
        let digits = number.trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%');
        let own = &number[digits.len()..];
        let whole = self.span_of(before).to(self.here());
        let factor = match own {
            "k" | "K" => 1e3,
            "M" => 1e6,
            _ => 0.0,
        };
        let all = digits.replace('_', "").parse::<f64>().map_or(0.0, |n| n * factor);
        if all > 0.0 && all.fract() == 0.0 {
            let written = format!("{}{unit}", phrase::grouped(all));
            let problem = self.says(whole, "a unit is glued to its number", "a blank between them");
            return Some(problem.help(format!("write all digits: `{written}`")).fix(whole, written));
        }
        if own.is_empty() || !(own == "%" || UNITS.contains(&own)) {
            return None;
        }
        let problem = self.says(whole, "a number has one unit", "two of them");
        Some(problem.help(format!("write `{digits}{own}` or `{digits}{unit}`")))
    }

    /// `10 rows`.
    fn unit_apart(&self, found: &str) -> Option<Diagnostic> {
        let before = self.found.checked_sub(1)?;
        let number = self.word(before);
        if self.tokens[before].kind == Kind::Number
            && let Some(apart) = self.second_unit(number, found, before)
        {
            return Some(apart);
        }
        if self.tokens[before].kind != Kind::Number || !number.ends_with(|c: char| c.is_ascii_digit()) {
            return None;
        }
        let gap = Span { start: self.span_of(before).end, end: self.here().start, ..self.here() };
        let word = self.tokens[self.found].kind == Kind::Word || self.tokens[self.found].kind == Kind::TypeName;
        if UNITS.contains(&found) {
            let problem = Diagnostic::new(
                codes::E0101,
                self.span_of(before).to(self.here()),
                "a unit is glued to its number",
                "a blank between them",
            );
            return Some(problem.help(format!("write `{number}{found}`")).fix(gap, ""));
        }
        let whole = Span { end: self.here().end, ..gap };
        if let Some(unit) = spelled_out(found) {
            let number = self.span_of(before);
            let written = format!("{}{unit}", self.word(before));
            let problem = Diagnostic::new(
                codes::E0101,
                number.to(self.here()),
                "a unit is glued to its number",
                "a blank between them",
            );
            return Some(problem.help(format!("write `{written}`")).fix(number.to(self.here()), written));
        }
        word.then(|| {
            Diagnostic::new(codes::E0101, self.here(), format!("`{found}` is no unit"), "behind a number")
                .help(format!(
                    "write the number alone, `{number}`, or glue a unit to it, as in `10rows`, `512tok` or `30m`; after a value stands `,`"
                ))
                .fix(whole, "")
        })
    }
}

/// Returns the unit that a word behind a number means.
fn spelled_out(word: &str) -> Option<&'static str> {
    Some(match word {
        "token" | "tokens" | "toks" => "tok",
        "row" | "samples" | "examples" => "rows",
        "step" => "steps",
        "pixel" | "pixels" => "px",
        "degree" | "degrees" => "deg",
        "percent" | "pct" => "%",
        "points" | "pp" => "pt",
        "sec" | "secs" | "second" | "seconds" => "s",
        "min" | "mins" | "minute" | "minutes" => "m",
        "hr" | "hrs" | "hour" | "hours" => "h",
        "day" | "days" => "d",
        _ => return None,
    })
}

/// Returns the bracket that closes another one.
fn closing(open: &str) -> &'static str {
    match open {
        "(" => ")",
        "[" => "]",
        "{" => "}",
        _ => "",
    }
}
