//! Types of the language.

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
    Union(Vec<Type>),
    Dataset(Row),
    /// A model of a family (`reward`, `clip`, `fused`); `None` is any.
    Model(Option<String>),
    Classifier,
    Benchmark,
    Suite,
    Score,
    /// Axis names and the cell's type.
    Grid(Vec<String>, Box<Type>),
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

/// Named fields and perhaps more: a closed row has no tail.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Row {
    /// Fields in declared order.
    pub fields: Vec<(String, Type)>,
    /// The row variable that stands for the rest.
    pub tail: Option<u32>,
}

impl Row {
    /// Returns the type of a field named directly in this row.
    pub fn get(&self, name: &str) -> Option<&Type> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, t)| t)
    }
}
