//! Text to tree. Knows no semantics and never fails: what does not parse becomes a problem.

pub mod ast;

/// Parses the signature of a built-in operator: `##` docs, then `op module.name(…) -> T`.
pub fn parse_signature(_text: &str) -> (ast::UserOp, String) {
    todo!()
}
