//! Rows in another order, whatever room they take: those that do not fit in memory go through a private file.

use std::path::Path;
use std::sync::Arc;

use arrow::array::{AsArray, RecordBatch, UInt32Array};
use arrow::compute::interleave_record_batch;
use arrow::datatypes::UInt32Type;

use super::chunks;
use super::spool::Spool;
use super::table::Table;
use crate::base::OpError;

/// More bytes of rows than this go through a file.
pub const IN_MEMORY: usize = 256 << 20;
/// So many rows are handed over at once.
const PART: usize = chunks::ROWS / 8;
/// The column that tells, in the file, which place a row goes to.
const PLACE: &str = "$place";

/// Hands over the rows at `order`, in that order; a row may come several times, or not at all. `read` reads all rows from the first on. If they take more
/// than `most` bytes, it is called a second time, and they are parted into stretches of the result of about `most` bytes, which lie in a nameless
/// file in `folder` and come to memory one after the other. Beside these 12 bytes are held for each row.
///
/// # Errors
/// Those of `read` and `sink`; `E0503` when the file cannot be read back.
pub fn gather<I: Iterator<Item = Result<Table, OpError>>>(
    read: impl Fn() -> Result<I, OpError>,
    order: &[u32],
    folder: &Path,
    most: usize,
    mut sink: impl FnMut(Table) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let sizes = match look(read()?, most)? {
        Seen::All(tables) => return few(&tables, order, &mut sink),
        Seen::Sizes(sizes) => sizes,
    };
    let starts = stretches(&sizes, order, most);
    drop(sizes);
    let mut places: Vec<u32> = (0..order.len() as u32).collect();
    places.sort_unstable_by_key(|&place| (order[place as usize], place));
    let mut piles = Piles::new(folder, starts.len())?;
    let (mut before, mut placed) = (0, 0);
    let mut none = None;
    for table in read()? {
        let table = table?;
        let end = before + table.rows();
        let here = places[placed..].partition_point(|&place| (order[place as usize] as usize) < end);
        let mut own: Vec<Vec<u32>> = vec![Vec::new(); starts.len()];
        for &place in &places[placed..placed + here] {
            own[starts.partition_point(|&start| start <= place) - 1].push(place);
        }
        for (pile, places) in own.into_iter().enumerate().filter(|(_, places)| !places.is_empty()) {
            let rows: Vec<u32> = places.iter().map(|&place| order[place as usize] - before as u32).collect();
            piles.add(pile, &table.take(&rows)?.with_column(PLACE, Arc::new(UInt32Array::from(places)))?)?;
        }
        (before, placed) = (end, placed + here);
        none.get_or_insert_with(|| table.slice(0, 0));
    }
    // Whoever takes the rows learns the columns even of none.
    if let Some(none) = none.filter(|_| order.is_empty()) {
        return sink(none);
    }
    for pile in 0..starts.len() {
        each(&piles.take(pile)?, &mut sink)?;
    }
    Ok(())
}

/// What a first look at rows gives.
enum Seen {
    /// They are few: all of them.
    All(Vec<Table>),
    /// How many bytes each takes.
    Sizes(Vec<u32>),
}

fn look(rows: impl Iterator<Item = Result<Table, OpError>>, most: usize) -> Result<Seen, OpError> {
    let (mut held, mut bytes) = (Vec::new(), 0);
    let mut sizes: Option<Vec<u32>> = None;
    for table in rows {
        let table = table?;
        if let Some(sizes) = &mut sizes {
            add_sizes(sizes, &table);
            continue;
        }
        bytes += size(&table, 0, table.rows());
        held.push(table);
        if bytes > most {
            let sizes = sizes.insert(Vec::new());
            held.drain(..).for_each(|table| add_sizes(sizes, &table));
        }
    }
    Ok(sizes.map_or(Seen::All(held), Seen::Sizes))
}

fn size(table: &Table, from: usize, to: usize) -> usize {
    table.batch.columns().iter().map(|c| chunks::bytes(c.as_ref(), from, to)).sum()
}

fn add_sizes(sizes: &mut Vec<u32>, table: &Table) {
    sizes.extend((0..table.rows()).map(|row| u32::try_from(size(table, row, row + 1)).unwrap_or(u32::MAX)));
}

