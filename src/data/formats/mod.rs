//! Files that hold rows, read as rows: what lies on disk, whatever wrote it.

pub mod blocks;
pub mod clip;
pub mod columnar;
pub mod conversation;
pub mod csv;
pub mod ego4d;
pub mod files;
pub mod gguf;
pub mod gguf_blocks;
pub mod jsonl;
pub mod lines;
pub mod load;
pub mod observe;
pub mod packed;
pub mod paths;
mod quotes;
pub mod rowjson;
pub mod webdataset;
