//! THE catalogue: every built-in operator, in documentation order, one line each.

pub mod augment;
pub mod cot;
pub mod data;
pub mod eval;
pub mod filter;
pub mod model;
pub mod rows;
pub mod train;

use crate::engine::Builtin;
use crate::spec::Catalogue;

/// All built-in operators.
pub static BUILTINS: &[&Builtin] = &[
    &data::jsonl::JSONL,
    &data::visual_genome::VISUAL_GENOME,
    &data::lvis::LVIS,
    &data::episodes::EPISODES,
    &data::concat::CONCAT,
    &data::select::SELECT,
    &data::drop::DROP,
    &data::rename::RENAME,
    &data::derive::DERIVE,
    &data::count::COUNT,
    &filter::rule::RULE,
    &filter::perplexity::PERPLEXITY,
    &filter::reward::REWARD,
    &augment::geometry::GEOMETRY,
    &augment::color::COLOR,
    &augment::pad::PAD,
    &cot::structured::STRUCTURED,
    &cot::plan::PLAN,
    &cot::fail_fix::FAIL_FIX,
    &model::hf::HF,
    &model::wheel::WHEEL,
    &model::reward::REWARD,
    &model::random::RANDOM,
    &model::classifier::CLASSIFIER,
    &model::classify::CLASSIFY,
    &train::sft::SFT,
    &train::dpo::DPO,
    &train::logps::LOGPS,
    &train::tokenizer::TOKENIZER,
    &eval::loss::LOSS,
    &eval::preference::PREFERENCE,
];

/// Returns the catalogue of all built-in operators.
pub fn catalogue() -> Catalogue {
    Catalogue::new(&BUILTINS.iter().map(|b| &b.spec).collect::<Vec<_>>())
}
