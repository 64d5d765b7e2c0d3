//! Files of JSON lines or of a JSON array, read as a stream: block by block, each block's rows in parallel, and handed on as tables of bounded size.

use std::ops::Range;
use std::path::Path;

use memchr::memchr;
use rayon::prelude::*;

use super::blocks::{Block, Blocks};
use super::jsonl;
use super::load::{self, Bad, BadRow, RawRow};
use super::packed;
use super::rowjson::Shape;
use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::data::chunks;
use crate::data::growing::{Growing, TooLong};
use crate::data::pictures::media::{Media, Members};
use crate::data::table::Table;
use crate::spec::Type;

/// Bytes of a block that are one task.
const PIECE: usize = 512 << 10;
/// A row longer than this is none.
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

    /// Reads a file of JSON lines or of one array. `name` is what places are called by.
    ///
    /// The chunks do not depend on the number of threads.
    pub fn file(&mut self, path: &Path, name: &str) -> Result<(), OpError> {
        let Self { lines, rows } = self;
        let mut source = Blocks::open(path)?;
        let failed = |e| packed::unreadable(path, &e);
        let mut block = source.next().map_err(failed)?;
        if block.is_empty() && block.items.is_none() {
            return rows.careful(vec![jsonl::empty(name)]);
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
            let array = block.items.is_some();
            pieces.iter_mut().for_each(|piece| piece.place(name, array, &mut count));
            before = pieces;
            block = next.map_err(failed)?;
        }
        rows.take(before)
    }
}

impl Lines<'_> {
    fn block(&self, block: &Block) -> Vec<Piece> {
        let bytes = &block.bytes[..];
        let Some(items) = &block.items else {
            let mut cuts = vec![0];
            while bytes.len() - cuts[cuts.len() - 1] > PIECE {
                let from = cuts[cuts.len() - 1] + PIECE;
                match memchr(b'\n', &bytes[from..]) {
                    Some(at) if from + at + 1 < bytes.len() => cuts.push(from + at + 1),
                    _ => break,
                }
            }
            cuts.push(bytes.len());
            let pieces: Vec<&[u8]> = cuts.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            return pieces.par_iter().map(|piece| self.lines(piece)).collect();
        };
        let mut pieces: Vec<Piece> = jsonl::grouped(items, PIECE).par_iter().map(|g| self.items(bytes, g)).collect();
        if let Some(fault) = &block.fault {
            let mut piece = self.begun();
            self.bad(&mut piece, 0, fault.clone());
            pieces.push(piece);
        }
        pieces
    }

    fn begun(&self) -> Piece {
        let columns = self.shape.as_ref().and_then(|_| Shape::columns(self.schema));
        Piece { columns: columns.unwrap_or_default(), ..Piece::default() }
    }

    fn lines(&self, bytes: &[u8]) -> Piece {
        let mut piece = self.begun();
        // Who checks a whole piece need not check each line.
        let valid = std::str::from_utf8(bytes).is_ok();
        let mut from = 0;
        while from < bytes.len() {
            let number = piece.places;
            let end = memchr(b'\n', &bytes[from..]);
            piece.places += usize::from(end.is_some());
            let line = bytes[from..end.map_or(bytes.len(), |at| from + at)].trim_ascii();
            from = end.map_or(bytes.len(), |at| from + at + 1);
            if !line.is_empty() {
                self.row(&mut piece, number, line, valid);
            }
        }
        piece
    }

    fn items(&self, bytes: &[u8], items: &[Range<usize>]) -> Piece {
        let mut piece = self.begun();
        let whole = items.first().map_or(0, |i| i.start)..items.last().map_or(0, |i| i.end);
        let valid = std::str::from_utf8(&bytes[whole]).is_ok();
        for (number, item) in items.iter().enumerate() {
            piece.places += 1;
            self.row(&mut piece, number, bytes[item.clone()].trim_ascii(), valid);
        }
        piece
    }

    /// Reads a row; `valid` says that its text is known to be UTF-8.
    fn row(&self, piece: &mut Piece, number: usize, text: &[u8], valid: bool) {
        let Some(shape) = &self.shape else {
            piece.rows += 1;
            let value = if text.len() > LONGEST { Err(too_long()) } else { jsonl::one(text) };
            return piece.raw.push((number, RawRow { place: String::new(), value }));
        };
        if valid && text.len() <= LONGEST && shape.read(text, &mut piece.columns).is_ok() {
            piece.rows += 1;
            piece.good += 1;
            return;
        }
        piece.columns.iter_mut().for_each(|c| c.cut(piece.good));
        match self.one(text, &mut piece.columns) {
            Ok(()) => {
                piece.rows += 1;
                piece.good += 1;
            }
            Err(reason) => {
                piece.columns.iter_mut().for_each(|c| c.cut(piece.good));
                self.bad(piece, number, reason);
            }
        }
    }

    fn bad(&self, piece: &mut Piece, number: usize, reason: String) {
        piece.rows += 1;
        match self.shape {
            Some(_) => piece.bad.push((number, BadRow { place: String::new(), reason })),
            None => piece.raw.push((number, RawRow { place: String::new(), value: Err(reason) })),
        }
    }

    /// Reads a row the careful way; the reason if it is none.
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
    format!("the row is longer than {LONGEST} bytes")
}

/// What a stretch of rows gave. Numbers of lines or items count from its start, until [`Piece::place`].
#[derive(Default)]
struct Piece {
    columns: Vec<Growing>,
    /// Rows in `columns`.
    good: usize,
    /// Rows of all kinds.
    rows: usize,
    /// Line ends, or items.
    places: usize,
    bad: Vec<(usize, BadRow)>,
    /// Rows that need more than their line.
    raw: Vec<(usize, RawRow)>,
}

impl Piece {
    /// Says where its rows are, given how many lines or items come before it, and counts its own.
    fn place(&mut self, name: &str, array: bool, before: &mut usize) {
        let place = |number: usize| match array {
            true => format!("{name}[{}]", *before + number),
            false => format!("{name}:{}", *before + number + 1),
        };
        self.bad.iter_mut().for_each(|(number, row)| row.place = place(*number));
        self.raw.iter_mut().for_each(|(number, row)| row.place = place(*number));
        *before += self.places;
    }
}
