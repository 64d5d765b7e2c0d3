//! One value of a row, and columns made of such values.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, AsArray, BooleanArray, Float64Array, Int64Array, ListArray, NullArray, StringArray, StructArray,
    new_null_array,
};
use arrow::buffer::{NullBuffer, OffsetBuffer};
use arrow::datatypes::{DataType, Field, Fields, Float64Type, Int64Type};
use serde_json::Value as Json;

use super::arrow_type::{self, list_of, unify};

/// A value of a row; text is borrowed from the column where it lies.
#[derive(Clone, Debug)]
#[allow(missing_docs)]
pub enum Cell<'a> {
    None,
    Bool(bool),
    Int(i64),
    Float(f64),
    Str(Cow<'a, str>),
    List(Vec<Cell<'a>>),
    /// Also pictures, see [`image_type`].
    Record(Vec<(Cow<'a, str>, Cell<'a>)>),
    /// Both ends included; `None` for an open end. Exists while an expression is evaluated, never in a column.
    Range(Box<(Cell<'a>, Cell<'a>)>),
}

/// A value that does not fit its column.
#[derive(Debug)]
pub struct Misfit {
    /// Which of the given values.
    pub row: usize,
    /// What was expected and found.
    pub message: String,
}

impl<'a> Cell<'a> {
    /// Reads the value of a column at a row.
    pub fn read(array: &'a dyn Array, row: usize) -> Self {
        if array.is_null(row) {
            return Cell::None;
        }
        match array.data_type() {
            DataType::Utf8 => Cell::Str(Cow::Borrowed(array.as_string::<i32>().value(row))),
            DataType::Int64 => Cell::Int(array.as_primitive::<Int64Type>().value(row)),
            DataType::Float64 => Cell::Float(array.as_primitive::<Float64Type>().value(row)),
            DataType::Boolean => Cell::Bool(array.as_boolean().value(row)),
            DataType::List(_) => {
                let list = array.as_list::<i32>();
                let (from, to) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
                Cell::List((from..to).map(|i| Cell::read(list.values().as_ref(), i)).collect())
            }
            DataType::Struct(fields) => {
                let record = array.as_struct();
                let cells = fields.iter().zip(record.columns());
                Cell::Record(
                    cells.map(|(f, a)| (Cow::Borrowed(f.name().as_str()), Cell::read(a.as_ref(), row))).collect(),
                )
            }
            _ => Cell::None,
        }
    }

    /// Reads a JSON constant.
    pub fn of_json(value: &Json) -> Cell<'static> {
        match value {
            Json::Null => Cell::None,
            Json::Bool(b) => Cell::Bool(*b),
            Json::Number(n) => n.as_i64().map_or_else(|| Cell::Float(n.as_f64().unwrap_or(f64::NAN)), Cell::Int),
            Json::String(s) => Cell::Str(Cow::Owned(s.clone())),
            Json::Array(items) => Cell::List(items.iter().map(Cell::of_json).collect()),
            Json::Object(map) => {
                Cell::Record(map.iter().map(|(k, v)| (Cow::Owned(k.clone()), Cell::of_json(v))).collect())
            }
        }
    }

    /// Returns the value as JSON; a float that is not finite becomes null.
    pub fn to_json(&self) -> Json {
        match self {
            Cell::None => Json::Null,
            Cell::Bool(b) => Json::from(*b),
            Cell::Int(i) => Json::from(*i),
            Cell::Float(f) => Json::from(*f),
            Cell::Str(s) => Json::from(s.as_ref()),
            Cell::List(items) => Json::Array(items.iter().map(Cell::to_json).collect()),
            Cell::Record(fields) => Json::Object(fields.iter().map(|(k, v)| (k.to_string(), v.to_json())).collect()),
            Cell::Range(ends) => serde_json::json!({ "from": ends.0.to_json(), "to": ends.1.to_json() }),
        }
    }

    /// Makes the value independent of its column.
    pub fn into_owned(self) -> Cell<'static> {
        match self {
            Cell::None => Cell::None,
            Cell::Bool(b) => Cell::Bool(b),
            Cell::Int(i) => Cell::Int(i),
            Cell::Float(f) => Cell::Float(f),
            Cell::Str(s) => Cell::Str(Cow::Owned(s.into_owned())),
            Cell::List(items) => Cell::List(items.into_iter().map(Cell::into_owned).collect()),
            Cell::Record(fields) => {
                Cell::Record(fields.into_iter().map(|(k, v)| (Cow::Owned(k.into_owned()), v.into_owned())).collect())
            }
            Cell::Range(ends) => Cell::Range(Box::new((ends.0.into_owned(), ends.1.into_owned()))),
        }
    }

    /// Returns the text, if it is text.
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Cell::Str(s) => Some(s),
            _ => None,
        }
    }

    /// Returns the number, if it is one.
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            Cell::Int(i) => Some(*i as f64),
            Cell::Float(f) => Some(*f),
            _ => None,
        }
    }

    /// Returns a field of a record.
    pub fn field(&self, name: &str) -> Option<&Cell<'a>> {
        match self {
            Cell::Record(fields) => fields.iter().find(|(k, _)| k == name).map(|(_, v)| v),
            _ => None,
        }
    }

    /// Names the kind of value, for messages.
    pub fn kind(&self) -> &'static str {
        match self {
            Cell::None => "none",
            Cell::Bool(_) => "Bool",
            Cell::Int(_) => "Int",
            Cell::Float(_) => "Float",
            Cell::Str(_) => "Str",
            Cell::List(_) => "list",
            Cell::Record(fields) if fields.iter().any(|(k, _)| k == "digest") => "Image",
            Cell::Record(_) => "record",
            Cell::Range(_) => "range",
        }
    }

    /// Returns the value as text for joined columns: `none` is empty, lists are joined with newlines, a picture is its digest.
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Cell::None => Cow::Borrowed(""),
            Cell::Str(s) => Cow::Borrowed(s),
            Cell::List(items) => Cow::Owned(items.iter().map(|i| i.text().into_owned()).collect::<Vec<_>>().join("\n")),
            Cell::Record(_) => match self.field("digest") {
                Some(digest) => Cow::Owned(digest.text().into_owned()),
                None => Cow::Owned(self.to_json().to_string()),
            },
            other => Cow::Owned(other.to_json().to_string()),
        }
    }

    /// Compares two numbers, texts or booleans; anything else has no order.
    pub fn order(&self, other: &Cell<'_>) -> Option<Ordering> {
        match (self, other) {
            (Cell::Str(a), Cell::Str(b)) => Some(a.as_ref().cmp(b.as_ref())),
            (Cell::Bool(a), Cell::Bool(b)) => Some(a.cmp(b)),
            (Cell::Int(a), Cell::Int(b)) => Some(a.cmp(b)),
            (a, b) => a.as_f64()?.partial_cmp(&b.as_f64()?),
        }
    }

    /// Orders any two values, for sorting: none first, then by kind, then by [`Cell::order`]; not-a-number comes last.
    pub fn total_order(&self, other: &Cell<'_>) -> Ordering {
        fn rank(c: &Cell<'_>) -> u8 {
            match c {
                Cell::None => 0,
                Cell::Bool(_) => 1,
                Cell::Int(_) | Cell::Float(_) => 2,
                Cell::Str(_) => 3,
                Cell::List(_) => 4,
                Cell::Record(_) | Cell::Range(_) => 5,
            }
        }
        match (self, other) {
            (Cell::List(a), Cell::List(b)) => {
                let first = a.iter().zip(b).map(|(x, y)| x.total_order(y)).find(|o| o.is_ne());
                first.unwrap_or_else(|| a.len().cmp(&b.len()))
            }
            (Cell::Record(_), Cell::Record(_)) => self.text().cmp(&other.text()),
            (Cell::Float(a), Cell::Float(b)) => a.total_cmp(b),
            _ => rank(self)
                .cmp(&rank(other))
                .then_with(|| self.order(other).unwrap_or_else(|| nan(self).cmp(&nan(other)))),
        }
    }
}

