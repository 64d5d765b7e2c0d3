//! What makers of rows share: scenes in and made rows out, some at a time.

use arrow::datatypes::DataType;

use crate::base::OpError;
use crate::data::cell::{self, Cell};
use crate::data::scenes::scene::{self, Scene};
use crate::data::table::Table;
use crate::engine::storage::dataset::Writer;
use crate::engine::{Context, Output, Outputs, Store};

/// So many scenes are worked on at once.
const AT_ONCE: usize = 4096;

/// Reads the scenes of the argument `scenes`, some at a time, with their rows. Each must have a picture.
///
/// # Errors
/// `E0302` when some have none.
pub(super) fn scenes(
    cx: &Context,
    mut each: impl FnMut(&Table, Vec<Scene>) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let mut missing = 0;
    for chunk in cx.chunks("scenes")? {
        let chunk = chunk?;
        for from in (0..chunk.rows()).step_by(AT_ONCE) {
            cx.go_on()?;
            let part = chunk.slice(from, AT_ONCE.min(chunk.rows() - from));
            let scenes = scene::read(&part)?;
            missing += part.rows() - scenes.len();
            if missing == 0 {
                each(&part, scenes)?;
            }
        }
    }
    if missing > 0 {
        return Err(OpError::new("E0302", format!("{missing} scenes have no picture"))
            .help("drop them first: `filter.rule(where: .image != none)`"));
    }
    Ok(())
}

/// Rows that are made some at a time, each a value for every column.
pub(super) struct Made<'s, const N: usize> {
    columns: [(&'static str, DataType); N],
    writer: Writer<'s>,
    rows: usize,
}

impl<'s, const N: usize> Made<'s, N> {
    /// Begins a dataset.
    pub(super) fn new(store: &'s Store, columns: [(&'static str, DataType); N]) -> Self {
        Self { columns, writer: Writer::new(store), rows: 0 }
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `E0612` when a value does not fit its column.
    pub(super) fn push(&mut self, rows: impl IntoIterator<Item = [Cell<'static>; N]>) -> Result<(), OpError> {
        let table = table(rows, self.columns.clone())?;
        self.rows += table.rows();
        self.writer.push(table)
    }

    /// Returns how many rows were made, and all of them.
    pub(super) fn finish(mut self) -> Result<(u64, Outputs), OpError> {
        self.push([])?;
        Ok((self.rows as u64, vec![(String::new(), Output::Artifact(self.writer.finish()?))]))
    }
}

/// Makes a table of rows, each a value for every column.
///
/// # Errors
/// `E0612` when a value does not fit its column.
fn table<const N: usize>(
    rows: impl IntoIterator<Item = [Cell<'static>; N]>,
    columns: [(&str, DataType); N],
) -> Result<Table, OpError> {
    let mut cells: [Vec<Cell<'static>>; N] = std::array::from_fn(|_| Vec::new());
    for row in rows {
        cells.iter_mut().zip(row).for_each(|(column, cell)| column.push(cell));
    }
    let arrays = columns.iter().zip(&cells).map(|((name, ty), cells)| {
        let array = cell::column(cells, ty).map_err(|m| OpError::new("E0612", format!("`.{name}`: {}", m.message)))?;
        Ok(((*name).to_owned(), array))
    });
    Table::new(arrays.collect::<Result<_, OpError>>()?, cells[0].len())
}
