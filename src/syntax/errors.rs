//! What pest expected, in words: one sentence, a caret where it hurts, and a next step.

use pest::error::{ErrorVariant, InputLocation};

use super::grammar::{RESERVED, Rule};
use super::scan::{Kind, Slice, Token};
use crate::base::{Diagnostic, SourceId, Span, codes};

/// Turns the failure of one item into a diagnostic.
pub(super) fn explain(
    source: SourceId,
    text: &str,
    slice: &Slice,
    tokens: &[Token],
    error: &pest::error::Error<Rule>,
) -> Diagnostic {
    let at = slice.start
        + match error.location {
            InputLocation::Pos(at) | InputLocation::Span((at, _)) => at,
        };
    let first = tokens.partition_point(|t| t.start < slice.start);
    let last = tokens.partition_point(|t| t.start < slice.end);
    let tokens = &tokens[first..last];
    let expected = match &error.variant {
        ErrorVariant::ParsingError { positives, .. } => positives.as_slice(),
        ErrorVariant::CustomError { .. } => {
            let span = Span::new(source, slice.start, tokens.first().map_or(slice.end, |t| t.end));
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
        None.or_else(|| self.stray_close(found))
            .or_else(|| self.pipe_step(before))
            .or_else(|| self.after_pipe(found))
            .or_else(|| self.block_without_arrow(found))
            .or_else(|| self.literal_type())
            .or_else(|| self.reserved(found, before))
            .or_else(|| self.foreign_operator(found))
            .or_else(|| self.equals(found, open))
            .or_else(|| self.spread_of_range(before))
            .or_else(|| self.chained_comparison(found))
            .or_else(|| self.missing_comma(found, open))
            .or_else(|| self.missing_result_type(found))
    }

    fn stray_close(&self, found: &str) -> Option<Diagnostic> {
        if self.tokens.get(self.found)?.kind != Kind::Close || self.open_bracket().is_some() {
            return None;
        }
        let problem =
            Diagnostic::new(codes::E0101, self.here(), format!("`{found}` closes nothing"), "no bracket is open here");
        Some(problem.help("remove it").fix(self.here(), ""))
    }

    /// `d |> f` without parentheses, or a step that is no call at all.
    fn pipe_step(&self, before: &str) -> Option<Diagnostic> {
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
        if !self.expects(&[Rule::pipe_op]) || self.expects(&[Rule::plus, Rule::kw_or]) {
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
        while self.word(last + 1) == "|" && self.tokens.get(last + 2).is_some_and(|t| t.kind == token.kind) {
            last += 2;
        }
        let span = self.span_of(self.found).to(self.span_of(last));
        let problem = Diagnostic::new(codes::E0105, span, "a literal is no type", "expected a type");
        if token.kind == Kind::Number {
            return Some(problem.help("write the type and its range: `param n: Int in 1..8 = 4`"));
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
        let reads = self.expects(&[Rule::ident, Rule::primary, Rule::unary, Rule::name, Rule::arg, Rule::rfield]);
        let lone = matches!(self.word(self.found + 1), "," | ")" | "]" | "}" | "=" | "|>" | "" | "==" | "." | "as");
        if !RESERVED.contains(&found) || !(introduces || reads && lone) || matches!(found, "then" | "else" | "with") {
            return None;
        }
        Some(self.reserved_at(self.found))
    }

    fn reserved_at(&self, index: usize) -> Diagnostic {
        let word = self.word(index);
        let message = format!("`{word}` is a word of the language and cannot be a name");
        Diagnostic::new(codes::E0103, self.span_of(index), message, "choose another name")
            .help(format!("for example `{word}_`"))
    }

    /// Words and marks of other languages.
    fn foreign_operator(&self, found: &str) -> Option<Diagnostic> {
        let next = self.word(self.found + 1);
        let touching = self.tokens.get(self.found + 1).is_some_and(|n| n.start == self.tokens[self.found].end);
        let (written, meant) = match (found, next) {
            ("&", "&") if touching => ("&&", "and"),
            ("|", "|") if touching => ("||", "or"),
            ("!", _) => ("!", "not "),
            (";", _) => {
                let problem = Diagnostic::new(codes::E0101, self.here(), "there are no semicolons here", "not needed");
                return Some(
                    problem.help("an item ends where the next one starts; in brackets write `,`").fix(self.here(), ""),
                );
            }
            ("'", _) => {
                let problem = Diagnostic::new(
                    codes::E0101,
                    self.here(),
                    "a string stands between double quotes",
                    "a single quote",
                );
                return Some(problem.help("write `\"…\"`"));
            }
            ("/", "/") if touching => {
                let problem = Diagnostic::new(codes::E0101, self.here(), "a comment starts with `#`", "two slashes");
                let both = self.here().to(self.span_of(self.found + 1));
                return Some(problem.help("write `# …`").fix(both, "#"));
            }
            ("*", "*") if touching => {
                let problem =
                    Diagnostic::new(codes::E0101, self.here(), "there is no operator `**`", "not an operator");
                return Some(problem.help("spread a record into a call with `..record`"));
            }
            ("$" | "@" | "~" | "^" | "&" | "\\" | "`" | "%", _) => {
                let message = format!("`{found}` is no part of the language");
                return Some(Diagnostic::new(codes::E0101, self.here(), message, "this character").help("remove it"));
            }
            _ => return None,
        };
        let span = if written.len() == 2 { self.here().to(self.span_of(self.found + 1)) } else { self.here() };
        let problem =
            Diagnostic::new(codes::E0101, span, format!("there is no operator `{written}`"), "not an operator");
        Some(problem.help(format!("write `{}`", meant.trim())).fix(span, meant))
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
        if self.expects(&[Rule::cmp]) || self.expects(&[Rule::plus]) {
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

    fn missing_comma(&self, found: &str, open: Option<usize>) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        let starts_value = matches!(token.kind, Kind::Word | Kind::Number | Kind::Str | Kind::TypeName | Kind::Open)
            || found == ".." && self.expects(&[Rule::comma]);
        if open.is_none()
            || !self.expects(&[Rule::comma])
            || !starts_value
            || RESERVED.contains(&found) && self.word(self.found + 1) != ":"
        {
            return None;
        }
        let end = self.span_of(self.found.checked_sub(1)?).end;
        let gap = Span { start: end, end, ..self.here() };
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

    fn missing_result_type(&self, found: &str) -> Option<Diagnostic> {
        if !self.expects(&[Rule::arrow]) {
            return None;
        }
        let problem = Diagnostic::new(
            codes::E0101,
            self.here(),
            format!("expected the result type, found {}", describe(found)),
            "expected `->` here",
        );
        Some(problem.help("write what it returns: `fn f(a: Int) -> Int = …`"))
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
                | Rule::kw_or
                | Rule::kw_and
                | Rule::cmp
                | Rule::not_in
                | Rule::coalesce_op
                | Rule::plus
                | Rule::minus
                | Rule::star
                | Rule::slash
                | Rule::field
                | Rule::index
                | Rule::lbrack
                | Rule::call => {
                    operator = true;
                    continue;
                }
                Rule::dotdot | Rule::kw_in if self.expects(&[Rule::plus, Rule::star, Rule::pipe_op]) => continue,
                Rule::lpar if self.expects(&[Rule::plus, Rule::star]) => continue,
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

fn in_words(rule: Rule) -> Option<String> {
    let quoted = match rule {
        Rule::comma => ",",
        Rule::colon => ":",
        Rule::lpar => "(",
        Rule::rpar => ")",
        Rule::lbrace => "{",
        Rule::rbrace => "}",
        Rule::lbrack => "[",
        Rule::rbrack => "]",
        Rule::eq => "=",
        Rule::fat_arrow => "=>",
        Rule::arrow => "->",
        Rule::dotdot => "..",
        Rule::bar => "|",
        Rule::question => "?",
        Rule::dot_brace => ".{",
        Rule::kw_as => "as",
        Rule::kw_in => "in",
        Rule::kw_to => "to",
        Rule::kw_from => "from",
        Rule::kw_then => "then",
        Rule::kw_else => "else",
        Rule::kw_runs => "runs",
        Rule::kw_requires => "requires",
        Rule::kw_where => "where",
        Rule::kw_enum => "enum",
        Rule::kw_let => "let",
        Rule::kw_with | Rule::with_ => "with",
        Rule::kw_files | Rule::op_files => "files",
        Rule::kw_env | Rule::op_env => "env",
        Rule::kw_strict => "strict_numerics",
        _ => {
            return match rule {
                Rule::expr
                | Rule::pipe
                | Rule::expr_or
                | Rule::expr_and
                | Rule::expr_not
                | Rule::expr_cmp
                | Rule::range
                | Rule::coalesce
                | Rule::add
                | Rule::mul
                | Rule::unary
                | Rule::postfix
                | Rule::primary
                | Rule::number
                | Rule::arg
                | Rule::cond
                | Rule::sweep
                | Rule::rowref
                | Rule::kw_if
                | Rule::kw_not
                | Rule::kw_sweep
                | Rule::record
                | Rule::list
                | Rule::paren
                | Rule::kw_true
                | Rule::kw_false
                | Rule::kw_none => Some("a value".to_owned()),
                Rule::ident
                | Rule::word
                | Rule::name
                | Rule::pdecl
                | Rule::named
                | Rule::axis
                | Rule::path
                | Rule::rfield => Some("a name".to_owned()),
                Rule::string => Some("a string".to_owned()),
                Rule::tname => Some("a type name".to_owned()),
                Rule::type_
                | Rule::tprim
                | Rule::named_t
                | Rule::enum_
                | Rule::list_t
                | Rule::row_t
                | Rule::tuple_t
                | Rule::targ => Some("a type".to_owned()),
                Rule::params => Some("parameters in `( … )`".to_owned()),
                Rule::step => Some("a call".to_owned()),
                Rule::names => Some("`.{ … }`".to_owned()),
                Rule::spread | Rule::rowtail => Some("`..`".to_owned()),
                Rule::item => Some("an item".to_owned()),
                _ => None,
            };
        }
    };
    Some(format!("`{quoted}`"))
}

fn one_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn describe(found: &str) -> String {
    if found.is_empty() { "the end of the item".to_owned() } else { format!("`{}`", short(found)) }
}

/// Cuts a long string literal down for a message.
fn short(word: &str) -> String {
    if word.chars().count() <= 24 && !word.contains('\n') {
        return word.to_owned();
    }
    let line = word.lines().next().unwrap_or_default();
    format!("{}…", line.chars().take(20).collect::<String>())
}
