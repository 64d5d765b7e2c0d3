//! Types of the language, and how they are written.

use std::fmt;

/// A physical or bookkeeping dimension. No implicit conversion between any two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize)]
#[allow(missing_docs)]
pub enum Dim {
    /// Base unit: second.
    Duration,
    /// Base unit: byte.
    Bytes,
    /// Base unit: 1 (95% is 0.95).
    Ratio,
    Tokens,
    Steps,
    Rows,
    Pixels,
    /// Base unit: degree.
    Angle,
    /// Difference of two ratios; base unit: 1 (5pt is 0.05).
    Points,
    /// Base unit: bytes per second.
    Rate,
}

impl Dim {
    /// Says why there can be no such quantity: counts are whole and not below 0, sizes and times not below 0.
    pub fn impossible(self, amount: f64) -> Option<&'static str> {
        match self {
            Dim::Rows | Dim::Tokens | Dim::Steps | Dim::Pixels if amount < 0.0 => Some("a count is never below 0"),
            Dim::Rows | Dim::Tokens | Dim::Steps | Dim::Pixels if amount.fract() != 0.0 => Some("a count is whole"),
            Dim::Duration | Dim::Bytes if amount < 0.0 => Some("it is never below 0"),
            _ => None,
        }
    }
}

/// A type.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs)]
pub enum Type {
    Int,
    Float,
    Bool,
    Str,
    Dim(Dim),
    Image,
    Video,
    Json,
    Box,
    Point,
    Regex,
    Prompt,
    Secret,
    /// `none`
    None,
    Optional(Box<Type>),
    List(Box<Type>),
    Tuple(Vec<Type>),
    Record(Row),
    Range(Box<Type>),
    /// `top(n)`
    Top,
    Enum(Vec<String>),
    /// A string known by its literal, or by the literals of its branches: fits an enum that has them all.
    Text(Vec<String>),
    Union(Vec<Type>),
    Dataset(Row),
    /// A model of a family (`reward`, `clip`, `fused`); `None` is any.
    Model(Option<String>),
    Classifier,
    Benchmark,
    Suite,
    Score,
    /// A score whose number is no share but in a unit of its own, such as nats per token.
    Loss,
    /// Axes and the cell's type.
    Grid(Vec<GridAxis>, Box<Type>),
    Table,
    Report,
    File,
    /// A number known only after running.
    Metric(Box<Type>),
    /// `.col` of a row, of a type.
    Field(Box<Type>),
    /// An expression over a row.
    RowFn(Box<Type>),
    /// A schema's name used as a value, as in `as: Sample`.
    Schema(Row),
    /// `read.choice()`, `mark.letter()`, `total.micro()`
    Reader,
    Marker,
    Total,
    /// An inference variable.
    Var(u32),
    /// Something wrong was already reported here; unifies with all.
    Error,
}

/// An axis of a grid.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GridAxis {
    /// Its name.
    pub name: String,
    /// Its labels, where the text alone tells them.
    pub labels: Option<Vec<String>>,
}

/// Named fields and perhaps more: a closed row has no tail.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Row {
    /// Fields in declared order.
    pub fields: Vec<(String, Type)>,
    /// The row variable that stands for the rest.
    pub tail: Option<u32>,
}

impl Row {
    /// The tail of a row whose columns nobody has described: every column is there, of unknown type.
    pub const ANY: u32 = u32::MAX;

    /// Returns the row of which nothing is known.
    pub fn any() -> Self {
        Self { fields: Vec::new(), tail: Some(Self::ANY) }
    }

    /// Says whether every column is taken to be there.
    pub fn is_any(&self) -> bool {
        self.tail == Some(Self::ANY)
    }

    /// Returns the type of a field named directly in this row.
    pub fn get(&self, name: &str) -> Option<&Type> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("{ ")?;
        for (i, (name, ty)) in self.fields.iter().enumerate() {
            write!(f, "{}{name}: {ty}", if i > 0 { ", " } else { "" })?;
        }
        if self.tail.is_some() {
            f.write_str(if self.fields.is_empty() { ".." } else { ", .." })?;
        }
        f.write_str(" }")
    }
}

impl fmt::Display for Type {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |items: &[Type], glue: &str| items.iter().map(Type::to_string).collect::<Vec<_>>().join(glue);
        match self {
            Type::Dim(d) => write!(f, "{d:?}"),
            Type::None => f.write_str("none"),
            Type::Optional(t) => write!(f, "{t}?"),
            Type::List(t) => write!(f, "[{t}]"),
            Type::Tuple(ts) => write!(f, "({})", list(ts, ", ")),
            Type::Record(row) => write!(f, "{row}"),
            Type::Range(t) => write!(f, "Range[{t}]"),
            Type::Top => f.write_str("top(n)"),
            Type::Enum(variants) => write!(f, "enum {{ {} }}", variants.join(", ")),
            Type::Text(_) => f.write_str("Str"),
            Type::Union(ts) => f.write_str(&list(ts, " | ")),
            Type::Dataset(row) if row.fields.is_empty() => f.write_str("Dataset"),
            Type::Dataset(row) => write!(f, "Dataset[{row}]"),
            Type::Model(Some(family)) => write!(f, "Model[{family}]"),
            Type::Model(None) => f.write_str("Model"),
            Type::Grid(axes, cell) => {
                let axes: Vec<&str> = axes.iter().map(|a| a.name.as_str()).collect();
                write!(f, "Grid[{{{}}}, {cell}]", axes.join(", "))
            }
            Type::Loss => f.write_str("Score[Float]"),
            Type::Metric(t) => write!(f, "Metric[{t}]"),
            Type::Field(t) if **t == Type::Error => f.write_str("column"),
            Type::Field(t) => write!(f, "column of {t}"),
            Type::RowFn(t) => write!(f, "{t} of each row"),
            Type::Schema(_) => f.write_str("schema"),
            Type::Var(_) | Type::Error => f.write_str("_"),
            Type::Int
            | Type::Float
            | Type::Bool
            | Type::Str
            | Type::Image
            | Type::Video
            | Type::Json
            | Type::Box
            | Type::Point
            | Type::Regex
            | Type::Prompt
            | Type::Secret
            | Type::Classifier
            | Type::Benchmark
            | Type::Suite
            | Type::Score
            | Type::Table
            | Type::Report
            | Type::File
            | Type::Reader
            | Type::Marker
            | Type::Total => write!(f, "{self:?}"),
        }
    }
}
