//! Where lines break inside brackets: what fits stands on one line, else each part on a line of its own. How it was written does not matter,
//! but for a comma before the closing bracket, which keeps the bracket open, and for comments.

use super::grammar::RESERVED;
use super::scan::{Kind, Scan};

/// Columns of a line.
pub(super) const WIDTH: usize = 120;

/// How the inside of a bracket is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Form {
    /// Parts with commas between them, and one after the last where each has its line.
    Parts,
    /// As the author wrote it, or on one line within others: blocks, bodies of sweeps, rows without commas, parentheses, indices.
    Free,
}

/// What was decided for each token.
pub(super) struct Breaks<'a> {
    text: &'a str,
    scan: &'a Scan,
    /// A line begins with it, or not; nothing decided: as it was written.
    before: Vec<Option<bool>>,
    /// A comma comes behind it that was not written.
    comma: Vec<bool>,
    /// The bracket that is closed, or opened, by the other one; itself for all else.
    partner: Vec<usize>,
    /// The innermost bracket around it.
    around: Vec<Option<usize>>,
    /// Where it starts if nothing breaks.
    flat: Vec<usize>,
    /// Brackets that are filled line by line.
    filled: Vec<usize>,
    /// Blocks of text and comments before it, to look for some between two.
    texts: Vec<usize>,
    comments: Vec<usize>,
}

impl<'a> Breaks<'a> {
    /// `blank(i)` says whether a blank comes before token `i` in a line.
    pub(super) fn new(text: &'a str, scan: &'a Scan, blank: impl Fn(usize, &[Option<usize>]) -> bool) -> Self {
        let n = scan.tokens.len();
        let mut partner: Vec<usize> = (0..n).collect();
        let mut around = vec![None; n];
        let mut open: Vec<usize> = Vec::new();
        for (i, token) in scan.tokens.iter().enumerate() {
            // An item ends whatever was open.
            if scan.slices.binary_search_by_key(&token.start, |s| s.start).is_ok() {
                open.clear();
            }
            if token.kind == Kind::Close
                && let Some(o) = open.pop()
            {
                (partner[o], partner[i]) = (i, o);
            }
            around[i] = open.last().copied();
            if token.kind == Kind::Open {
                open.push(i);
            }
        }
        let (mut flat, mut texts, mut comments) = (Vec::with_capacity(n + 1), vec![0], Vec::with_capacity(n + 1));
        let (mut at, mut next) = (0, 0);
        for (i, token) in scan.tokens.iter().enumerate() {
            at += usize::from(i > 0 && blank(i, &around));
            flat.push(at);
            let word = &text[token.start..token.end];
            at += word.chars().count();
            texts.push(texts[i] + usize::from(word.contains('\n')));
            while scan.comments.get(next).is_some_and(|c| (c.span.start as usize) < token.start) {
                next += 1;
            }
            comments.push(next);
        }
        flat.push(at);
        comments.push(scan.comments.len());
        Self {
            text,
            scan,
            before: vec![None; n],
            comma: vec![false; n],
            partner,
            around,
            flat,
            filled: Vec::new(),
            texts,
            comments,
        }
    }

    pub(super) fn around(&self) -> &[Option<usize>] {
        &self.around
    }

    /// Says whether a line begins with a token, as far as that is decided.
    pub(super) fn before(&self, index: usize) -> Option<bool> {
        self.before[index]
    }

    /// Says whether a comma that was not written follows a token.
    pub(super) fn comma(&self, index: usize) -> bool {
        self.comma[index]
    }

