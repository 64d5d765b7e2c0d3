//! Which options of `with` the operators of an expression accept.

use std::collections::BTreeSet;

use crate::spec::prelude;

/// What the operators created by an expression accept.
#[derive(Clone, Debug, Default)]
pub(super) struct Accepted {
    /// Whether there is an operator at all.
    pub(super) any: bool,
    /// Whether there is a call of which nothing is known, since it is wrong.
    pub(super) unknown: bool,
    /// Beyond the common options.
    names: BTreeSet<&'static str>,
}

impl Accepted {
    /// One operator with its options.
    pub(super) fn of(names: impl Iterator<Item = &'static str>) -> Self {
        Self { any: true, unknown: false, names: names.collect() }
    }

    /// Adds what another part of the expression accepts.
    pub(super) fn add(&mut self, other: &Self) {
        self.any |= other.any;
        self.unknown |= other.unknown;
        self.names.extend(&other.names);
    }

    /// Says whether something takes an option of this name.
    pub(super) fn takes(&self, name: &str) -> bool {
        self.unknown || self.any && (prelude::WITH_COMMON.contains(&name) || self.names.contains(name))
    }
}
