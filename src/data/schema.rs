//! Type texts such as `[Image]` or `enum { safe, low }`, and the Arrow types that they lie in.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Fields};
use serde::Deserialize;

use super::table::image_type;
use crate::base::OpError;
use crate::spec::{Dim, Row, Type};

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
    let mut parser = Parser { rest: text.trim() };
    let ty = parser.ty().ok_or_else(|| bad(text))?;
    if parser.rest.is_empty() { Ok(ty) } else { Err(bad(text)) }
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

/// Returns the list type that the language's `[T]` lies in.
pub fn list_of(item: DataType) -> DataType {
    DataType::List(Arc::new(Field::new("item", item, true)))
}

/// Names an Arrow type in the words of the language.
pub fn text(ty: &DataType) -> String {
    match ty {
        DataType::Utf8 => "Str".into(),
        DataType::Int64 => "Int".into(),
        DataType::Float64 => "Float".into(),
        DataType::Boolean => "Bool".into(),
        DataType::Null => "none".into(),
        DataType::List(item) => format!("[{}]", text(item.data_type())),
        DataType::Struct(_) if *ty == image_type() => "Image".into(),
        DataType::Struct(fields) => {
            let fields: Vec<String> = fields.iter().map(|f| format!("{}: {}", f.name(), text(f.data_type()))).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        other => other.to_string(),
    }
}

struct Parser<'t> {
    rest: &'t str,
}

impl<'t> Parser<'t> {
    fn ty(&mut self) -> Option<Type> {
        let mut ty = if self.eat("[") {
            let item = self.ty()?;
            self.expect("]")?;
            Type::List(Box::new(item))
        } else if self.eat("(") {
            let mut items = vec![self.ty()?];
            while self.eat(",") {
                items.push(self.ty()?);
            }
            self.expect(")")?;
            Type::Tuple(items)
        } else if self.eat("{") {
            let mut fields = Vec::new();
            while !self.eat("}") {
                let name = self.name()?;
                self.expect(":")?;
                fields.push((name, self.ty()?));
                self.eat(",");
            }
            Type::Record(Row { fields, tail: None })
        } else {
            match self.word()? {
                "enum" => {
                    self.expect("{")?;
                    let mut variants = Vec::new();
                    while !self.eat("}") {
                        variants.push(self.name()?);
                        self.eat(",");
                    }
                    Type::Enum(variants)
                }
                word => simple(word)?,
            }
        };
        while self.eat("?") {
            ty = Type::Optional(Box::new(ty));
        }
        Some(ty)
    }

    fn eat(&mut self, token: &str) -> bool {
        match self.rest.strip_prefix(token) {
            Some(rest) => {
                self.rest = rest.trim_start();
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, token: &str) -> Option<()> {
        self.eat(token).then_some(())
    }

    fn word(&mut self) -> Option<&'t str> {
        let end = self.rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest.trim_start();
        (!word.is_empty()).then_some(word)
    }

    /// A word, or a quoted name.
    fn name(&mut self) -> Option<String> {
        if self.eat("\"") {
            let (name, rest) = self.rest.split_once('"')?;
            self.rest = rest.trim_start();
            return Some(name.to_owned());
        }
        self.word().map(str::to_owned)
    }
}

fn simple(word: &str) -> Option<Type> {
    Some(match word {
        "Str" => Type::Str,
        "Int" => Type::Int,
        "Float" => Type::Float,
        "Bool" => Type::Bool,
        "Image" => Type::Image,
        "Video" => Type::Video,
        "Json" => Type::Json,
        "Box" => Type::Box,
        "Point" => Type::Point,
        "Duration" => Type::Dim(Dim::Duration),
        "Bytes" => Type::Dim(Dim::Bytes),
        "Ratio" => Type::Dim(Dim::Ratio),
        "Tokens" => Type::Dim(Dim::Tokens),
        "Steps" => Type::Dim(Dim::Steps),
        "Rows" => Type::Dim(Dim::Rows),
        "Pixels" => Type::Dim(Dim::Pixels),
        "Angle" => Type::Dim(Dim::Angle),
        "Points" => Type::Dim(Dim::Points),
        "Rate" => Type::Dim(Dim::Rate),
        _ => return None,
    })
}
