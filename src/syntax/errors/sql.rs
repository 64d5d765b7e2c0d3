//! Conditions and queries as SQL, shells and other languages write them, each with what is written here.

use super::Case;
use crate::base::{Diagnostic, Span};
use crate::syntax::grammar::Rule;
use crate::syntax::scan::Kind;

/// What is written instead of a query.
const NO_SQL: &str =
    "rows are kept with `filter.rule(where: .score > 0.5)`, columns with `data.select(columns: [.id, .output])`";

impl Case<'_> {
    pub(super) fn queries(&self, found: &str, before: &str) -> Option<Diagnostic> {
        None.or_else(|| self.named_in_list(found))
            .or_else(|| self.is_null(found))
            .or_else(|| self.named_behind(found))
            .or_else(|| self.between(found))
            .or_else(|| self.loud(found, before))
            .or_else(|| self.choice(found, before))
            .or_else(|| self.star(found, before))
            .or_else(|| self.pattern_in_slashes(found, before))
            .or_else(|| self.two_slashes(found))
            .or_else(|| self.colon_between_numbers(found))
            .or_else(|| self.width_by_height(found))
    }

    /// Says whether a token stands behind a value, where an operator may follow.
    fn behind_value(&self) -> bool {
        self.found.checked_sub(1).is_some_and(|i| self.ends_value(i))
    }

    /// `[.id, prompt: .instruction]`.
    fn named_in_list(&self, found: &str) -> Option<Diagnostic> {
        let name = self.found.checked_sub(1)?;
        let opener = name.checked_sub(1).map_or("", |i| self.word(i));
        let list = self.open_bracket().is_some_and(|o| self.word(o) == "[");
        if found != ":" || !list || self.tokens[name].kind != Kind::Word || !matches!(opener, "," | "[") {
            return None;
        }
        let problem = self.says(self.span_of(name), "the values of a list have no names", "a name");
        Some(problem.help(if self.word(self.found + 1) == "." {
            "a column gets another name before: `|> data.rename(new: .old)`"
        } else {
            "values with names are a record: `{ a: 1, b: 2 }`"
        }))
    }

    /// `.input IS NOT NULL`, `.input is null`.
    fn is_null(&self, found: &str) -> Option<Diagnostic> {
        if !found.eq_ignore_ascii_case("is") || !self.behind_value() {
            return None;
        }
        let not = self.word(self.found + 1).eq_ignore_ascii_case("not");
        let last = self.found + 1 + usize::from(not);
        let whole = self.here().to(self.span_of(last));
        if self.word(last).eq_ignore_ascii_case("empty") {
            let sign = if not { "!=" } else { "==" };
            let problem = self.says(whole, "an empty text is compared with `\"\"`", "not an operator");
            return Some(
                problem.help(format!(
                    "write `{sign} \"\"`; of a list `.len {sign} 0`, of what may be absent `{sign} none`"
                )),
            );
        }
        if !matches!(self.word(last).to_ascii_lowercase().as_str(), "null" | "none" | "nil") {
            return None;
        }
        let ours = if not { "!= none" } else { "== none" };
        let problem = self.says(whole, "what may be absent is compared with `none`", "not an operator");
        Some(problem.help(format!("write `{ours}`")).fix(whole, ours))
    }

    /// `.score AS points`, `.score as Int`: a name or a type behind a value, within brackets.
    fn named_behind(&self, found: &str) -> Option<Diagnostic> {
        let open = self.open_bracket()?;
        let next = self.tokens.get(self.found + 1)?;
        if !found.eq_ignore_ascii_case("as") || !self.behind_value() || self.word(self.found + 2) == ":" {
            return None;
        }
        if self.word(0) == "import" || !matches!(next.kind, Kind::Word | Kind::TypeName) {
            return None;
        }
        let name = self.word(self.found + 1);
        let whole = self.here().to(self.span_of(self.found + 1));
        let is_column = self.found >= 2 && self.word(self.found - 2) == ".";
        let read = if is_column { self.word(self.found - 1) } else { "column" };
        if next.kind == Kind::TypeName || super::items::type_named(name).is_some() {
            let problem = self.says(whole, "a value is not turned into another type", "a type behind it");
            let ty = super::items::type_named(name).unwrap_or(name);
            return Some(problem.help(format!(
                "leave it out, and let the schema say the type of the column: `schema Row {{ {read}: {ty}, … }}`"
            )));
        }
        let problem = self.says(whole, "a new column has its name before it", "a name behind it");
        let column =
            self.found.checked_sub(3).filter(|&i| self.word(i + 1) == "." && matches!(self.word(i), "(" | ","));
        let operator = open.checked_sub(1).map_or("", |i| self.word(i));
        if let Some(before) = column.filter(|_| matches!(operator, "derive" | "rename")) {
            let value = self.span_of(before + 1).to(whole);
            let written = format!("{name}: .{}", self.word(self.found - 1));
            return Some(problem.help(format!("write `{written}`")).fix(value, written));
        }
        Some(problem.help(format!("give the column its name with a step before: `|> data.rename({name}: .{read})`")))
    }

    /// `.score between 0.1 and 0.9`.
    fn between(&self, found: &str) -> Option<Diagnostic> {
        if !found.eq_ignore_ascii_case("between") || !self.behind_value() {
            return None;
        }
        let number = |i: usize| self.tokens.get(i).is_some_and(|t| t.kind == Kind::Number);
        let (low, and, high) = (self.found + 1, self.found + 2, self.found + 3);
        let problem = |at: Span| self.says(at, "there is no operator `between`", "not an operator");
        if !(number(low) && self.word(and).eq_ignore_ascii_case("and") && number(high)) {
            return Some(problem(self.here()).help("write `in 1..5`; both ends belong to it"));
        }
        let whole = self.here().to(self.span_of(high));
        let written = format!("in {}..{}", self.word(low), self.word(high));
        Some(problem(whole).help(format!("write `{written}`; both ends belong to it")).fix(whole, written))
    }

    /// `AND`, `OR`, `IN` and what follows a query.
    fn loud(&self, found: &str, before: &str) -> Option<Diagnostic> {
        if matches!(found, "AND" | "OR" | "IN" | "NOT" | "And" | "Or") && self.behind_value() {
            let ours = found.to_ascii_lowercase();
            let problem = self.says(self.here(), "words of the language are written small", "in capitals");
            return Some(problem.help(format!("write `{ours}`")).fix(self.here(), ours));
        }
        let opener = self.found.checked_sub(2).map_or("", |i| self.word(i));
        let query = before.eq_ignore_ascii_case("select") || before == "WITH";
        if query && matches!(opener, "=" | "(" | ":") && found != "(" {
            let problem = self.says(self.span_of(self.found - 1), "rows are not asked in SQL", "a query");
            return Some(problem.help(NO_SQL));
        }
        let word = found.to_ascii_lowercase();
        let begins = before == "|>" && matches!(word.as_str(), "select" | "where" | "from" | "order" | "group");
        if begins && self.word(self.found + 1) != "(" {
            let problem = self.says(self.here(), "rows are not asked in SQL", "a query");
            return Some(problem.help(NO_SQL));
        }
        let clause = self.open_bracket().is_none() && self.behind_value() && self.word(0) != "import";
        let help = match word.as_str() {
            "limit" => "so many rows are `|> data.top(by: .score, n: 100rows)` or `|> data.sample(n: 100rows)`",
            "where" if !self.expects(&[Rule::kw_where]) => {
                "rows are kept with a step of their own: `|> filter.rule(where: …)`"
            }
            "order" => "rows are sorted by a step of their own: `|> data.sort(by: [.column])`",
            _ => return None,
        };
        clause.then(|| self.says(self.here(), format!("`{found}` is no part of an item"), "a query").help(help))
    }

    /// `match x { … }`, `case when a then b end`.
    fn choice(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let at = self.found.checked_sub(1)?;
        let opener = at.checked_sub(1).map_or("", |i| self.word(i));
        let starts = matches!(opener, "=" | "(" | "," | ":" | "|>" | "[" | "=>");
        let word = before.to_ascii_lowercase();
        let case = word == "case" && found.eq_ignore_ascii_case("when");
        let begins = self.tokens.get(self.found).is_some_and(|t| matches!(t.kind, Kind::Word | Kind::TypeName));
        let matched = matches!(word.as_str(), "match" | "switch" | "case") && begins || found == "." && word == "match";
        if !starts || !(case || matched) {
            return None;
        }
        let problem = self.says(self.span_of(at), format!("there is no `{before}`"), "a choice");
        Some(problem.help("a choice is a value: `if a then b else c`, and so on with `else if`"))
    }

    /// `count(*)`, `on: *`.
    fn star(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let alone = matches!(before, "(" | "[" | ":" | "," | "=") && self.word(self.found + 1) != "*";
        if found != "*" || !alone || !self.expects_value() {
            return None;
        }
        let name = self.found.checked_sub(2).map_or("", |i| self.word(i));
        if before == "(" && name.eq_ignore_ascii_case("count") {
            let whole = self.span_of(self.found - 2).to(self.here());
            let problem = self.says(whole, "rows are counted by the dataset itself", "a query");
            return Some(problem.help("write `rows.rows`, the number of rows of `rows`"));
        }
        let problem = self.says(self.here(), "`*` multiplies; it does not stand for all", "no value");
        Some(problem.help("name the columns: `[.instruction, .output]`"))
    }

    /// `.output.matches(/ai/i)`.
    fn pattern_in_slashes(&self, found: &str, before: &str) -> Option<Diagnostic> {
        if found != "/"
            || !matches!(before, "(" | ":" | ",")
            || self.touches(self.found) && self.word(self.found + 1) == "/"
        {
            return None;
        }
        let start = self.here().start as usize;
        let line = self.text[start + 1..].split('\n').next().unwrap_or_default();
        let (pattern, after) = line.split_once('/')?;
        let flags = &after[..after.find(|c: char| !c.is_ascii_lowercase()).unwrap_or(after.len())];
        let whole = Span { end: (start + pattern.len() + flags.len() + 2) as u32, ..self.here() };
        let case = if flags.contains('i') { "(?i)" } else { "" };
        let written = format!("r\"{case}{pattern}\"");
        let problem = self.says(whole, "a pattern is a text with an `r` before it", "between slashes");
        let plain = !pattern.contains('"') && !pattern.is_empty();
        let problem = problem.help(format!("write `{written}`"));
        Some(if plain { problem.fix(whole, written) } else { problem })
    }

    /// `.score // 2` and `.input // ""` within brackets; elsewhere two slashes start a comment of another language.
    fn two_slashes(&self, found: &str) -> Option<Diagnostic> {
        let joined = self.found.checked_sub(1).is_some_and(|i| self.word(i) == "/" && self.touches(i));
        let first = match (found, joined) {
            ("/", true) => self.found - 1,
            ("/", false) if self.touches(self.found) && self.word(self.found + 1) == "/" => self.found,
            _ => return None,
        };
        let next = self.tokens.get(first + 2)?;
        let value = matches!(next.kind, Kind::Number | Kind::Str) || self.word(first + 2) == ".";
        if self.open_bracket().is_none()
            || !first.checked_sub(1).is_some_and(|i| self.ends_value(i))
            || !value
            || self.line_of(first) != self.line_of(first + 2)
        {
            return None;
        }
        let whole = self.span_of(first).to(self.span_of(first + 1));
        let problem = self.says(whole, "there is no operator `//`", "not an operator");
        Some(if next.kind == Kind::Number {
            problem.help("numbers are divided with `/`; a quotient is not rounded").fix(whole, "/")
        } else {
            problem.help("what stands for an absent value comes after `??`").fix(whole, "??")
        })
    }

    /// `keep: 1:9`, `timeout: 1:30:00`.
    fn colon_between_numbers(&self, found: &str) -> Option<Diagnostic> {
        let at = self.found.checked_sub(1)?;
        let number = |i: usize| self.tokens.get(i).is_some_and(|t| t.kind == Kind::Number);
        let open = self.open_bracket().map_or("", |o| self.word(o));
        if found != ":" || !number(at) || !number(self.found + 1) || open == "[" || open.is_empty() {
            return None;
        }
        let plain =
            |i: usize| self.word(i).bytes().all(|b| b.is_ascii_digit()).then(|| self.word(i).trim_start_matches('0'));
        if self.word(self.found + 2) == ":" && number(self.found + 3) {
            let whole = self.span_of(at).to(self.span_of(self.found + 3));
            let problem = self.says(whole, "a duration is written with its units", "a time of day");
            let parts = [(plain(at), "h"), (plain(self.found + 1), "m"), (plain(self.found + 3), "s")];
            let written: String =
                parts.iter().filter_map(|(n, u)| n.filter(|n| !n.is_empty()).map(|n| format!("{n}{u}"))).collect();
            return Some(problem.help(format!("write `{written}`")).fix(whole, written));
        }
        let whole = self.span_of(at).to(self.span_of(self.found + 1));
        let written = format!("{}..{}", self.word(at), self.word(self.found + 1));
        let problem = self.says(whole, "a range is written with two dots", "a range");
        Some(problem.help(format!("write `{written}`")).fix(whole, written))
    }

    /// `pixels: 768x768`.
    fn width_by_height(&self, found: &str) -> Option<Diagnostic> {
        let (width, height) = found.split_once(['x', 'X'])?;
        let (w, h) = (width.parse::<u64>().ok()?, height.parse::<u64>().ok()?);
        let all = w.checked_mul(h).filter(|_| !found.starts_with('0'))?;
        let problem = self.says(self.here(), "the size of a picture is its number of pixels", "width and height");
        Some(problem.help(format!("{w} × {h} is `{all}px`; sizes that are allowed are a range, `1_024px..{all}px`")))
    }
}
