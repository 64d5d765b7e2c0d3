//! Rows in memory: one Arrow record batch.

use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StringArray, UInt32Array};
use arrow::compute::{concat_batches, take_record_batch};
use arrow::datatypes::{Field, Schema};

use super::arrow_type;
use super::cell::Cell;
use crate::base::OpError;

/// Rows in memory. How the language's types lie in Arrow: Str, Json, enum: `Utf8`; Int and integer dimensions: `Int64`; Float, Ratio, Angle, …: `Float64`;
/// Bool: `Boolean`; Image and Video: [`image_type`]; lists: `List`; records: `Struct`. All columns are nullable; null is `none`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// All rows.
    pub batch: RecordBatch,
    /// How many rows of the dataset come before, for a part of one; they count in the names of rows.
    pub before: usize,
}

impl Table {
    /// Wraps columns of equal length.
    pub fn new(columns: Vec<(String, ArrayRef)>, rows: usize) -> Result<Self, OpError> {
        let schema =
            Schema::new(columns.iter().map(|(n, a)| Field::new(n, a.data_type().clone(), true)).collect::<Vec<_>>());
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let arrays = columns.into_iter().map(|(_, a)| a).collect();
        Ok(Self { batch: RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)?, before: 0 })
    }

    /// Returns the number of rows.
    pub fn rows(&self) -> usize {
        self.batch.num_rows()
    }

    /// Returns a column.
    pub fn column(&self, name: &str) -> Result<&ArrayRef, OpError> {
        self.batch
            .column_by_name(name)
            .ok_or_else(|| OpError::new("E0301", format!("column `.{name}` is not in this dataset")))
    }

    /// Returns all columns by name, in order.
    pub fn columns(&self) -> Vec<(String, ArrayRef)> {
        let schema = self.batch.schema();
        schema.fields().iter().map(|f| f.name().clone()).zip(self.batch.columns().iter().cloned()).collect()
    }

    /// Returns the rows at `ordinals`, in that order.
    pub fn take(&self, ordinals: &[u32]) -> Result<Self, OpError> {
        Ok(Self { batch: take_record_batch(&self.batch, &UInt32Array::from(ordinals.to_vec()))?, before: 0 })
    }

    /// Adds a column, or replaces one in its place.
    pub fn with_column(&self, name: &str, array: ArrayRef) -> Result<Self, OpError> {
        let mut columns = self.columns();
        match columns.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = array,
            None => columns.push((name.to_owned(), array)),
        }
        Ok(Self { before: self.before, ..Self::new(columns, self.rows())? })
    }

    /// Returns the rows for which `keep` is true, in order.
    pub fn filter(&self, keep: &[bool]) -> Result<Self, OpError> {
        let ordinals: Vec<u32> = (0..self.rows() as u32).filter(|&i| keep[i as usize]).collect();
        self.take(&ordinals)
    }

    /// Returns some rows in a row, without copying them.
    pub fn slice(&self, from: usize, rows: usize) -> Self {
        Self { batch: self.batch.slice(from, rows), before: self.before + from }
    }

    /// Keeps only some columns, in the order given.
    pub fn select(&self, names: &[String]) -> Result<Self, OpError> {
        let columns =
            names.iter().map(|n| Ok((n.clone(), Arc::clone(self.column(n)?)))).collect::<Result<_, OpError>>()?;
        Self::new(columns, self.rows())
    }

    /// Puts the rows of several tables with equal columns one after another.
    pub fn concat(tables: &[Self]) -> Result<Self, OpError> {
        let Some(first) = tables.first() else { return Self::new(Vec::new(), 0) };
        let schema = first.batch.schema();
        for table in tables {
            for (a, b) in schema.fields().iter().zip(table.batch.schema().fields()) {
                if a.data_type() != b.data_type() {
                    let (a, b, name) = (arrow_type::text(a.data_type()), arrow_type::text(b.data_type()), a.name());
                    return Err(OpError::new(
                        "E0302",
                        format!("column `.{name}` is {a} in one input and {b} in another"),
                    ));
                }
            }
        }
        Ok(Self { batch: concat_batches(&schema, tables.iter().map(|t| &t.batch))?, before: first.before })
    }

    /// Returns a value.
    pub fn cell(&self, column: &str, row: usize) -> Result<Cell<'_>, OpError> {
        Ok(Cell::read(self.column(column)?.as_ref(), row))
    }

    /// Returns all values of a column.
    pub fn cells(&self, column: &str) -> Result<Vec<Cell<'_>>, OpError> {
        let array = self.column(column)?;
        Ok((0..array.len()).map(|row| Cell::read(array.as_ref(), row)).collect())
    }

    /// Returns a column of text.
    pub fn strings(&self, column: &str) -> Result<&StringArray, OpError> {
        let array = self.column(column)?;
        array.as_string_opt().ok_or_else(|| {
            OpError::new(
                "E0304",
                format!("column `.{column}` is {}, expected Str", arrow_type::text(array.data_type())),
            )
        })
    }

    /// Returns the text of each row as [`Table::texts`] does, as an array; that of one column of text is not copied.
    pub fn text_array(&self, columns: &[String]) -> Result<StringArray, OpError> {
        if let [one] = columns
            && let Some(array) = self.column(one)?.as_string_opt::<i32>()
        {
            return Ok(array.clone());
        }
        Ok(StringArray::from_iter_values(self.texts(columns)?))
    }

    /// Returns the text of each row: the columns joined with newlines, `none` counting as empty.
    pub fn texts(&self, columns: &[String]) -> Result<Vec<String>, OpError> {
        let arrays = columns.iter().map(|c| self.column(c)).collect::<Result<Vec<_>, _>>()?;
        let mut texts = vec![String::new(); self.rows()];
        for (i, array) in arrays.iter().enumerate() {
            for (row, text) in texts.iter_mut().enumerate() {
                if i > 0 {
                    text.push('\n');
                }
                text.push_str(&Cell::read(array.as_ref(), row).text());
            }
        }
        Ok(texts)
    }

    /// Names a row for people and traces: its `id`, else its ordinal.
    pub fn name(&self, row: usize) -> String {
        let id = self.batch.column_by_name("id").map(|ids| Cell::read(ids.as_ref(), row));
        match id {
            Some(Cell::None) | None => (self.before + row).to_string(),
            Some(id) => id.text().into_owned(),
        }
    }

    /// Says where a row is, for messages.
    pub fn place(&self, row: usize) -> String {
        let at = self.before + row;
        match self.batch.column_by_name("id") {
            Some(_) => format!("row {at} (id {})", self.name(row)),
            None => format!("row {at}"),
        }
    }
}
