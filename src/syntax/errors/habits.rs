//! Words and marks of other languages, each with what is written here instead.

use super::Case;
use super::words::short;
use crate::base::{Diagnostic, Span};
use crate::syntax::grammar::{ITEM_WORDS, RESERVED, Rule};
use crate::syntax::scan::Kind;

impl Case<'_> {
    pub(super) fn foreign_operator(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let next = self.word(self.found + 1);
        let touching = self.touches(self.found);
        let joined = self.found.checked_sub(1).is_some_and(|i| self.touches(i));
        let both = self.here().to(self.span_of(self.found + 1));
        let back = self.found.checked_sub(1).map_or(self.here(), |i| self.span_of(i).to(self.here()));
        let second = if before == ":" { self.found } else { self.found + 1 };
        match (before, found, next) {
            (_, "&", "&") if touching => return Some(self.operator("&&", "and", both)),
            (_, "|", "|") if touching && !self.conditions() => {
                let problem = self.says(both, "there is no operator `||`", "not an operator");
                return Some(problem.help("texts are joined with `+`; between conditions write `or`"));
            }
            (_, "|", "|") if touching => return Some(self.operator("||", "or", both)),
            (_, "%", ">") if touching => {
                let end = self.found + 2;
                let whole = if self.word(end) == "%" { self.here().to(self.span_of(end)) } else { both };
                return Some(self.operator("%>%", "|>", whole));
            }
            (">", ">", _) if joined => return Some(self.operator(">>", "|>", back)),
            ("==", "=", _) if joined => return Some(self.operator("===", "==", back)),
            ("!=", "=", _) if joined => return Some(self.operator("!==", "!=", back)),
            ("<", ">", _) if joined => return Some(self.operator("<>", "!=", back)),
            ("=", "=", _) if joined => return Some(self.operator("= =", "==", back)),
            ("*", "*", _) if joined => {
                return Some(
                    self.says(back, "there is no power operator", "not an operator").help("multiply: `a * a`"),
                );
            }
            ("+", "+", _) if joined => {
                let problem = self.says(back, "there is no operator `++`", "not an operator");
                return Some(problem.help("a name has one value for good; write `n + 1` where it is needed"));
            }
            (_, ":", ":") | (":", ":", _)
                if self.open_bracket().is_some() && self.found > 0 && !self.touches(second) =>
            {
                let second = self.span_of(second);
                let problem = self.says(second, "one `:` too many", "this one");
                return Some(problem.help("remove it").fix(second, ""));
            }
            (":", ":", _) if joined => {
                let problem = self.says(back, "the parts of a name are joined with `.`", "two colons");
                return Some(problem.help("write `.`").fix(back, "."));
            }
            (_, ":", ":") if touching => {
                let problem = self.says(both, "the parts of a name are joined with `.`", "two colons");
                return Some(problem.help("write `.`").fix(both, "."));
            }
            (_, ":", _)
                if self.expects(&[Rule::kw_in])
                    && self.found > 1
                    && self.tokens[self.found - 1].kind == Kind::Word
                    && matches!(self.word(self.found - 2), "sweep" | ",") =>
            {
                let problem = self.says(self.here(), "an axis runs with `in`", "expected `in`");
                return Some(problem.help(format!("write `{before} in …`")).fix(self.here(), " in"));
            }
            (":", "=", _) if joined => {
                let problem = self.says(back, "a value is named with `=`", "`:=`");
                return Some(problem.help("write `=`").fix(back, "="));
            }
            (_, "/", "/") if touching => {
                let problem = self.says(both, "a comment starts with `#`", "two slashes");
                return Some(problem.help("write `# …`").fix(both, "#"));
            }
            (_, "/", "*") | ("/", "*", _) if if found == "/" { touching } else { joined } => {
                let at = if found == "/" { both } else { back };
                let problem = self.says(at, "a comment starts with `#`", "this mark");
                return Some(problem.help("write `# …` behind the line, or on one of its own"));
            }
            (_, "*", "*") if touching => {
                let problem = self.says(both, "there is no operator `**`", "not an operator");
                return Some(problem.help("a record is spread into a call with `..record`").fix(both, ".."));
            }
            ("..", ".", _) | (".", "..", _) if joined => {
                let problem = self.says(back, "there are two dots, not three", "three dots");
                return Some(problem.help("write `..`").fix(back, ".."));
            }
            _ => {}
        }
        match found {
            "!" => {
                let problem = self.says(self.here(), "there is no operator `!`", "not an operator");
                Some(problem.help("write `not`").fix(self.here(), "not "))
            }
            ";" => {
                let problem = self.says(self.here(), "there are no semicolons here", "not needed");
                let help = "an item ends where the next one starts; in brackets write `,`";
                let open = self.open_bracket().is_some();
                let axes = !open && (0..self.found).any(|i| self.word(i) == "sweep");
                if axes && next != "" && self.word(self.found + 2) == "in" {
                    return Some(problem.help("axes stand with commas between them").fix(self.here(), ","));
                }
                if !open && ITEM_WORDS.contains(&next) {
                    let gap = Span { end: self.span_of(self.found + 1).start, ..self.here() };
                    return Some(problem.help("each item begins a line of its own").fix(gap, "\n"));
                }
                Some(problem.help(help).fix(self.here(), if open { "," } else { "" }))
            }
            "'" | "`" => Some(self.quotes(found)),
            "|" if !self.expects(&[Rule::bar]) => Some(self.operator("|", "|>", self.here())),
            "?" if !self.expects(&[Rule::question]) && !(self.word(0) == "schema" && next == ":") => {
                let ty = self.tokens.get(self.found + 1).is_some_and(|t| t.kind == Kind::TypeName);
                if ty && before == ":" && !self.expects_value() {
                    let problem = self.says(self.here(), "what may be absent has its `?` behind the type", "before it");
                    return Some(problem.help(format!("write `{next}?`")).fix(both, format!("{next}?")));
                }
                let problem = self.says(self.here(), "there is no operator `?`", "not an operator");
                Some(problem.help(if next == "." {
                    "say what stands for an absent value: `(.column ?? \"\").len`"
                } else {
                    "a choice is written `if a then b else c`"
                }))
            }
            "%" => Some(self.percent(next)),
            "$" | "@" => {
                let word = self.tokens.get(self.found + 1).is_some_and(|t| t.kind == Kind::Word) && touching;
                let problem = self.says(self.here(), format!("`{found}` is no part of the language"), "this character");
                Some(if word && self.found > 0 {
                    let help = format!("a column is written `.{next}`, a value by its name alone");
                    problem.help(help).fix(self.here(), ".")
                } else {
                    problem.help("remove it")
                })
            }
            "\\" if self.found + 1 == self.tokens.len() || self.line_of(self.found + 1) > self.line_of(self.found) => {
                let problem = self.says(self.here(), "a line goes on without a mark", "not needed");
                Some(problem.help("remove it; an item ends where the next one starts").fix(self.here(), ""))
            }
            "&" if self.conditions() => {
                Some(self.operator("&", if joined || touching { " and " } else { "and" }, self.here()))
            }
            "~" if self.expects_value() => Some(self.operator("~", if touching { "not " } else { "not" }, self.here())),
            "~" | "^" | "&" | "\\" => {
                let message = format!("`{found}` is no part of the language");
                Some(self.says(self.here(), message, "this character").help("remove it"))
            }
            _ => None,
        }
    }

    /// `"""What this does."""` behind an item that is whole.
    pub(super) fn lone_text(&self) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found).filter(|t| t.kind == Kind::Str)?;
        let whole = self.expects(&[Rule::EOI]) && self.begins_line(self.found);
        if !whole || !self.text[token.start..].starts_with("\"\"\"") {
            return None;
        }
        let problem = self.says(self.here(), "a text starts no item", "expected an item word such as `let`");
        Some(problem.help("what a person should read stands behind `#`; behind `##` above an item, and `#!` at the top of the file, it is documentation"))
    }

    /// `f(--name value)` and `f(--name=value)`.
    pub(super) fn flag(&self, found: &str) -> Option<Diagnostic> {
        let at = self.found.checked_sub(3)?;
        let opener = at.checked_sub(1).map_or("", |i| self.word(i));
        let dashes = (at..at + 2).all(|i| self.word(i) == "-" && self.touches(i));
        if !dashes || self.tokens[at + 2].kind != Kind::Word || !matches!(opener, "(" | ",") {
            return None;
        }
        let (name, value) = (self.word(at + 2), if found == "=" { self.word(self.found + 1) } else { found });
        let flag = self.span_of(at).to(self.span_of(at + 2));
        let problem = self.says(flag, "an option is named without dashes", "two dashes");
        Some(problem.help(format!("write `{name}: {}`", short(value))))
    }

    pub(super) fn operator(&self, written: &str, meant: &str, span: Span) -> Diagnostic {
        self.says(span, format!("there is no operator `{written}`"), "not an operator")
            .help(format!("write `{}`", meant.trim()))
            .fix(span, meant)
    }

    /// A text in the wrong quotes.
    fn quotes(&self, quote: &str) -> Diagnostic {
        let start = self.here().start as usize;
        let line = self.text[start + 1..].split('\n').next().unwrap_or_default();
        let problem = self.says(self.here(), "a string stands between double quotes", "another quote");
        match line.split_once(quote).map(|(inside, _)| inside).filter(|inside| !inside.contains(['"', '\\'])) {
            Some(inside) => {
                let whole = Span { end: (start + inside.len() + 2) as u32, ..self.here() };
                problem.help(format!("write `\"{inside}\"`")).fix(whole, format!("\"{inside}\""))
            }
            None => problem.help("write `\"…\"`"),
        }
    }

    fn percent(&self, next: &str) -> Diagnostic {
        let before = self.found.checked_sub(1);
        let number = before.filter(|&i| self.tokens[i].kind == Kind::Number);
        match number {
            Some(i) if self.word(i).ends_with('%') => {
                self.says(self.here(), "one `%` too many", "this one").help("remove it").fix(self.here(), "")
            }
            Some(i) if !self.tokens.get(self.found + 1).is_some_and(|t| t.kind == Kind::Number) => {
                let gap = Span { start: self.span_of(i).end, end: self.here().start, ..self.here() };
                let problem = self.says(self.here(), "a unit is glued to its number", "a blank before it");
                problem.help(format!("write `{}%`", self.word(i))).fix(gap, "")
            }
            _ => {
                let problem = self.says(self.here(), "there is no operator `%`", "not an operator");
                let text = before.is_some_and(|i| self.tokens[i].kind == Kind::Str);
                problem.help(if text {
                    "names are put into a text between braces: `\"{name}.jsonl\"`"
                } else if next.is_empty() {
                    "remove it"
                } else {
                    "a share is a number with `%` glued to it: `5%`"
                })
            }
        }
    }

    /// Statements and expressions of Python and its kin.
    pub(super) fn foreign_words(&self, found: &str, before: &str, open: Option<usize>) -> Option<Diagnostic> {
        let before_span = self.found.checked_sub(1).map_or(self.here(), |i| self.span_of(i));
        match (before, found) {
            (_, "is") if self.found > 0 && self.ends_value(self.found - 1) => {
                let not = self.word(self.found + 1) == "not";
                let whole = if not { self.here().to(self.span_of(self.found + 1)) } else { self.here() };
                let ours = if not { "!=" } else { "==" };
                let problem = self.says(whole, "values are compared with `==` and `!=`", "not an operator");
                Some(problem.help(format!("write `{ours}`")).fix(whole, ours))
            }
            (_, ":")
                if open.is_some_and(|o| self.word(o) == "[") && self.tokens[self.found - 1].kind == Kind::Number
                    || before == "[" && found == ":" =>
            {
                let problem = self.says(self.here(), "there are no slices", "a slice");
                Some(
                    problem.help(
                        "a text is taken apart with `.before(…)`, `.after(…)` and `.split(…)`; one element is `[0]`",
                    ),
                )
            }
            ("for", _) if self.expects_value() || self.found >= 2 && self.word(self.found - 2) == "=" => {
                let problem = self.says(before_span, "there are no loops", "a loop");
                Some(
                    problem
                        .help("a node for each of some values is `sweep x in [1, 2] { … }`")
                        .fix(before_span, "sweep"),
                )
            }
            ("return", _) => {
                let gap = Span { end: self.here().start, ..before_span };
                let problem = self.says(before_span, "there is no `return`", "not needed");
                Some(problem.help("the value stands after `=`; in a block, after `=>`").fix(gap, ""))
            }
            ("lambda", _) | (_, "=>" | "->") if open.is_some() && (before == "lambda" || self.expects_value()) => {
                let span = if before == "lambda" { before_span } else { self.here() };
                let problem = self.says(span, "a row expression is written without a function", "no function here");
                Some(problem.help("name the columns: `where: .output != \"\"` holds for each row"))
            }
            (_, "for" | "while") => {
                let problem = self.says(self.here(), "there are no loops", "a loop");
                Some(problem.help(
                    "an operator works on all rows by itself; a node for each of some values is `sweep x in [1, 2] { … }`",
                ))
            }
            (_, "if") if self.begins_line(self.found) => {
                let problem = self.says(self.here(), "`if` starts no item", "expected an item word such as `let`");
                Some(problem.help("a choice is a value: `let x = if condition then value else other`; what is taken runs, and nothing else"))
            }
            (_, "if") if !before.is_empty() && self.found > 0 && self.ends_value(self.found - 1) => {
                let problem = self.says(self.here(), "the condition stands first", "after the value");
                Some(problem.help("write `if condition then value else other`"))
            }
            (_, "elif" | "elsif" | "elseif") => {
                let problem = self.says(self.here(), format!("there is no `{found}`"), "not a word of the language");
                Some(problem.help("write `else if`").fix(self.here(), "else if"))
            }
            ("elif" | "elsif" | "elseif", _) => {
                let problem = self.says(before_span, format!("there is no `{before}`"), "not a word of the language");
                Some(problem.help("write `else if`").fix(before_span, "else if"))
            }
            ("f" | "b" | "u" | "rb" | "fr", _)
                if self.tokens.get(self.found)?.kind == Kind::Str && self.touches(self.found - 1) =>
            {
                let problem = self.says(before_span, format!("a string takes no `{before}` before it"), "this letter");
                Some(problem.help("remove it; `{name}` in a string is replaced anyway").fix(before_span, ""))
            }
            _ => None,
        }
    }

    /// `if a b else c`.
    pub(super) fn without_then(&self, found: &str) -> Option<Diagnostic> {
        let at = self.found.checked_sub(1).filter(|&i| self.ends_value(i))?;
        let asked = (0..at).rev().find(|&i| matches!(self.word(i), "if" | "then" | "else"))?;
        let token = self.tokens.get(self.found)?;
        let value =
            matches!(token.kind, Kind::Word | Kind::Number | Kind::Str | Kind::TypeName) && !RESERVED.contains(&found);
        let otherwise = (self.found..self.tokens.len()).any(|i| self.word(i) == "else");
        if self.word(asked) != "if" || !self.expects(&[Rule::kw_then]) || !value || !otherwise {
            return None;
        }
        let gap = self.gap_before(self.found);
        let problem = self.says(gap, "`then` is missing after the condition", "expected `then` here");
        Some(problem.help("write `if condition then value else other`").fix(gap, " then"))
    }

    /// `if a { b }`, `if a then b` and nothing more.
    pub(super) fn incomplete_if(&self, found: &str) -> Option<Diagnostic> {
        let form = "write `if condition then value else other`";
        if self.expects(&[Rule::kw_then])
            && !self.expects(&[Rule::kw_else])
            && matches!(found, "{" | ":" | "(" | "?" | "" | "=>")
        {
            return Some(self.says(self.here(), "`then` is missing after the condition", "expected `then`").help(form));
        }
        let mut open = Vec::new();
        for index in 0..self.found {
            match self.word(index) {
                "if" => open.push(index),
                "else" => {
                    open.pop();
                }
                _ => {}
            }
        }
        let last = open.last()?;
        let then = (*last..self.found).any(|i| self.word(i) == "then");
        if !then || !self.expects(&[Rule::kw_else]) || !matches!(found, "" | ")" | "]" | "}" | "," | "to" | "with") {
            return None;
        }
        let problem =
            self.says(self.here(), "this `if` has no `else`", "expected `else`").also(self.span_of(*last), "this `if`");
        Some(problem.help("an `if` is a value, so it says what holds otherwise too: `if a then b else c`"))
    }

    /// Numbers as other languages write them.
    pub(super) fn odd_number(&self, found: &str, before: &str) -> Option<Diagnostic> {
        let joined = self.found.checked_sub(1).is_some_and(|i| self.touches(i));
        let back = self.found.checked_sub(1).map_or(self.here(), |i| self.span_of(i).to(self.here()));
        let number = self.tokens.get(self.found).is_some_and(|t| t.kind == Kind::Number);
        let earlier = self.found.checked_sub(2).filter(|&i| self.touches(i)).map(|i| self.tokens[i].kind);
        if number && before == "." && joined {
            let dots = self.found.checked_sub(2).is_some_and(|i| self.word(i) == ".." && self.touches(i));
            if dots {
                let three = self.span_of(self.found - 2).to(self.span_of(self.found - 1));
                let problem = self.says(three, "a range has two dots", "three dots");
                return Some(problem.help(format!("write `..{found}`")).fix(three, ".."));
            }
            return Some(match earlier {
                Some(Kind::Number) => {
                    self.says(self.here(), "a number has one point", "a second point").help("remove one of them")
                }
                Some(Kind::Word | Kind::Close) => {
                    let problem = self.says(back, "an element is read with brackets", "a number after a point");
                    problem.help(format!("write `[{found}]`")).fix(back, format!("[{found}]"))
                }
                _ => {
                    let problem = self.says(back, "a number starts with a digit", "starts with a point");
                    problem.help(format!("write `0.{found}`")).fix(back, format!("0.{found}"))
                }
            });
        }
        if before == "." && matches!(found, "," | ")" | "]" | "}") && earlier == Some(Kind::Number) {
            let point = self.span_of(self.found - 1);
            let problem = self.says(point, "a number ends with a digit", "ends with a point");
            return Some(problem.help("remove the point, or write `.0`").fix(point, ".0"));
        }
        let ends = |i: usize| self.tokens.get(i).is_some_and(|t| t.kind == Kind::Number);
        if matches!(found, "to" | "-")
            && self.found > 0
            && ends(self.found - 1)
            && ends(self.found + 1)
            && self.open_bracket().is_some()
        {
            let (a, b) = (before, self.word(self.found + 1));
            let whole = self.span_of(self.found - 1).to(self.span_of(self.found + 1));
            let problem = self.says(whole, "a range is written with two dots", "a range");
            return Some(problem.help(format!("write `{a}..{b}`")).fix(whole, format!("{a}..{b}")));
        }
        let digits = found.strip_prefix("0x").or(found.strip_prefix("0X")).map(|d| (d, 16));
        let digits = digits.or(found.strip_prefix("0b").map(|d| (d, 2))).or(found.strip_prefix("0o").map(|d| (d, 8)));
        if let Some((digits, base)) = digits.filter(|_| number)
            && let Ok(value) = u64::from_str_radix(&digits.replace('_', ""), base)
        {
            let problem = self.says(self.here(), "numbers are written in decimal", "another base");
            return Some(problem.help(format!("write `{value}`")).fix(self.here(), value.to_string()));
        }
        if found == "+" && self.expects_value() {
            let problem = self.says(self.here(), "a number takes no `+` before it", "not needed");
            return Some(problem.help("remove it").fix(self.here(), ""));
        }
        None
    }

    /// Says whether conditions stand around the found token: a comparison on its bracket level, or the word that asks for one.
    fn conditions(&self) -> bool {
        let asks = |w: &str| matches!(w, "where" | "if" | "expect" | "warn" | "and" | "or" | "not" | "in");
        let compares = |w: &str| matches!(w, "==" | "!=" | "<" | "<=" | ">" | ">=" | "&" | "!" | "true" | "false");
        let end = (self.found..self.tokens.len()).find(|&i| self.word(i) == ",").unwrap_or(self.tokens.len());
        let start = (0..self.found).rev().find(|&i| matches!(self.word(i), "," | "=>" | "derive")).unwrap_or(0);
        (start..end).any(|i| asks(self.word(i)) || compares(self.word(i)))
    }

    /// Says whether a token can be the end of a value.
    pub(super) fn ends_value(&self, index: usize) -> bool {
        let word = self.word(index);
        match self.tokens.get(index).map(|t| t.kind) {
            Some(Kind::Word) => {
                let column = index.checked_sub(1).is_some_and(|i| self.word(i) == ".");
                column || !crate::syntax::grammar::RESERVED.contains(&word) || matches!(word, "true" | "false" | "none")
            }
            Some(Kind::TypeName | Kind::Number | Kind::Str | Kind::Close) => true,
            _ => false,
        }
    }
}
