//! The surface of a text for editors: tokens, comments, and where items lie, parsed or not.

use super::ast::Comment;
use super::scan::{self, Scan, Token};
use crate::base::SourceId;

/// Tokens and items of a text, found without parsing it.
#[derive(Clone, Debug)]
pub struct Outline {
    /// All tokens in order; comments and blanks are none.
    pub tokens: Vec<Token>,
    /// All comments in order.
    pub comments: Vec<Comment>,
    /// Byte ranges of the items: each from its first word to the start of the next.
    pub items: Vec<(usize, usize)>,
}

/// Returns the surface of a text.
pub fn outline(text: &str) -> Outline {
    let Scan { tokens, comments, slices, .. } = scan::scan(SourceId(0), text);
    Outline { tokens, comments, items: slices.iter().map(|s| (s.start, s.end)).collect() }
}
