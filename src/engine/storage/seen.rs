//! Which blobs this machine has compared with their digests since it was started, so that each is compared once.
//!
//! A file per boot, of entries that are appended: the digest and a stamp of the file that had it. A blob that was replaced or touched since
//! has another stamp and is compared again. Losing the file costs comparisons and nothing else.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::base::Digest;
use crate::engine::crash::step;

/// Bytes of a digest and a stamp.
const ENTRY: usize = 40;

/// The memory of one store on one machine.
#[derive(Debug)]
pub(super) struct Seen {
    place: PathBuf,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    loaded: bool,
    stamps: BTreeMap<Digest, u64>,
    /// Entries that are not in the file yet.
    new: Vec<u8>,
}

impl Seen {
    /// Names the file of this boot; it is read when it is asked first.
    pub(super) fn new(root: &Path) -> Self {
        Self { place: root.join("seen").join(crate::engine::machine::boot()), known: Mutex::default() }
    }

    /// Says whether a blob was compared as it is.
    pub(super) fn has(&self, digest: Digest, metadata: &fs::Metadata) -> bool {
        self.known().stamps.get(&digest) == Some(&stamp(metadata))
    }

    /// Remembers that a blob was compared as it is.
    pub(super) fn add(&self, digest: Digest, metadata: &fs::Metadata) {
        let stamp = stamp(metadata);
        let mut known = self.known();
        if known.stamps.insert(digest, stamp) != Some(stamp) {
            known.new.extend(digest.0);
            known.new.extend(stamp.to_le_bytes());
        }
    }

    /// Keeps what is new for other processes.
    pub(super) fn keep(&self) {
        let new = std::mem::take(&mut self.known().new);
        if new.is_empty() {
            return;
        }
        if let Some(folder) = self.place.parent() {
            let _ = fs::create_dir_all(folder);
        }
        // One write: what other processes append does not come in between.
        let _ = OpenOptions::new().create(true).append(true).open(&self.place).and_then(|mut f| f.write_all(&new));
        step();
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if !known.loaded {
            known.loaded = true;
            for entry in fs::read(&self.place).unwrap_or_default().chunks_exact(ENTRY) {
                let (mut digest, mut stamp) = ([0; 32], [0; 8]);
                digest.copy_from_slice(&entry[..32]);
                stamp.copy_from_slice(&entry[32..]);
                known.stamps.insert(Digest(digest), u64::from_le_bytes(stamp));
            }
        }
        known
    }
}

impl Drop for Seen {
    fn drop(&mut self) {
        self.keep();
    }
}

fn stamp(metadata: &fs::Metadata) -> u64 {
    let mut hasher = blake3::Hasher::new();
    for part in
        [metadata.ino(), metadata.len(), metadata.mtime().cast_unsigned(), metadata.mtime_nsec().cast_unsigned()]
    {
        hasher.update(&part.to_le_bytes());
    }
    let mut out = [0; 8];
    out.copy_from_slice(&hasher.finalize().as_bytes()[..8]);
    u64::from_le_bytes(out)
}
