//! THE catalogue: every built-in operator, in documentation order, one line each.

use crate::engine::Builtin;
use crate::spec::Catalogue;

/// All built-in operators.
pub static BUILTINS: &[&Builtin] = &[];

/// Returns the catalogue of all built-in operators.
pub fn catalogue() -> Catalogue {
    Catalogue::new(&BUILTINS.iter().map(|b| &b.spec).collect::<Vec<_>>())
}
