//! Operators of modules `bench`, `read`, `mark`, `total` and `media`: how a benchmark is declared.

pub mod add;
pub mod ask;
mod row;
pub mod sample;
pub mod source;
pub mod suite;
pub mod total;
pub mod values;
