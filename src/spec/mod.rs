//! What exists in the language: types, values, row expressions, operators. No files, no graph.

pub mod catalogue;
pub mod column_type;
pub mod foreign;
pub mod observed;
pub mod operator;
pub mod page;
pub mod prelude;
pub mod rowexpr;
pub mod types;
pub mod units;
pub mod user_op;
pub mod value;

pub use catalogue::Catalogue;
pub use operator::{Class, Columns, Effect, Hub, Looks, OpSpec, Pool};
pub use rowexpr::RowExpr;
pub use types::{Dim, GridAxis, Row, Type};
pub use value::Value;
