//! What pest expected, in words: one sentence, a caret where it hurts, and a next step.

mod brackets;
mod habits;
mod items;
mod rows;
mod shell;
mod sql;
mod unquoted;
mod words;

use pest::error::{ErrorVariant, InputLocation};

use super::grammar::{RESERVED, Rule};
use super::scan::{Kind, Token};
use crate::base::{Diagnostic, SourceId, Span, codes};
use words::{describe, in_words, one_of};

/// Turns the failure of one item into a diagnostic. `text` is the item and `tokens` are its own; so are the places of the result.
pub(super) fn explain(source: SourceId, text: &str, tokens: &[Token], error: &pest::error::Error<Rule>) -> Diagnostic {
    let at = match error.location {
        InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
    };
    let expected = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        ErrorVariant::CustomError { .. } => {
            let span = Span::new(source, 0, tokens.first().map_or(text.len(), |t| t.end));
            return Diagnostic::new(codes::E0109, span, "this item is too large to parse", "starts here")
                .help("split it: give parts of it names with `let`");
        }
    };
    let found = tokens.partition_point(|t| t.end <= at);
    let case = Case { source, text, tokens, found, expected };
    case.special().unwrap_or_else(|| case.general())
}

struct Case<'a> {
    source: SourceId,
    text: &'a str,
    /// The item's tokens.
    tokens: &'a [Token],
    /// Index of the token that did not fit; the number of tokens when the item ends too early.
    found: usize,
    /// What pest would have taken.
    expected: &'a [Rule],
}