    fn word(&self, index: usize) -> &'a str {
        self.scan.tokens.get(index).map_or("", |t| &self.text[t.start..t.end])
    }

    fn kind(&self, index: usize) -> Kind {
        self.scan.tokens[index].kind
    }

    fn starts_item(&self, index: usize) -> bool {
        self.scan.slices.binary_search_by_key(&self.scan.tokens[index].start, |s| s.start).is_ok()
    }

    /// Says whether the author began a line with a token.
    fn written(&self, index: usize) -> bool {
        index > 0 && self.text[self.scan.tokens[index - 1].end..self.scan.tokens[index].start].contains('\n')
    }

    /// The first and the last token of each part of a bracket; its commas are none.
    fn parts(&self, open: usize) -> Vec<(usize, usize)> {
        let close = self.partner[open];
        let mut parts = Vec::new();
        let mut from = open + 1;
        let mut i = from;
        while i < close {
            if self.word(i) == "," {
                parts.push((from, i.wrapping_sub(1)));
                from = i + 1;
            }
            i = if self.kind(i) == Kind::Open { self.partner[i].max(i) + 1 } else { i + 1 };
        }
        if from < close {
            parts.push((from, close - 1));
        }
        parts
    }

    fn form(&self, open: usize, parts: &[(usize, usize)]) -> Form {
        let before = open.checked_sub(1);
        let after_value = before.is_some_and(|b| complete(self.text, self.scan, b));
        let commas = parts.len() > 1 || self.word(self.partner[open] - 1) == ",";
        let parted = match self.word(open) {
            // Axes of a sweep take no comma behind the last.
            "(" => after_value || commas && self.word(self.partner[open] + 1) != "in",
            "[" => !after_value || before.is_some_and(|b| self.word(b) == "files"),
            _ => {
                let head = before.map_or("", |b| self.word(b));
                let item = before.and_then(|b| b.checked_sub(1)).map_or("", |b| self.word(b));
                let hugs = head == "." || head == "enum";
                // The row of `Dataset[{ … }]` is part of a type's name.
                let typed = open > 1 && head == "[" && self.kind(open - 2) == Kind::TypeName;
                let body = typed || after_value && item != "profile";
                hugs || !body && parts.iter().all(|&(a, b)| self.is_field(a, b))
            }
        };
        if parted { Form::Parts } else { Form::Free }
    }

    /// `name: …`, `..record` or `name`, and no further field behind it without a comma.
    fn is_field(&self, first: usize, last: usize) -> bool {
        let named = |i: usize| matches!(self.kind(i), Kind::Word | Kind::Str) && self.word(i + 1) == ":";
        let starts = named(first) || self.word(first) == ".." || first == last && self.kind(first) == Kind::Word;
        let open = self.around[first];
        // Behind a type `..` begins the rest of the row, behind a value a range goes on.
        let rest = |i: usize| self.word(i) == ".." && (self.kind(i - 1) == Kind::TypeName || self.word(i - 1) == "?");
        let one = (first + 1..=last).all(|i| self.around[i] != open || !named(i) && !rest(i));
        starts && one && self.word(first) != "let"
    }

    /// Says whether all comments inside stand before a part, behind its comma, or at the end.
    fn orderly(&self, open: usize, parts: &[(usize, usize)]) -> bool {
        let close = self.partner[open];
        let at_part = |i: usize| i == close || parts.iter().any(|&(a, _)| a == i);
        (open + 1..=close)
            .filter(|&i| self.around[i] == Some(open) || i == close)
            .all(|i| !self.has_comment(i) || at_part(i))
    }

    /// Says whether comments stand right before a token.
    fn has_comment(&self, index: usize) -> bool {
        self.comments[index] > index.checked_sub(1).map_or(0, |i| self.comments[i])
    }

    /// Says whether something keeps a bracket open between two tokens: a comment, a block of text, a last comma.
    fn held(&self, first: usize, last: usize) -> bool {
        let comma = |i: usize| {
            self.kind(i) == Kind::Close && self.word(i - 1) == "," && {
                let open = self.partner[i];
                self.form(open, &self.parts(open)) == Form::Parts
            }
        };
        self.comments[last] > self.comments[first]
            || self.texts[last + 1] > self.texts[first]
            || (first + 1..=last).any(comma)
    }

    /// Decides how a bracket is laid out that is written at column `column` of a line that is indented by `indent`.
    pub(super) fn open(&mut self, open: usize, column: usize) {
        let close = self.partner[open];
        if close <= open + 1 {
            return;
        }
        let parts = self.parts(open);
        let commented = self.comments[close] > self.comments[open];
        let parted = self.form(open, &parts) == Form::Parts && parts.iter().all(|&(a, b)| a <= b);
        if !parted || commented && !self.orderly(open, &parts) {
            if commented {
                self.before[open + 1..=close].fill(None);
            }
            return;
        }
        let one = if let [part] = parts[..] { Some(part) } else { None };
        if let Some((first, last)) = one.filter(|_| !commented && self.word(close - 1) != ",") {
            // A line gains little from a single word that leaves it.
            if first == last {
                self.before[first..=close].fill(Some(false));
                return;
            }
            // What is one bracket, or one text of several lines, is hugged.
            let bracket = self.kind(first) == Kind::Open && self.partner[first] == last;
            let text =
                self.texts[close] > self.texts[open + 1] && self.around[first..=last].iter().all(|a| *a == Some(open));
            if bracket || text {
                (self.before[first], self.before[close]) = (Some(false), Some(false));
                if text {
                    self.before[first..=close].fill(Some(false));
                }
                return;
            }
        }
        if !self.held(open, close) && column + self.flat[close] + 1 - self.flat[open] + self.tail(close) <= WIDTH {
            self.before[open + 1..=close].fill(Some(false));
            return;
        }
        if self.word(open) == "[" && parts.iter().all(|&(a, b)| a == b) && !self.held(open, close) {
            self.fill(open);
            return;
        }
        for &(first, last) in &parts {
            let calm = (first + 1..=last).all(|i| self.around[i] != Some(open) || !self.has_comment(i));
            if calm {
                self.before[first..=last].fill(Some(false));
            }
            self.before[first] = Some(true);
            if self.word(last + 1) == "," {
                self.before[last + 1] = Some(false);
            }
        }
        self.before[close] = Some(true);
        // The type of a list takes no comma.
        let takes = self.word(open) != "[" || parts.len() > 1;
        if let Some(&(_, last)) = parts.last().filter(|_| takes) {
            self.comma[last] = self.word(last + 1) != ",";
        }
    }

    /// Lays out a list of single words: as many in a line as fit.
    fn fill(&mut self, open: usize) {
        let close = self.partner[open];
        self.before[open + 1..=close].fill(Some(false));
        (self.before[open + 1], self.before[close]) = (Some(true), Some(true));
        self.filled.push(open);
    }

    /// Breaks a part that does not fit its line before its operators; it starts with token `first` at column `column`.
    pub(super) fn part(&mut self, first: usize, column: usize) {
        let Some(open) = self.around[first] else { return };
        if self.filled.contains(&open) {
            // A line ends before the first word that leaves it, comma included.
            let next =
                |i: &usize| column + self.flat[*i] - self.flat[first] + self.word(*i).chars().count() + 1 > WIDTH;
            if let Some(i) = (first + 1..self.partner[open]).filter(|i| self.word(*i) != ",").find(next) {
                self.before[i] = Some(true);
            }
            return;
        }
        if self.before[first] != Some(true) {
            return;
        }
        let Some((_, last)) = self.parts(open).into_iter().find(|&(a, _)| a == first) else { return };
        let wide = column + self.flat[last] - self.flat[first] + self.word(last).chars().count() >= WIDTH;
        let here: Vec<usize> =
            (first + 1..=last).filter(|&i| self.around[i] == Some(open) && self.kind(i) != Kind::Close).collect();
        if !wide && !self.held(first, last) || here.iter().any(|&i| self.has_comment(i)) {
            return;
        }
        for word in ["|>", "else", "or", "and"] {
            let found: Vec<usize> = here.iter().copied().filter(|&i| self.word(i) == word).collect();
            if !found.is_empty() {
                found.into_iter().for_each(|i| self.before[i] = Some(true));
                return;
            }
        }
    }

    /// Columns of what must stand on the line behind a closed bracket: up to where it may break.
    fn tail(&self, close: usize) -> usize {
        let mut i = close + 1;
        while i < self.scan.tokens.len() {
            let breaks =
                self.starts_item(i) || self.before[i].unwrap_or_else(|| self.written(i)) || self.has_comment(i);
            if breaks {
                break;
            }
            let opens =
                self.kind(i) == Kind::Open && self.partner[i] > i + 1 && self.form(i, &self.parts(i)) == Form::Parts;
            if opens {
                i += 1;
                break;
            }
            i += 1;
        }
        let end = i.min(self.scan.tokens.len());
        if end == close + 1 {
            return usize::from(self.comma[close]);
        }
        let last = &self.scan.tokens[end - 1];
        let width = self.text[last.start..last.end].chars().count();
        self.flat[end - 1] + width - self.flat[close] - 1 + usize::from(self.comma[end - 1])
    }
}

/// Says whether a token can end a value, so that what follows belongs to it.
pub(super) fn complete(text: &str, scan: &Scan, index: usize) -> bool {
    let word = |i: usize| scan.tokens.get(i).map_or("", |t| &text[t.start..t.end]);
    let token = scan.tokens[index];
    match token.kind {
        Kind::Word => {
            let word_here = word(index);
            let field = index > 0 && word(index - 1) == "." && scan.tokens[index - 1].end == token.start;
            field || !RESERVED.contains(&word_here) || matches!(word_here, "true" | "false" | "none")
        }
        Kind::TypeName | Kind::Number | Kind::Str | Kind::Close => true,
        Kind::Open => false,
        Kind::Punct => word(index) == "?",
    }
}
