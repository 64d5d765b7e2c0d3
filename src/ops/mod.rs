//! THE catalogue: every built-in operator, in documentation order, one line each.

pub mod data;
pub mod filter;
pub mod rows;

use crate::engine::Builtin;
use crate::spec::Catalogue;

/// All built-in operators.
pub static BUILTINS: &[&Builtin] = &[
    &data::jsonl::JSONL,
    &data::concat::CONCAT,
    &data::select::SELECT,
    &data::drop::DROP,
    &data::rename::RENAME,
    &data::derive::DERIVE,
    &data::count::COUNT,
    &filter::rule::RULE,
];

/// Returns the catalogue of all built-in operators.
pub fn catalogue() -> Catalogue {
    Catalogue::new(&BUILTINS.iter().map(|b| &b.spec).collect::<Vec<_>>())
}
