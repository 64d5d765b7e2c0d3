//! Which parts of a program with errors can be evaluated all the same.

use std::collections::BTreeSet;

use crate::base::codes::{Code, E0120, E0210, E0213, E0216, E0301, E0303, E0308};
use crate::base::{Problems, Span};
use crate::semantics::modules::Program;
use crate::syntax::ast::ItemKind;

/// Errors of a call that leave no doubt about the type of what it makes.
const FLAWS: &[Code] = &[E0120, E0210, E0213, E0216, E0301, E0303, E0308];

/// Items in which checking has found errors, by their places.
#[derive(Clone, Debug, Default)]
pub(super) struct Faults {
    /// Nothing is known of these: who needs them is left out too.
    pub(super) broken: BTreeSet<Span>,
    /// What these make has the type that they promise, whatever is wrong with how they make it.
    pub(super) flawed: BTreeSet<Span>,
}

impl Faults {
    /// Sorts the items of a program by what checking has found in them.
    pub(super) fn of(program: &Program, checked: &Problems) -> Self {
        let mut out = Self::default();
        for item in program.modules.iter().flat_map(|m| &m.file.items) {
            let mut errors = checked.errors().filter(|d| item.span.covers(d.primary.span)).peekable();
            if errors.peek().is_some() {
                let value = matches!(item.kind, ItemKind::Let(_) | ItemKind::Stage(_));
                let flawed = value && errors.all(|d| FLAWS.contains(&d.code));
                if flawed { &mut out.flawed } else { &mut out.broken }.insert(item.span);
            }
        }
        out
    }

    /// Says whether a place lies in an item with an error.
    pub(super) fn hold(&self, span: Span) -> bool {
        self.flawed.iter().chain(&self.broken).any(|item| item.covers(span))
    }
}
