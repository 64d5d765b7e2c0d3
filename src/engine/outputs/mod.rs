//! Results where recipes put them, in the forms that people and other tools read.

pub mod export;
pub mod hub_rows;
pub mod json_lines;
pub mod publish;
