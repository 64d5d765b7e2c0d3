//! The one layout of recipes: blanks, indentation, empty lines, line breaks inside brackets ([`super::breaks`]), one item at the start of
//! a line, comments kept and aligned. Outside of brackets the author decides where lines break, before `|>` for one.

use super::ast::Comment;
use super::breaks::{Breaks, complete};
use super::grammar::RESERVED;
use super::parse::parse;
use super::scan::{self, Kind, Scan, Token};
use crate::base::{Problems, SourceId, codes};

const STEP: usize = 2;
/// Most rounds until nothing changes.
const ROUNDS: usize = 4;

/// Returns `text` in the one layout; formatting the result again changes nothing.
///
/// # Errors
/// All problems, when the text does not parse. Items that merely stand in the wrong place (E0104) are put right.
pub fn format(text: &str) -> Result<String, Problems> {
    let source = SourceId(0);
    let (_, problems) = parse(source, text);
    if problems.clone().sorted().iter().any(|d| d.code.0.starts_with('E') && d.code != codes::E0104) {
        return Err(problems);
    }
    let mut out = laid_out(text);
    // A comment in an odd place may stand elsewhere after a first round.
    for _ in 0..ROUNDS {
        let next = laid_out(&out);
        if next == out {
            break;
        }
        out = next;
    }
    Ok(out)
}

fn laid_out(text: &str) -> String {
    let scan = scan::scan(SourceId(0), text);
    Layout::new(text, &scan).run()
}

/// A line to write; a comment at its end is aligned with its neighbours'.
#[derive(Default)]
struct Line {
    indent: usize,
    text: String,
    comment: Option<String>,
}

/// An open bracket.
struct Frame {
    brace: bool,
    /// Indentation of the line on which it was opened.
    indent: usize,
}

enum Piece<'a> {
    Token(usize),
    Comment(&'a Comment),
}

struct Layout<'a> {
    text: &'a str,
    scan: &'a Scan,
    frames: Vec<Frame>,
    lines: Vec<Line>,
    line: Line,
    breaks: Breaks<'a>,
}

impl<'a> Layout<'a> {
    fn new(text: &'a str, scan: &'a Scan) -> Self {
        let breaks = Breaks::new(text, scan, |index, around| blank_before(text, scan, around, index));
        Self { text, scan, frames: Vec::new(), lines: Vec::new(), line: Line::default(), breaks }
    }

    fn run(mut self) -> String {
        let mut end = 0;
        let mut first = true;
        for piece in self.pieces() {
            let (start, stop) = match &piece {
                Piece::Token(i) => (self.scan.tokens[*i].start, self.scan.tokens[*i].end),
                Piece::Comment(c) => (c.span.start as usize, c.span.end as usize),
            };
            let between = self.text.get(end..start).unwrap_or_default();
            let commented = usize::from(self.commented());
            // A comma that now stands before comments, or a comment that now stands behind one.
            let moved = match &piece {
                Piece::Token(i) => self.word(*i) == "," && between.contains('#'),
                Piece::Comment(_) => start < end,
            };
            let breaks = if moved {
                commented
            } else {
                self.breaks_before(&piece, between.matches('\n').count()).max(commented)
            };
            let starts_item = matches!(piece, Piece::Token(_)) && self.scan.slices.iter().any(|s| s.start == start);
            if first || breaks > 0 || starts_item {
                if !first {
                    self.finish_line();
                }
                if breaks > 1 && !first {
                    self.lines.push(Line::default());
                }
                if starts_item {
                    self.frames.clear();
                }
                self.line.indent = if starts_item { 0 } else { self.indent(&piece) };
            }
            match piece {
                Piece::Token(index) => self.token(index),
                Piece::Comment(comment) if self.line.text.is_empty() => self.line.text = comment.text.clone(),
                Piece::Comment(comment) => self.line.comment = Some(comment.text.clone()),
            }
            (end, first) = (stop.max(end), false);
        }
        if !first {
            self.finish_line();
        }
        self.print()
    }

