//! Which blobs a record needs: its artifacts and their files, and the pictures and videos that its rows name by digest.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Read};

use arrow::array::{Array, AsArray};
use arrow::datatypes::DataType;
use arrow::ipc::reader::StreamReader;

use super::record::Record;
use super::store::{Look, Store};
use crate::base::Digest;
use crate::engine::artifact::Artifact;

/// The blobs that something names.
#[derive(Clone, Debug, Default)]
pub struct Names {
    /// Files of artifacts, and pictures in cells: without them the record is worth nothing.
    pub certain: BTreeSet<Digest>,
    /// Every other text of 64 hex digits. It may name a blob, and if there is such a blob, it is kept.
    pub perhaps: BTreeSet<Digest>,
}

impl Names {
    /// Says whether a blob is named, for certain or perhaps.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.certain.contains(digest) || self.perhaps.contains(digest)
    }

    /// Returns all that is named.
    pub fn all(&self) -> impl Iterator<Item = &Digest> {
        self.certain.iter().chain(self.perhaps.difference(&self.certain))
    }

    fn extend(&mut self, other: &Self) {
        self.certain.extend(&other.certain);
        self.perhaps.extend(&other.perhaps);
    }
}

/// Follows names through a store; each file is read once.
pub struct Reach<'a> {
    store: &'a Store,
    files: BTreeMap<Digest, Names>,
}

impl<'a> Reach<'a> {
    /// Starts with nothing read.
    pub fn new(store: &'a Store) -> Self {
        Self { store, files: BTreeMap::new() }
    }

    /// Returns the blobs that a record names. What cannot be read names nothing.
    pub fn record(&mut self, record: &Record) -> Names {
        let mut out = Names::default();
        out.certain.extend(record.fates.map(|f| f.digest));
        // An attachment may be gone: nothing is made anew for its sake.
        out.perhaps.extend(record.attachments.values().flat_map(BTreeMap::values).map(|f| f.digest));
        for digest in record.outputs.values() {
            out.certain.insert(*digest);
            let Ok(bytes) = self.store.read(*digest) else { continue };
            let Ok(artifact) = serde_json::from_slice::<Artifact>(&bytes) else { continue };
            out.perhaps.extend(hex_in(&bytes));
            out.extend(&self.artifact(&artifact));
        }
        out
    }

    /// Returns the blobs that the files of an artifact are and name.
    pub fn artifact(&mut self, artifact: &Artifact) -> Names {
        let mut out = Names::default();
        for (path, file) in &artifact.files {
            out.certain.insert(file.digest);
            let extension = path.rsplit('.').next().unwrap_or_default();
            out.extend(self.file(file.digest, extension));
        }
        out
    }

    fn file(&mut self, digest: Digest, extension: &str) -> &Names {
        let store = self.store;
        self.files.entry(digest).or_insert_with(|| {
            let mut names = Names::default();
            let read = match extension {
                "arrow" => in_arrow,
                "json" | "jsonl" => in_text,
                _ => return names,
            };
            // Damaged bytes name nothing that can be trusted, and what reads Arrow may stop at them.
            if matches!(store.look(digest), Ok(Look::Whole)) {
                let _ = read(&store.path(digest), &mut names);
            }
            names
        })
    }
}

fn in_arrow(path: &std::path::Path, names: &mut Names) -> io::Result<()> {
    let reader = StreamReader::try_new(BufReader::new(File::open(path)?), None).map_err(io::Error::other)?;
    for batch in reader {
        for column in batch.map_err(io::Error::other)?.columns() {
            in_array(column.as_ref(), false, names);
        }
    }
    Ok(())
}

/// `picture`: the array is the digest of a picture or video.
fn in_array(array: &dyn Array, picture: bool, names: &mut Names) {
    match array.data_type() {
        DataType::Utf8 => {
            for text in array.as_string::<i32>().iter().flatten() {
                if picture {
                    names.certain.extend(Digest::parse(text));
                } else if text.len() >= 64 {
                    names.perhaps.extend(hex_in(text.as_bytes()));
                }
            }
        }
        DataType::List(_) => in_array(array.as_list::<i32>().values().as_ref(), false, names),
        DataType::Struct(fields) => {
            let is_picture = fields.iter().any(|f| f.name() == "media");
            for (field, child) in fields.iter().zip(array.as_struct().columns()) {
                in_array(child.as_ref(), is_picture && field.name() == "digest", names);
            }
        }
        _ => {}
    }
}

fn in_text(path: &std::path::Path, names: &mut Names) -> io::Result<()> {
    let mut file = File::open(path)?;
    let (mut runs, mut buffer) = (HexRuns::default(), vec![0; 1 << 16]);
    loop {
        let n = file.read(&mut buffer)?;
        names.perhaps.extend(buffer[..n].iter().filter_map(|b| runs.next(*b)));
        if n == 0 {
            names.perhaps.extend(runs.next(b' '));
            return Ok(());
        }
    }
}

/// Finds the digests in a text: runs of exactly 64 hex digits.
fn hex_in(text: &[u8]) -> Vec<Digest> {
    let mut runs = HexRuns::default();
    text.iter().chain(b" ").filter_map(|b| runs.next(*b)).collect()
}

/// The hex digits read last.
#[derive(Default)]
struct HexRuns {
    run: Vec<u8>,
    length: usize,
}

impl HexRuns {
    /// Reads a byte; the one after 64 hex digits gives their digest.
    fn next(&mut self, byte: u8) -> Option<Digest> {
        if matches!(byte, b'0'..=b'9' | b'a'..=b'f') {
            self.length += 1;
            if self.length <= 64 {
                self.run.push(byte);
            }
            return None;
        }
        let whole = std::mem::take(&mut self.length) == 64;
        let found = whole.then(|| std::str::from_utf8(&self.run).ok().and_then(Digest::parse)).flatten();
        self.run.clear();
        found
    }
}
