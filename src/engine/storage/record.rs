//! What a node made, under its action key: written last and atomically, so that a record implies its bytes.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::{Instant, SystemTime};

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::gate::Gate;
pub use super::recorded::Record;
use super::recorded::{Began, Claimed, Fate};
use super::store::{Store, make_folder, stays_inside};
use crate::base::digest::canonical;
use crate::base::{Digest, OpError};
use crate::engine::artifact::{Artifact, FileRef};
use crate::engine::crash::step;
use crate::engine::event;

impl Record {
    /// Returns its key and, where there is one, that of what was decided of its rows.
    pub fn rests_on(&self) -> Vec<Digest> {
        std::iter::once(self.key).chain(self.of_rows).collect()
    }

    /// Returns the rows that were dropped or changed, as far as they can be read.
    pub fn told(&self, store: &Store) -> Vec<Fate> {
        let bytes = self.fates.and_then(|f| store.read(f.digest).ok()).unwrap_or_default();
        bytes.split(|b| *b == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect()
    }
}

/// What an execution came to, besides its results.
#[derive(Default)]
pub(crate) struct Came<'a> {
    /// How long it took.
    pub seconds: f64,
    /// What the operator counted.
    pub counts: BTreeMap<String, u64>,
    /// What became of rows.
    pub fates: &'a [Fate],
    /// Under which what was decided of its rows is recorded.
    pub of_rows: Option<Digest>,
    /// The key of the state that a training kept for longer ones.
    pub kept: Option<Digest>,
    /// The state from which a training went on.
    pub began: Option<Began>,
}

/// Makes the record of results that are in the store: by field, digest and description.
///
/// # Errors
/// The store cannot be written.
pub(crate) fn make(
    store: &Store,
    (key, preimage): (Digest, Map<String, Json>),
    name: &str,
    results: &BTreeMap<String, (Digest, Artifact)>,
    came: Came,
) -> Result<Record, OpError> {
    let attached = results.iter().map(|(field, (_, artifact))| (field.clone(), artifact.attachments()));
    Ok(Record {
        key,
        preimage,
        outputs: results.iter().map(|(field, (digest, _))| (field.clone(), *digest)).collect(),
        attachments: attached.filter(|(_, files)| !files.is_empty()).collect(),
        seconds: came.seconds,
        rows: results.values().filter_map(|(_, artifact)| artifact.rows()).reduce(|a, b| a + b),
        bytes: results.values().map(|(_, artifact)| artifact.bytes()).sum(),
        counts: came.counts,
        fates: fates(store, came.fates)?,
        of_rows: came.of_rows,
        kept: came.kept,
        began: came.began,
        name: name.to_owned(),
        made: event::now(),
        build: env!("CARGO_PKG_VERSION").into(),
    })
}

/// Stores what became of rows; nothing where nothing did.
fn fates(store: &Store, fates: &[Fate]) -> Result<Option<FileRef>, OpError> {
    if fates.is_empty() {
        return Ok(None);
    }
    let mut text = Vec::new();
    for fate in fates {
        serde_json::to_writer(&mut text, fate)?;
        text.push(b'\n');
    }
    Ok(Some(store.put(&text)?))
}

/// So many records pass the gate together: whoever deletes waits for less than a millisecond.
const TOGETHER: usize = 64;

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
    Some(read_open(File::open(path(store, key)).ok()?, key)?.0)
}

/// Also returns which file it is.
fn read_open(file: File, key: Digest) -> Option<(Record, u64)> {
    let metadata = file.metadata().ok()?;
    let mut bytes = Vec::with_capacity(usize::try_from(metadata.len()).ok()?);
    // Without the limit it would be asked for its length again, and for more bytes at its end.
    file.take(metadata.len()).read_to_end(&mut bytes).ok()?;
    let record = unseal(&bytes).filter(|record| record.key == key)?;
    Some((record, metadata.ino()))
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
    with_artifacts(store, read(store, key)?, &mut Known::default())
}

/// What was found in the store while many records are read: results share files, and are often the same.
type Known = HashMap<Digest, Artifact>;

fn with_artifacts(store: &Store, record: Record, known: &mut Known) -> Option<(Record, BTreeMap<String, Artifact>)> {
    let mut artifacts = BTreeMap::new();
    for (field, digest) in &record.outputs {
        let mut artifact = match known.get(digest) {
            Some(artifact) => artifact.clone(),
            None => known.entry(*digest).or_insert(store.artifact(*digest)?).clone(),
        };
        let attachments = record.attachments.get(field).into_iter().flatten();
        let there = attachments.filter(|(path, f)| stays_inside(path) && store.holds(**f));
        artifact.files.extend(there.map(|(path, f)| (path.clone(), *f)));
        artifacts.insert(field.clone(), artifact);
    }
    Some((record, artifacts))
}

/// As [`lookup`], for whoever goes on to use what it finds: from now on the record counts as used, and no collection takes it.
pub fn claim(store: &Store, key: Digest) -> Option<(Record, BTreeMap<String, Artifact>)> {
    let same = |file: &File, number: u64| file.metadata().is_ok_and(|m| m.ino() == number);
    if let Some((Claimed { number, record, artifacts, .. }, fresh)) = store.ahead.take(key)
        // The file that was there is there still, and so are its bytes.
        && (fresh || Gate::shared(store.root()).is_ok_and(|_gate| open_young(store, key).is_some_and(|f| same(&f, number))))
    {
        return Some((record, artifacts));
    }
    claim_now(store, key)
}

/// As [`claim`], whether or not somebody has read it ahead.
fn claim_now(store: &Store, key: Digest) -> Option<(Record, BTreeMap<String, Artifact>)> {
    let gate = Gate::shared(store.root()).ok();
    let record = open_young(store, key)?;
    drop(gate);
    with_artifacts(store, read_open(record, key)?.0, &mut Known::default())
}

/// Opens a record and makes it young. The gate must be held: then it is gone already, or stays for the grace period.
fn open_young(store: &Store, key: Digest) -> Option<File> {
    let file = File::open(path(store, key)).ok()?;
    // A record of somebody else's cannot be touched; it is used all the same.
    let _ = file.set_modified(SystemTime::now());
    Some(file)
}

/// As [`claim_now`], for many: they pass the gate together.
pub(super) fn claim_many(store: &Store, keys: &[Digest], found: &mut dyn FnMut(Digest, Claimed)) {
    let mut known = Known::default();
    for keys in keys.chunks(TOGETHER) {
        let at = Instant::now();
        let gate = Gate::shared(store.root()).ok();
        let opened: Vec<_> = keys.iter().filter_map(|key| Some((*key, open_young(store, *key)?))).collect();
        drop(gate);
        for (key, file) in opened {
            let Some((record, number)) = read_open(file, key) else { continue };
            if let Some((record, artifacts)) = with_artifacts(store, record, &mut known) {
                found(key, Claimed { at, number, record, artifacts });
            }
        }
    }
}

/// Publishes a record. The first under a key wins; one whose bytes have gone missing is replaced.
pub fn publish(store: &Store, record: &Record) -> io::Result<Published> {
    let json = serde_json::to_value(record).map_err(io::Error::other)?;
    let text = canonical(&json);
    let checksum = Digest::of(text.as_bytes()).hex();
    let target = path(store, record.key);
    if let Some(folder) = target.parent() {
        make_folder(folder)?;
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
