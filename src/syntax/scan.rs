//! The look over the whole text before parsing: tokens, comments, where items start, and everything that would confuse
//! the grammar (unclosed strings, merge markers, look-alike letters, nesting without end).

use super::ast::Comment;
use super::grammar::{ITEM_WORDS, RESERVED};
use super::lookalike::{instead, look_alike};
use super::stray;
use crate::base::{Diagnostic, Problems, SourceId, Span, codes};

/// Deepest nesting of brackets and `if`s that is parsed.
pub(super) const MAX_DEPTH: usize = 100;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A lower-case name or a reserved word.
    Word,
    /// A name that starts with a capital.
    TypeName,
    /// With its unit.
    Number,
    /// With its quotes; one that is not closed ends with its line.
    Str,
    /// `( [ {`
    Open,
    /// `) ] }`
    Close,
    /// Everything else.
    Punct,
}

/// A token; comments and blanks are none.
#[derive(Clone, Copy, Debug)]
pub struct Token {
    /// What it is.
    pub kind: Kind,
    /// Its first byte.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
}

/// The text from the start of one item to the start of the next.
#[derive(Clone, Debug)]
pub(super) struct Slice {
    pub(super) start: usize,
    pub(super) end: usize,
    /// A problem in it has been reported already, so parsing it would only repeat that.
    pub(super) broken: bool,
    /// It starts no item.
    pub(super) stray: bool,
}

/// What the scan found.
pub(super) struct Scan {
    pub(super) tokens: Vec<Token>,
    pub(super) comments: Vec<Comment>,
    pub(super) slices: Vec<Slice>,
    pub(super) problems: Problems,
    /// Byte ranges that are no part of the language (byte order mark, merge markers).
    pub(super) blank: Vec<(usize, usize)>,
}

/// Scans a file and splits it into items.
pub(super) fn scan(source: SourceId, text: &str) -> Scan {
    let mut scanner = Scanner::new(source, text, true);
    scanner.run();
    scanner.finish()
}

/// Scans a piece of text that is one expression or signature: no items in it.
pub(super) fn scan_piece(source: SourceId, text: &str) -> Scan {
    let mut scanner = Scanner::new(source, text, false);
    scanner.out.slices.push(Slice { start: 0, end: text.len(), broken: false, stray: false });
    scanner.run();
    scanner.finish()
}

struct Frame {
    open: u8,
    /// `if`s read since the bracket or the last comma in it.
    ifs: usize,
}

struct Scanner<'t> {
    source: SourceId,
    text: &'t str,
    bytes: &'t [u8],
    at: usize,
    /// Split into items?
    items: bool,
    frames: Vec<Frame>,
    depth: usize,
    seen_tab: bool,
    seen_cr: bool,
    /// The end of the line that starts no item.
    stray_until: usize,
    /// Inside the two versions of a merge.
    merging: bool,
    out: Scan,
}

impl<'t> Scanner<'t> {
    fn new(source: SourceId, text: &'t str, items: bool) -> Self {
        let out = Scan {
            tokens: Vec::with_capacity(text.len() / 4),
            comments: Vec::new(),
            slices: Vec::new(),
            problems: Problems::default(),
            blank: Vec::new(),
        };
        let frames = vec![Frame { open: 0, ifs: 0 }];
        Self {
            source,
            text,
            bytes: text.as_bytes(),
            at: 0,
            items,
            frames,
            depth: 0,
            seen_tab: false,
            seen_cr: false,
            stray_until: 0,
            merging: false,
            out,
        }
    }

