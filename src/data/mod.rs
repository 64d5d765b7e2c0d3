//! Rows and media: tables, loaders, images, row expressions, dedup kernels. No engine knowledge but the store.

pub mod answer;
pub mod blobs;
pub mod cell;
pub mod color;
pub mod draw;
pub mod episode;
pub mod geometry;
pub mod jsonl;
pub mod load;
pub mod media;
pub mod mention;
pub mod mistake;
pub mod pad;
pub mod picture;
pub mod points;
pub mod rle;
pub mod rowexpr;
pub mod rowmethods;
pub mod scene;
pub mod schema;
pub mod table;
pub mod transforms;
