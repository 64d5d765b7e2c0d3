//! Pipes, row expressions and columns as they are written elsewhere.

use super::Case;
use crate::base::{Diagnostic, Span};
use crate::syntax::grammar::Rule;
use crate::syntax::scan::Kind;

impl Case<'_> {
    pub(super) fn rows_and_pipes(&self, found: &str, before: &str) -> Option<Diagnostic> {
        None.or_else(|| self.other_pipe(found))
            .or_else(|| self.pipe_first(found, before))
            .or_else(|| self.text_operator(found))
            .or_else(|| self.lambda(found))
            .or_else(|| self.pointed_name(found))
            .or_else(|| self.braced_columns(found, before))
            .or_else(|| self.with_without_braces(found))
    }

    /// Says whether a call of an operator starts at a token: `module.name(`.
    fn operator_at(&self, index: usize) -> bool {
        let word = |i: usize| self.tokens.get(i).is_some_and(|t| t.kind == Kind::Word);
        word(index) && self.word(index + 1) == "." && word(index + 2) && self.word(index + 3) == "("
    }

    /// `rows -> f.g()`, `rows | > f.g()`, and a step on a line of its own without a pipe.
    fn other_pipe(&self, found: &str) -> Option<Diagnostic> {
        let at = self.found.checked_sub(1)?;
        if self.open_bracket().is_some() || !self.ends_value(at) || !self.expects(&[Rule::pipe_op]) {
            return None;
        }
        if self.operator_at(self.found) {
            let at = Span { end: self.here().start, ..self.here() };
            let name = format!("{}.{}", found, self.word(self.found + 2));
            let problem = self.says(at, format!("`|>` is missing before `{name}`"), "expected `|>` here");
            return Some(problem.help(format!("write `|> {name}(…)`")).fix(at, "|> "));
        }
        let (written, last) = match (found, self.word(self.found + 1)) {
            ("|", ">") => ("| >", self.found + 1),
            ("->" | "=>", _) => (found, self.found),
            _ => return None,
        };
        let whole = self.here().to(self.span_of(last));
        self.operator_at(last + 1).then(|| self.operator(written, "|>", whole))
    }

    /// `let a = |> f.g()`.
    fn pipe_first(&self, found: &str, before: &str) -> Option<Diagnostic> {
        if found != "|>" || !matches!(before, "=" | "(" | ":" | ",") {
            return None;
        }
        let problem = self.says(self.here(), "a pipe starts with a value", "nothing stands before it");
        Some(problem.help("write what is piped before it: `rows |> …`"))
    }

    /// `.output like "%x%"` and its kin.
    fn text_operator(&self, found: &str) -> Option<Diagnostic> {
        let at = self.found.checked_sub(1)?;
        let text = self.tokens.get(self.found + 1).filter(|t| t.kind == Kind::Str)?;
        if !self.ends_value(at) {
            return None;
        }
        let inner = self.text[text.start..text.end].trim_matches('"');
        let bare = inner.trim_matches('%');
        let found = found.to_ascii_lowercase();
        let found = found.as_str();
        let (method, bare) = match found {
            "contains" | "includes" => ("contains", inner),
            "startswith" | "starts_with" => ("starts", inner),
            "endswith" | "ends_with" => ("ends", inner),
            "matches" | "regexp" | "rlike" => ("matches", inner),
            "like" | "ilike" if bare.contains(['%', '_']) => {
                let problem = self.says(self.here(), format!("there is no operator `{found}`"), "not an operator");
                return Some(problem.help("write `.matches(r\"…\")`, a regular expression"));
            }
            "like" | "ilike" => match (inner.starts_with('%'), inner.ends_with('%')) {
                (true, true) => ("contains", bare),
                (false, true) => ("starts", bare),
                (true, false) => ("ends", bare),
                (false, false) => ("==", bare),
            },
            _ => return None,
        };
        let problem = self.says(self.here(), format!("there is no operator `{found}`"), "not an operator");
        let whole = self.gap_before(self.found).to(self.span_of(self.found + 1));
        let written = if method == "==" { format!(" == \"{bare}\"") } else { format!(".{method}(\"{bare}\")") };
        let shown = written.trim_start().to_owned();
        if found == "ilike" {
            return Some(problem.help(format!("write `{shown}`, to which case matters")));
        }
        Some(problem.help(format!("write `{shown}`")).fix(whole, written))
    }

    /// `row => …` and `(row) => …` where an expression over a row is asked for.
    fn lambda(&self, found: &str) -> Option<Diagnostic> {
        let open = self.open_bracket().filter(|&o| self.word(o) == "(")?;
        let last = self.found.checked_sub(1)?;
        if found == "|" && self.word(self.found + 2) == "|" && matches!(self.word(last), "(" | ":" | ",") {
            let head = self.here().to(self.span_of(self.found + 2));
            let problem = self.says(head, "a row expression is written without a function", "no function here");
            return Some(problem.help("name the columns with a point: `where: .output != \"\"` is asked of each row"));
        }
        if !matches!(found, "=>" | "->") || last <= open || !self.ends_value(last) {
            return None;
        }
        let first = if self.word(last) == ")" { last.checked_sub(2)? } else { last };
        let head = self.span_of(first).to(self.here());
        let problem = self.says(head, "a row expression is written without a function", "no function here");
        Some(problem.help("name the columns with a point: `where: .output != \"\"` is asked of each row"))
    }

    /// `data.derive(.n: …)`.
    fn pointed_name(&self, found: &str) -> Option<Diagnostic> {
        let point = self.found.checked_sub(2)?;
        let opener = point.checked_sub(1).map_or("", |i| self.word(i));
        let name = self.word(self.found - 1);
        let word = self.tokens[self.found - 1].kind == Kind::Word;
        if !matches!(found, ":" | "=") || self.word(point) != "." || !word || !matches!(opener, "(" | "," | "{") {
            return None;
        }
        let at = self.span_of(point);
        if found == "=" {
            if !matches!(self.found.checked_sub(4).map_or("", |i| self.word(i)), "derive" | "rename") {
                return None;
            }
            let whole = at.to(self.here());
            let problem = self.says(whole, "a new column is named without a point, and with `:`", "a point");
            return Some(problem.help(format!("write `{name}: …`")).fix(whole, format!("{name}:")));
        }
        let problem = self.says(at, "the name of an argument has no point", "a point");
        Some(problem.help(format!("write `{name}: …`; a point reads a column")).fix(at, ""))
    }

    /// `{ .id, .output }` for a list of columns.
    fn braced_columns(&self, found: &str, before: &str) -> Option<Diagnostic> {
        if found != "." || before != "{" {
            return None;
        }
        let close = (self.found..self.tokens.len()).find(|&i| self.word(i) == "}")?;
        let columns = (self.found..close)
            .all(|i| matches!(self.word(i), "." | ",") || self.tokens[i].kind == Kind::Word && self.word(i - 1) == ".");
        if !columns {
            return None;
        }
        let whole = self.span_of(self.found - 1).to(self.span_of(close));
        let inner = self.here().to(self.span_of(close - 1));
        let written = format!("[{}]", &self.text[inner.start as usize..inner.end as usize]);
        let problem = self.says(whole, "a list of columns stands in brackets", "in braces");
        Some(problem.help(format!("write `{written}`")).fix(whole, written))
    }

    /// `… with timeout: 8h`.
    fn with_without_braces(&self, found: &str) -> Option<Diagnostic> {
        let name = self.found.checked_sub(1)?;
        if found != ":" || name == 0 || self.word(name - 1) != "with" || self.open_bracket().is_some() {
            return None;
        }
        let last = self.tokens.len() - 1;
        let whole = self.span_of(name).to(self.span_of(last));
        let inner = &self.text[whole.start as usize..whole.end as usize];
        let problem = self.says(whole, "the options of `with` stand in braces", "expected `{`");
        let plain = !inner.contains(['{', '}']) && !(self.found..=last).any(|i| self.word(i) == "to");
        let problem = problem.help(format!("write `with {{ {}: … }}`", self.word(name)));
        Some(if plain { problem.fix(whole, format!("{{ {inner} }}")) } else { problem })
    }
}