    fn run(&mut self) {
        if self.text.starts_with('\u{feff}') {
            self.at = '\u{feff}'.len_utf8();
            self.out.blank.push((0, self.at));
            self.out.problems.push(
                Diagnostic::new(
                    codes::W0102,
                    self.span(0, self.at),
                    "the file starts with a byte order mark",
                    "an invisible mark",
                )
                .help("save it as UTF-8 without BOM")
                .fix(self.span(0, self.at), ""),
            );
        }
        while let Some(&byte) = self.bytes.get(self.at) {
            let start = self.at;
            if self.line_start(start) && self.merge_marker(start) {
                continue;
            }
            if self.items && self.line_start(start) && self.outside() && stray::is_stray(&self.text[start..]) {
                self.stray(start);
            }
            match byte {
                b' ' | b'\n' => self.at += 1,
                b'\t' | b'\r' => self.odd_blank(byte),
                b'#' => self.comment(),
                b'"' => self.string(start, start),
                b'r' if self.bytes.get(start + 1) == Some(&b'"') => self.string(start, start + 1),
                b'a'..=b'z' | b'_' => self.word(start),
                b'A'..=b'Z' => {
                    let end = self.while_from(start, |b| b.is_ascii_alphanumeric() || b == b'_');
                    self.push(Kind::TypeName, start, end);
                }
                b'0'..=b'9' => self.number(start),
                b'(' | b'[' | b'{' => self.open(byte, start),
                b')' | b']' | b'}' => self.close(byte, start),
                0x80.. => self.foreign(start),
                0x00..=0x1f | 0x7f => self.control(start),
                _ => self.punct(start),
            }
        }
    }

    fn finish(mut self) -> Scan {
        let end = self.text.len();
        if let Some(last) = self.out.slices.last_mut() {
            last.end = end;
        }
        self.out
    }

    // ---- tokens

    fn push(&mut self, kind: Kind, start: usize, end: usize) {
        self.at = end;
        if self.items && self.out.slices.is_empty() {
            self.stray(start);
        }
        self.out.tokens.push(Token { kind, start, end });
    }

    fn comment(&mut self) {
        let start = self.at;
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        self.at = start + line.len();
        let text = line.trim_end().to_owned();
        let span = self.span(start, start + text.len());
        self.out.comments.push(Comment { text, span });
    }

    /// Reads a string whose first quote is at `quote`; `start` is its first byte.
    fn string(&mut self, start: usize, quote: usize) {
        let raw = quote > start;
        if !raw && self.text[quote..].starts_with("\"\"\"") {
            return self.triple(start);
        }
        let mut at = quote + 1;
        loop {
            match self.bytes.get(at) {
                Some(b'"') => return self.push(Kind::Str, start, at + 1),
                Some(b'\\') if !raw && self.bytes.get(at + 1).is_some_and(|&b| b != b'\n') => at += 2,
                None | Some(b'\n') => break,
                Some(_) => at += 1,
            }
        }
        let span = self.span(start, at);
        let problem =
            Diagnostic::new(codes::E0102, span, "this string is not closed", "opened here, and the line ends")
                .help("close it with `\"`; text over several lines stands between `\"\"\"` and `\"\"\"`");
        // A text over several lines: what closes it on the next one opens nothing.
        let close = if raw { None } else { self.closed_below(at) };
        self.push(Kind::Str, start, close.unwrap_or(at));
        self.broken(problem);
    }

    /// Where a quote further down closes a string that its line does not, if no item starts before it.
    fn closed_below(&self, line_end: usize) -> Option<usize> {
        let mut at = line_end + 1;
        for line in self.text.get(at..)?.split('\n').take(20) {
            let word = &line[..line.bytes().take_while(u8::is_ascii_lowercase).count()];
            if ITEM_WORDS.contains(&word) && line[word.len()..].starts_with(' ') {
                return None;
            }
            match line.matches('"').count() {
                0 => {}
                n if n % 2 == 1 => return Some(at + line.find('"')? + 1),
                _ => return None,
            }
            at += line.len() + 1;
        }
        None
    }

