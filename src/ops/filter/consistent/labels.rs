//! Consistency by names: how near the text is in meaning to the names of what the pictures show.

use super::{Args, Scores};
use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::table::Table;
use crate::engine::Context;
use crate::ops::embed::encode;

/// Scores the chosen rows.
pub fn scores(cx: &Context, args: &Args, table: &Table, chosen: &[usize]) -> Result<Scores, OpError> {
    let column = args.labels.as_ref().ok_or_else(|| {
        OpError::new(
            "E0211",
            "with a sentence encoder filter.consistent judges by names, and the argument `labels` is missing",
        )
        .help(
            "name a column that says what the pictures show, from annotations or `model.classify`: `labels: .objects`",
        )
    })?;
    let texts = table.texts(std::slice::from_ref(&args.text))?;
    let cells = table.cells(column)?;
    let pictures = table.cells(&args.images)?;
    let pairs: Vec<[String; 2]> =
        chosen.iter().map(|&row| [texts[row].clone(), names(&cells[row]).join(", ")]).collect();
    let flat: Vec<&str> = pairs.iter().flatten().map(String::as_str).collect();
    let encoded = encode(cx, "by", &flat)?;
    let score = |(i, &row): (usize, &usize)| {
        let [text, names] = &pairs[i];
        if matches!(&pictures[row], Cell::None) || matches!(&pictures[row], Cell::List(list) if list.is_empty()) {
            return Err(format!(".{} has no picture", args.images));
        }
        for (column, text) in [(&args.text, text), (column, names)] {
            if text.trim().is_empty() {
                return Err(format!(".{column} is empty"));
            }
        }
        Ok(encoded.cosine(2 * i, 2 * i + 1).max(0.0))
    };
    Ok(chosen.iter().enumerate().map(score).collect())
}

/// Returns the names in a cell, each once and in order.
fn names(cell: &Cell<'_>) -> Vec<String> {
    let mut names: Vec<String> = match cell {
        Cell::None => Vec::new(),
        Cell::List(items) => items.iter().filter(|c| !matches!(c, Cell::None)).map(|c| c.text().into_owned()).collect(),
        one => vec![one.text().into_owned()],
    };
    let mut seen = std::collections::BTreeSet::new();
    names.retain(|name| !name.trim().is_empty() && seen.insert(name.clone()));
    names
}
