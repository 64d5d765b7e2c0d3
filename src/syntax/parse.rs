//! Text to tree: split into items, parse each by itself, so that one mistake never hides the rest of the file.

use std::borrow::Cow;

use super::ast::{Expr, File, UserOp};
use super::grammar::{self, Rule};
use super::lower::Lower;
use super::scan::{self, Scan, Slice};
use super::{errors, trivia};
use crate::base::{Problems, SourceId};

/// The source that spans of built-in signatures name; it is in no source map.
pub const BUILTIN_SOURCE: SourceId = SourceId(u32::MAX);

/// Parses a file. Items that do not parse are missing from the tree and described in the problems.
pub fn parse(source: SourceId, text: &str) -> (File, Problems) {
    let scan = scan::scan(source, text);
    let clean = blanked(text, &scan.blank);
    let mut problems = Problems::default();
    let mut items = Vec::with_capacity(scan.slices.len());
    for slice in scan.slices.iter().filter(|s| !s.broken) {
        match grammar::parse(Rule::one_item, &clean[slice.start..slice.end]) {
            Ok(pair) => {
                let mut lower = Lower::new(source, text, slice.start, &scan, &mut problems);
                items.extend(lower.file_item(pair));
            }
            Err(error) => problems.push(errors::explain(source, text, slice, &scan.tokens, &error)),
        }
    }
    let doc = trivia::file_doc(text, &scan.comments);
    let Scan { comments, problems: mut all, .. } = scan;
    all.extend(problems);
    (File { source, doc, items, comments }, all)
}

/// Parses one expression, such as the value of `-p name=value`.
///
/// # Errors
/// All problems, when there is an error among them.
pub fn parse_expr(source: SourceId, text: &str) -> Result<Expr, Problems> {
    piece(source, text, Rule::one_expr, |lower, pair| lower.only_expr(pair))
}

/// Parses the signature of a built-in operator: `##` docs, then `op module.name(…) -> T`. Returns it with its docs.
///
/// # Panics
/// When the text is no signature: a mistake in an operator's declaration, found by whatever builds the catalogue.
pub fn parse_signature(text: &str) -> (UserOp, String) {
    match piece(BUILTIN_SOURCE, text, Rule::one_signature, |lower, pair| lower.signature(pair)) {
        Ok(signature) => signature,
        Err(problems) => {
            let lines: Vec<String> = problems
                .sorted()
                .into_iter()
                .map(|d| format!("byte {}: {}; {}", d.primary.span.start, d.message, d.help.unwrap_or_default()))
                .collect();
            panic!("a built-in signature does not parse:\n{text}\n{}", lines.join("\n"))
        }
    }
}

fn piece<T>(
    source: SourceId,
    text: &str,
    rule: Rule,
    build: impl FnOnce(&mut Lower, grammar::Pair) -> T,
) -> Result<T, Problems> {
    let scan = scan::scan_piece(source, text);
    if scan.problems.has_errors() {
        return Err(scan.problems);
    }
    let mut problems = Problems::default();
    match grammar::parse(rule, text) {
        Ok(pair) => {
            let built = build(&mut Lower::new(source, text, 0, &scan, &mut problems), pair);
            if problems.has_errors() { Err(problems) } else { Ok(built) }
        }
        Err(error) => {
            let whole = Slice { start: 0, end: text.len(), broken: false };
            problems.push(errors::explain(source, text, &whole, &scan.tokens, &error));
            Err(problems)
        }
    }
}

/// Replaces byte ranges by blanks, so that all offsets stay.
fn blanked<'t>(text: &'t str, ranges: &[(usize, usize)]) -> Cow<'t, str> {
    if ranges.is_empty() {
        return Cow::Borrowed(text);
    }
    let mut clean = String::with_capacity(text.len());
    let mut at = 0;
    for &(start, end) in ranges {
        clean.push_str(&text[at..start]);
        clean.extend(std::iter::repeat_n(' ', end - start));
        at = end;
    }
    clean.push_str(&text[at..]);
    Cow::Owned(clean)
}
