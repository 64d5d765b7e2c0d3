//! The lease of a key: whoever makes its result holds it, and others wait.

use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::process::Stop;
use super::store::Store;
use crate::base::{Digest, OpError};

/// Holds a key against other runs on this store: two of them make each result once. The lock ends with its process.
pub(super) struct Lease {
    file: File,
    path: PathBuf,
}

impl Drop for Lease {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
        let _ = self.file.unlock();
    }
}

/// Waits for a key's lease; nothing when the run is stopped first.
pub(super) fn lease(store: &Store, stop: &Stop, key: Digest) -> Result<Option<Lease>, OpError> {
    let path = store.root().join("leases").join(key.hex());
    loop {
        let file = match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
            // Another user's; a lock needs no more than to read it.
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => File::open(&path)?,
            opened => opened?,
        };
        if file.try_lock().is_ok() {
            // The one who held it removes the file: a lock on a removed file protects nothing.
            if same_file(&file, &path) {
                return Ok(Some(Lease { file, path }));
            }
            continue;
        }
        if stop.soon.load(Ordering::Relaxed) {
            return Ok(None);
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Says whether a run that goes on holds a key.
pub(super) fn is_leased(store: &Store, key: Digest) -> bool {
    let file = OpenOptions::new().write(true).open(store.root().join("leases").join(key.hex()));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(std::fs::TryLockError::WouldBlock)))
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => a.ino() == b.ino() && a.dev() == b.dev(),
        _ => false,
    }
}
