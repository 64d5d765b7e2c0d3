//! Operators of module `data`.

mod annotated;
pub mod concat;
pub mod count;
pub mod derive;
pub mod drop;
pub mod episodes;
pub mod jsonl;
pub mod lvis;
pub mod rename;
pub mod select;
mod source;
pub mod visual_genome;

use crate::base::OpError;
use crate::data::table::Table;

/// Joins tables on the columns that all of them have, in the first one's order, leaving out `except`.
fn shared(tables: &[Table], except: Option<&str>) -> Result<Table, OpError> {
    let Some(first) = tables.first() else {
        return Err(OpError::new("E0211", "no dataset was given"));
    };
    let names: Vec<String> = first
        .columns()
        .into_iter()
        .map(|(name, _)| name)
        .filter(|name| Some(name.as_str()) != except && tables.iter().all(|t| t.column(name).is_ok()))
        .collect();
    let selected = tables.iter().map(|t| t.select(&names)).collect::<Result<Vec<_>, _>>()?;
    Table::concat(&selected)
}
