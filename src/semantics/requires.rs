//! `recipe "x" requires ">=0.1"`: which versions of rbpipe a recipe is for.

use super::check::{Checker, Cx};
use crate::base::Diagnostic;
use crate::base::codes::E0903;
use crate::syntax::ast::StrLit;

/// This version.
const OURS: &str = env!("CARGO_PKG_VERSION");

impl Checker<'_> {
    /// Checks the head of a recipe.
    pub(super) fn recipe(&mut self, name: &StrLit, requires: Option<&StrLit>, cx: &Cx) {
        self.string(name, cx);
        let Some((requires, text)) = requires.and_then(|r| Some((r, r.plain()?))) else { return };
        let problem = match fits(&text, OURS) {
            Some(true) => return,
            Some(false) => Diagnostic::new(
                E0903,
                requires.span,
                format!("this recipe is for rbpipe {text}; this is rbpipe {OURS}"),
                "another version",
            )
            .help("install that version, or change the range after checking that the recipe still means the same"),
            None => Diagnostic::new(E0903, requires.span, format!("`{text}` is no range of versions"), "not a range")
                .help(format!(
                    "write it as `\">={}\"` or `\">=0.1, <0.3\"`",
                    OURS.rsplit_once('.').map_or(OURS, |(v, _)| v)
                ))
                .fix(requires.span, format!("\">={}\"", OURS.rsplit_once('.').map_or(OURS, |(v, _)| v))),
        };
        self.report(problem);
    }
}

/// Says whether a version lies in a range such as `>=0.1, <0.3` or `^1.2`; none for what is no range.
pub(super) fn fits(range: &str, version: &str) -> Option<bool> {
    let have = numbers(version)?;
    let mut all = true;
    let parts = range.split(',').flat_map(|part| glued(part)).collect::<Vec<_>>();
    for part in &parts {
        let digits = part.find(|c: char| c.is_ascii_digit())?;
        let (op, want) = part.split_at(digits);
        let want_text = want.trim();
        let want = numbers(want_text)?;
        let given = want_text.split('.').count();
        let upper = |at: usize| {
            let mut next = want;
            next[at] += 1;
            next[at + 1..].fill(0);
            next
        };
        all &= match op.trim() {
            ">=" => have >= want,
            ">" => have > want,
            "<=" => have <= want,
            "<" => have < want,
            "^" => have >= want && have < upper(want.iter().position(|n| *n > 0).unwrap_or(2)),
            "~" => have >= want && have < upper(given.saturating_sub(2).max(usize::from(given > 1))),
            "" | "=" | "==" => have[..given] == want[..given],
            _ => return None,
        };
    }
    (!parts.is_empty()).then_some(all)
}

/// `>=0.1 <0.3` is two bounds; `>= 0.1` is one.
fn glued(part: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    for word in part.split_whitespace() {
        match out.last_mut() {
            Some(last) if !last.contains(|c: char| c.is_ascii_digit()) => last.push_str(word),
            _ => out.push(word.to_owned()),
        }
    }
    out
}

fn numbers(text: &str) -> Option<[u64; 3]> {
    let mut out = [0; 3];
    let core = text.split(['-', '+']).next()?;
    let parts: Vec<&str> = core.split('.').collect();
    if parts.len() > 3 {
        return None;
    }
    for (slot, part) in out.iter_mut().zip(parts) {
        *slot = part.parse().ok()?;
    }
    Some(out)
}
