//! Columns that are growing: typed buffers that values are pushed to without a value in between, cut back, joined, and closed to Arrow arrays.

use std::sync::Arc;

use arrow::array::{ArrayRef, BooleanArray, Float64Array, Int64Array, ListArray, StringArray, StructArray};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Fields};
use arrow::error::ArrowError;

use super::cell::Cell;
use super::chunks;

/// A column that is growing. What it becomes is the same, byte for byte, as what [`super::cell::column`] makes of the same values.
pub struct Growing {
    /// Which rows have a value.
    present: Vec<bool>,
    values: Values,
}

enum Values {
    Text { ends: Vec<i32>, bytes: Vec<u8> },
    Int(Vec<i64>),
    Float(Vec<f64>),
    Bool(Vec<bool>),
    List { ends: Vec<i32>, items: Box<Growing>, ty: DataType },
    Record { fields: Fields, columns: Vec<Growing> },
}

/// Text of this size is likely to fill a chunk.
const LARGE: usize = 4 << 20;
/// What a chunk holds, and what was appended before that showed.
const CHUNK: usize = chunks::BYTES + (4 << 20);

/// A text or list is too long for its column.
#[derive(Debug)]
pub struct TooLong;

impl Growing {
    /// Begins a column of a type; nothing for a type that rows read from text never have.
    pub fn new(ty: &DataType) -> Option<Self> {
        let values = match ty {
            DataType::Utf8 => Values::Text { ends: Vec::new(), bytes: Vec::new() },
            DataType::Int64 => Values::Int(Vec::new()),
            DataType::Float64 => Values::Float(Vec::new()),
            DataType::Boolean => Values::Bool(Vec::new()),
            DataType::List(item) => {
                Values::List { ends: Vec::new(), items: Box::new(Self::new(item.data_type())?), ty: ty.clone() }
            }
            DataType::Struct(fields) => {
                let columns = fields.iter().map(|f| Self::new(f.data_type())).collect::<Option<_>>()?;
                Values::Record { fields: fields.clone(), columns }
            }
            _ => return None,
        };
        Some(Self { present: Vec::new(), values })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.present.len()
    }

    /// Returns how many bytes the values of some rows take, as [`super::chunks::bytes`] of what it becomes.
    pub fn bytes(&self, from: usize, to: usize) -> usize {
        match &self.values {
            Values::Text { ends, .. } => start(ends, to) - start(ends, from),
            Values::Int(_) | Values::Float(_) => 8 * (to - from),
            Values::Bool(_) => to - from,
            Values::List { ends, items, .. } => items.bytes(start(ends, from), start(ends, to)),
            Values::Record { columns, .. } => columns.iter().map(|c| c.bytes(from, to)).sum(),
        }
    }

    /// Adds a row without a value.
    pub fn push_none(&mut self) {
        self.present.push(false);
        match &mut self.values {
            Values::Text { ends, .. } | Values::List { ends, .. } => ends.push(ends.last().copied().unwrap_or(0)),
            Values::Int(values) => values.push(0),
            Values::Float(values) => values.push(0.0),
            Values::Bool(values) => values.push(false),
            Values::Record { columns, .. } => columns.iter_mut().for_each(Self::push_none),
        }
    }

    /// Adds a row of text, which `write` appends to the bytes that it is given.
    ///
    /// # Panics
    /// On a column of another type, as all `push_…`: whoever fills it goes by the same schema.
    pub fn push_text<E: From<TooLong>>(&mut self, write: impl FnOnce(&mut Vec<u8>) -> Result<(), E>) -> Result<(), E> {
        let Values::Text { ends, bytes } = &mut self.values else { unreachable!("a column of text") };
        write(bytes)?;
        ends.push(i32::try_from(bytes.len()).map_err(|_| TooLong)?);
        self.present.push(true);
        Ok(())
    }

