//! Bytes by digest, as the data room needs them; the store implements it.

use std::path::PathBuf;

use crate::base::{Digest, OpError};

/// A place where bytes lie by digest.
pub trait Blobs: Sync {
    /// Reads all bytes of a blob.
    fn get(&self, digest: Digest) -> Result<Vec<u8>, OpError>;
    /// Returns a file that holds a blob, for programs that read files.
    fn file(&self, digest: Digest) -> Result<PathBuf, OpError>;
    /// Stores some bytes.
    fn put(&self, bytes: &[u8]) -> Result<Digest, OpError>;
}
