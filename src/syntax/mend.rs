//! A piece of a text with its mistakes mended, which still knows where everything stood before.

use crate::base::{Diagnostic, Span};

/// Text that is parsed instead of the original.
pub(super) struct Mended {
    /// The text with all replacements.
    pub(super) text: String,
    /// Where the piece starts in the whole text.
    start: usize,
    /// Replacements in order: first byte in the mended text, its length there, and the length that it had.
    made: Vec<(usize, usize, usize)>,
}

impl Mended {
    pub(super) fn new(text: &str, start: usize) -> Self {
        Self { text: text.to_owned(), start, made: Vec::new() }
    }

    /// Returns where a byte of the mended piece stood in the whole text.
    pub(super) fn place(&self, at: usize) -> usize {
        let mut back = at;
        for &(from, now, before) in self.made.iter().rev() {
            if back >= from + now {
                back = back + before - now;
            } else if back > from {
                back = from + before.min(back - from);
            }
        }
        self.start + back
    }

    /// Replaces a part of the mended piece.
    pub(super) fn replace(&mut self, start: usize, end: usize, with: &str) {
        self.text.replace_range(start..end, with);
        self.made.push((start, with.len(), end - start));
    }

    /// Returns a diagnostic about the mended piece with its places in the whole text.
    pub(super) fn placed(&self, mut problem: Diagnostic) -> Diagnostic {
        let place = |span: &mut Span| {
            (span.start, span.end) = (self.place(span.start as usize) as u32, self.place(span.end as usize) as u32);
        };
        place(&mut problem.primary.span);
        problem.others.iter_mut().for_each(|l| place(&mut l.span));
        if let Some(fix) = &mut problem.fix {
            place(&mut fix.span);
        }
        problem
    }
}
