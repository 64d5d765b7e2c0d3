//! Makes a half-typed item parse: puts a word where the cursor stands and, where that is not enough, closes what is open there and
//! leaves out what follows in the item.

use super::text;
use crate::base::SourceId;
use crate::syntax::{self, Kind};

/// The word that stands where the cursor is; no recipe has it.
pub const MARK: &str = "rb_cursor_here";
/// The same where a type is asked for.
pub const TYPE_MARK: &str = "RbCursorHere";

/// A text that parses at the cursor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repaired {
    /// The whole text.
    pub text: String,
    /// A byte inside of the mark, or of the string or number at the cursor.
    pub at: usize,
    /// What is being typed: the bytes of the original text that a completion replaces.
    pub typed: (usize, usize),
    /// The cursor stands in a string.
    pub in_string: bool,
    /// The cursor stands right behind a number, `typed` being its unit.
    pub in_number: bool,
}

/// What can follow what is open at the cursor until the item is whole.
const ENDINGS: &[&str] =
    &["", " else none", " then none else none", " => none", " in [none] { none }", " { none }", ": none"];
/// What can follow the last bracket.
const LAST: &[&str] = &["", " -> Int = none", " = none"];

/// Repairs `text` around the cursor; none where no completion makes sense.
pub fn repair(text: &str, cursor: usize) -> Option<Repaired> {
    let outline = syntax::outline(text);
    if outline.comments.iter().any(|c| (c.span.start as usize) < cursor && cursor <= c.span.end as usize) {
        return None;
    }
    let &(start, end) = outline.items.iter().rev().find(|(start, _)| *start <= cursor)?;
    let token = outline.tokens.iter().find(|t| t.start < cursor && cursor <= t.end);
    let string = token.filter(|t| t.kind == Kind::Str && (cursor < t.end || !closed(&text[t.start..t.end])));
    let number = token.filter(|t| t.kind == Kind::Number && cursor == t.end);
    let (head, rest) = (&text[start..cursor], &text[cursor..end]);
    if let Some(token) = string {
        let quote = text[token.start..].find('"').map_or(token.start, |at| token.start + at);
        let open = if text[quote..].starts_with("\"\"\"") { "\"\"\"" } else { "\"" };
        let body = quote + open.len();
        if cursor < body {
            return None; // between the quotes that open it
        }
        let (from, to) = match text[body..cursor].rfind('{').map(|at| body + at + 1) {
            Some(brace) if text::word(text, cursor).0 == brace => (brace, cursor),
            _ => (body, token.end - if closed(&text[token.start..token.end]) { open.len() } else { 0 }),
        };
        let at = token.start + 1;
        let made = candidates(head, rest, &[""], open).find(|made| parses(made))?;
        return Some(whole(text, (start, end), made, at, (from, to.max(cursor)), true, false));
    }
    if let Some(token) = number {
        let digits = text[token.start..cursor].trim_end_matches(|c: char| c.is_ascii_alphabetic() || c == '%').len();
        let (from, at) = (token.start + digits, token.start);
        let head = &text[start..from];
        let made = candidates(head, rest, &[""], "").find(|made| parses(made))?;
        return Some(whole(text, (start, end), made, at, (from, cursor), false, true));
    }
    let (from, to) = text::word(text, cursor);
    let to = if from == cursor { cursor } else { to };
    let (head, rest) = (&text[start..from], &text[to..end]);
    let call = format!("{MARK}()");
    let comma = format!("{MARK}, ");
    let first =
        if head.trim_end().ends_with("|>") || head.trim_end().ends_with('.') && piped(head) { &call } else { MARK };
    let fills = [first, MARK, call.as_str(), comma.as_str(), TYPE_MARK];
    let made = candidates(head, rest, &fills, "").find(|made| parses(made))?;
    Some(whole(text, (start, end), made, from + 1, (from, to), false, false))
}

/// Says whether the last word before the cursor is the head of a pipe step: `|> data.`
fn piped(head: &str) -> bool {
    let word = head.trim_end_matches(|c: char| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    word.trim_end().ends_with("|>")
}

fn closed(string: &str) -> bool {
    let string = string.strip_prefix('r').unwrap_or(string);
    if string.starts_with("\"\"\"") {
        return string.len() >= 6 && string.ends_with("\"\"\"");
    }
    string.len() >= 2 && string.ends_with('"') && !string.ends_with("\\\"")
}

/// Gives texts of the item, the likeliest first: with all that follows the cursor, then without.
fn candidates<'a>(
    head: &'a str,
    rest: &'a str,
    fills: &'a [&'a str],
    quote: &'a str,
) -> impl Iterator<Item = String> + 'a {
    let kept = fills.iter().map(move |fill| format!("{head}{fill}{rest}"));
    let cut = fills.iter().flat_map(move |fill| {
        let start = format!("{head}{fill}{quote}");
        let closers = open_brackets(&start);
        ENDINGS.iter().flat_map(move |ending| {
            let start = format!("{start}{ending}{closers}");
            LAST.iter().map(move |last| format!("{start}{last}"))
        })
    });
    // The block of a function ends in `=> value` only within its last bracket.
    let blocks = fills.iter().filter_map(move |fill| {
        let start = format!("{head}{fill}{quote}");
        let closers = open_brackets(&start);
        let (inner, last) = closers.split_at(closers.len().checked_sub(1)?);
        Some(format!("{start}{inner} => none {last}"))
    });
    kept.chain(cut).chain(blocks)
}

/// Returns what closes the brackets that are open at the end of a text, innermost first.
fn open_brackets(text: &str) -> String {
    let mut open = Vec::new();
    for token in syntax::outline(text).tokens {
        match (&text[token.start..token.end], token.kind) {
            ("(", Kind::Open) => open.push(')'),
            ("[", Kind::Open) => open.push(']'),
            ("{", Kind::Open) => open.push('}'),
            (_, Kind::Close) => {
                open.pop();
            }
            (".{", _) => open.push('}'),
            _ => {}
        }
    }
    open.into_iter().rev().collect()
}

fn parses(item: &str) -> bool {
    let (file, problems) = syntax::parse(SourceId(0), item);
    file.items.len() == 1 && !problems.sorted().iter().any(|d| d.code.0.starts_with("E01"))
}

fn whole(
    text: &str,
    (start, end): (usize, usize),
    made: String,
    at: usize,
    typed: (usize, usize),
    in_string: bool,
    in_number: bool,
) -> Repaired {
    let text = format!("{}{made}\n{}", &text[..start], &text[end..]);
    Repaired { text, at, typed, in_string, in_number }
}
