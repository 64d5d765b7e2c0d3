//! The parser that pest generates from `grammar/rb2.pest`, and the words of the language.

use std::num::NonZeroUsize;
use std::sync::Once;

use pest::Parser as _;

/// Words that start an item at the beginning of a line.
pub const ITEM_WORDS: &[&str] = &[
    "recipe", "import", "param", "secret", "schema", "fn", "op", "let", "stage", "expect", "warn", "output", "profile",
];

/// Words that cannot be names of values; after a `.` and before a `:` any word is fine.
pub const RESERVED: &[&str] = &[
    "recipe", "requires", "import", "as", "param", "secret", "from", "schema", "enum", "fn", "op", "runs", "let",
    "stage", "with", "expect", "warn", "output", "to", "profile", "sweep", "in", "where", "if", "then", "else", "and",
    "or", "not", "true", "false", "none",
];

#[derive(pest_derive::Parser)]
#[grammar = "../grammar/rb2.pest"]
struct Rb2;

/// One parsed rule.
pub(super) type Pair<'t> = pest::iterators::Pair<'t, Rule>;

/// Parses `text` from start to end; the result is the pair of `rule` itself.
pub(super) fn parse(rule: Rule, text: &str) -> Result<Pair<'_>, Box<pest::error::Error<Rule>>> {
    static LIMIT: Once = Once::new();
    // A second line of defence behind the depth limit of the scanner: a mebibyte of text needs about 30 million calls.
    LIMIT.call_once(|| pest::set_call_limit(NonZeroUsize::new(50_000_000)));
    let mut pairs = Rb2::parse(rule, text).map_err(Box::new)?;
    Ok(pairs.next().expect("a rule that matched yields its pair"))
}

/// Says whether a rule is a token that the tree does not need.
pub(super) fn is_noise(rule: Rule) -> bool {
    matches!(
        rule,
        Rule::EOI
            | Rule::colon
            | Rule::comma
            | Rule::lpar
            | Rule::rpar
            | Rule::lbrace
            | Rule::rbrace
            | Rule::lbrack
            | Rule::rbrack
            | Rule::dot_brace
            | Rule::eq
            | Rule::fat_arrow
            | Rule::arrow
            | Rule::bar
            | Rule::kw_recipe
            | Rule::kw_requires
            | Rule::kw_import
            | Rule::kw_as
            | Rule::kw_param
            | Rule::kw_secret
            | Rule::kw_from
            | Rule::kw_schema
            | Rule::kw_enum
            | Rule::kw_fn
            | Rule::kw_op
            | Rule::kw_runs
            | Rule::kw_with
            | Rule::kw_output
            | Rule::kw_to
            | Rule::kw_profile
            | Rule::kw_sweep
            | Rule::kw_if
            | Rule::kw_then
            | Rule::kw_else
            | Rule::kw_files
            | Rule::kw_env
    )
}
