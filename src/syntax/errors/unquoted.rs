//! Texts without their quotes: names of the hub, paths and addresses.

use super::Case;
use crate::base::Diagnostic;
use crate::syntax::scan::Kind;

impl Case<'_> {
    /// `model.hf(Qwen/Qwen2.5-VL-7B)`, `path: ./rows.jsonl`, `import ./lib.rb2 as lib`: what stands together without a blank is one text.
    pub(super) fn unquoted(&self) -> Option<Diagnostic> {
        let (first, last) = self.run()?;
        let whole = self.span_of(first).to(self.span_of(last));
        let text = &self.text[whole.start as usize..whole.end as usize];
        let before = first.checked_sub(1).map_or("", |i| self.word(i));
        let place = matches!(before, "(" | "[" | "," | ":" | "=")
            || before == "import" && text.starts_with(['.', '/', '~'])
            || before == "file" && self.word(0) == "secret";
        let size = |i: usize| self.tokens[i].kind == Kind::TypeName && self.word(i + 1) == ".";
        let number = |i: usize| self.tokens.get(i).is_some_and(|t| t.kind == Kind::Number);
        let version = (first..last).any(|i| size(i) && number(i + 2));
        if !place || !(looks_like_path(text) || version) || self.is_pattern(first, text) {
            return None;
        }
        let written = format!("\"{}\"", text.replace('\\', "/"));
        let problem = self.says(whole, "a text stands between double quotes", "without quotes");
        Some(problem.help(format!("write `{written}`")).fix(whole, written))
    }

    /// The tokens around the found one that stand together without a blank, a bracket or a comma between them.
    fn run(&self) -> Option<(usize, usize)> {
        let stops = |i: usize| {
            matches!(self.tokens[i].kind, Kind::Open | Kind::Close | Kind::Str)
                || matches!(self.word(i), "," | "=" | "|>" | "=>" | "->")
                || self.word(i) == ":" && !self.goes_on(i)
        };
        let within = |i: usize| i < self.tokens.len() && !stops(i);
        let joined = |i: usize| self.touches(i) && within(i) && within(i + 1);
        if !within(self.found) {
            return None;
        }
        let mut first = self.found;
        while first > 0 && joined(first - 1) {
            first -= 1;
        }
        let mut last = self.found;
        while joined(last) {
            last += 1;
        }
        Some((first, last))
    }

    /// Says whether a colon is part of an address or of a drive: `http://`, `host:8000`, `C:\`.
    fn goes_on(&self, colon: usize) -> bool {
        let next = self.tokens.get(colon + 1).map(|t| t.kind);
        let slashes = |i: usize| self.word(i) == "/" && self.word(i + 1) == "/" && self.touches(i);
        let port = next == Some(Kind::Number) && (0..colon).rev().take_while(|&i| self.touches(i)).any(slashes);
        self.touches(colon) && (slashes(colon + 1) || self.word(colon + 1) == "\\" || port)
    }

    /// Says whether what stands between slashes is a pattern of another language: an argument of what looks for one.
    fn is_pattern(&self, first: usize, text: &str) -> bool {
        let after = text.strip_prefix('/').and_then(|t| t.rsplit_once('/')).map(|(_, flags)| flags);
        let asked = first.checked_sub(2).map_or("", |i| self.word(i));
        let looks =
            matches!(asked, "matches" | "match" | "test" | "search" | "replace" | "split" | "pattern" | "regex");
        looks && after.is_some_and(|flags| flags.chars().all(|c| c.is_ascii_lowercase()))
    }
}

/// Says whether a text without blanks is a path, the name of a repository or an address, and no arithmetic.
fn looks_like_path(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || "_./~*:@+\\-".contains(c);
    let column = text.strip_prefix('.').is_some_and(|t| t.starts_with(|c: char| c.is_ascii_alphabetic()));
    let comment = text.starts_with("//")
        || text.starts_with("/*")
        || text.ends_with("*/")
        || text.match_indices("//").any(|(at, _)| !text[..at].ends_with(':'));
    let range = text.match_indices("..").any(|(at, _)| !text[at + 2..].starts_with('/'));
    text.contains(['/', '\\'])
        && text.chars().all(part)
        && text.chars().any(|c| c.is_ascii_alphabetic())
        && !(column || comment || range)
}
