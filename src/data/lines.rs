//! Files of JSON lines, read as a stream: block by block, each block's lines in parallel, and handed on as tables of bounded size.

use std::io::{self, Read};
use std::path::Path;

use memchr::{memchr, memrchr};
use rayon::prelude::*;

use super::blobs::Blobs;
use super::chunks;
use super::growing::{Growing, TooLong};
use super::jsonl;
use super::load::{self, Bad, BadRow, RawRow};
use super::media::{Media, Members};
use super::rowjson::Shape;
use super::table::Table;
use crate::base::OpError;
use crate::spec::Type;

/// Bytes that are read at once.
const BLOCK: usize = 16 << 20;
/// Bytes of a block that are one task.
const PIECE: usize = 512 << 10;
/// A line longer than this is no row.
const LONGEST: usize = 1 << 30;

/// Receives rows in order, as tables.
pub type Sink<'a> = dyn FnMut(Table) -> Result<(), OpError> + Send + 'a;

/// Reads files, one after the other, and hands their rows on in chunks ([`chunks`]).
pub struct Reader<'a> {
    lines: Lines<'a>,
    rows: Rows<'a>,
}

/// How lines become rows.
struct Lines<'a> {
    schema: &'a [(String, Type)],
    /// Nothing where a row needs more than its line, such as pictures.
    shape: Option<Shape>,
}

/// What has been read so far.
struct Rows<'a> {
    schema: &'a [(String, Type)],
    media: &'a Media,
    blobs: &'a dyn Blobs,
    sink: &'a mut Sink<'a>,
    loaded: Members,
    /// Rows that do not fill a chunk yet; no column where rows need more than their line.
    pending: Vec<Growing>,
    count: usize,
    bad: Vec<BadRow>,
}

impl<'a> Reader<'a> {
    /// Makes a reader of rows of a schema.
    pub fn new(schema: &'a [(String, Type)], media: &'a Media, blobs: &'a dyn Blobs, sink: &'a mut Sink<'a>) -> Self {
        let shape = Shape::new(schema);
        let pending = shape.as_ref().and_then(|_| Shape::columns(schema)).unwrap_or_default();
        let rows = Rows { schema, media, blobs, sink, loaded: Members::new(), pending, count: 0, bad: Vec::new() };
        Self { lines: Lines { schema, shape }, rows }
    }

    /// Hands on what is left; returns how many rows were read, and which of them were bad.
    pub fn finish(mut self) -> Result<(usize, Vec<BadRow>), OpError> {
        self.rows.flush()?;
        Ok((self.rows.count, self.rows.bad))
    }

    /// Reads a file of JSON lines; one that holds an array is read whole. `name` is what places are called by.
    ///
    /// The chunks do not depend on the number of threads.
    pub fn file(&mut self, path: &Path, name: &str) -> Result<(), OpError> {
        let Self { lines, rows } = self;
        let mut source = Source { from: jsonl::open(path)?, rest: Vec::new(), ended: false };
        let failed = |e| jsonl::unreadable(path, &e);
        let mut block = source.next().map_err(failed)?;
        if block.is_empty() {
            return rows.careful(vec![jsonl::empty(name)]);
        }
        if block.starts_with(b"\xEF\xBB\xBF") {
            block.drain(..3);
        }
        if block.trim_ascii_start().starts_with(b"[") {
            source.from.read_to_end(&mut source.rest).map_err(failed)?;
            block.append(&mut source.rest);
            return rows.careful(jsonl::parse(&block, name));
        }
        // While a block is parsed, the next one is read and the one before is handed on.
        let mut count = 0;
        let mut before = Vec::new();
        while !block.is_empty() {
            let (next, (mut pieces, taken)) = rayon::join(
                || source.next(),
                || rayon::join(|| lines.block(&block), || rows.take(std::mem::take(&mut before))),
            );
            taken?;
            pieces.iter_mut().for_each(|piece| piece.place(name, &mut count));
            before = pieces;
            block = next.map_err(failed)?;
        }
        rows.take(before)
    }
}

impl Lines<'_> {
    fn block(&self, block: &[u8]) -> Vec<Piece> {
        let mut cuts = vec![0];
        while block.len() - cuts[cuts.len() - 1] > PIECE {
            let from = cuts[cuts.len() - 1] + PIECE;
            match memchr(b'\n', &block[from..]) {
                Some(at) if from + at + 1 < block.len() => cuts.push(from + at + 1),
                _ => break,
            }
        }
        cuts.push(block.len());
        let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &block[w[0]..w[1]]).collect();
        pieces.par_iter().map(|piece| self.piece(piece)).collect()
    }

    fn piece(&self, bytes: &[u8]) -> Piece {
        let mut piece = Piece::default();
        // Who checks a whole piece need not check each line.
        let valid = std::str::from_utf8(bytes).is_ok();
        let columns = self.shape.as_ref().and_then(|_| Shape::columns(self.schema));
        piece.columns = columns.unwrap_or_default();
        let mut from = 0;
        while from < bytes.len() {
            let number = piece.lines;
            let end = memchr(b'\n', &bytes[from..]);
            piece.lines += usize::from(end.is_some());
            let line = bytes[from..end.map_or(bytes.len(), |at| from + at)].trim_ascii();
            from = end.map_or(bytes.len(), |at| from + at + 1);
            if line.is_empty() {
                continue;
            }
            piece.rows += 1;
            let Some(shape) = &self.shape else {
                let value = if line.len() > LONGEST { Err(too_long()) } else { jsonl::one(line) };
                piece.raw.push((number, RawRow { place: String::new(), value }));
                continue;
            };
            if valid && line.len() <= LONGEST && shape.read(line, &mut piece.columns).is_ok() {
                piece.good += 1;
                continue;
            }
            piece.columns.iter_mut().for_each(|c| c.cut(piece.good));
            match self.one(line, &mut piece.columns) {
                Ok(()) => piece.good += 1,
                Err(reason) => {
                    piece.columns.iter_mut().for_each(|c| c.cut(piece.good));
                    piece.bad.push((number, BadRow { place: String::new(), reason }));
                }
            }
        }
        piece
    }

    /// Reads a line the careful way; the reason if it is no row.
    fn one(&self, line: &[u8], columns: &mut [Growing]) -> Result<(), String> {
        if line.len() > LONGEST {
            return Err(too_long());
        }
        let cells = load::plain_row(jsonl::one(line)?, self.schema)?;
        columns
            .iter_mut()
            .zip(&cells)
            .try_for_each(|(column, cell)| column.push_cell(cell))
            .map_err(|TooLong| too_long())
    }
}

