//! Type texts such as `[Image]` or `enum { safe, low }`, and the Arrow types that they lie in.

use arrow::datatypes::{DataType, Field, Fields};
use serde::Deserialize;

use super::arrow_type::{image_type, list_of};
use crate::base::OpError;
use crate::spec::{Dim, Type, column_type};

/// A schema as operators receive it: `{"columns":[{"name","type"}]}`.
#[derive(Clone, Debug, Deserialize)]
pub struct Columns {
    /// In declared order.
    pub columns: Vec<Column>,
}

/// A column of a schema.
#[derive(Clone, Debug, Deserialize)]
pub struct Column {
    /// Its name.
    pub name: String,
    /// The text of its type.
    #[serde(rename = "type")]
    pub ty: String,
}

impl Columns {
    /// Parses all types.
    pub fn types(&self) -> Result<Vec<(String, Type)>, OpError> {
        self.columns.iter().map(|c| Ok((c.name.clone(), parse(&c.ty)?))).collect()
    }
}

/// Parses the text of a column's type.
pub fn parse(text: &str) -> Result<Type, OpError> {
    column_type::parse(text).ok_or_else(|| bad(text))
}

fn bad(text: &str) -> OpError {
    OpError::new("E0612", format!("`{text}` is no type of a column")).help(
        "columns hold Str, Int, Float, Bool, units, Image, Video, Json, Box, Point, enums, lists and records of these",
    )
}

/// Returns how a column of this type lies in memory.
pub fn arrow(ty: &Type) -> DataType {
    match ty {
        Type::Int | Type::Dim(Dim::Tokens | Dim::Steps | Dim::Rows | Dim::Pixels | Dim::Bytes) => DataType::Int64,
        Type::Float | Type::Dim(_) => DataType::Float64,
        Type::Bool => DataType::Boolean,
        Type::Image | Type::Video => image_type(),
        Type::Box | Type::Point => list_of(DataType::Float64),
        Type::Optional(inner) => arrow(inner),
        Type::List(item) => list_of(arrow(item)),
        Type::Tuple(items) => match items.first() {
            Some(first) if items.iter().all(|i| arrow(i) == arrow(first)) => list_of(arrow(first)),
            _ => DataType::Utf8,
        },
        Type::Record(row) => {
            let fields: Vec<Field> = row.fields.iter().map(|(n, t)| Field::new(n, arrow(t), true)).collect();
            DataType::Struct(Fields::from(fields))
        }
        _ => DataType::Utf8,
    }
}
