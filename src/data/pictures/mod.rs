//! Pictures and videos of rows, and what can be done to their pixels.

pub mod color;
pub mod geometry;
pub mod media;
pub mod pad;
pub mod picture;
pub mod rle;
pub mod video;