    fn triple(&mut self, start: usize) {
        let body = start + 3;
        if let Some(length) = self.text[body..].find("\"\"\"") {
            return self.push(Kind::Str, start, body + length + 3);
        }
        // Nothing closes it: take it to end before the next item, so that the rest of the file is still read.
        let mut end = self.text.len();
        for (at, _) in self.text[body..].match_indices('\n') {
            let line = body + at + 1;
            let word = self.while_from(line, |b| b.is_ascii_lowercase());
            if self.bytes.get(word) == Some(&b' ') && ITEM_WORDS.contains(&&self.text[line..word]) {
                end = line;
                break;
            }
        }
        self.push(Kind::Str, start, end);
        let span = self.span(start, body);
        self.broken(
            Diagnostic::new(codes::E0102, span, "this block of text is not closed", "opened here")
                .help("close it with `\"\"\"`"),
        );
    }

    fn number(&mut self, start: usize) {
        let mut at = self.while_from(start, |b| b.is_ascii_digit() || b == b'_');
        if self.bytes.get(at) == Some(&b'.') && self.bytes.get(at + 1).is_some_and(u8::is_ascii_digit) {
            at = self.while_from(at + 1, |b| b.is_ascii_digit() || b == b'_');
        }
        if matches!(self.bytes.get(at), Some(b'e' | b'E')) {
            let sign = usize::from(matches!(self.bytes.get(at + 1), Some(b'+' | b'-')));
            if self.bytes.get(at + 1 + sign).is_some_and(u8::is_ascii_digit) {
                at = self.while_from(at + 1 + sign, |b| b.is_ascii_digit());
            }
        }
        at = self.while_from(at, |b| b.is_ascii_alphanumeric() || b == b'_');
        if self.bytes.get(at) == Some(&b'%') {
            at += 1;
        }
        self.push(Kind::Number, start, at);
    }

    fn punct(&mut self, start: usize) {
        const LONG: [&str; 9] = ["|>", "=>", "->", "==", "!=", "<=", ">=", "??", ".."];
        let rest = &self.text[start..];
        let length = if LONG.iter().any(|p| rest.starts_with(p)) { 2 } else { 1 };
        if rest.starts_with(',') {
            self.end_ifs();
        }
        self.push(Kind::Punct, start, start + length);
    }

    fn open(&mut self, byte: u8, start: usize) {
        self.push(Kind::Open, start, start + 1);
        self.frames.push(Frame { open: byte, ifs: 0 });
        self.deeper(start);
    }

    fn close(&mut self, byte: u8, start: usize) {
        self.push(Kind::Close, start, start + 1);
        let wanted = match byte {
            b')' => b'(',
            b']' => b'[',
            _ => b'{',
        };
        // A wrong bracket is the parser's to report; here it only must not shift the depth of all that follows.
        if let Some(index) = self.frames.iter().rposition(|f| f.open == wanted) {
            while self.frames.len() > index {
                self.end_ifs();
                self.frames.pop();
                self.depth -= 1;
            }
        }
    }

    fn deeper(&mut self, at: usize) {
        self.depth += 1;
        if self.depth == MAX_DEPTH + 1 && self.out.slices.last().is_none_or(|s| !s.broken) {
            let span = self.span(at, at + 1);
            let message = format!("this is nested more than {MAX_DEPTH} levels deep");
            self.broken(
                Diagnostic::new(codes::E0109, span, message, "one level too many")
                    .help("give the inner part a name with `let` and use the name here"),
            );
        }
    }

    fn end_ifs(&mut self) {
        if let Some(frame) = self.frames.last_mut() {
            self.depth -= frame.ifs;
            frame.ifs = 0;
        }
    }

    // ---- words and items

