//! Operators of module `report`.

pub mod card;
pub mod page;
mod payload;
