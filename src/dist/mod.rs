//! Process groups: how the ranks of one training meet, and the collective operations between them.
//!
//! Reading order: `launch` (who is who) → `group` (sums and gathers) → `ffi` (libtorch's c10d behind a C face, in `shim/`).

mod ffi;
pub mod group;
pub mod launch;

pub use group::{Group, Pending};
pub use launch::Launch;
