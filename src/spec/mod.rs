//! What exists in the language: types, values, row expressions, operators. No files, no graph.

pub mod catalogue;
pub mod operator;
pub mod rowexpr;
pub mod types;
pub mod value;

pub use catalogue::Catalogue;
pub use operator::{Class, Columns, Effect, OpSpec, Pool};
pub use rowexpr::RowExpr;
pub use types::{Dim, Row, Type};
pub use value::Value;
