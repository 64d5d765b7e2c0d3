//! Operators of module `report`.

pub mod card;
pub mod page;
mod payload;

/// The looks of every page that we write.
pub const STYLE: &str = include_str!("page.css");
