//! The lease of a key: whoever makes its result holds it and says there who it is, and others wait.
//!
//! It is a lock, which ends with its process, and a [`Claim`], which is seen where locks do not reach.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use serde_json::{Value as Json, json};

use super::claim::{self, Claim, Watch};
use super::store::Store;
use crate::base::{Digest, OpError};
use crate::engine::crash::step;
use crate::engine::stop::Stop;

/// How the file of a claim ends.
const CLAIM: &str = ".claim";

/// Holds a key against other runs on this store: two of them make each result once. The lock ends with its process, the claim some time after it.
pub(crate) struct Lease {
    file: File,
    path: PathBuf,
    claim: Claim,
}

impl Lease {
    /// Says whether somebody has taken it over, since this process showed no sign of life.
    pub(crate) fn is_lost(&self) -> bool {
        self.claim.is_lost()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        // Whoever took it over has a file of his own there.
        if same_file(&self.file, &self.path) {
            let _ = std::fs::remove_file(&self.path);
            step();
        }
        let _ = self.file.unlock();
    }
}

/// Waits for a key's lease; nothing when the run is stopped first. `waits` hears once who has it: `process`, `host`, `since`.
pub(crate) fn lease(store: &Store, stop: &Stop, key: Digest, waits: &dyn Fn(Json)) -> Result<Option<Lease>, OpError> {
    let (mut polls, mut watch) = (0, Watch::default());
    loop {
        if let Some(held) = try_take(store, key, &mut watch)? {
            return Ok(Some(held));
        }
        if stop.soon.load(Ordering::Relaxed) {
            return Ok(None);
        }
        polls += 1;
        // At the first look whoever has the lock may not have claimed it yet.
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
pub(crate) fn at_once(store: &Store, key: Digest) -> Result<Option<Lease>, OpError> {
    try_take(store, key, &mut Watch::default())
}

fn try_take(store: &Store, key: Digest, watch: &mut Watch) -> Result<Option<Lease>, OpError> {
    let path = path(store, key);
    loop {
        let file = match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
            // Another user's; a lock needs no more than to read it.
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => File::open(&path)?,
            opened => opened?,
        };
        step();
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                // A process that was stopped keeps its locks. Whoever waits goes on with a file of his own.
                if !claim::is_abandoned(&claim_path(store, key), watch)? {
                    return Ok(None);
                }
                drop(file);
                let _ = std::fs::remove_file(&path);
                continue;
            }
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
        let claim = Claim::take(store, &claim_path(store, key), watch)?;
        return Ok(claim.map(|claim| Lease { file, path, claim }));
    }
}

fn path(store: &Store, key: Digest) -> PathBuf {
    store.root().join("leases").join(key.hex())
}

fn claim_path(store: &Store, key: Digest) -> PathBuf {
    store.root().join("leases").join(format!("{}{CLAIM}", key.hex()))
}

/// Returns who holds a key's lease, as the fields of an event; none where that is not written there.
fn holder(store: &Store, key: Digest) -> Json {
    match claim::holder(&claim_path(store, key)) {
        Some((h, _)) => json!({ "process": h.process.to_string(), "since": h.since, "host": h.host }),
        None => json!({}),
    }
}

/// Says whether a run that goes on holds a key.
pub(crate) fn is_leased(store: &Store, key: Digest) -> bool {
    is_locked(&path(store, key)) || claim::is_held(&claim_path(store, key), Duration::ZERO)
}

fn is_locked(path: &Path) -> bool {
    let file = OpenOptions::new().write(true).open(path);
    file.is_ok_and(|file| matches!(file.try_lock(), Err(TryLockError::WouldBlock)))
}

/// A file of the leases' folder.
pub(super) struct Leased {
    pub path: PathBuf,
    /// When it was taken, as far as that is known.
    pub begun: Option<SystemTime>,
    /// Whose result is made; nothing where the name is none of ours.
    pub key: Option<Digest>,
    /// Somebody holds it. A machine whose locks do not reach counts as long as it was heard of within `slack`.
    pub held: bool,
}

/// Returns all leases, those that were left behind too.
pub(super) fn all(store: &Store, slack: Duration) -> Vec<Leased> {
    let entries = std::fs::read_dir(store.root().join("leases")).into_iter().flatten().flatten();
    let one = |entry: std::fs::DirEntry| {
        let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
        let (stem, held, begun) = match name.strip_suffix(CLAIM) {
            Some(stem) => (stem, claim::is_held(&path, slack), claim::holder(&path).map(|(holder, _)| holder.begun())),
            None => (name.as_str(), is_locked(&path), entry.metadata().and_then(|m| m.modified()).ok()),
        };
        Leased { begun, key: Digest::parse(stem), held, path }
    };
    entries.map(one).collect()
}

fn same_file(file: &File, path: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    match (file.metadata(), std::fs::metadata(path)) {
        (Ok(a), Ok(b)) => a.ino() == b.ino() && a.dev() == b.dev(),
        _ => false,
    }
}
