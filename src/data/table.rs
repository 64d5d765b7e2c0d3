//! Rows in memory: one Arrow record batch.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, UInt32Array};
use arrow::compute::take_record_batch;
use arrow::datatypes::{DataType, Field, Fields, Schema};

use crate::base::OpError;

/// Rows in memory. How the language's types lie in Arrow: Str, Json, enum: `Utf8`; Int and integer dimensions: `Int64`; Float, Ratio, Angle, …: `Float64`;
/// Bool: `Boolean`; Image and Video: [`image_type`]; lists: `List`; records: `Struct`. All columns are nullable; null is `none`.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// All rows.
    pub batch: RecordBatch,
}

/// Returns the Arrow type of an image or video cell: `digest` (hex of the file's BLAKE3), `media` (type), `width`, `height` in pixels, and `origin`, the
/// digest of the picture that it was made from by augmentation (its own otherwise).
pub fn image_type() -> DataType {
    DataType::Struct(Fields::from(vec![
        Field::new("digest", DataType::Utf8, true),
        Field::new("media", DataType::Utf8, true),
        Field::new("width", DataType::Int64, true),
        Field::new("height", DataType::Int64, true),
        Field::new("origin", DataType::Utf8, true),
    ]))
}

impl Table {
    /// Wraps columns of equal length.
    pub fn new(columns: Vec<(String, ArrayRef)>, rows: usize) -> Result<Self, OpError> {
        let schema =
            Schema::new(columns.iter().map(|(n, a)| Field::new(n, a.data_type().clone(), true)).collect::<Vec<_>>());
        let options = arrow::array::RecordBatchOptions::new().with_row_count(Some(rows));
        let arrays = columns.into_iter().map(|(_, a)| a).collect();
        Ok(Self { batch: RecordBatch::try_new_with_options(Arc::new(schema), arrays, &options)? })
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
        Ok(Self { batch: take_record_batch(&self.batch, &UInt32Array::from(ordinals.to_vec()))? })
    }

    /// Adds a column, or replaces one in its place.
    pub fn with_column(&self, name: &str, array: ArrayRef) -> Result<Self, OpError> {
        let mut columns = self.columns();
        match columns.iter_mut().find(|(n, _)| n == name) {
            Some(slot) => slot.1 = array,
            None => columns.push((name.to_owned(), array)),
        }
        Self::new(columns, self.rows())
    }
}
