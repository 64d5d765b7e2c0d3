//! Compares every blob with its digest and every record with its blobs; moves aside what is damaged, so that the next run makes it anew.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use super::reach::Reach;
use super::record;
use super::store::{Look, Store, digest_of_file};
use super::tree::Tree;
use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::engine::artifact::FileRef;

/// A record that needs a blob which is damaged or not there.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Broken {
    /// Its key.
    pub key: Digest,
    /// The name of its node.
    pub name: String,
    /// The blob is there, with wrong bytes.
    pub damaged: bool,
}

/// A blob whose bytes are not what its name says.
#[derive(Debug, PartialEq, Eq)]
pub struct Damaged {
    /// Its name.
    pub digest: Digest,
    /// Where it lies.
    pub path: PathBuf,
    /// Which of its bytes are wrong or missing, and how many it should have, as its tree tells; nothing without a tree. No range: it is too long.
    pub wrong: Option<(Vec<Range<u64>>, u64)>,
}

/// What is wrong with a store.
#[derive(Debug, Default)]
pub struct Findings {
    /// Blobs whose bytes are not what their name says.
    pub damaged: Vec<Damaged>,
    /// Records that need a blob which is damaged or not there.
    pub broken: Vec<Broken>,
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
    records(store, blobs(store))
}

/// Compares every blob with its digest. Returns those that are damaged.
pub fn blobs(store: &Store) -> Vec<Damaged> {
    let mut out = Vec::new();
    store.each_blob(&mut |digest, path| {
        // A collection beside this may have taken it: that is no damage.
        match digest_of_file(path) {
            Ok(found) if found == digest => {}
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            _ => {
                let wrong = |tree: Tree| Some((tree.wrong_in(&mut fs::File::open(path).ok()?).ok()?, tree.bytes()));
                let wrong = store.tree(digest).and_then(wrong);
                out.push(Damaged { digest, path: path.to_path_buf(), wrong });
            }
        }
    });
    out
}

/// Compares every record with its blobs, of which some are known to be damaged.
pub fn records(store: &Store, found: Vec<Damaged>) -> Findings {
    let mut out = Findings { damaged: found, ..Findings::default() };
    let damaged: BTreeSet<Digest> = out.damaged.iter().map(|blob| blob.digest).collect();
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
        let wrong = names.all().any(|digest| damaged.contains(digest));
        let lacks = |digest: &Digest| !store.path(*digest).exists();
        let broken = wrong || names.certain.iter().any(lacks) || record::lookup(store, key).is_none();
        if broken && record::path(store, key).exists() {
            out.broken.push(Broken { key, name: record.name, damaged: wrong });
        }
    }
    out.broken.sort();
    out
}