impl Case<'_> {
    // ---- mistakes with a sentence of their own

    fn special(&self) -> Option<Diagnostic> {
        let found = self.word(self.found);
        let before = self.found.checked_sub(1).map_or("", |i| self.word(i));
        let open = self.open_bracket();
        None.or_else(|| self.unquoted())
            .or_else(|| self.stray_close(found))
            .or_else(|| self.curly_call(found, before))
            .or_else(|| self.without_then(found))
            .or_else(|| self.rows_and_pipes(found, before))
            .or_else(|| self.queries(found, before))
            .or_else(|| self.shells(found))
            .or_else(|| self.foreign_operator(found, before))
            .or_else(|| self.pipe_step(before))
            .or_else(|| self.after_pipe(found))
            .or_else(|| self.odd_number(found, before))
            .or_else(|| self.lone_text())
            .or_else(|| self.flag(found))
            .or_else(|| self.commas(found, before))
            .or_else(|| self.clauses(found, before, open))
            .or_else(|| self.quoted_name(found, before))
            .or_else(|| self.incomplete_if(found))
            .or_else(|| self.foreign_words(found, before, open))
            .or_else(|| self.item_form(found, before, open))
            .or_else(|| self.block_without_arrow(found))
            .or_else(|| self.literal_type())
            .or_else(|| self.foreign_type(found, before))
            .or_else(|| self.reserved(found, before))
            .or_else(|| self.equals(found, open))
            .or_else(|| self.spread_of_range(before))
            .or_else(|| self.chained_comparison(found))
            .or_else(|| self.unclosed(found, open))
            .or_else(|| self.missing_comma(found, open))
            .or_else(|| self.missing_value(found, before))
    }

    /// `f("name": value)`.
    fn quoted_name(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let at = self.found.checked_sub(1)?;
        let opener = at.checked_sub(1).map_or("", |i| self.word(i));
        let in_call = self.open_bracket().is_some_and(|o| self.word(o) == "(");
        if found != ":" || self.tokens[at].kind != Kind::Str || !matches!(opener, "(" | ",") || !in_call {
            return None;
        }
        let bare = before.trim_matches('"');
        let plain = bare.starts_with(|c: char| c.is_ascii_lowercase())
            && bare.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        let problem = self.says(self.span_of(at), "the name of an argument stands without quotes", "in quotes");
        let problem = problem.help(format!("write `{bare}: …`"));
        Some(if plain { problem.fix(self.span_of(at), bare) } else { problem })
    }

    /// `d |> f` without parentheses, or a step that is no call at all.
    fn pipe_step(&self, before: &str) -> Option<Diagnostic> {
        if before == "|>" && self.word(self.found) == "with" {
            let pipe = self.span_of(self.found - 1);
            let problem = self.says(pipe, "`with` is no step", "a pipe before it");
            return Some(problem.help("remove the pipe").fix(pipe, ""));
        }
        if before == "|>" {
            let span = self.here();
            let problem = Diagnostic::new(codes::E0106, span, "a pipe step is a call", "expected `module.operator(…)`");
            return Some(
                problem.also(self.span_of(self.found - 1), "this pipe").help("write `… |> module.operator(…)`"),
            );
        }
        let mut start = self.found.checked_sub(1)?;
        while start > 0 && (self.word(start) == "." || self.word(start - 1) == ".") {
            start -= 1;
        }
        let pipe = start.checked_sub(1)?;
        if self.word(pipe) != "|>" || !self.expects(&[Rule::call, Rule::lpar]) {
            return None;
        }
        let step = self.span_of(start).to(self.span_of(self.found - 1));
        let name = &self.text[step.start as usize..step.end as usize];
        let end = Span { start: step.end, ..step };
        if self.word(self.found) == ":" {
            let problem = self.says(step, "a bracket is missing behind the name of the operator", "not called");
            return Some(problem.help("arguments stand in parentheses: `… |> module.operator(name: value)`"));
        }
        Some(
            Diagnostic::new(
                codes::E0106,
                step,
                format!("`{name}` is not called here"),
                "a pipe step is a call, with parentheses",
            )
            .also(self.span_of(pipe), "this pipe")
            .help(format!("write `{name}()`"))
            .fix(end, "()"),
        )
    }

    /// `d |> f() > 5`, `d |> f().train`: what follows a pipe needs parentheses around it.
    fn after_pipe(&self, found: &str) -> Option<Diagnostic> {
        let what = match found {
            "." => "a field",
            "[" => "an index",
            "==" | "!=" | "<" | "<=" | ">" | ">=" | "in" => "a comparison",
            "+" | "-" | "*" | "/" | "??" | ".." => "an operator",
            "and" | "or" | "not" => "a condition",
            _ => return None,
        };
        if !self.expects(&[Rule::pipe_op]) || self.expects(&[Rule::arith, Rule::junction]) {
            return None;
        }
        let (start, pipe) = self.pipe_start()?;
        let whole = self.span_of(start).to(self.span_of(self.found - 1));
        let inner = &self.text[whole.start as usize..whole.end as usize];
        let shown = if inner.len() > 60 || inner.contains('\n') { "d |> f()" } else { inner };
        let blank = if found == "." || found == "[" { "" } else { " " };
        Some(
            Diagnostic::new(
                codes::E0106,
                self.here(),
                format!("{what} cannot follow a pipe"),
                "this would belong to the last step",
            )
            .also(self.span_of(pipe), "the pipe")
            .help(format!("put the pipe in parentheses: `({shown}){blank}{found} …`"))
            .fix(whole, format!("({inner})")),
        )
    }

    fn block_without_arrow(&self, found: &str) -> Option<Diagnostic> {
        if !self.expects(&[Rule::fat_arrow]) {
            return None;
        }
        let here = self.here();
        let problem = match found {
            "}" | "" => {
                Diagnostic::new(codes::E0108, here, "this block has no result", "expected `=> result` before this")
                    .help("a block is `{ let x = … => result }`")
            }
            _ => Diagnostic::new(
                codes::E0108,
                here,
                "the result of a block stands after `=>`",
                "expected `=>` before this",
            )
            .help("write `=>` before the result")
            .fix(Span { end: here.start, ..here }, "=> "),
        };
        Some(problem)
    }

    /// `param x: "a" | "b"`.
    fn literal_type(&self) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        let is_type = self.expects(&[Rule::type_, Rule::tprim, Rule::named_t, Rule::tname, Rule::kw_enum]);
        if !is_type || !matches!(token.kind, Kind::Str | Kind::Number) || self.expects(&[Rule::number, Rule::primary]) {
            return None;
        }
        let mut last = self.found;
        // `Literal["a", "b"]`.
        let (opener, holder) = (self.found.checked_sub(1), self.found.checked_sub(2));
        if let (Some(opener), Some(holder)) = (opener, holder)
            && self.word(opener) == "["
            && matches!(self.word(holder), "Literal" | "Enum" | "Choice")
        {
            let close = (self.found..self.tokens.len()).find(|&i| self.word(i) == "]")?;
            let words: Vec<&str> =
                (self.found..close).filter(|&i| self.tokens[i].kind == Kind::Str).map(|i| self.word(i)).collect();
            let written = format!("enum {{ {} }}", words.join(", "));
            let whole = self.span_of(holder).to(self.span_of(close));
            let problem = self.says(whole, "one of some texts is an `enum`", "of another language");
            return Some(problem.help(format!("write `{written}`")).fix(whole, written));
        }
        while self.word(last + 1) == "|" && self.tokens.get(last + 2).is_some_and(|t| t.kind == token.kind) {
            last += 2;
        }
        let span = self.span_of(self.found).to(self.span_of(last));
        let problem = Diagnostic::new(codes::E0105, span, "a literal is no type", "expected a type");
        if token.kind == Kind::Number {
            return Some(problem.help("write the type and its range: `param n: Int in 1..8 = 4`"));
        }
        let named = (last == self.found).then(|| items::type_named(self.word(last).trim_matches('"'))).flatten();
        if let Some(named) = named.filter(|_| self.word(0) == "schema") {
            return Some(problem.help(format!("a type stands without quotes: write `{named}`")).fix(span, named));
        }
        let variants: Vec<String> = (self.found..=last)
            .step_by(2)
            .map(|i| {
                let word = self.word(i);
                let bare = word.trim_matches('"');
                let plain = bare.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
                    && bare.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
                if plain { bare.to_owned() } else { word.to_owned() }
            })
            .collect();
        let written = format!("enum {{ {} }}", variants.join(", "));
        Some(problem.help(format!("write `{written}`")).fix(span, written))
    }

    fn reserved(&self, found: &str, before: &str) -> Option<Diagnostic> {
        // `f(stage)` and `{ output }`: pest took the word for an argument's name and misses the colon.
        let opener = self.found.checked_sub(2).map_or("", |i| self.word(i));
        if self.wanted() == ["`:`"] && RESERVED.contains(&before) && matches!(opener, "(" | "{" | ",") && found != "=" {
            return Some(self.reserved_at(self.found - 1));
        }
        let introduces = matches!(
            before,
            "let" | "stage" | "param" | "secret" | "fn" | "op" | "output" | "profile" | "as" | "sweep"
        );
        let reads = self.expects_value() || self.expects(&[Rule::ident, Rule::name, Rule::arg, Rule::rfield]);
        let lone = matches!(
            self.word(self.found + 1),
            "," | ")"
                | "]"
                | "}"
                | "="
                | "|>"
                | ""
                | "=="
                | "!="
                | "<"
                | "<="
                | ">"
                | ">="
                | "."
                | "as"
                | "in"
                | "+"
                | "to"
        );
        let clause = matches!(found, "then" | "else" | "with" | "to" | "in" | "where" | "as" | "and" | "or");
        if !RESERVED.contains(&found) || !(introduces || reads && lone && !clause) {
            return None;
        }
        // In a row expression it is most likely a column without its point.
        if !introduces && self.open_bracket().is_some() && self.word(0) != "import" {
            let problem = self.reserved_at(self.found);
            let at = Span { end: self.here().start, ..self.here() };
            return Some(problem.help(format!("a column is written with a point: `.{found}`")).fix(at, "."));
        }
        Some(self.reserved_at(self.found))
    }

    fn reserved_at(&self, index: usize) -> Diagnostic {
        let word = self.word(index);
        let message = format!("`{word}` is a word of the language and cannot be a name");
        Diagnostic::new(codes::E0103, self.span_of(index), message, "choose another name")
            .help(format!("for example `{word}_`"))
    }

    /// `f(x = 3)` and `if a = b`.
    fn equals(&self, found: &str, open: Option<usize>) -> Option<Diagnostic> {
        if found != "=" {
            return None;
        }
        let name = self.tokens.get(self.found.checked_sub(1)?)?;
        let starts = self.found >= 2 && matches!(self.word(self.found - 2), "(" | "," | "{");
        if open.is_some_and(|o| self.word(o) != "[") && name.kind == Kind::Word && starts {
            let name = self.word(self.found - 1);
            let problem =
                Diagnostic::new(codes::E0101, self.here(), format!("`{name}` is given with `:`"), "expected `:`");
            return Some(problem.help(format!("write `{name}: …`")).fix(self.here(), ":"));
        }
        if self.expects(&[Rule::cmp, Rule::arith]) {
            let problem =
                Diagnostic::new(codes::E0101, self.here(), "`=` names a value, `==` compares", "expected `==`");
            return Some(problem.help("write `==`").fix(self.here(), "=="));
        }
        None
    }

    /// `f(..-30deg)`.
    fn spread_of_range(&self, before: &str) -> Option<Diagnostic> {
        let opener = self.found.checked_sub(2).map_or("", |i| self.word(i));
        if before != ".." || !matches!(opener, "(" | "," | "{") {
            return None;
        }
        let span = self.span_of(self.found - 1);
        let problem = Diagnostic::new(
            codes::E0107,
            span,
            "`..` at the start of an argument spreads a record",
            "no record follows",
        );
        Some(problem.help("a range needs the argument's name before it, as in `keep: ..30deg`"))
    }

    fn chained_comparison(&self, found: &str) -> Option<Diagnostic> {
        let compares = |w: &str| matches!(w, "==" | "!=" | "<" | "<=" | ">" | ">=");
        if !compares(found) || self.expects(&[Rule::cmp]) {
            return None;
        }
        let first = (0..self.found)
            .rev()
            .take_while(|&i| !matches!(self.word(i), "and" | "or" | "=" | ","))
            .find(|&i| compares(self.word(i)))?;
        let problem = Diagnostic::new(codes::E0101, self.here(), "comparisons do not chain", "a second comparison");
        Some(problem.also(self.span_of(first), "the first one").help("join two comparisons with `and`"))
    }

    /// `d |> data.shuffle{}`.
    fn curly_call(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let name = self.found.checked_sub(1).is_some_and(|i| self.tokens[i].kind == Kind::Word && self.touches(i));
        if found != "{" || !name || !self.expects(&[Rule::call, Rule::lpar]) {
            return None;
        }
        let problem = self.says(self.here(), "arguments stand in parentheses", "expected `(`");
        let whole = self.here().to(self.span_of(self.found + 1));
        let problem = problem.help(format!("write `{before}(…)`"));
        Some(if self.word(self.found + 1) == "}" { problem.fix(whole, "()") } else { problem })
    }

    fn missing_value(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let operator =
            matches!(before, "+" | "-" | "*" | "/" | "==" | "!=" | "<" | "<=" | ">" | ">=" | "??" | ":" | "=")
                || matches!(before, "and" | "or" | "not" | "then" | "else" | "in" | "if" | "where");
        let ends = matches!(found, "" | ")" | "]" | "}" | "," | "to" | "with" | "then" | "else");
        if !operator || !ends || !self.expects_value() {
            return None;
        }
        let gap = self.gap_before(self.found);
        let message = format!("a value is missing after `{before}`");
        Some(self.says(gap, message, "expected a value here").help(format!("write a value, or remove `{before}`")))
    }

    // ---- all others

    fn general(&self) -> Diagnostic {
        let found = self.word(self.found);
        let wanted = self.wanted();
        let list = one_of(&wanted);
        let unfinished = self.found == self.tokens.len();
        let message = if unfinished {
            format!("this item ends too early: expected {list}")
        } else {
            format!("expected {list}, found {}", describe(found))
        };
        let problem = Diagnostic::new(codes::E0101, self.here(), message, format!("expected {list} here"));
        let opened = self.open_bracket().filter(|_| {
            unfinished
                || self.expects(&[Rule::rpar, Rule::rbrack, Rule::rbrace])
                || self.tokens[self.found].kind == Kind::Close
        });
        if let Some(open) = opened {
            let bracket = self.word(open);
            let close = match bracket {
                "(" => ")",
                "[" => "]",
                _ => "}",
            };
            return problem
                .also(self.span_of(open), format!("this `{bracket}` is still open"))
                .help(format!("close it with `{close}`"));
        }
        let item = self.word(0);
        let help = match item {
            "let" | "stage" => format!("the form is `{item} NAME = VALUE`, with an optional `with {{ … }}`"),
            "param" => "the form is `param NAME: Type in RANGE = DEFAULT`; range and default may be missing".to_owned(),
            "import" => "write `import std.{a, b}`, `import std.x as y` or `import \"./file.rb2\" as x`".to_owned(),
            "secret" => "the form is `secret NAME from env \"VARIABLE\"`".to_owned(),
            "schema" => "the form is `schema Name { field: Type, … }`".to_owned(),
            "fn" => "the form is `fn NAME(a: Type) -> Type = VALUE`".to_owned(),
            "op" => "the form is `op NAME(a: Type) -> Type runs \"command\"`".to_owned(),
            "recipe" => "the form is `recipe \"name\" requires \">=0.1\"`".to_owned(),
            "expect" | "warn" => format!("the form is `{item} CONDITION else \"message\"`"),
            "output" => "the form is `output NAME = VALUE to \"path\"`".to_owned(),
            "profile" => "the form is `profile NAME { param: VALUE, … }`, with an optional `with { … }`".to_owned(),
            _ => format!("write {list}"),
        };
        problem.help(help)
    }

    /// Says in words what would have fitted, most useful first.
    fn wanted(&self) -> Vec<String> {
        let mut words: Vec<String> = Vec::new();
        let mut operator = false;
        for &rule in self.expected {
            let word = match rule {
                Rule::pipe_op
                | Rule::junction
                | Rule::cmp
                | Rule::not_in
                | Rule::arith
                | Rule::minus
                | Rule::field
                | Rule::index
                | Rule::lbrack
                | Rule::call => {
                    operator = true;
                    continue;
                }
                Rule::dotdot | Rule::kw_in if self.expects(&[Rule::arith, Rule::pipe_op]) => continue,
                Rule::lpar if self.expects(&[Rule::arith]) => continue,
                Rule::EOI => "the end of the item".to_owned(),
                other => match in_words(other) {
                    Some(word) => word,
                    None => continue,
                },
            };
            if !words.contains(&word) {
                words.push(word);
            }
        }
        if words.iter().any(|w| w == "a value") {
            // Every bracket and literal that may start a value says no more than "a value".
            words.retain(|w| !w.starts_with('`') && w != "a name" && w != "a string" && w != "a type name");
        }
        if words.iter().any(|w| w == "a type") {
            words.retain(|w| w != "a type name" && w != "`enum`" && w != "`[`" && w != "`{`" && w != "`(`");
        }
        if words.is_empty() || words == ["the end of the item"] && operator {
            words.insert(0, if operator { "an operator".to_owned() } else { "something else".to_owned() });
        }
        words
    }

    // ---- places

    fn says(&self, span: Span, message: impl Into<String>, label: &str) -> Diagnostic {
        Diagnostic::new(codes::E0101, span, message, label)
    }

    fn expects_value(&self) -> bool {
        self.expects(&[Rule::expr, Rule::bounds, Rule::primary, Rule::arg, Rule::number, Rule::rowref])
    }

    /// Says whether a token and the next one stand together without a blank.
    fn touches(&self, index: usize) -> bool {
        matches!((self.tokens.get(index), self.tokens.get(index + 1)), (Some(a), Some(b)) if a.end == b.start)
    }

    /// Right behind the token before this one.
    fn gap_before(&self, index: usize) -> Span {
        let end = index.checked_sub(1).map_or(0, |i| self.tokens[i].end);
        Span::new(self.source, end, end)
    }

    /// Says whether a token behind an item stands in column 0.
    fn begins_line(&self, index: usize) -> bool {
        let start = self.tokens.get(index).map_or(0, |t| t.start);
        start > 0 && self.text.as_bytes()[start - 1] == b'\n' && self.open_bracket().is_none()
    }

    fn line_of(&self, index: usize) -> usize {
        let start = self.tokens.get(index).map_or(self.text.len(), |t| t.start);
        self.text[..start].matches('\n').count()
    }

    /// The token that closes the bracket at `open`, before the found one.
    fn closes_at(&self, open: usize) -> Option<usize> {
        let mut depth = 0usize;
        for index in open..self.found {
            match self.tokens[index].kind {
                Kind::Open => depth += 1,
                Kind::Close => {
                    depth = depth.saturating_sub(1);
                    if depth == 0 {
                        return Some(index);
                    }
                }
                _ => {}
            }
        }
        None
    }

    fn expects(&self, rules: &[Rule]) -> bool {
        rules.iter().any(|r| self.expected.contains(r))
    }

    fn word(&self, index: usize) -> &str {
        self.tokens.get(index).map_or("", |t| &self.text[t.start..t.end])
    }

    fn span_of(&self, index: usize) -> Span {
        self.tokens.get(index).map_or_else(|| self.end(), |t| Span::new(self.source, t.start, t.end))
    }

    fn here(&self) -> Span {
        self.span_of(self.found)
    }

    /// Right behind the item's last token.
    fn end(&self) -> Span {
        let end = self.tokens.last().map_or(0, |t| t.end);
        Span::new(self.source, end, end)
    }

    /// The innermost bracket that is open where the parser stopped.
    fn open_bracket(&self) -> Option<usize> {
        let mut open = Vec::new();
        for index in 0..self.found {
            match self.tokens[index].kind {
                Kind::Open => open.push(index),
                Kind::Close => {
                    open.pop();
                }
                _ => {}
            }
        }
        open.pop()
    }

    /// Where the pipe before the found token starts, and its last `|>`, on the same bracket level.
    fn pipe_start(&self) -> Option<(usize, usize)> {
        let (mut depth, mut pipe, mut start) = (0usize, None, None);
        for index in (0..self.found).rev() {
            match self.tokens[index].kind {
                Kind::Close => depth += 1,
                Kind::Open if depth == 0 => break,
                Kind::Open => depth -= 1,
                _ if depth > 0 => {}
                _ => match self.word(index) {
                    "|>" => {
                        pipe.get_or_insert(index);
                    }
                    "=" | "," | ":" | "=>" | "expect" | "warn" | "then" | "else" | "in" | "if" | "where" | "and"
                    | "or" | "not" => break,
                    _ => {}
                },
            }
            start = Some(index);
        }
        Some((start?, pipe?))
    }
}
