//! Rows and media: tables, loaders, images, row expressions, dedup kernels. No engine knowledge but the store.

pub mod blobs;
pub mod cell;
pub mod jsonl;
pub mod load;
pub mod media;
pub mod rowexpr;
pub mod rowmethods;
pub mod schema;
pub mod table;
pub mod transforms;