    /// Adds a whole number.
    pub fn push_int(&mut self, value: i64) {
        let Values::Int(values) = &mut self.values else { unreachable!("a column of whole numbers") };
        values.push(value);
        self.present.push(true);
    }

    /// Adds a number.
    pub fn push_float(&mut self, value: f64) {
        let Values::Float(values) = &mut self.values else { unreachable!("a column of numbers") };
        values.push(value);
        self.present.push(true);
    }

    /// Adds a yes or no.
    pub fn push_bool(&mut self, value: bool) {
        let Values::Bool(values) = &mut self.values else { unreachable!("a column of yes and no") };
        values.push(value);
        self.present.push(true);
    }

    /// Adds a list of what `fill` pushes to the column of items.
    pub fn push_list<E: From<TooLong>>(&mut self, fill: impl FnOnce(&mut Growing) -> Result<(), E>) -> Result<(), E> {
        let Values::List { ends, items, .. } = &mut self.values else { unreachable!("a column of lists") };
        fill(items)?;
        ends.push(i32::try_from(items.rows()).map_err(|_| TooLong)?);
        self.present.push(true);
        Ok(())
    }

    /// Adds a record; `fill` pushes one value to each of the columns of its fields.
    pub fn push_record<E>(&mut self, fill: impl FnOnce(&mut [Growing]) -> Result<(), E>) -> Result<(), E> {
        let Values::Record { columns, .. } = &mut self.values else { unreachable!("a column of records") };
        fill(columns)?;
        self.present.push(true);
        Ok(())
    }

    /// Adds a value that was read by the way of [`Cell`].
    ///
    /// # Errors
    /// The value is of another type, or too long. The column may hold a part of it then: cut it back.
    pub fn push_cell(&mut self, cell: &Cell<'_>) -> Result<(), TooLong> {
        match (&self.values, cell) {
            (_, Cell::None) => self.push_none(),
            (Values::Text { .. }, Cell::Str(text)) => self.push_text(|bytes| {
                bytes.extend_from_slice(text.as_bytes());
                Ok::<_, TooLong>(())
            })?,
            (Values::Int(_), Cell::Int(value)) => self.push_int(*value),
            (Values::Float(_), Cell::Int(value)) => self.push_float(*value as f64),
            (Values::Float(_), Cell::Float(value)) => self.push_float(*value),
            (Values::Bool(_), Cell::Bool(value)) => self.push_bool(*value),
            (Values::List { .. }, Cell::List(cells)) => {
                self.push_list(|items| cells.iter().try_for_each(|cell| items.push_cell(cell)))?;
            }
            (Values::Record { fields, .. }, Cell::Record(_)) => {
                let fields = fields.clone();
                self.push_record(|columns| {
                    let each = |(field, column): (&Arc<_>, &mut Growing)| {
                        let field: &arrow::datatypes::Field = field;
                        column.push_cell(cell.field(field.name()).unwrap_or(&Cell::None))
                    };
                    fields.iter().zip(columns).try_for_each(each)
                })?;
            }
            _ => return Err(TooLong),
        }
        Ok(())
    }

    /// Takes away all but the first rows, and what of a row was pushed in part.
    pub fn cut(&mut self, rows: usize) {
        self.present.truncate(rows);
        match &mut self.values {
            Values::Text { ends, bytes } => {
                ends.truncate(rows);
                bytes.truncate(start(ends, rows));
            }
            Values::Int(values) => values.truncate(rows),
            Values::Float(values) => values.truncate(rows),
            Values::Bool(values) => values.truncate(rows),
            Values::List { ends, items, .. } => {
                ends.truncate(rows);
                items.cut(start(ends, rows));
            }
            Values::Record { columns, .. } => columns.iter_mut().for_each(|c| c.cut(rows)),
        }
    }

