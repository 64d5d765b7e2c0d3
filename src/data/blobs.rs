//! Bytes by digest, as the data room needs them; the store implements it.

use crate::base::{Digest, OpError};

/// A place where bytes lie by digest.
pub trait Blobs: Sync {
    /// Reads all bytes of a blob.
    fn get(&self, digest: Digest) -> Result<Vec<u8>, OpError>;
    /// Stores some bytes.
    fn put(&self, bytes: &[u8]) -> Result<Digest, OpError>;
}
