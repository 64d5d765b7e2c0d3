//! Rows that agree on columns: by value, and pictures by how they look.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use arrow::datatypes::DataType;

use super::phash::{self, Hash};
use super::text;
use crate::base::OpError;
use crate::data::arrow_type::is_media;
use crate::data::blobs::Blobs;
use crate::data::cell::Cell;
use crate::data::table::Table;

/// Returns for each row the number of its group: rows are in one group if they agree on all of `columns`.
///
/// Pictures agree when they are in one cluster of [`phash::clusters`] over the whole table, or for distance 0 when their bytes are equal; lists of pictures
/// agree element by element. Videos agree by their bytes, texts when they are the same apart from case, blanks and punctuation.
pub fn groups(table: &Table, columns: &[String], distance: u32, blobs: &dyn Blobs) -> Result<Vec<u32>, OpError> {
    let mut cells = Vec::new();
    for name in columns {
        cells.push((table.cells(name)?, is_picture(table.column(name)?.data_type())));
    }
    let mut pictures = BTreeSet::new();
    if distance > 0 {
        for (column, _) in cells.iter().filter(|(_, media)| *media) {
            column.iter().for_each(|cell| collect(cell, &mut pictures));
        }
    }
    let looks = phash::clusters(&phash::hashes(&pictures, Hash::Phash, blobs)?, distance);
    let mut known: BTreeMap<Vec<Cow<'_, str>>, u32> = BTreeMap::new();
    let mut group = Vec::with_capacity(table.rows());
    for row in 0..table.rows() {
        let key = cells
            .iter()
            .map(|(column, media)| match (&column[row], media) {
                (Cell::None, _) => Cow::Borrowed("none"),
                (cell, true) => Cow::Owned(look(cell, &looks)),
                (Cell::Str(text), false) => Cow::Owned(text::normalise(text)),
                (cell, false) => Cow::Owned(cell.to_json().to_string()),
            })
            .collect();
        let next = known.len() as u32;
        group.push(*known.entry(key).or_insert(next));
    }
    Ok(group)
}

/// Says whether cells of a type are pictures or videos, or lists of them.
pub fn is_picture(ty: &DataType) -> bool {
    match ty {
        DataType::List(item) => is_media(item.data_type()),
        ty => is_media(ty),
    }
}

/// Collects the digests of the pictures in a cell; videos have no size.
pub fn collect(cell: &Cell<'_>, into: &mut BTreeSet<String>) {
    match cell {
        Cell::List(items) => items.iter().for_each(|item| collect(item, into)),
        Cell::Record(_) if !matches!(cell.field("width"), Some(Cell::None) | None) => {
            into.extend(cell.field("digest").and_then(Cell::as_str).map(str::to_owned));
        }
        _ => {}
    }
}

fn look(cell: &Cell<'_>, looks: &BTreeMap<String, u32>) -> String {
    match cell {
        Cell::List(items) => items.iter().map(|item| look(item, looks) + ";").collect(),
        other => {
            let digest = other.field("digest").and_then(Cell::as_str).unwrap_or_default();
            looks.get(digest).map_or_else(|| digest.to_owned(), u32::to_string)
        }
    }
}
