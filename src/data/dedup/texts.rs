//! One text a row, for whoever compares texts: in memory while they are few, else in a private file.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Mutex;

use arrow::array::{Array, StringArray};

use crate::base::OpError;

/// Texts by row.
pub trait Texts: Sync {
    /// Returns the number of rows.
    fn rows(&self) -> usize;

    /// Hands over the text of a row.
    fn with<R>(&self, row: usize, read: impl FnOnce(&str) -> R) -> R;

    /// Returns how many bytes the text of a row has.
    fn bytes(&self, row: usize) -> usize;
}

impl Texts for [String] {
    fn rows(&self) -> usize {
        self.len()
    }

    fn with<R>(&self, row: usize, read: impl FnOnce(&str) -> R) -> R {
        read(&self[row])
    }

    fn bytes(&self, row: usize) -> usize {
        self[row].len()
    }
}

/// More bytes of text than this lie in a file.
pub const IN_MEMORY: usize = 512 << 20;

/// Texts of any number of rows.
pub struct Held {
    /// Where each text ends, counted from the first byte of the first.
    ends: Vec<u64>,
    place: Place,
    /// Why a text could not be read back.
    failed: Mutex<Option<std::io::Error>>,
}

enum Place {
    /// Arrays, and the first row of each.
    Memory(Vec<(usize, StringArray)>),
    /// Stretches of a file, in the order of the rows: the first row of each, and where the file has its text.
    File(File, Vec<(usize, u64)>),
}

/// Texts that are being collected.
pub struct Collector<'p> {
    folder: &'p Path,
    most: usize,
    ends: Vec<u64>,
    arrays: Vec<(usize, StringArray)>,
    file: Option<BufWriter<File>>,
}

impl<'p> Collector<'p> {
    /// Begins a collection that holds up to `most` bytes in memory; more go to a nameless file in `folder`.
    pub fn new(folder: &'p Path, most: usize) -> Self {
        Self { folder, most, ends: Vec::new(), arrays: Vec::new(), file: None }
    }

    /// Adds the texts of some rows; none is an empty text.
    pub fn push(&mut self, texts: StringArray) -> Result<(), OpError> {
        let first = self.ends.len();
        add_ends(&mut self.ends, &texts);
        if let Some(file) = &mut self.file {
            return write(file, &texts);
        }
        self.arrays.push((first, texts));
        if self.ends.last().is_some_and(|all| *all > self.most as u64) {
            let mut file = BufWriter::with_capacity(1 << 20, tempfile::tempfile_in(self.folder)?);
            for (_, texts) in self.arrays.drain(..) {
                write(&mut file, &texts)?;
            }
            self.file = Some(file);
        }
        Ok(())
    }

    /// Returns all texts.
    pub fn finish(self) -> Result<Held, OpError> {
        let place = match self.file {
            Some(file) => Place::File(file.into_inner().map_err(std::io::IntoInnerError::into_error)?, vec![(0, 0)]),
            None => Place::Memory(self.arrays),
        };
        Ok(Held { ends: self.ends, place, failed: Mutex::new(None) })
    }
}

/// Adds where each of `texts` ends, counted from the first byte of the first of all.
pub fn add_ends(ends: &mut Vec<u64>, texts: &StringArray) {
    let (before, offsets) = (ends.last().copied().unwrap_or(0), texts.value_offsets());
    ends.extend(offsets[1..].iter().map(|end| before + (end - offsets[0]) as u64));
}

/// Writes texts one after the other; a value under a null has no bytes.
fn write(file: &mut BufWriter<File>, texts: &StringArray) -> Result<(), OpError> {
    let offsets = texts.value_offsets();
    let (from, to) = (offsets[0] as usize, offsets[texts.len()] as usize);
    Ok(file.write_all(&texts.value_data()[from..to])?)
}

impl Held {
    /// Takes texts that lie in a file already. `ends` says where each ends, counted from the first byte of the first; `stretches` are the first
    /// row of each stretch, in order, and where the file has its text.
    pub fn in_file(file: File, ends: Vec<u64>, stretches: Vec<(usize, u64)>) -> Self {
        Self { ends, place: Place::File(file, stretches), failed: Mutex::new(None) }
    }

    /// Fails if a text could not be read back since the last time: whoever asked for it was given an empty one.
    pub fn check(&self) -> Result<(), OpError> {
        let failed = self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        failed.map_or(Ok(()), |e| Err(e.into()))
    }

    /// Copies all texts to memory.
    pub fn strings(&self) -> Vec<String> {
        (0..self.rows()).map(|row| self.with(row, str::to_owned)).collect()
    }

    fn start(&self, row: usize) -> u64 {
        row.checked_sub(1).map_or(0, |before| self.ends[before])
    }
}

impl Texts for Held {
    fn rows(&self) -> usize {
        self.ends.len()
    }

    fn with<R>(&self, row: usize, read: impl FnOnce(&str) -> R) -> R {
        let (file, stretches) = match &self.place {
            Place::Memory(arrays) => {
                let at = arrays.partition_point(|(first, _)| *first <= row) - 1;
                let (first, texts) = &arrays[at];
                return read(texts.value(row - first));
            }
            Place::File(file, stretches) => (file, stretches),
        };
        let (first, place) = stretches[stretches.partition_point(|(first, _)| *first <= row) - 1];
        let mut bytes = vec![0; self.bytes(row)];
        let text = file.read_exact_at(&mut bytes, place + self.start(row) - self.start(first)).and_then(|()| {
            String::from_utf8(bytes).map_err(|e| std::io::Error::new(std::io::ErrorKind::InvalidData, e))
        });
        read(&text.unwrap_or_else(|e| {
            *self.failed.lock().unwrap_or_else(std::sync::PoisonError::into_inner) = Some(e);
            String::new()
        }))
    }

    fn bytes(&self, row: usize) -> usize {
        (self.ends[row] - self.start(row)) as usize
    }
}
