//! Operators of modules `bench`, `read`, `mark`, `total` and `media`: how a benchmark is declared.

pub mod add;
mod archive;
pub mod ask;
mod parquet;
mod row;
pub mod sample;
pub mod source;
pub mod suite;
pub mod total;
pub mod values;
