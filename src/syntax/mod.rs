//! Text to tree. Knows no semantics and never fails: what does not parse becomes a problem.

pub mod ast;
mod errors;
mod format;
mod grammar;
mod literals;
mod lower;
mod lower_expr;
mod outline;
mod parse;
mod scan;
mod trivia;

pub use format::format;
pub use grammar::{ITEM_WORDS, RESERVED};
pub use outline::{Outline, outline};
pub use parse::{BUILTIN_SOURCE, parse, parse_expr, parse_signature};
pub use scan::{Kind, Token};