/// Hands over rows of tables that are held, a chunk at a time.
fn few(tables: &[Table], order: &[u32], sink: &mut impl FnMut(Table) -> Result<(), OpError>) -> Result<(), OpError> {
    if order.is_empty() {
        return tables.first().map_or(Ok(()), |table| sink(table.slice(0, 0)));
    }
    let starts: Vec<usize> =
        tables.iter().scan(0, |next, table| Some(std::mem::replace(next, *next + table.rows()))).collect();
    let batches: Vec<&RecordBatch> = tables.iter().map(|table| &table.batch).collect();
    for (part, rows) in order.chunks(PART).enumerate() {
        let place = |row: &u32| {
            let table = starts.partition_point(|start| *start <= *row as usize) - 1;
            (table, *row as usize - starts[table])
        };
        let rows: Vec<(usize, usize)> = rows.iter().map(place).collect();
        sink(Table { batch: interleaved(&batches, &rows)?, before: part * PART })?;
    }
    Ok(())
}

/// Returns where each stretch of the result begins: together its rows take about `most` bytes.
fn stretches(sizes: &[u32], order: &[u32], most: usize) -> Vec<u32> {
    let mut starts = vec![0];
    let mut bytes = 0;
    for (place, &row) in order.iter().enumerate() {
        let size = sizes[row as usize] as usize;
        if bytes + size > most && bytes > 0 {
            starts.push(place as u32);
            bytes = 0;
        }
        bytes += size;
    }
    starts
}

/// Puts the rows of a stretch in order, a chunk at a time.
fn each(pieces: &[Table], sink: &mut impl FnMut(Table) -> Result<(), OpError>) -> Result<(), OpError> {
    let mut order: Vec<(u32, (usize, usize))> = Vec::new();
    for (piece, table) in pieces.iter().enumerate() {
        let places = table.column(PLACE)?.as_primitive::<UInt32Type>();
        order.extend(places.values().iter().enumerate().map(|(row, &place)| (place, (piece, row))));
    }
    order.sort_unstable();
    let bare: Vec<RecordBatch> = pieces
        .iter()
        .map(|p| {
            let mut columns = p.columns();
            columns.retain(|(name, _)| name != PLACE);
            Ok(Table::new(columns, p.rows())?.batch)
        })
        .collect::<Result<_, OpError>>()?;
    let bare: Vec<&RecordBatch> = bare.iter().collect();
    for part in order.chunks(PART) {
        let rows: Vec<(usize, usize)> = part.iter().map(|(_, from)| *from).collect();
        sink(Table { batch: interleaved(&bare, &rows)?, before: part[0].0 as usize })?;
    }
    Ok(())
}

/// Pieces of each stretch: those of one alone in memory, those of several in a file.
enum Piles {
    Memory(Vec<Table>),
    File { spool: Spool, pieces: Vec<Vec<usize>> },
}

impl Piles {
    fn new(folder: &Path, stretches: usize) -> Result<Self, OpError> {
        if stretches == 1 {
            return Ok(Self::Memory(Vec::new()));
        }
        Ok(Self::File { spool: Spool::new(folder)?, pieces: vec![Vec::new(); stretches] })
    }

    fn add(&mut self, pile: usize, piece: &Table) -> Result<(), OpError> {
        match self {
            Self::Memory(all) => all.push(piece.clone()),
            Self::File { spool, pieces } => pieces[pile].push(spool.add(piece)?),
        }
        Ok(())
    }

    fn take(&mut self, pile: usize) -> Result<Vec<Table>, OpError> {
        match self {
            Self::Memory(all) => Ok(std::mem::take(all)),
            Self::File { spool, pieces } => pieces[pile].iter().map(|piece| spool.get(*piece)).collect(),
        }
    }
}

/// Puts rows, given by table and place in it, one after the other.
fn interleaved(tables: &[&RecordBatch], rows: &[(usize, usize)]) -> Result<RecordBatch, OpError> {
    match tables.first() {
        Some(table) if table.num_columns() > 0 => Ok(interleave_record_batch(tables, rows)?),
        _ => Ok(Table::new(Vec::new(), rows.len())?.batch),
    }
}