    fn word(&mut self, start: usize) {
        let end = self.while_from(start, |b| b.is_ascii_alphanumeric() || b == b'_');
        let word = &self.text[start..end];
        let next = self.text[end..].trim_start_matches([' ', '\t']).bytes().next();
        let after_dot = self.out.tokens.last().is_some_and(|t| t.end == start && self.text[t.start..t.end] == *".");
        // `expect .score > 3.0` and `import ./lib.rb2` begin an item, if no good one.
        let asks = matches!(word, "expect" | "warn" | "import")
            && self.line_start(start)
            && self.bytes.get(end) == Some(&b' ');
        let plain = !after_dot
            && !matches!(next, Some(b':' | b',' | b')' | b']' | b'}'))
            && (next != Some(b'.') || asks && (self.outside() || self.out.slices.is_empty() && self.frames.len() == 1));
        if self.items && plain {
            if ITEM_WORDS.contains(&word) {
                self.item_word(start, end);
            } else if self.line_start(start)
                && self.outside()
                && self.stray_until <= start
                && !RESERVED.contains(&word)
                && !self.takes_words()
            {
                self.stray(start);
            }
        }
        self.push(Kind::Word, start, end);
        if word == "if" && !after_dot && next != Some(b':') {
            if let Some(frame) = self.frames.last_mut() {
                frame.ifs += 1;
            }
            self.deeper(start);
        }
    }

    fn item_word(&mut self, start: usize, end: usize) {
        if self.line_start(start) {
            return self.start_slice(start, false);
        }
        if start < self.stray_until {
            return;
        }
        if self.frames.len() > 1 || !(self.out.slices.is_empty() || self.complete()) {
            return;
        }
        let line = self.text[..start].rfind('\n').map_or(0, |n| n + 1);
        let indented = self.text[line..start].trim().is_empty();
        let word = &self.text[start..end];
        let message = if indented {
            format!("`{word}` starts an item and must stand at the start of the line")
        } else {
            format!("`{word}` starts a second item on this line")
        };
        let problem = Diagnostic::new(codes::E0104, self.span(start, end), message, "an item starts here");
        let problem = if indented {
            problem.help("remove the blanks before it").fix(self.span(line, start), "")
        } else {
            let from = self.out.tokens.last().map_or(line, |t| t.end);
            problem.help("put it on a line of its own").fix(self.span(from, start), "\n")
        };
        self.out.problems.push(problem);
        self.start_slice(start, false);
    }

    fn start_slice(&mut self, start: usize, broken: bool) {
        if let Some(last) = self.out.slices.last_mut() {
            last.end = start;
        }
        self.out.slices.push(Slice { start, end: self.text.len(), broken, stray: false });
        self.frames = vec![Frame { open: 0, ifs: 0 }];
        self.depth = 0;
    }

    /// Text at the start of a line, outside every item, that starts none. Of several such lines in a row without a fix only the first is
    /// reported.
    fn stray(&mut self, start: usize) {
        let problem = stray::explain(self.source, self.text, start);
        let first = self.out.slices.last().is_none_or(|s| !s.stray);
        let fence = self.text[start..].starts_with("```") && self.text[..start].contains("```");
        if (first || problem.fix.is_some()) && !fence {
            self.out.problems.push(problem);
        }
        self.stray_until = self.text[start..].find('\n').map_or(self.text.len(), |n| start + n);
        self.start_slice(start, true);
        if let Some(slice) = self.out.slices.last_mut() {
            slice.stray = true;
        }
    }

    /// Says whether an item has been read that is complete, so that what follows may be none of it.
    fn outside(&self) -> bool {
        self.frames.len() == 1 && !self.out.slices.is_empty() && self.complete()
    }

    /// Says whether the tokens so far can end an expression or an item.
    fn complete(&self) -> bool {
        let Some(last) = self.out.tokens.last() else { return true };
        match last.kind {
            Kind::Word => {
                let word = &self.text[last.start..last.end];
                let column = last.start > 0 && self.bytes[last.start - 1] == b'.';
                column || !RESERVED.contains(&word) || matches!(word, "true" | "false" | "none")
            }
            Kind::TypeName | Kind::Number | Kind::Str | Kind::Close => true,
            Kind::Open => false,
            Kind::Punct => &self.text[last.start..last.end] == "?",
        }
    }

