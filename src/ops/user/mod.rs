//! A user's own `op`: its command, run over rows.

mod answers;
mod args;
pub mod join;
mod place;
mod remembered;
mod rows_out;
pub mod run;