/// Takes broken records away, then moves damaged blobs to `quarantine/`: at no instant does a record name a blob that is not there.
pub fn repair(store: &Store, findings: &Findings) -> io::Result<()> {
    let records = findings.broken.iter().map(|broken| record::path(store, broken.key));
    for path in records.chain(findings.unreadable.iter().cloned()) {
        gone(fs::remove_file(path))?;
    }
    let aside = store.root().join("quarantine");
    fs::create_dir_all(&aside)?;
    for Damaged { digest, path, .. } in &findings.damaged {
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

/// Compares files with their digests before somebody relies on them; what was compared since the machine was started is not read again.
///
/// # Errors
/// Class `damaged` when bytes are missing or wrong: they lie in `quarantine/` now, and the records that named them are forgotten, so
/// that whoever asks for them next makes or fetches them anew.
pub fn sound<'a>(store: &Store, files: impl Iterator<Item = &'a FileRef>) -> Result<(), OpError> {
    let bad: Vec<(Digest, Look)> = files
        .filter_map(|file| Some((file.digest, store.look(file.digest).ok().filter(|look| *look != Look::Whole)?)))
        .collect();
    let Some((first, look)) = bad.first().copied() else { return Ok(()) };
    set_aside(store, &bad.iter().map(|(digest, _)| *digest).collect());
    Err(damaged(first, look == Look::Absent, bad.len() - 1))
}

/// As [`sound`], for one blob.
///
/// # Errors
/// As [`sound`].
pub fn sound_blob(store: &Store, digest: Digest) -> Result<(), OpError> {
    sound(store, std::iter::once(&FileRef { digest, bytes: 0, attached: false }))
}

/// What to say when a blob could not be read; damaged and missing ones are dealt with as by [`sound`].
fn unsound(store: &Store, digest: Digest, e: &io::Error) -> OpError {
    let absent = e.kind() == io::ErrorKind::NotFound;
    if !absent && e.kind() != io::ErrorKind::InvalidData {
        return OpError::new("E0503", format!("cannot read blob {}: {e}", digest.short()));
    }
    set_aside(store, &BTreeSet::from([digest]));
    damaged(digest, absent, 0)
}

/// Blobs as operators read them: what is damaged is dealt with as by [`sound`].
impl Blobs for Store {
    fn get(&self, digest: Digest) -> Result<Vec<u8>, OpError> {
        self.read(digest).map_err(|e| unsound(self, digest, &e))
    }

    fn file(&self, digest: Digest) -> Result<PathBuf, OpError> {
        Ok(self.path(digest))
    }

    fn put(&self, bytes: &[u8]) -> Result<Digest, OpError> {
        Ok(Store::put(self, bytes)?.digest)
    }
}

/// What keeps a recorded result from being used.
enum Spoilt {
    /// The record itself.
    Record,
    /// A blob that it implies; whether that is not there at all.
    Blob(Digest, bool),
}

fn spoilt(store: &Store, key: Digest) -> Option<Spoilt> {
    let path = record::path(store, key);
    if !path.exists() {
        return None;
    }
    let Some(record) = record::read(store, key) else { return Some(Spoilt::Record).filter(|_| path.exists()) };
    let wrong = |digest: Digest| match store.look(digest) {
        Ok(Look::Whole) | Err(_) => None,
        Ok(look) => Some(Spoilt::Blob(digest, look == Look::Absent)),
    };
    record.outputs.values().find_map(|digest| wrong(*digest)).or_else(|| {
        let artifacts = record.outputs.values().filter_map(|digest| store.described(*digest));
        let mut files = artifacts.flat_map(|artifact| artifact.files.into_values());
        files.find(|file| !store.holds(*file)).and_then(|file| wrong(file.digest))
    })
}

/// Says why a recorded result cannot be used; nothing where none is recorded. Asked where no result was found, so that a warm run pays nothing for it.
pub fn why_spoilt(store: &Store, key: Digest) -> Option<String> {
    Some(match spoilt(store, key)? {
        Spoilt::Record => format!("the record {} is damaged", key.short()),
        Spoilt::Blob(digest, true) => format!("blob {} of its result is not there", digest.short()),
        Spoilt::Blob(digest, false) => format!("blob {} of its result is damaged", digest.short()),
    })
}

/// Forgets a recorded result that cannot be used, and moves what is damaged to `quarantine/`. Says what it was, if there is one. Other records that
/// name the same bytes stay: they hold again as soon as those are made anew.
pub(crate) fn forget_spoilt(store: &Store, key: Digest) -> Option<String> {
    let found = spoilt(store, key)?;
    let aside = store.root().join("quarantine");
    // Where the store cannot be written, whoever publishes next fails in any case.
    let _ = fs::create_dir_all(&aside);
    store.ahead.forget();
    Some(match found {
        Spoilt::Record => {
            let _ = fs::rename(record::path(store, key), aside.join(format!("{}.json", key.hex())));
            format!("record {} is damaged and was moved to `quarantine/`", key.short())
        }
        Spoilt::Blob(digest, absent) => {
            let _ = fs::remove_file(record::path(store, key));
            if !absent {
                let _ = fs::rename(store.path(digest), aside.join(digest.hex()));
            }
            damaged(digest, absent, 0).message
        }
    })
}

fn damaged(digest: Digest, absent: bool, more: usize) -> OpError {
    let what = if absent { "is not in the store any more" } else { "is damaged and was moved to `quarantine/`" };
    let more = if more == 0 { String::new() } else { format!(", and so with {more} more") };
    OpError::new("E0503", format!("blob {} {what}{more}", digest.short()))
        .class("damaged")
        .help("run again: what is missing is made anew")
}

/// Forgets the records that name some blobs, then moves what lies there aside. Damage is rare, so all records may be read for it.
fn set_aside(store: &Store, bad: &BTreeSet<Digest>) {
    let mut reach = Reach::new(store);
    let mut findings = Findings::default();
    for record in record::keys(store).into_iter().filter_map(|key| record::read(store, key)) {
        if reach.record(&record).all().any(|digest| bad.contains(digest)) {
            findings.broken.push(Broken { key: record.key, name: record.name, damaged: true });
        }
    }
    let there = |digest: &Digest| Damaged { digest: *digest, path: store.path(*digest), wrong: None };
    findings.damaged = bad.iter().map(there).collect();
    store.ahead.forget();
    // Where the store cannot be written, whoever asked fails in any case.
    let _ = repair(store, &findings);
}
