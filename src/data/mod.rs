//! Rows and media: tables, loaders, images, row expressions, dedup kernels. No engine knowledge but the store.

mod arrow_error;
pub mod arrow_type;
pub mod blobs;
pub mod cell;
pub mod chunks;
pub mod dedup;
pub mod draw;
pub mod formats;
pub mod gather;
pub mod growing;
pub mod pictures;
pub mod plot;
pub mod profile;
pub mod rowexpr;
pub mod rowmethods;
pub mod scenes;
pub mod schema;
pub mod spool;
mod spread;
pub mod table;
pub mod transforms;
