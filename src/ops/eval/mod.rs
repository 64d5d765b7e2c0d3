//! Operators that score models.

pub mod loss;
pub mod preference;