    fn pieces(&self) -> Vec<Piece<'a>> {
        let mut comments = self.scan.comments.iter().peekable();
        let mut pieces = Vec::with_capacity(self.scan.tokens.len() + self.scan.comments.len());
        for (index, token) in self.scan.tokens.iter().enumerate() {
            // A comma belongs to the value before it, whatever was said in between.
            let comma = self.word(index) == ",";
            if comma {
                pieces.push(Piece::Token(index));
            }
            while let Some(comment) = comments.next_if(|c| (c.span.start as usize) < token.start) {
                pieces.push(Piece::Comment(comment));
            }
            if !comma {
                pieces.push(Piece::Token(index));
            }
        }
        pieces.extend(comments.map(Piece::Comment));
        pieces
    }

    /// Says whether the line that is being laid out ends with a comment, so that nothing can go on in it.
    fn commented(&self) -> bool {
        self.line.comment.is_some() || self.line.text.starts_with('#')
    }

    /// How many lines end before a piece; `written` is how many did.
    fn breaks_before(&self, piece: &Piece, written: usize) -> usize {
        let Piece::Token(index) = *piece else { return written };
        match self.breaks.before(index) {
            Some(false) => 0,
            // No empty line at the edges of a bracket.
            Some(true) if self.scan.tokens[index].kind == Kind::Close => 1,
            Some(true) if !self.commented() && self.scan.tokens[index - 1].kind == Kind::Open => 1,
            Some(true) => written.max(1),
            None => written,
        }
    }

    fn token(&mut self, index: usize) {
        let token = self.scan.tokens[index];
        if token.kind == Kind::Close {
            self.frames.pop();
        }
        if self.line.text.is_empty() {
            self.breaks.part(index, self.line.indent);
        } else if blank_before(self.text, self.scan, self.breaks.around(), index) {
            self.line.text.push(' ');
        }
        if token.kind == Kind::Open {
            self.breaks.open(index, width(&self.line));
        }
        // A carriage return in a block of text is no content.
        self.line.text.push_str(&self.word(index).replace("\r\n", "\n"));
        if token.kind == Kind::Open {
            self.frames.push(Frame { brace: self.word(index) == "{", indent: self.line.indent });
        }
        if self.breaks.comma(index) {
            self.line.text.push(',');
        }
    }

    // ---- indentation

    fn indent(&self, piece: &Piece) -> usize {
        let index = match piece {
            Piece::Token(index) => *index,
            Piece::Comment(comment) => {
                let next = self.scan.tokens.partition_point(|t| t.start < comment.span.start as usize);
                let between = |t: &Token| self.scan.slices.iter().any(|s| s.start == t.start);
                if self.scan.tokens.get(next).is_none_or(between) {
                    return 0;
                }
                return self.frames.last().map_or(STEP, |f| f.indent + STEP);
            }
        };
        let Some(frame) = self.frames.last() else { return STEP };
        if self.scan.tokens[index].kind == Kind::Close {
            return frame.indent;
        }
        let opens = index.checked_sub(1).is_some_and(|p| self.scan.tokens[p].kind == Kind::Open || self.word(p) == ",");
        let continues = !opens && !(frame.brace && self.starts_field(index));
        frame.indent + if continues { 2 * STEP } else { STEP }
    }

    /// Fields of a schema and the parts of a block need no comma between them.
    fn starts_field(&self, index: usize) -> bool {
        let token = self.scan.tokens[index];
        let named = matches!(token.kind, Kind::Word | Kind::Str) && self.word(index + 1) == ":";
        named || matches!(self.word(index), "let" | "=>" | "..")
    }

    fn word(&self, index: usize) -> &'a str {
        self.scan.tokens.get(index).map_or("", |t| &self.text[t.start..t.end])
    }

    // ---- lines

    fn finish_line(&mut self) {
        self.lines.push(std::mem::take(&mut self.line));
    }

    fn print(self) -> String {
        let mut out = String::with_capacity(self.text.len());
        let mut at = 0;
        while at < self.lines.len() {
            let run = self.lines[at..].iter().take_while(|l| l.comment.is_some()).count();
            let width = self.lines[at..at + run].iter().map(width).max().unwrap_or(0);
            for line in &self.lines[at..at + run.max(1)] {
                out.extend(std::iter::repeat_n(' ', line.indent));
                out.push_str(&line.text);
                if let Some(comment) = &line.comment {
                    out.extend(std::iter::repeat_n(' ', width - self::width(line) + 2));
                    out.push_str(comment);
                }
                out.push('\n');
            }
            at += run.max(1);
        }
        out
    }
}

/// Columns that a line takes before its comment.
fn width(line: &Line) -> usize {
    match line.text.rsplit_once('\n') {
        Some((_, last)) => last.chars().count(),
        None => line.indent + line.text.chars().count(),
    }
}

/// Says whether a blank stands before a token in a line; `around` has the bracket around each.
fn blank_before(text: &str, scan: &Scan, around: &[Option<usize>], index: usize) -> bool {
    let word = |i: usize| scan.tokens.get(i).map_or("", |t| &text[t.start..t.end]);
    let Some(before) = index.checked_sub(1) else { return false };
    // The braces of `import std.{…}` hug their words.
    let hugs = |open: usize| word(open) == "{" && open > 0 && word(open - 1) == ".";
    let inside = |i: usize| around[i].is_some_and(hugs);
    let (left, right) = (word(before), word(index));
    let after_value = complete(text, scan, before);
    match (left, right) {
        (_, "," | ":" | ")" | "]" | "?") | ("(" | "[" | ".", _) => false,
        ("{", "}") => false,
        ("{", _) => !hugs(before),
        (_, "}") => !inside(before),
        ("..", _) => RESERVED.contains(&right) && !matches!(right, "true" | "false" | "none" | "if"),
        (_, "{") => true,
        (_, "." | ".." | "(") => !after_value,
        ("files", "[") => true,
        (_, "[") => !after_value,
        ("-", _) => before.checked_sub(1).is_some_and(|p| complete(text, scan, p)),
        _ => true,
    }
}
