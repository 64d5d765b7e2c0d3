//! Rows that are alike: kernels over texts, pictures and vectors.

mod bandkeys;
pub mod cells;
pub mod clusters;
pub mod contrast;
pub mod knn;
pub mod leak;
pub mod minhash;
pub mod originals;
pub mod pairs;
pub mod phash;
pub mod projection;
pub mod scan;
pub mod signs;
pub mod simhash;
pub mod text;
pub mod texts;
pub mod vectors;
pub mod within;
