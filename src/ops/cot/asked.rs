//! What makers of questions share: scenes in, rows of questions out.

use arrow::datatypes::DataType;

use crate::base::OpError;
use crate::data::cell::{self, Cell};
use crate::data::scene::{self, Scene};
use crate::data::table::Table;
use crate::engine::{Context, Outputs};

/// Reads the scenes of the argument `scenes`, each of which must have a picture.
///
/// # Errors
/// `E0302` when one has none.
pub(super) fn scenes(table: &Table) -> Result<Vec<Scene>, OpError> {
    let scenes = scene::read(table)?;
    if scenes.len() != table.rows() {
        return Err(OpError::new("E0302", format!("{} scenes have no picture", table.rows() - scenes.len()))
            .help("drop them first: `filter.rule(where: .image != none)`"));
    }
    Ok(scenes)
}

/// Makes a dataset of the questions drawn for each scene, and counts both.
pub(super) fn rows<const N: usize>(
    cx: &mut Context,
    drawn: Vec<Vec<[Cell<'static>; N]>>,
    columns: [(&str, DataType); N],
) -> Result<Outputs, OpError> {
    cx.counts.insert("scenes".into(), drawn.len() as u64);
    let table = table(drawn.into_iter().flatten(), columns)?;
    cx.counts.insert("questions".into(), table.rows() as u64);
    Ok(Context::rows(table))
}

/// Makes a table of rows, each a value for every column.
///
/// # Errors
/// `E0612` when a value does not fit its column.
pub(super) fn table<const N: usize>(
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
