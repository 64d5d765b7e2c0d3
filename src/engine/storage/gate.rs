//! The gate between those who use a file of the store again and the one who deletes: held for microseconds, gone with its process.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::Path;
use std::time::{Duration, SystemTime};

/// A collection leaves what was used within this time: clocks of file systems lag behind the clock of the machine by some milliseconds.
pub(super) const LEAST_GRACE: Duration = Duration::from_secs(2);

/// A held gate; it opens when dropped.
#[derive(Debug)]
pub struct Gate(#[allow(dead_code)] File);

impl Gate {
    /// Lets any number of users of the store in a folder in, and nobody who deletes.
    pub fn shared(store: &Path) -> io::Result<Self> {
        let file = open(store)?;
        file.lock_shared()?;
        Ok(Self(file))
    }

    /// Keeps everybody else out.
    pub fn alone(store: &Path) -> io::Result<Self> {
        let file = open(store)?;
        file.lock()?;
        Ok(Self(file))
    }
}

fn open(store: &Path) -> io::Result<File> {
    let path = store.join("gate");
    match OpenOptions::new().create(true).truncate(false).write(true).open(&path) {
        // Another user's; a lock needs no more than to read it.
        Err(e) if e.kind() == io::ErrorKind::PermissionDenied => File::open(&path),
        opened => opened,
    }
}

/// Marks a file as used now. Call it with the gate held: then it is either gone before, or stays for the grace period.
pub fn touch(path: &Path) -> io::Result<()> {
    File::open(path)?.set_modified(SystemTime::now())
}
