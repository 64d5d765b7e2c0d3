//! THE catalogue: every built-in operator, in documentation order, one line each.

pub mod augment;
pub mod bench;
pub mod bounds;
mod chat;
pub mod cot;
pub mod data;
pub mod dedup;
pub mod embed;
pub mod eval;
pub mod filter;
pub mod fuse;
#[cfg(feature = "torch")]
pub mod gpu;
pub mod grid;
pub mod judge;
pub mod model;
pub mod report;
pub mod rows;
pub mod train;
pub mod user;

use crate::engine::Builtin;
use crate::spec::{Catalogue, user_op};

/// All built-in operators.
pub static BUILTINS: &[&Builtin] = &[
    &data::jsonl::JSONL,
    &data::csv::CSV,
    &data::parquet::PARQUET,
    &data::arrow::ARROW,
    &data::webdataset::WEBDATASET,
    &data::chat::CHAT,
    &data::chat::DATASET_INFO,
    &data::hf::HF,
    &data::visual_genome::VISUAL_GENOME,
    &data::lvis::LVIS,
    &data::regions::REGIONS,
    &data::episodes::EPISODES,
    &data::clips::EPIC,
    &data::clips::EGO4D,
    &data::concat::CONCAT,
    &data::blend::BLEND,
    &data::select::SELECT,
    &data::drop::DROP,
    &data::rename::RENAME,
    &data::derive::DERIVE,
    &data::top::TOP,
    &data::quantile::QUANTILE,
    &data::sample::SAMPLE,
    &data::frames::FRAMES,
    &data::shuffle::SHUFFLE,
    &data::sort::SORT,
    &data::split::SPLIT,
    &data::as_sft::AS_SFT,
    &data::layout::LAYOUT,
    &data::profile::PROFILE,
    &data::disjoint::DISJOINT,
    &data::disjoint::OVERLAP,
    &data::count::COUNT,
    &filter::rule::RULE,
    &filter::format::FORMAT,
    &filter::length::LENGTH,
    &filter::words::WORDS,
    &filter::language::LANGUAGE,
    &filter::conflict::CONFLICT,
    &filter::image::IMAGE,
    &filter::relevance::RELEVANCE,
    &filter::perplexity::PERPLEXITY,
    &filter::reward::REWARD,
    &filter::consistent::CONSISTENT,
    &dedup::exact::EXACT,
    &dedup::simhash::SIMHASH,
    &dedup::minhash::MINHASH,
    &dedup::image::IMAGE,
    &dedup::semantic::SEMANTIC,
    &augment::geometry::GEOMETRY,
    &augment::color::COLOR,
    &augment::pad::PAD,
    &cot::structured::STRUCTURED,
    &cot::plan::PLAN,
    &cot::fail_fix::FAIL_FIX,
    &cot::compare::COMPARE,
    &cot::questions::QUESTIONS,
    &judge::agree::AGREE,
    &judge::prefer::PREFER,
    &judge::score::SCORE,
    &judge::rank::RANK,
    &judge::replies::REPLIES,
    &judge::agreement::AGREEMENT,
    &model::hf::HF,
    &model::generate::GENERATE,
    &model::gguf::GGUF,
    &model::wheel::WHEEL,
    &model::reward::REWARD,
    &model::server::SERVER,
    &model::random::RANDOM,
    &model::classifier::CLASSIFIER,
    &model::classify::CLASSIFY,
    &model::calibrated::CALIBRATED,
    &embed::text::TEXT,
    &train::sft::SFT,
    &train::dpo::DPO,
    &train::reward::REWARD,
    &train::logps::LOGPS,
    &train::tokenizer::TOKENIZER,
    &eval::loss::LOSS,
    &eval::preference::PREFERENCE,
    &fuse::two_tier::TWO_TIER,
    &eval::run::RUN,
    &eval::flagevalmm::FROM,
    &eval::flagevalmm::TO,
    &eval::rescore::SCORE,
    &eval::published::PUBLISHED,
    &eval::compare::COMPARE,
    &eval::compare::ITEMS,
    &grid::TABLE,
    &grid::WORST_DROP,
    &grid::BEST,
    &grid::DELTA,
    &bench::source::HF,
    &bench::source::JSON,
    &bench::source::TSV,
    &bench::source::DIR,
    &bench::sample::SAMPLE,
    &bench::ask::ASK,
    &bench::ask::READ,
    &bench::ask::MARK,
    &bench::total::TOTAL,
    &bench::add::COMPAT,
    &bench::add::EXAMPLES,
    &bench::suite::ITEMS,
    &report::page::PAGE,
    &report::chart::CHART,
    &report::card::CARD,
];

/// Operators that no recipe calls by name: the language inserts them. Name and code.
pub static INSERTED: &[(&str, &Builtin)] = &[(user_op::RUN, &user::run::RUN), (user_op::JOIN, &user::join::JOIN)];

/// The recipes of `recipes/operators`: operator and text, collected by the build.
pub static EXAMPLES: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/examples.rs"));

/// Returns the catalogue of all built-in operators.
pub fn catalogue() -> Catalogue {
    Catalogue::new(&BUILTINS.iter().chain(&bench::values::VALUES).map(|b| &b.spec).collect::<Vec<_>>())
        .with_examples(EXAMPLES)
}
