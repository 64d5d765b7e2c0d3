//! Compares every blob with its digest and every record with its blobs; moves aside what is damaged, so that the next run makes it anew.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::PathBuf;

use super::reach::Reach;
use super::record;
use super::store::{Store, digest_of_file};
use crate::base::Digest;

/// What is wrong with a store.
#[derive(Debug, Default)]
pub struct Findings {
    /// Blobs whose bytes are not what their name says, and where they lie.
    pub damaged: Vec<(Digest, PathBuf)>,
    /// Records, with the names of their nodes, that need a blob which is damaged or not there.
    pub broken: Vec<(Digest, String)>,
    /// Records that cannot be read.
    pub unreadable: Vec<PathBuf>,
}

impl Findings {
    /// Says whether all is well.
    pub fn none(&self) -> bool {
        self.damaged.is_empty() && self.broken.is_empty() && self.unreadable.is_empty()
    }
}

/// Reads everything.
pub fn verify(store: &Store) -> Findings {
    let mut out = Findings::default();
    store.each_blob(&mut |digest, path| {
        // A collection beside this may have taken it: that is no damage.
        match digest_of_file(path) {
            Ok(found) if found == digest => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            _ => out.damaged.push((digest, path.to_path_buf())),
        }
    });
    let damaged: BTreeSet<Digest> = out.damaged.iter().map(|(digest, _)| *digest).collect();
    let mut reach = Reach::new(store);
    for key in record::keys(store) {
        let Some(record) = record::read(store, key) else {
            let path = record::path(store, key);
            if path.exists() {
                out.unreadable.push(path);
            }
            continue;
        };
        let names = reach.record(&record);
        let lacks = |digest: &Digest| damaged.contains(digest) || !store.path(*digest).exists();
        let broken = names.certain.iter().any(lacks)
            || names.perhaps.iter().any(|d| damaged.contains(d))
            || record::lookup(store, key).is_none();
        if broken && record::path(store, key).exists() {
            out.broken.push((key, record.name));
        }
    }
    out.broken.sort();
    out
}

/// Takes broken records away, then moves damaged blobs to `quarantine/`: at no instant does a record name a blob that is not there.
pub fn repair(store: &Store, findings: &Findings) -> io::Result<()> {
    let records = findings.broken.iter().map(|(key, _)| record::path(store, *key));
    for path in records.chain(findings.unreadable.iter().cloned()) {
        gone(fs::remove_file(path))?;
    }
    let aside = store.root().join("quarantine");
    fs::create_dir_all(&aside)?;
    for (digest, path) in &findings.damaged {
        gone(fs::rename(path, aside.join(digest.hex())))?;
    }
    Ok(())
}

fn gone(done: io::Result<()>) -> io::Result<()> {
    match done {
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}
