//! Rows and media: tables, loaders, images, row expressions, dedup kernels. No engine knowledge but the store.

pub mod blobs;
pub mod table;
