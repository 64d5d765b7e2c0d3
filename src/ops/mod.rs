//! THE catalogue: every built-in operator, in documentation order, one line each.

pub mod data;
pub mod filter;
pub mod model;
pub mod rows;
pub mod train;

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
    &model::hf::HF,
    &model::wheel::WHEEL,
    &model::reward::REWARD,
    &model::classifier::CLASSIFIER,
    &train::tokenizer::TOKENIZER,
];

/// Returns the catalogue of all built-in operators.
pub fn catalogue() -> Catalogue {
    Catalogue::new(&BUILTINS.iter().map(|b| &b.spec).collect::<Vec<_>>())
}
