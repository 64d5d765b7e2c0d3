//! Operators of module `cot`: thoughts, plans and mistakes made from annotations.

mod asked;
pub mod compare;
pub mod fail_fix;
pub mod plan;
pub mod questions;
pub mod structured;
