//! The lease of a key: whoever makes its result holds it and says there who it is, and others wait.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::Duration;

use serde_json::{Value as Json, json};

use super::process::Stop;
use super::store::Store;
use super::{event, machine};
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

/// Waits for a key's lease; nothing when the run is stopped first. `waits` hears once who has it: `process`, `host`, `since`.
pub(super) fn lease(store: &Store, stop: &Stop, key: Digest, waits: &dyn Fn(Json)) -> Result<Option<Lease>, OpError> {
    let mut polls = 0;
    loop {
        if let Some(held) = at_once(store, key)? {
            return Ok(Some(held));
        }
        if stop.soon.load(Ordering::Relaxed) {
            return Ok(None);
        }
        polls += 1;
        // At the first look whoever has it may not have said so yet.
        if polls == 2 {
            waits(holder(store, key));
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// Takes a key's lease if nobody has it.
///
/// # Errors
/// The store lies where nothing can be locked.
pub(super) fn at_once(store: &Store, key: Digest) -> Result<Option<Lease>, OpError> {
    let path = path(store, key);
    loop {
        let (mut file, own) = match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
            // Another user's; a lock needs no more than to read it.
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => (File::open(&path)?, false),
            opened => (opened?, true),
        };
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Ok(None),
            Err(TryLockError::Error(e)) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(TryLockError::Error(e)) => {
                let message = format!("cannot lock `{}`: {e}", path.display());
                return Err(OpError::new("E0612", message)
                    .help("RBPIPE_CACHE must name a folder on a file system whose files can be locked"));
            }
        }
        // The one who held it removes the file: a lock on a removed file protects nothing.
        if !same_file(&file, &path) {
            continue;
        }
        if own {
            let told = format!("{} {} {}\n", std::process::id(), event::now(), machine::host());
            // For people alone, so losing it costs nothing.
            let _ = file.set_len(0).and_then(|()| file.write_all(told.as_bytes()));
        }
        return Ok(Some(Lease { file, path }));
    }
}

fn path(store: &Store, key: Digest) -> PathBuf {
    store.root().join("leases").join(key.hex())
}

/// Returns who holds a key's lease, as the fields of an event; none where that is not written there.
fn holder(store: &Store, key: Digest) -> Json {
    let told = std::fs::read_to_string(path(store, key)).unwrap_or_default();
    let words: Vec<&str> = told.strip_suffix('\n').unwrap_or_default().splitn(3, ' ').collect();
    match words[..] {
        [process, since, host] => json!({ "process": process, "since": since, "host": host }),
        _ => json!({}),
    }
}

/// Says whether a run that goes on holds a key.
pub(super) fn is_leased(store: &Store, key: Digest) -> bool {
    let file = OpenOptions::new().write(true).open(path(store, key));
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => a.ino() == b.ino() && a.dev() == b.dev(),
        _ => false,
    }
}
