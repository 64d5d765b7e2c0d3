//! Prompts with slots: `{column}` stands for what the row has there.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::table::Table;
use crate::base::OpError;

/// Fills the `{column}` slots of a prompt from a row.
///
/// # Errors
/// `E0301` naming a column that is not there.
pub fn fill(prompt: &str, table: &Table, row: usize) -> Result<String, OpError> {
    static SLOT: LazyLock<Regex> = LazyLock::new(|| Regex::new(r"\{([a-z_]\w*)\}").expect("a constant"));
    let mut missing = None;
    let filled = SLOT.replace_all(prompt, |slot: &Captures<'_>| match table.cell(&slot[1], row) {
        Ok(cell) => cell.text().into_owned(),
        Err(e) => {
            missing.get_or_insert(e);
            String::new()
        }
    });
    missing.map_or_else(|| Ok(filled.into_owned()), Err)
}
