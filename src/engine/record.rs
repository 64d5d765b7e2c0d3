//! What a node made, under its action key: written last and atomically, so that a record implies its bytes.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json};

use super::artifact::{Artifact, FileRef};
use super::context::Fate;
use super::crash::step;
use super::gate::{self, Gate};
use super::store::{Store, stays_inside};
use crate::base::Digest;
use crate::base::digest::canonical;

/// What a node made.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// The action key.
    pub key: Digest,
    /// The fields that the key hashes.
    pub preimage: Map<String, Json>,
    /// The digest of each field of the result.
    pub outputs: BTreeMap<String, Digest>,
    /// The attachments of each field of the result. They are no part of its identity, and nothing is made anew for their sake.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attachments: BTreeMap<String, BTreeMap<String, FileRef>>,
    /// How long it took.
    pub seconds: f64,
    /// Rows of the first dataset among the results.
    pub rows: Option<u64>,
    /// Bytes of the results.
    pub bytes: u64,
    /// Counts that the operator reported.
    pub counts: BTreeMap<String, u64>,
    /// Rows that were dropped or changed, as JSONL.
    pub fates: Option<FileRef>,
    /// What the node was called where it ran first. For people.
    pub name: String,
    /// When it was made.
    pub made: String,
    /// The build that made it.
    pub build: String,
}

impl Record {
    /// Returns the rows that were dropped or changed, as far as they can be read.
    pub fn told(&self, store: &Store) -> Vec<Fate> {
        let bytes = self.fates.and_then(|f| store.read(f.digest).ok()).unwrap_or_default();
        bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

/// How a sealed record begins, and what stands between its checksum and the record in canonical form.
const OPEN: &[u8] = b"{\"checksum\":\"";
const BETWEEN: &[u8] = b"\",\"record\":";

#[derive(Deserialize)]
struct Sealed {
    checksum: Digest,
    record: Json,
}

/// What became of publishing a record.
#[derive(Debug, PartialEq)]
pub enum Published {
    /// It is the first under its key.
    First,
    /// The same was there already.
    Same,
    /// Another result was there already; it stays.
    Diverges(Box<Record>),
}

/// Returns where a record lies.
pub fn path(store: &Store, key: Digest) -> PathBuf {
    let hex = key.hex();
    store.root().join("records").join(&hex[..2]).join(format!("{}.json", &hex[2..]))
}

/// Reads a record; nothing if it is not there, damaged, or of another key.
pub fn read(store: &Store, key: Digest) -> Option<Record> {
    let bytes = std::fs::read(path(store, key)).ok()?;
    unseal(&bytes).filter(|record| record.key == key)
}

/// Reads a record with its checksum. Those that were written in canonical form, as now, need no second form to compare with it.
fn unseal(bytes: &[u8]) -> Option<Record> {
    let plain = || {
        let rest = bytes.strip_prefix(OPEN)?;
        let (checksum, rest) = rest.split_at_checked(64)?;
        let record = rest.strip_prefix(BETWEEN)?.strip_suffix(b"}")?;
        let checksum = Digest::parse(std::str::from_utf8(checksum).ok()?)?;
        (Digest::of(record) == checksum).then(|| serde_json::from_slice(record).ok())?
    };
    plain().or_else(|| {
        let sealed: Sealed = serde_json::from_slice(bytes).ok()?;
        let whole = Digest::of_json(&sealed.record) == sealed.checksum;
        serde_json::from_value(sealed.record).ok().filter(|_| whole)
    })
}

/// Reads a record with its artifacts and those attachments that are still there; nothing if any byte that it implies is missing.
pub fn lookup(store: &Store, key: Digest) -> Option<(Record, BTreeMap<String, Artifact>)> {
    let record = read(store, key)?;
    let mut artifacts = BTreeMap::new();
    for (field, digest) in &record.outputs {
        let mut artifact = store.artifact(*digest)?;
        let attachments = record.attachments.get(field).into_iter().flatten();
        let there = attachments.filter(|(path, f)| stays_inside(path) && store.holds(**f));
        artifact.files.extend(there.map(|(path, f)| (path.clone(), *f)));
        artifacts.insert(field.clone(), artifact);
    }
    Some((record, artifacts))
}

/// As [`lookup`], for whoever goes on to use what it finds: from now on the record counts as used, and no collection takes it.
pub fn claim(store: &Store, key: Digest) -> Option<(Record, BTreeMap<String, Artifact>)> {
    if let Some(found) = store.ahead.take(key) {
        return Some(found);
    }
    claim_now(store, key)
}

/// As [`claim`], whether or not somebody has read it ahead.
pub(super) fn claim_now(store: &Store, key: Digest) -> Option<(Record, BTreeMap<String, Artifact>)> {
    let gate = Gate::shared(store).ok();
    match gate::touch(&path(store, key)) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return None,
        // A record of somebody else's cannot be touched; it is used all the same.
        _ => drop(gate),
    }
    lookup(store, key)
}

/// Publishes a record. The first under a key wins; one whose bytes have gone missing is replaced.
pub fn publish(store: &Store, record: &Record) -> io::Result<Published> {
    let json = serde_json::to_value(record).map_err(io::Error::other)?;
    let text = canonical(&json);
    let checksum = Digest::of(text.as_bytes()).hex();
    let target = path(store, record.key);
    if let Some(folder) = target.parent() {
        std::fs::create_dir_all(folder)?;
    }
    store.commit()?;
    let mut file = store.temporary()?;
    file.write_all(&[OPEN, checksum.as_bytes(), BETWEEN, text.as_bytes(), b"}"].concat())?;
    step();
    file.as_file().sync_all()?;
    step();
    let outcome = match file.persist_noclobber(&target) {
        Ok(_) => Published::First,
        Err(e) if e.error.kind() == io::ErrorKind::AlreadyExists => match lookup(store, record.key) {
            Some((there, _)) if there.outputs == record.outputs => return Ok(Published::Same),
            Some((there, _)) => return Ok(Published::Diverges(Box::new(there))),
            None => {
                e.file.persist(&target).map_err(|e| e.error)?;
                Published::First
            }
        },
        Err(e) => return Err(e.error),
    };
    step();
    if let Some(folder) = target.parent() {
        std::fs::File::open(folder)?.sync_all()?;
        step();
    }
    Ok(outcome)
}

/// Returns the keys that have a record, whether or not it can be read, in no order.
pub fn keys(store: &Store) -> Vec<Digest> {
    let mut out = Vec::new();
    let folders = std::fs::read_dir(store.root().join("records")).into_iter().flatten().flatten();
    for folder in folders {
        for entry in std::fs::read_dir(folder.path()).into_iter().flatten().flatten() {
            let prefix = folder.file_name().to_string_lossy().into_owned();
            let name = entry.file_name().to_string_lossy().into_owned();
            let key = name.strip_suffix(".json").and_then(|rest| Digest::parse(&format!("{prefix}{rest}")));
            out.extend(key);
        }
    }
    out
}

/// Returns every record that can be read, newest first.
pub fn all(store: &Store) -> Vec<Record> {
    let mut out: Vec<Record> = keys(store).into_iter().filter_map(|key| read(store, key)).collect();
    out.sort_by(|a, b| b.made.cmp(&a.made).then(a.key.cmp(&b.key)));
    out
}
