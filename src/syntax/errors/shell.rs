//! What shells and Make write: variables, commands whose output is taken, targets, and options behind a command.

use super::Case;
use super::words::short;
use crate::base::{Diagnostic, Span};
use crate::syntax::grammar::{RESERVED, Rule};
use crate::syntax::scan::Kind;

impl Case<'_> {
    pub(super) fn shells(&self, found: &str) -> Option<Diagnostic> {
        None.or_else(|| self.substitution(found)).or_else(|| self.variable(found)).or_else(|| self.options_behind())
    }

    /// `$(wildcard data/*.jsonl)`, `$(wc -l rows.jsonl)`.
    fn substitution(&self, found: &str) -> Option<Diagnostic> {
        let (open, command) = (self.found + 1, self.word(self.found + 2));
        if found != "$" || self.word(open) != "(" || !self.touches(self.found) {
            return None;
        }
        if self.word(open + 2) == ")" && self.tokens[open + 1].kind == Kind::TypeName {
            return Some(self.no_variable(command, self.here().to(self.span_of(open + 2))));
        }
        let close = (open..self.tokens.len()).find(|&i| self.word(i) == ")")?;
        let whole = self.here().to(self.span_of(close));
        if !matches!(command, "wildcard" | "ls" | "find" | "glob") {
            let problem = self.says(whole, "a recipe takes no output of a command", "a command");
            return Some(problem.help(
                "what a program makes of rows is an `op f(d: Dataset[Row]) -> Dataset[Row] runs \"command\"`; what a run may choose is a `param`",
            ));
        }
        let inner = self.span_of(open + 1).end as usize..self.tokens[close].start;
        let glob = self.text[inner].trim();
        let written = format!("\"{glob}\"");
        let problem = self.says(whole, "several files are named by a text with `*` in it", "a command");
        let plain = !glob.is_empty() && !glob.contains([' ', '"', '$', '{', '\\']);
        if !plain {
            return Some(problem.help("write `data.jsonl(\"data/*.jsonl\", as: Row)`"));
        }
        Some(match self.open_bracket() {
            Some(_) => problem.help(format!("write `{written}`")).fix(whole, written),
            None => problem.help(format!("write `data.jsonl({written}, as: Row)`")),
        })
    }

    /// `$MODEL` and `${MODEL}`.
    fn variable(&self, found: &str) -> Option<Diagnostic> {
        let braced = usize::from(self.word(self.found + 1) == "{");
        let name = self.tokens.get(self.found + 1 + braced)?;
        let joined = (self.found..=self.found + braced).all(|i| self.touches(i));
        let loud = name.kind == Kind::TypeName || braced == 1 && name.kind == Kind::Word;
        if found != "$" || !joined || !loud {
            return None;
        }
        let whole = self.here().to(self.span_of(self.found + 1 + 2 * braced));
        Some(self.no_variable(self.word(self.found + 1 + braced), whole))
    }

    fn no_variable(&self, name: &str, whole: Span) -> Diagnostic {
        let param = name.to_ascii_lowercase();
        let problem = self.says(whole, "a recipe reads no variables of the environment", "a variable");
        problem.help(format!(
            "declare what a run may choose, `param {param}: Str = \"…\"`, and write `{param}` here; a key is a `secret {param} from env \"{name}\"`"
        ))
    }

    /// `let x = rows |> f.g() gpus: 8`.
    fn options_behind(&self) -> Option<Diagnostic> {
        let name = self.tokens.get(self.found).filter(|t| t.kind == Kind::Word)?;
        let value = self.found.checked_sub(1).is_some_and(|i| self.ends_value(i));
        let binds = matches!(self.word(0), "let" | "stage") && self.expects(&[Rule::kw_with, Rule::with_]);
        let word = &self.text[name.start..name.end];
        if !value
            || !binds
            || self.open_bracket().is_some()
            || self.word(self.found + 1) != ":"
            || RESERVED.contains(&word)
        {
            return None;
        }
        let whole = self.here().to(self.end());
        let inner = &self.text[whole.start as usize..whole.end as usize];
        let problem = self.says(self.here(), "how a value is made stands in a `with` behind it", "expected `with`");
        let plain = !inner.contains(['{', '}', '\n', '(', '[']);
        let shown = if plain { inner.to_owned() } else { format!("{word}: …") };
        Some(problem.help(format!(
            "write `with {{ {shown} }}`; an option of the operator stands in its brackets: `({word}: {})`",
            short(self.word(self.found + 2))
        )))
    }

    /// `op f(…) -> T shell "command"`, `… script: "command"`, and a command with no word before it.
    pub(super) fn command(&self, found: &str) -> Option<Diagnostic> {
        let token = self.tokens.get(self.found)?;
        if !self.expects(&[Rule::kw_runs]) || self.open_bracket().is_some() {
            return None;
        }
        let problem = |at: Span| self.says(at, "the command of an operator stands after `runs`", "expected `runs`");
        if token.kind == Kind::Str {
            let gap = self.gap_before(self.found);
            return Some(problem(self.here()).help(format!("write `runs {}`", short(found))).fix(gap, " runs"));
        }
        let marked = usize::from(matches!(self.word(self.found + 1), ":" | "="));
        let text = self.tokens.get(self.found + 1 + marked).filter(|t| t.kind == Kind::Str)?;
        if token.kind != Kind::Word || RESERVED.contains(&found) {
            return None;
        }
        let quoted = &self.text[text.start..text.end];
        // A program's name in front of its script is part of the command.
        let program = matches!(found, "python" | "python3" | "node" | "perl" | "ruby" | "julia");
        let named = quoted.trim_matches('"').starts_with(found) || quoted.starts_with("\"\"\"");
        if program && !named {
            let whole = self.here().to(self.span_of(self.found + 1 + marked));
            let written = format!("runs \"{found} {}", quoted.trim_start_matches('"'));
            return Some(problem(self.here()).help(format!("write `{}`", short(&written))).fix(whole, written));
        }
        let word = self.here().to(self.span_of(self.found + marked));
        Some(problem(self.here()).help(format!("write `runs {}`", short(quoted))).fix(word, "runs"))
    }
}