impl Rows<'_> {
    /// Takes what a block gave.
    fn take(&mut self, pieces: Vec<Piece>) -> Result<(), OpError> {
        if self.pending.is_empty() {
            let raw: Vec<RawRow> = pieces.into_iter().flat_map(|p| p.raw).map(|(_, row)| row).collect();
            return if raw.is_empty() { Ok(()) } else { self.careful(raw) };
        }
        for piece in pieces {
            self.count += piece.rows;
            self.bad.extend(piece.bad.into_iter().map(|(_, row)| row));
            for (column, other) in self.pending.iter_mut().zip(&piece.columns) {
                column.append(other, 0, piece.good).map_err(|TooLong| OpError::new("E0612", too_long()))?;
            }
            self.cut()?;
        }
        Ok(())
    }

    /// Hands on the chunks that are full.
    fn cut(&mut self) -> Result<(), OpError> {
        loop {
            let rows = self.pending[0].rows();
            let end = chunks::end(rows, 0, |from, to| self.pending.iter().map(|c| c.bytes(from, to)).sum());
            if end == rows {
                return Ok(());
            }
            let mut rest = Shape::columns(self.schema).unwrap_or_default();
            for (rest, column) in rest.iter_mut().zip(&mut self.pending) {
                rest.append(column, end, rows).map_err(|TooLong| OpError::new("E0612", too_long()))?;
                column.cut(end);
            }
            self.flush()?;
            self.pending = rest;
        }
    }

    /// Makes rows by way of JSON values.
    fn careful(&mut self, rows: Vec<RawRow>) -> Result<(), OpError> {
        self.count += rows.len();
        let (table, bad) = load::table_with(rows, self.schema, self.media, self.blobs, Bad::Skip, &mut self.loaded)?;
        self.bad.extend(bad);
        self.flush()?;
        (self.sink)(table)
    }

    /// Hands on the rows that are pending.
    fn flush(&mut self) -> Result<(), OpError> {
        let rows = self.pending.first().map_or(0, Growing::rows);
        if rows == 0 {
            return Ok(());
        }
        let fresh = Shape::columns(self.schema).unwrap_or_default();
        let columns = std::mem::replace(&mut self.pending, fresh);
        let arrays = columns.into_iter().map(Growing::finish).collect::<Result<Vec<_>, _>>()?;
        let names = self.schema.iter().map(|(name, _)| name.clone());
        (self.sink)(Table::new(names.zip(arrays).collect(), rows)?)
    }
}

fn too_long() -> String {
    format!("the line is longer than {LONGEST} bytes")
}

/// What a stretch of lines gave. Numbers of lines count from its start, until [`Piece::place`].
#[derive(Default)]
struct Piece {
    columns: Vec<Growing>,
    /// Rows in `columns`.
    good: usize,
    /// Rows of all kinds.
    rows: usize,
    /// Line ends.
    lines: usize,
    bad: Vec<(usize, BadRow)>,
    /// Rows that need more than their line.
    raw: Vec<(usize, RawRow)>,
}

impl Piece {
    /// Says where its rows are, given how many lines come before it, and counts its own.
    fn place(&mut self, name: &str, before: &mut usize) {
        let place = |number: usize| format!("{name}:{}", *before + number + 1);
        self.bad.iter_mut().for_each(|(number, row)| row.place = place(*number));
        self.raw.iter_mut().for_each(|(number, row)| row.place = place(*number));
        *before += self.lines;
    }
}

/// A stream that is cut into blocks of whole lines.
struct Source {
    from: Box<dyn Read + Send>,
    /// What was read after the last line end.
    rest: Vec<u8>,
    ended: bool,
}

impl Source {
    /// Returns the next lines; nothing at the end.
    fn next(&mut self) -> io::Result<Vec<u8>> {
        let mut block = std::mem::take(&mut self.rest);
        while !self.ended {
            let from = block.len();
            block.reserve(BLOCK);
            let read = self.from.by_ref().take(BLOCK as u64).read_to_end(&mut block)?;
            self.ended = read < BLOCK;
            if let Some(at) = memrchr(b'\n', &block[from..])
                && !self.ended
            {
                self.rest = block.split_off(from + at + 1);
                break;
            }
        }
        Ok(block)
    }
}
