//! Text to tree: split into items, parse each by itself, so that one mistake never hides the rest of the file.

use std::borrow::Cow;
use std::sync::OnceLock;

use rayon::prelude::*;

use super::ast::{Expr, File, Item, UserOp};
use super::grammar::{self, Rule};
use super::lower::Lower;
use super::mend::Mended;
use super::scan::{self, Kind, Scan, Slice, Token};
use super::{errors, trivia};
use crate::base::{Problems, SourceId, Span, codes, phrase};

/// Mistakes of one item that are read over.
const MAX_MENDS: usize = 32;

/// Items from which on a file is parsed by several threads: to start them takes as long as twenty items do.
const MANY: usize = 48;

/// Bytes of stack of such a thread. The deepest nesting that is allowed takes up to 2 MiB.
const STACK: usize = 8 << 20;

/// The source that spans of built-in signatures name; it is in no source map.
pub const BUILTIN_SOURCE: SourceId = SourceId(u32::MAX);

/// Bytes from which on several files are parsed by several threads, for the same reason.
const MUCH: usize = 4 << 10;

/// Parses files, several at a time, each as [`parse`] does.
pub fn parse_all(files: &[(SourceId, &str)]) -> Vec<(File, Problems)> {
    let one = |&(source, text): &(SourceId, &str)| parse(source, text);
    let bytes: usize = files.iter().map(|(_, text)| text.len()).sum();
    match (files.len() > 1 && bytes >= MUCH).then(threads).flatten() {
        Some(threads) => threads.install(|| files.par_iter().map(one).collect()),
        None => files.iter().map(one).collect(),
    }
}

/// Parses a file. Items that do not parse are missing from the tree and described in the problems.
pub fn parse(source: SourceId, text: &str) -> (File, Problems) {
    let scan = scan::scan(source, text);
    let clean = blanked(text, &scan.blank);
    let bare = bare(&clean, &scan.tokens);
    let mut problems = Problems::default();
    let mut items = Vec::with_capacity(scan.slices.len());
    let (mut missing, mut mended) = (Vec::new(), Vec::new());
    let one = |slice: &Slice| {
        let (mut problems, mut mended) = (Problems::default(), Vec::new());
        if slice.broken {
            return (None, problems, mended);
        }
        let range = slice.start..slice.end;
        let piece = Mended::new(&clean[range.clone()], slice.start);
        let item = item(source, text, piece, &bare[range], &scan, &mut problems, &mut mended);
        (item, problems, mended)
    };
    let many = scan.slices.len() >= MANY;
    let parsed: Vec<_> = match many.then(threads).flatten() {
        Some(threads) => threads.install(|| scan.slices.par_iter().with_min_len(MANY / 4).map(one).collect()),
        None => scan.slices.iter().map(one).collect(),
    };
    for (slice, (item, more, places)) in scan.slices.iter().zip(parsed) {
        mended.extend(places);
        match item {
            Some(item) => {
                // A name that was mended stays unknown where it is used as it was written.
                let refused = if more.has_errors() { refused_name(text, slice, &scan.tokens) } else { None };
                match refused {
                    Some((start, written)) => {
                        missing.extend(declared(text, slice, &scan.tokens));
                        let used = text.matches(written).count() > 1;
                        problems.extend(if used { without_fix(more, start) } else { more });
                    }
                    None => problems.extend(more),
                }
                items.push(item);
                continue;
            }
            None => problems.extend(more),
        }
        missing.extend(names_of(text, slice, &scan.tokens));
    }
    let doc = trivia::file_doc(text, &scan.comments);
    let Scan { comments, problems: mut all, .. } = scan;
    all.extend(problems);
    let flawed = all.has_errors();
    (File { source, doc, items, comments, missing, flawed, mended }, all)
}

/// The threads that parse, started when they are first asked for; `None` where the system gives none.
fn threads() -> Option<&'static rayon::ThreadPool> {
    static THREADS: OnceLock<Option<rayon::ThreadPool>> = OnceLock::new();
    THREADS.get_or_init(|| rayon::ThreadPoolBuilder::new().stack_size(STACK).build().ok()).as_ref()
}

/// Parses one item; `plain` is its text without comments and line ends. Where a mistake has a fix, reads on as if it were mended, so that the rest of the item is
/// looked at too. Where a bracket is missing or too many, what else may be wrong is anybody's guess.
fn item(
    source: SourceId,
    text: &str,
    mut piece: Mended,
    plain: &str,
    scan: &Scan,
    problems: &mut Problems,
    mended: &mut Vec<Span>,
) -> Option<Item> {
    let mut plain = Cow::Borrowed(plain);
    let (mut reached, mut brackets) = (0, false);
    for _ in 0..MAX_MENDS {
        match grammar::parse(Rule::one_item, &plain) {
            Ok(pair) => return Lower::new(source, text, &piece, scan, problems).file_item(pair),
            Err(error) => {
                let tokens = scan::scan_piece(source, &piece.text).tokens;
                let problem = errors::explain(source, &piece.text, &tokens, &error);
                let fix = problem.fix.clone();
                let at = piece.place(problem.primary.span.start as usize);
                let same_line = reached > 0 && !text[reached - 1..at.max(reached - 1)].contains('\n');
                let astray = reached > at || same_line && fix.is_none() && problem.code == codes::E0101 || brackets;
                if astray && reached > 0 {
                    return None; // the last mending led astray
                }
                reached = at + 1;
                let problem = piece.placed(problem);
                if let Some(fix) = &problem.fix {
                    let place = fix.span.start as usize..fix.span.end as usize;
                    let one = |text: &str| text.len() == 1 && "()[]{}".contains(text);
                    let (now, before) = (one(&fix.text), one(&text[place.clone()]));
                    brackets = now && (before || place.is_empty()) || before && fix.text.is_empty();
                    mended.push(if brackets { slice_span(source, scan, fix.span) } else { fix.span });
                }
                problems.push(problem);
                // A fix that ends the line ends the item.
                let fix = fix.filter(|fix| fix.text != "\n")?;
                piece.replace(fix.span.start as usize, fix.span.end as usize, &fix.text);
                let tokens = scan::scan_piece(source, &piece.text).tokens;
                plain = Cow::Owned(bare(&piece.text, &tokens));
            }
        }
    }
    None
}

