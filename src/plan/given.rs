//! The arguments of a call, evaluated: as they were given, and sorted to their parameters.

use super::val::Val;
use crate::base::Span;
use crate::syntax::ast::TypeExpr;

/// Arguments of a call, evaluated.
#[derive(Default)]
pub(super) struct Given {
    /// The piped or positional one.
    pub positional: Option<(Val, Span)>,
    /// The named ones; a later one has replaced an earlier spread one.
    pub named: Vec<(String, Val, Span)>,
}

impl Given {
    /// Takes a named argument out.
    pub(super) fn take(&mut self, name: &str) -> Option<(Val, Span)> {
        let at = self.named.iter().position(|(n, ..)| n == name)?;
        let (_, val, span) = self.named.remove(at);
        Some((val, span))
    }

    /// Gives a named argument, instead of one that had the name.
    pub(super) fn put(&mut self, name: &str, val: Val, span: Span) {
        self.named.retain(|(n, ..)| n != name);
        self.named.push((name.to_owned(), val, span));
    }
}

/// A parameter with its value.
pub(super) struct Bound<'a> {
    pub name: String,
    pub ty: Option<&'a TypeExpr>,
    pub val: Val,
    pub span: Span,
    /// The default of the signature.
    pub is_default: bool,
}
