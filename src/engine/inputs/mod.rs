//! What a recipe reads from outside: whether it is there, and what it says of itself.

pub mod models;
pub mod needed;
pub mod observe;
pub mod packages;
pub mod servers;
pub mod terms;