    /// `op` and `recipe` end in plain words, which may stand on a line of their own.
    fn takes_words(&self) -> bool {
        self.out.slices.last().is_some_and(|s| {
            let text = &self.text[s.start..];
            text.starts_with("op ") || text.starts_with("recipe ")
        })
    }

    // ---- what does not belong in a recipe

    fn odd_blank(&mut self, byte: u8) {
        let start = self.at;
        self.at += 1;
        let seen = if byte == b'\t' { &mut self.seen_tab } else { &mut self.seen_cr };
        if std::mem::replace(seen, true) {
            return;
        }
        let (name, help) = match byte {
            b'\t' => ("a tab", "indent with blanks; `rbpipe fmt` does it for the whole file"),
            _ => ("a carriage return", "save the file with Unix line ends; `rbpipe fmt` does it"),
        };
        let span = self.span(start, start + 1);
        self.out
            .problems
            .push(Diagnostic::new(codes::W0102, span, format!("{name} in the source"), "the first one").help(help));
    }

    fn merge_marker(&mut self, start: usize) -> bool {
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        let is_marker = ["<<<<<<<", "=======", ">>>>>>>", "|||||||"]
            .iter()
            .any(|m| line.strip_prefix(m).is_some_and(|rest| rest.trim_end().is_empty() || rest.starts_with(' ')));
        if is_marker {
            let end = start + line.len();
            let opens = line.starts_with('<');
            if opens || !self.merging {
                let problem = Diagnostic::new(
                    codes::E0110,
                    self.span(start, end),
                    "a merge was not finished here",
                    "marker left by git",
                )
                .help("keep one of the two versions and delete the marker lines");
                self.out.problems.push(self.other_markers(problem, start, opens));
            }
            self.merging = !line.starts_with('>') && (opens || self.merging);
            // One of two versions is meant, so that names declared in both are no duplicates: the second one is not read.
            let skipped = if line.starts_with('=') && self.merging { self.text[end..].find("\n>>>>>>>") } else { None };
            let stop = skipped.map_or(end, |at| end + at);
            self.out.blank.push((start, stop));
            self.at = stop;
        }
        is_marker
    }

    /// Adds the other marker lines of a merge.
    fn other_markers(&self, mut problem: Diagnostic, start: usize, opens: bool) -> Diagnostic {
        let mut at = start;
        for line in self.text[start..].split_inclusive('\n') {
            let end = line.starts_with(">>>>>>>");
            if at > start && opens && (end || line.starts_with("=======") || line.starts_with("|||||||")) {
                problem = problem.also(self.span(at, at + line.trim_end().len()), "and here");
            }
            at += line.len();
            if end {
                break;
            }
        }
        problem
    }

    /// A run of characters that no token can hold.
    fn foreign(&mut self, start: usize) {
        let run: String = self.text[start..].chars().take_while(|c| !c.is_ascii()).collect();
        let end = start + run.len();
        let first = run.chars().next().unwrap_or_default();
        let span = self.span(start, end);
        let code = u32::from(first);
        let alone = run.chars().count() == 1;
        let problem = |message: String| Diagnostic::new(codes::E0110, span, message, "this character");
        let problem = if let Some(ascii) = instead(first) {
            let problem = problem(format!("`{first}` (U+{code:04X}) is no mark of the language"))
                .help(format!("write `{ascii}`"));
            if alone { problem.fix(span, ascii) } else { problem }
        } else if let Some((_, '"')) = look_alike(first) {
            return self.typographic(start, first);
        } else if let Some((name, ascii)) = look_alike(first) {
            let (looks, typed) = match ascii {
                '\0' => ("cannot be seen".to_owned(), "delete it".to_owned()),
                ' ' => ("is no blank of the language".to_owned(), "type a blank".to_owned()),
                _ => (format!("looks like `{ascii}` but is none"), format!("type it anew as `{ascii}`")),
            };
            let problem = problem(format!("{name} (U+{code:04X}) {looks}")).help(typed);
            let all: Option<String> = run.chars().map(|c| look_alike(c).map(|(_, ascii)| ascii)).collect();
            match all {
                Some(ascii) => problem.fix(span, ascii.replace('\0', "")),
                None => problem,
            }
        } else {
            let word = self.word_around(start, end);
            let span = self.span(word.0, word.1);
            let text = &self.text[word.0..word.1];
            Diagnostic::new(
                codes::E0110,
                span,
                format!("`{first}` (U+{code:04X}) can stand only in strings and comments"),
                "this word",
            )
            .help(if text.chars().count() > 1 {
                format!("names are written in a–z, 0–9 and `_`; rename `{text}`, or quote it if it is a text or a column: `.\"{text}\"`")
            } else {
                "names are written in a–z, 0–9 and `_`".to_owned()
            })
        };
        self.push(Kind::Punct, start, end);
        self.broken(problem);
    }

