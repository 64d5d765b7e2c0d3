//! Tables that wait in a private file.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;

use arrow::buffer::Buffer;
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;

use super::table::Table;
use crate::base::OpError;

/// Tables in a nameless file, in the order in which they were added.
pub struct Spool {
    file: File,
    written: u64,
    /// Where each begins, and how many bytes it has.
    pieces: Vec<(u64, usize)>,
}

impl Spool {
    /// Makes the file in `folder`.
    pub fn new(folder: &Path) -> Result<Self, OpError> {
        Ok(Self { file: tempfile::tempfile_in(folder)?, written: 0, pieces: Vec::new() })
    }

    /// Adds a table; returns how many there were before.
    pub fn add(&mut self, table: &Table) -> Result<usize, OpError> {
        let mut writer = StreamWriter::try_new(Vec::new(), &table.batch.schema())?;
        writer.write(&table.batch)?;
        let bytes = writer.into_inner()?;
        self.file.write_all(&bytes)?;
        self.pieces.push((self.written, bytes.len()));
        self.written += bytes.len() as u64;
        Ok(self.pieces.len() - 1)
    }

    /// Reads a table back.
    ///
    /// # Errors
    /// `E0503` when the file cannot be read, or there is no such table.
    pub fn get(&self, piece: usize) -> Result<Table, OpError> {
        let gone = || OpError::new("E0503", "rows that were put aside are gone");
        let &(from, length) = self.pieces.get(piece).ok_or_else(gone)?;
        let mut bytes = vec![0; length];
        self.file.read_exact_at(&mut bytes, from)?;
        let batch = StreamDecoder::new().decode(&mut Buffer::from_vec(bytes))?.ok_or_else(gone)?;
        Ok(Table { batch, before: 0 })
    }

    /// Reads all tables back, one after the other.
    pub fn tables(&self) -> impl Iterator<Item = Result<Table, OpError>> {
        (0..self.pieces.len()).map(|piece| self.get(piece))
    }
}
