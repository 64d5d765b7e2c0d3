//! Grammar rules and tokens in words.

use crate::syntax::grammar::Rule;

pub(super) fn in_words(rule: Rule) -> Option<String> {
    let quoted = match rule {
        Rule::comma => ",",
        Rule::colon => ":",
        Rule::lpar => "(",
        Rule::rpar => ")",
        Rule::lbrace => "{",
        Rule::rbrace => "}",
        Rule::lbrack => "[",
        Rule::rbrack => "]",
        Rule::eq => "=",
        Rule::fat_arrow => "=>",
        Rule::arrow => "->",
        Rule::dotdot => "..",
        Rule::bar => "|",
        Rule::question => "?",
        Rule::dot_brace => ".{",
        Rule::kw_as => "as",
        Rule::kw_in => "in",
        Rule::kw_to => "to",
        Rule::kw_from => "from",
        Rule::kw_then => "then",
        Rule::kw_else => "else",
        Rule::kw_runs => "runs",
        Rule::kw_requires => "requires",
        Rule::kw_where => "where",
        Rule::kw_enum => "enum",
        Rule::kw_let => "let",
        Rule::kw_with | Rule::with_ => "with",
        Rule::kw_files | Rule::op_files => "files",
        Rule::kw_env | Rule::op_env => "env",
        Rule::kw_strict => "strict_numerics",
        _ => {
            return match rule {
                Rule::expr
                | Rule::bounds
                | Rule::primary
                | Rule::number
                | Rule::arg
                | Rule::cond
                | Rule::sweep
                | Rule::rowref
                | Rule::kw_if
                | Rule::kw_not
                | Rule::kw_sweep
                | Rule::record
                | Rule::list
                | Rule::paren
                | Rule::kw_true
                | Rule::kw_false
                | Rule::kw_none => Some("a value".to_owned()),
                Rule::ident
                | Rule::word
                | Rule::name
                | Rule::pdecl
                | Rule::named
                | Rule::axis
                | Rule::path
                | Rule::rfield => Some("a name".to_owned()),
                Rule::string => Some("a string".to_owned()),
                Rule::tname | Rule::sname => Some("a type name".to_owned()),
                Rule::type_
                | Rule::tprim
                | Rule::named_t
                | Rule::enum_
                | Rule::list_t
                | Rule::row_t
                | Rule::tuple_t
                | Rule::targ => Some("a type".to_owned()),
                Rule::params => Some("parameters in `( … )`".to_owned()),
                Rule::step => Some("a call".to_owned()),
                Rule::names => Some("`.{ … }`".to_owned()),
                Rule::spread | Rule::rowtail => Some("`..`".to_owned()),
                Rule::item => Some("an item".to_owned()),
                _ => None,
            };
        }
    };
    Some(format!("`{quoted}`"))
}

pub(super) fn one_of(words: &[String]) -> String {
    match words {
        [] => String::new(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

pub(super) fn describe(found: &str) -> String {
    if found.is_empty() { "the end of the item".to_owned() } else { format!("`{}`", short(found)) }
}

/// Cuts a long string literal down for a message.
pub(super) fn short(word: &str) -> String {
    if word.chars().count() <= 24 && !word.contains('\n') {
        return word.to_owned();
    }
    let line = word.lines().next().unwrap_or_default();
    format!("{}…", line.chars().take(20).collect::<String>())
}