    fn control(&mut self, start: usize) {
        let mut run = self.while_from(start, |b| b < 0x20 && !matches!(b, b'\t' | b'\r' | b'\n') || b == 0x7f);
        if self.bytes[start] == 0x1b && self.bytes.get(run) == Some(&b'[') {
            // The colour of a terminal: `ESC [ 0 m`.
            let end = self.while_from(run + 1, |b| b.is_ascii_digit() || b == b';');
            run = end + usize::from(self.bytes.get(end).is_some_and(u8::is_ascii_alphabetic));
        }
        let message = format!("a control character (U+{:04X}) in the source", self.bytes[start]);
        let span = self.span(start, run);
        let problem = Diagnostic::new(codes::E0110, span, message, "an invisible character");
        self.push(Kind::Punct, start, run);
        self.broken(problem.help("delete it; a recipe is plain text in UTF-8").fix(span, ""));
    }

    /// A text in typographic quotes, as a whole where it ends on the same line.
    fn typographic(&mut self, start: usize, first: char) {
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        let inside = start + first.len_utf8();
        let close = line[first.len_utf8()..]
            .char_indices()
            .find(|(_, c)| *c == '"' || matches!(look_alike(*c), Some((_, '"'))));
        let message = format!("a typographic quote (U+{:04X}) looks like `\"` but is none", u32::from(first));
        let (end, fix) = match close {
            Some((at, c)) => (inside + at + c.len_utf8(), format!("\"{}\"", &self.text[inside..inside + at])),
            None => (inside, "\"".to_owned()),
        };
        let span = self.span(start, end);
        let problem = Diagnostic::new(codes::E0110, span, message, "this text");
        self.push(Kind::Str, start, end);
        self.broken(problem.help(format!("write `{fix}`")).fix(span, fix));
    }

    /// The word that a foreign character stands in.
    fn word_around(&self, start: usize, end: usize) -> (usize, usize) {
        let part = |c: char| c.is_alphanumeric() || c == '_';
        let before: usize = self.text[..start].chars().rev().take_while(|c| part(*c)).map(char::len_utf8).sum();
        let after: usize = self.text[end..].chars().take_while(|c| part(*c)).map(char::len_utf8).sum();
        (start - before, end + after)
    }

    fn broken(&mut self, problem: Diagnostic) {
        self.out.problems.push(problem);
        if let Some(slice) = self.out.slices.last_mut() {
            slice.broken = true;
        }
    }

    // ---- small helpers

    fn while_from(&self, start: usize, test: impl Fn(u8) -> bool) -> usize {
        start + self.bytes[start..].iter().take_while(|&&b| test(b)).count()
    }

    fn line_start(&self, at: usize) -> bool {
        at == 0 || self.bytes[at - 1] == b'\n' || (at == 3 && self.text.starts_with('\u{feff}'))
    }

    fn span(&self, start: usize, end: usize) -> Span {
        Span::new(self.source, start, end)
    }
}