fn nan(cell: &Cell<'_>) -> bool {
    matches!(cell, Cell::Float(f) if f.is_nan())
}

impl PartialEq for Cell<'_> {
    /// Numbers compare by value, records by field name, pictures by digest.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Cell::None, Cell::None) => true,
            (Cell::List(a), Cell::List(b)) => a == b,
            (Cell::Record(a), Cell::Record(b)) => match (self.field("digest"), other.field("digest")) {
                (Some(x), Some(y)) => x == y,
                _ => a.len() == b.len() && a.iter().all(|(k, v)| other.field(k) == Some(v)),
            },
            (Cell::Range(a), Cell::Range(b)) => a == b,
            (a, b) => a.order(b) == Some(Ordering::Equal),
        }
    }
}

/// Builds a column of type `ty`. An Int is taken where a Float is asked for, the only widening.
pub fn column(cells: &[Cell<'_>], ty: &DataType) -> Result<ArrayRef, Misfit> {
    let numbered: Vec<(usize, &Cell<'_>)> = cells.iter().enumerate().collect();
    build(&numbered, ty)
}

static NONE: Cell<'static> = Cell::None;

fn build(cells: &[(usize, &Cell<'_>)], ty: &DataType) -> Result<ArrayRef, Misfit> {
    fn gather<'c, T>(
        cells: &[(usize, &'c Cell<'c>)],
        ty: &DataType,
        pick: impl Fn(&'c Cell<'c>) -> Option<T>,
    ) -> Result<Vec<Option<T>>, Misfit> {
        cells
            .iter()
            .map(|&(row, cell)| match cell {
                Cell::None => Ok(None),
                other => pick(other).map(Some).ok_or_else(|| misfit(row, ty, other)),
            })
            .collect()
    }
    Ok(match ty {
        DataType::Null => Arc::new(NullArray::new(cells.len())),
        DataType::Utf8 => Arc::new(StringArray::from_iter(gather(cells, ty, Cell::as_str)?)),
        DataType::Boolean => Arc::new(BooleanArray::from_iter(gather(cells, ty, |c| match c {
            Cell::Bool(b) => Some(*b),
            _ => None,
        })?)),
        DataType::Int64 => Arc::new(Int64Array::from_iter(gather(cells, ty, |c| match c {
            Cell::Int(i) => Some(*i),
            _ => None,
        })?)),
        DataType::Float64 => Arc::new(Float64Array::from_iter(gather(cells, ty, Cell::as_f64)?)),
        DataType::List(item) => {
            let lists = gather(cells, ty, |c| match c {
                Cell::List(items) => Some(items),
                _ => None,
            })?;
            let offsets = OffsetBuffer::from_lengths(lists.iter().map(|l| l.map_or(0, Vec::len)));
            let nulls = NullBuffer::from(lists.iter().map(Option::is_some).collect::<Vec<_>>());
            let inner: Vec<(usize, &Cell<'_>)> = cells
                .iter()
                .zip(&lists)
                .flat_map(|(&(row, _), list)| list.iter().flat_map(move |l| l.iter().map(move |c| (row, c))))
                .collect();
            let values = build(&inner, item.data_type())?;
            let row = cells.first().map_or(0, |c| c.0);
            let made = ListArray::try_new(Arc::clone(item), offsets, values, Some(nulls));
            Arc::new(made.map_err(|e| Misfit { row, message: e.to_string() })?)
        }
        DataType::Struct(fields) => {
            let records = gather(cells, ty, |c| matches!(c, Cell::Record(_)).then_some(c))?;
            let nulls = NullBuffer::from(records.iter().map(Option::is_some).collect::<Vec<_>>());
            let mut columns = Vec::with_capacity(fields.len());
            for field in fields {
                let inner: Vec<(usize, &Cell<'_>)> =
                    cells.iter().map(|&(row, cell)| (row, cell.field(field.name()).unwrap_or(&NONE))).collect();
                columns.push(build(&inner, field.data_type())?);
            }
            let made = StructArray::try_new_with_length(fields.clone(), columns, Some(nulls), cells.len());
            let row = cells.first().map_or(0, |c| c.0);
            Arc::new(made.map_err(|e| Misfit { row, message: e.to_string() })?)
        }
        other if cells.iter().all(|(_, c)| matches!(c, Cell::None)) => new_null_array(other, cells.len()),
        other => return Err(misfit(cells.first().map_or(0, |c| c.0), other, cells[0].1)),
    })
}

fn misfit(row: usize, ty: &DataType, found: &Cell<'_>) -> Misfit {
    let mut shown: String = found.to_json().to_string().chars().take(60).collect();
    if shown.len() >= 60 {
        shown.push('…');
    }
    Misfit { row, message: format!("expected {}, found {} {shown}", arrow_type::text(ty), found.kind()) }
}

/// Returns the type of a value; `Null` for `none` and what holds nothing else.
pub fn type_of(cell: &Cell<'_>) -> DataType {
    match cell {
        Cell::None | Cell::Range(_) => DataType::Null,
        Cell::Bool(_) => DataType::Boolean,
        Cell::Int(_) => DataType::Int64,
        Cell::Float(_) => DataType::Float64,
        Cell::Str(_) => DataType::Utf8,
        Cell::List(items) => {
            let item = items.iter().map(type_of).try_fold(DataType::Null, |a, b| unify(&a, &b));
            list_of(item.unwrap_or(DataType::Utf8))
        }
        Cell::Record(fields) => DataType::Struct(Fields::from(
            fields.iter().map(|(k, v)| Field::new(k.as_ref(), type_of(v), true)).collect::<Vec<_>>(),
        )),
    }
}
