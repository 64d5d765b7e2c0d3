//! Datasets in chunks: where one ends depends on the rows alone, so that the same rows are stored as the same bytes whoever made them.

use std::collections::VecDeque;

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;

use super::table::Table;
use crate::base::OpError;

/// A chunk has at most so many rows.
pub const ROWS: usize = 1 << 16;
/// The values of a chunk take at most so many bytes, unless it is a single row.
pub const BYTES: usize = 64 << 20;

/// Returns where the chunk ends that starts at row `from` of `rows`, given how many bytes a range of rows takes.
pub fn end(rows: usize, from: usize, bytes: impl Fn(usize, usize) -> usize) -> usize {
    let most = rows.min(from + ROWS);
    if bytes(from, most) <= BYTES {
        return most;
    }
    // The last row up to which it fits; one row always does.
    let (mut fits, mut exceeds) = ((from + 1).min(most), most);
    while exceeds - fits > 1 {
        let middle = usize::midpoint(fits, exceeds);
        if bytes(from, middle) <= BYTES { fits = middle } else { exceeds = middle }
    }
    // Bits of whole bytes have no neighbours in another chunk.
    match (fits - from) / 8 * 8 {
        0 => fits,
        whole => from + whole,
    }
}

/// Returns how many bytes the values of some rows of a column take.
pub fn bytes(array: &dyn Array, from: usize, to: usize) -> usize {
    match array.data_type() {
        DataType::Null => 0,
        DataType::Boolean => to - from,
        DataType::Utf8 => {
            let offsets = array.as_string::<i32>().value_offsets();
            (offsets[to] - offsets[from]) as usize
        }
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let offsets = list.value_offsets();
            bytes(list.values().as_ref(), offsets[from] as usize, offsets[to] as usize)
        }
        DataType::FixedSizeList(_, width) => {
            let width = *width as usize;
            bytes(array.as_fixed_size_list().values().as_ref(), from * width, to * width)
        }
        DataType::Struct(_) => array.as_struct().columns().iter().map(|c| bytes(c.as_ref(), from, to)).sum(),
        other => other.primitive_width().unwrap_or(8) * (to - from),
    }
}

/// Cuts rows that arrive in pieces of any size into chunks.
#[derive(Default)]
pub struct Chunker {
    pending: VecDeque<Table>,
}

impl Chunker {
    /// Adds rows and returns the chunks that are full.
    pub fn push(&mut self, table: Table) -> Result<Vec<Table>, OpError> {
        if table.rows() > 0 || self.pending.is_empty() {
            self.pending.push_back(table);
        }
        let mut full = Vec::new();
        while let Some(chunk) = self.cut()? {
            full.push(chunk);
        }
        Ok(full)
    }

    /// Returns the last chunk; it may have no rows. Nothing if nothing was pushed.
    pub fn finish(mut self) -> Result<Option<Table>, OpError> {
        let rest: Vec<Table> = self.pending.drain(..).collect();
        joined(rest)
    }

    /// Takes the first chunk, if it is full: that shows when a row comes that has no place in it.
    fn cut(&mut self) -> Result<Option<Table>, OpError> {
        let rows = self.pending.iter().map(Table::rows).sum();
        let ends = end(rows, 0, |_, to| self.first(to));
        if ends == rows {
            return Ok(None);
        }
        let mut chunk = Vec::new();
        let mut missing = ends;
        while missing > 0
            && let Some(mut table) = self.pending.pop_front()
        {
            if table.rows() > missing {
                self.pending.push_front(table.slice(missing, table.rows() - missing));
                table = table.slice(0, missing);
            }
            missing -= table.rows();
            chunk.push(table);
        }
        joined(chunk)
    }

    /// Returns how many bytes the values of the first rows take.
    fn first(&self, rows: usize) -> usize {
        let mut missing = rows;
        let mut bytes = 0;
        for table in &self.pending {
            let part = table.rows().min(missing);
            bytes += size(table, 0, part);
            missing -= part;
        }
        bytes
    }
}

fn size(table: &Table, from: usize, to: usize) -> usize {
    table.batch.columns().iter().map(|c| bytes(c.as_ref(), from, to)).sum()
}

fn joined(mut tables: Vec<Table>) -> Result<Option<Table>, OpError> {
    match tables.len() {
        0 => Ok(None),
        1 => Ok(tables.pop()),
        _ => Table::concat(&tables).map(Some),
    }
}
