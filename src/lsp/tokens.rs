//! What each word of a text is, for colors that know more than the grammar: a module, an operator, a column, a parameter.

use super::names::{Kind as Declared, Target, Use};
use super::snapshot::Snapshot;
use crate::syntax::{self, Kind, RESERVED};

/// The kinds of token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Color {
    Namespace,
    Type,
    Parameter,
    Variable,
    Property,
    Function,
    Method,
    Keyword,
    Comment,
    String,
    Number,
    Operator,
}

/// The names of [`Color`], in its order, as the protocol has them.
pub const COLORS: &[&str] = &[
    "namespace",
    "type",
    "parameter",
    "variable",
    "property",
    "function",
    "method",
    "keyword",
    "comment",
    "string",
    "number",
    "operator",
];

/// The names of the two marks that a token may carry: it declares the name; the name is of the library.
pub const MARKS: &[&str] = &["declaration", "defaultLibrary"];

/// A piece of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Colored {
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// What it is.
    pub color: Color,
    /// It declares the name.
    pub declares: bool,
    /// The name is of the library.
    pub library: bool,
}

/// Returns the tokens of a module in order; none spans two lines.
pub fn tokens(snapshot: &Snapshot, module: usize) -> Vec<Colored> {
    let text = snapshot.text(module);
    let outline = syntax::outline(text);
    let uses = &snapshot.uses[module];
    let used = |start: usize| {
        let at = uses.partition_point(|u| (u.span.start as usize) < start);
        uses.get(at).filter(|u| u.span.start as usize == start)
    };
    let mut out = Vec::new();
    let mut add = |start, end, color, declares, library| {
        lines(text, start, end, |start, end| out.push(Colored { start, end, color, declares, library }));
    };
    for (at, token) in outline.tokens.iter().enumerate() {
        let word = &text[token.start..token.end];
        let before = at.checked_sub(1).map(|i| &outline.tokens[i]);
        let dotted = before.is_some_and(|b| b.end == token.start && text[b.start..b.end] == *".");
        let named = used(token.start).filter(|u| u.span.end as usize == token.end);
        match (token.kind, named) {
            (_, Some(u)) => add(token.start, token.end, of(u), u.declares, library(u)),
            (Kind::Word, None) if !dotted && RESERVED.contains(&word) => {
                add(token.start, token.end, Color::Keyword, false, false);
            }
            (Kind::Word, None) if dotted => add(token.start, token.end, Color::Property, false, false),
            (Kind::TypeName, None) => add(token.start, token.end, Color::Type, false, false),
            (Kind::Str, None) => {
                // Names in a text are names.
                let mut from = token.start;
                let inner =
                    uses.iter().filter(|u| (u.span.start as usize) > token.start && (u.span.end as usize) < token.end);
                for u in inner {
                    add(from, u.span.start as usize, Color::String, false, false);
                    add(u.span.start as usize, u.span.end as usize, of(u), false, library(u));
                    from = u.span.end as usize;
                }
                add(from, token.end, Color::String, false, false);
            }
            (Kind::Number, None) => add(token.start, token.end, Color::Number, false, false),
            (Kind::Punct, None)
                if matches!(word, "|>" | "=>" | "->" | ".." | "??" | "==" | "!=" | "<=" | ">=" | "<" | ">") =>
            {
                add(token.start, token.end, Color::Operator, false, false);
            }
            _ => {}
        }
    }
    for comment in &outline.comments {
        add(comment.span.start as usize, comment.span.end as usize, Color::Comment, false, false);
    }
    out.sort_by_key(|t| t.start);
    out
}

fn of(u: &Use) -> Color {
    match &u.target {
        Target::Declared(_, _, kind) => match kind {
            Declared::Param | Declared::Argument => Color::Parameter,
            Declared::Fn | Declared::Op => Color::Function,
            Declared::Schema => Color::Type,
            Declared::Field => Color::Property,
            Declared::Import => Color::Namespace,
            Declared::Secret
            | Declared::Let
            | Declared::Stage
            | Declared::Output
            | Declared::Profile
            | Declared::Local => Color::Variable,
        },
        Target::File(_) => Color::String,
        Target::Operators(_) => Color::Namespace,
        Target::Operator(_) | Target::Prelude(_) => Color::Function,
        Target::Argument(..) => Color::Parameter,
        Target::With(_) | Target::Column => Color::Property,
        Target::Method(_) => Color::Method,
        Target::Type(_) => Color::Type,
    }
}

fn library(u: &Use) -> bool {
    !matches!(u.target, Target::Declared(..) | Target::File(_) | Target::Column)
}

fn lines(text: &str, start: usize, end: usize, mut give: impl FnMut(usize, usize)) {
    let mut at = start;
    for line in text[start..end].split_inclusive('\n') {
        let stop = at + line.trim_end_matches(['\n', '\r']).len();
        if stop > at {
            give(at, stop);
        }
        at += line.len();
    }
}
