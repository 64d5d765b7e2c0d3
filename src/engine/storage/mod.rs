//! What is kept between runs: blobs, records, journals, and who may write or delete them.

mod ahead;
mod claim;
mod column;
pub mod dataset;
pub mod files;
pub mod gate;
pub mod gc;
pub(super) mod held;
pub mod history;
pub mod identity;
pub mod journal;
pub(super) mod lease;
pub(super) mod looked;
pub mod note;
pub(super) mod part;
pub mod reach;
pub mod read_ahead;
pub mod record;
pub(super) mod recorded;
mod seen;
pub mod signature;
pub mod states;
pub mod store;
pub mod texts;
pub mod tree;
mod trees;
pub mod verify;
