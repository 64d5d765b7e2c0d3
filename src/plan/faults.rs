//! Which parts of a program with errors can be evaluated all the same.

use std::collections::{BTreeMap, BTreeSet};

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
    /// Each error of these says what to write instead; they are evaluated as if that stood there.
    mendable: BTreeMap<Span, Vec<Span>>,
    /// What is to be written instead, by the place of what stands there.
    fixes: BTreeMap<Span, String>,
    /// The fixes that were of use.
    used: BTreeSet<Span>,
}

impl Faults {
    /// Sorts the items of a program by what checking has found in them.
    pub(super) fn of(program: &Program, checked: &Problems) -> Self {
        let mut out = Self::default();
        for item in program.modules.iter().flat_map(|m| &m.file.items) {
            let errors: Vec<_> = checked.errors().filter(|d| item.span.covers(d.primary.span)).collect();
            if errors.is_empty() {
                continue;
            }
            let value = matches!(item.kind, ItemKind::Let(_) | ItemKind::Stage(_));
            let flaws = errors.iter().all(|d| FLAWS.contains(&d.code));
            let fixes: Vec<_> = errors.iter().filter_map(|d| d.fix.as_ref()).collect();
            if flaws && fixes.len() == errors.len() {
                out.mendable.insert(item.span, fixes.iter().map(|fix| fix.span).collect());
                out.fixes.extend(fixes.into_iter().map(|fix| (fix.span, fix.text.clone())));
            }
            if value && flaws {
                out.flawed.insert(item.span);
            } else if !out.mendable.contains_key(&item.span) {
                out.broken.insert(item.span);
            }
        }
        out
    }

    /// Says whether there are none.
    pub(super) fn none(&self) -> bool {
        self.flawed.is_empty() && self.mendable.is_empty()
    }

    /// What is to be written in a place instead of what stands there, if somebody has said so. It counts as written from here on.
    pub(super) fn instead(&mut self, of: Span) -> Option<&str> {
        let fix = self.fixes.get(&of)?;
        self.used.insert(of);
        Some(fix)
    }

    /// Says whether an item is whole with what is written in it instead.
    pub(super) fn mended(&self, item: Span) -> bool {
        self.mendable.get(&item).is_some_and(|fixes| fixes.iter().all(|fix| self.used.contains(fix)))
    }

    /// Says whether a place lies in an item with an error that nothing has mended.
    pub(super) fn hold(&self, span: Span) -> bool {
        let items = self.flawed.iter().chain(&self.broken).chain(self.mendable.keys());
        items.filter(|item| item.covers(span)).any(|item| !self.mended(*item))
    }
}