/// The whole item in which a place lies.
fn slice_span(source: SourceId, scan: &Scan, place: Span) -> Span {
    let after = scan.slices.partition_point(|slice| slice.start <= place.start as usize);
    let slice = after.checked_sub(1).map(|i| &scan.slices[i]);
    slice.map_or(place, |slice| Span::new(source, slice.start, slice.end))
}

/// The names that an item would have declared: its first word and what stands behind it, and all words of an import.
fn names_of(text: &str, slice: &Slice, tokens: &[Token]) -> Vec<String> {
    let mine = tokens.iter().filter(|t| t.start >= slice.start && t.start < slice.end);
    let mut words =
        mine.filter(|t| matches!(t.kind, Kind::Word | Kind::TypeName)).map(|t| text[t.start..t.end].to_owned());
    match words.next() {
        Some(first) if first == "from" || phrase::nearest(&first, ["import"]).is_some() => words.collect(),
        Some(first) => {
            // Items in the braces of a loop, or of a condition.
            let all: Vec<String> = words.collect();
            let inner = all
                .windows(2)
                .filter(|w| matches!(w[0].as_str(), "let" | "stage" | "param" | "secret" | "fn" | "op" | "schema"))
                .map(|w| w[1].clone());
            std::iter::once(first).chain(declared(text, slice, tokens)).chain(inner).collect()
        }
        None => Vec::new(),
    }
}

/// What an item that was mended has written for its name, where that can be none, and where it starts.
fn refused_name<'t>(text: &'t str, slice: &Slice, tokens: &[Token]) -> Option<(usize, &'t str)> {
    let words = declared(text, slice, tokens);
    let start = tokens.iter().filter(|t| t.start >= slice.start).nth(1)?.start;
    let end = start + text[start..slice.end].find([' ', ':', '=', '(', '\n']).unwrap_or(slice.end - start);
    let plain = |name: &String| name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_');
    let written = &text[start..end];
    let item = text[slice.start..start].trim();
    let names = matches!(item, "let" | "stage" | "param" | "secret" | "fn" | "op");
    (names && !(words.len() == 1 && words.iter().all(plain) && words[0] == written)).then_some((start, written))
}

/// Takes the fix of a name away that is used elsewhere: alone it would only move the problem.
fn without_fix(problems: Problems, name: usize) -> Problems {
    let mut out = Problems::default();
    for mut d in problems.sorted() {
        if d.fix.take_if(|fix| fix.span.start as usize == name).is_some() {
            d.help = d.help.map(|help| format!("{help}, here and where it is used"));
        }
        out.push(d);
    }
    out
}

/// The words that stand where an item declares its name, without blanks between them: `my` and `data` of `let my-data`.
fn declared(text: &str, slice: &Slice, tokens: &[Token]) -> Vec<String> {
    let first = tokens.partition_point(|t| t.start < slice.start);
    let mine = tokens[first..].iter().take_while(|t| t.start < slice.end).skip(1);
    let mut end = None;
    let run = mine.take_while(|t| end.replace(t.end).is_none_or(|end| end == t.start && &text[t.start..t.end] != "("));
    run.filter(|t| matches!(t.kind, Kind::Word | Kind::TypeName | Kind::Number))
        .map(|t| text[t.start..t.end].to_owned())
        .collect()
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
    let whole = Mended::new(text, 0);
    let mut problems = Problems::default();
    match grammar::parse(rule, &bare(text, &scan.tokens)) {
        Ok(pair) => {
            let built = build(&mut Lower::new(source, text, &whole, &scan, &mut problems), pair);
            if problems.has_errors() { Err(problems) } else { Ok(built) }
        }
        Err(error) => {
            problems.push(errors::explain(source, text, &scan.tokens, &error));
            Err(problems)
        }
    }
}

/// Puts blanks in the place of line ends, tabs and comments: of all that stands between tokens, but for what is no part of the language.
fn bare(text: &str, tokens: &[Token]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut at = 0;
    for token in tokens {
        push_blanks(&mut out, &text[at..token.start]);
        out.push_str(&text[token.start..token.end]);
        at = token.end;
    }
    push_blanks(&mut out, &text[at..]);
    out
}

fn push_blanks(out: &mut String, gap: &str) {
    if gap == " " {
        return out.push(' ');
    }
    for line in gap.split_inclusive('\n') {
        let (before, comment) = line.split_at(line.find('#').unwrap_or(line.len()));
        out.extend(before.chars().map(|c| if matches!(c, '\n' | '\t' | '\r') { ' ' } else { c }));
        out.extend(std::iter::repeat_n(' ', comment.len()));
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
