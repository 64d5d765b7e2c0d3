//! A graph while it runs: which nodes must, in what order, and where.

pub mod decide;
pub mod fit;
pub mod forecast;
pub mod job;
mod lazily;
mod passing;
pub mod past;
pub mod place;
pub mod prolong;
pub mod scheduler;
pub mod setup;
pub mod site;
pub mod slots;
pub mod state;
