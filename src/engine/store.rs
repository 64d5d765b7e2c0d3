//! The content-addressed store: blobs by digest, published atomically.

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::artifact::FileRef;
use crate::base::Digest;

/// A folder of blobs: `blobs/ab/cdef…`, read-only once there.
#[derive(Clone, Debug)]
pub struct Store {
    root: PathBuf,
}

impl Store {
    /// Opens or creates a store.
    pub fn open(root: impl Into<PathBuf>) -> io::Result<Self> {
        let root = root.into();
        fs::create_dir_all(root.join("blobs"))?;
        fs::create_dir_all(root.join("tmp"))?;
        Ok(Self { root })
    }

    /// Returns its folder.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// Returns where a blob lies, whether or not it is there.
    pub fn path(&self, digest: Digest) -> PathBuf {
        let hex = digest.hex();
        self.root.join("blobs").join(&hex[..2]).join(&hex[2..])
    }

    /// Stores some bytes.
    pub fn put(&self, bytes: &[u8]) -> io::Result<FileRef> {
        let digest = Digest::of(bytes);
        let target = self.path(digest);
        if !target.exists() {
            let mut file = tempfile::NamedTempFile::new_in(self.root.join("tmp"))?;
            file.write_all(bytes)?;
            self.publish(file, &target)?;
        }
        Ok(FileRef { digest, bytes: bytes.len() as u64 })
    }

    /// Stores a copy of a file.
    pub fn put_file(&self, path: &Path) -> io::Result<FileRef> {
        let mut source = fs::File::open(path)?;
        let mut file = tempfile::NamedTempFile::new_in(self.root.join("tmp"))?;
        let mut hasher = blake3::Hasher::new();
        let mut buffer = vec![0; 1 << 16];
        let mut bytes = 0;
        loop {
            let n = io::Read::read(&mut source, &mut buffer)?;
            if n == 0 {
                break;
            }
            hasher.update(&buffer[..n]);
            file.write_all(&buffer[..n])?;
            bytes += n as u64;
        }
        let digest = Digest(*hasher.finalize().as_bytes());
        let target = self.path(digest);
        if !target.exists() {
            self.publish(file, &target)?;
        }
        Ok(FileRef { digest, bytes })
    }

    /// Reads a whole blob.
    pub fn read(&self, digest: Digest) -> io::Result<Vec<u8>> {
        fs::read(self.path(digest))
    }

    fn publish(&self, file: tempfile::NamedTempFile, target: &Path) -> io::Result<()> {
        fs::create_dir_all(target.parent().expect("a blob has a folder"))?;
        file.as_file().sync_all()?;
        let mut permissions = file.as_file().metadata()?.permissions();
        permissions.set_readonly(true);
        file.as_file().set_permissions(permissions)?;
        file.persist(target).map_err(|e| e.error)?;
        Ok(())
    }
}

impl crate::data::blobs::Blobs for Store {
    fn get(&self, digest: Digest) -> Result<Vec<u8>, crate::base::OpError> {
        Ok(self.read(digest)?)
    }

    fn put(&self, bytes: &[u8]) -> Result<Digest, crate::base::OpError> {
        Ok(Store::put(self, bytes)?.digest)
    }
}