    /// Adds some rows of another column of the same type.
    ///
    /// # Errors
    /// Together they are too long.
    pub fn append(&mut self, other: &Self, from: usize, to: usize) -> Result<(), TooLong> {
        self.present.extend_from_slice(&other.present[from..to]);
        match (&mut self.values, &other.values) {
            (Values::Text { ends, bytes }, Values::Text { ends: other_ends, bytes: other_bytes }) => {
                let (first, last) = (start(other_ends, from), start(other_ends, to));
                extend_ends(ends, bytes.len(), &other_ends[from..to], first)?;
                make_room(bytes, last - first);
                bytes.extend_from_slice(&other_bytes[first..last]);
            }
            (Values::Int(values), Values::Int(other)) => values.extend_from_slice(&other[from..to]),
            (Values::Float(values), Values::Float(other)) => values.extend_from_slice(&other[from..to]),
            (Values::Bool(values), Values::Bool(other)) => values.extend_from_slice(&other[from..to]),
            (Values::List { ends, items, .. }, Values::List { ends: other_ends, items: other_items, .. }) => {
                let (first, last) = (start(other_ends, from), start(other_ends, to));
                extend_ends(ends, items.rows(), &other_ends[from..to], first)?;
                items.append(other_items, first, last)?;
            }
            (Values::Record { columns, .. }, Values::Record { columns: others, .. }) => {
                for (column, other) in columns.iter_mut().zip(others) {
                    column.append(other, from, to)?;
                }
            }
            _ => unreachable!("two columns of one type"),
        }
        Ok(())
    }

    /// Closes the column.
    pub fn finish(self) -> Result<ArrayRef, ArrowError> {
        let rows = self.present.len();
        let nulls = NullBuffer::from(self.present);
        let some_null = || Some(nulls.clone()).filter(|n| n.null_count() > 0);
        Ok(match self.values {
            Values::Text { ends, bytes } => {
                Arc::new(StringArray::try_new(offsets(ends), Buffer::from_vec(bytes), some_null())?)
            }
            Values::Int(values) => Arc::new(Int64Array::try_new(ScalarBuffer::from(values), some_null())?),
            Values::Float(values) => Arc::new(Float64Array::try_new(ScalarBuffer::from(values), some_null())?),
            Values::Bool(values) => Arc::new(BooleanArray::new(values.into(), some_null())),
            Values::List { ends, items, ty } => {
                let DataType::List(item) = ty else { unreachable!("a list's type") };
                Arc::new(ListArray::try_new(item, offsets(ends), items.finish()?, Some(nulls))?)
            }
            Values::Record { fields, columns } => {
                let columns = columns.into_iter().map(Self::finish).collect::<Result<_, _>>()?;
                Arc::new(StructArray::try_new_with_length(fields, columns, Some(nulls), rows)?)
            }
        })
    }
}

/// Returns where a row's text or items start; `ends` has where each ends.
fn start(ends: &[i32], row: usize) -> usize {
    row.checked_sub(1).map_or(0, |before| ends[before] as usize)
}

/// Makes room for more bytes of text. What has grown large gets the room of a whole chunk at once, which is not taken from the system before it is
/// written to; who doubles it instead has it twice and copies it each time.
fn make_room(bytes: &mut Vec<u8>, more: usize) {
    let needed = bytes.len() + more;
    if (LARGE..CHUNK).contains(&needed) && bytes.capacity() < needed {
        bytes.reserve_exact(CHUNK - bytes.len());
    }
}

fn extend_ends(ends: &mut Vec<i32>, own: usize, other: &[i32], first: usize) -> Result<(), TooLong> {
    let Some(last) = other.last() else { return Ok(()) };
    i32::try_from(own + *last as usize - first).map_err(|_| TooLong)?;
    let shift = own as i32 - first as i32;
    ends.extend(other.iter().map(|end| end + shift));
    Ok(())
}

fn offsets(ends: Vec<i32>) -> OffsetBuffer<i32> {
    let mut offsets = Vec::with_capacity(ends.len() + 1);
    offsets.push(0);
    offsets.extend(ends);
    OffsetBuffer::new(ScalarBuffer::from(offsets))
}
