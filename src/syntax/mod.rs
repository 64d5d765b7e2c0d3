//! Text to tree. Knows no semantics and never fails: what does not parse becomes a problem.

pub mod ast;
mod breaks;
mod errors;
mod format;
mod grammar;
mod literals;
mod lookalike;
mod lower;
mod lower_expr;
mod mend;
mod outline;
mod parse;
mod parts;
mod scan;
mod stray;
mod trivia;

pub use format::format;
pub use grammar::{ITEM_WORDS, RESERVED};
pub use outline::{Outline, outline};
pub use parse::{BUILTIN_SOURCE, parse, parse_all, parse_expr, parse_signature};
pub use parts::{children, expressions, record, type_parts, types};
pub use scan::{Kind, Token};
