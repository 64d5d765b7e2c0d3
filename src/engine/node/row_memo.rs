//! What an operator said of each row, so that a run over mostly the same rows asks for the new ones only.
//!
//! `rows/IDENTITY/TIME-DIGEST`: a file for each execution, with the key of each row, how many answers it had, and the dataset that holds the answers.
//! The answers are the columns of the result itself, so they take no room of their own, and go when the result goes: then the file is worth nothing.
//! Where the answer is a number, it stands in the file instead. Losing a file costs time and nothing else.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::ops::Range;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::context::Context;
use crate::base::{Digest, OpError};
use crate::data::draw::Keyer;
use crate::data::table::Table;
use crate::engine::artifact::{Artifact, FileRef};
use crate::engine::storage::store::{Look, Store};

/// Executions that are remembered for one operator with its arguments.
const KEPT: usize = 8;
/// Bytes of a key and a count.
const ENTRY: usize = 36;
/// Bytes of a key and a number.
const NUMBERED: usize = 40;
/// The first line of a file of numbers.
const NUMBERS: &[u8] = b"{\"numbers\":true}\n";
const CHECKSUM: usize = 32;

/// The memory of one operator with its arguments.
pub struct RowMemo<'s> {
    store: &'s Store,
    folder: PathBuf,
}

/// What is remembered of some rows.
pub struct Recalled {
    /// Where the answers of each row stand in the rows of `answers`, one dataset after the other; nothing for a row that is not remembered.
    pub rows: Vec<Option<Range<usize>>>,
    /// Datasets of answers, of the same columns; also those of rows that nobody asked for.
    pub answers: Vec<Artifact>,
}

#[derive(Serialize, Deserialize)]
struct Head {
    answers: Artifact,
    rows: usize,
}

/// Returns the key of each of the next rows: its digest over `columns`, and how many equal rows came before it.
///
/// # Errors
/// `E0301` when a column is not there.
pub fn keys(keyer: &mut Keyer, table: &Table, columns: &[&str]) -> Result<Vec<Digest>, OpError> {
    let keys = keyer.keys(table, columns)?;
    Ok(keys.iter().map(|key| Digest::of(&[&key.digest.0[..], &key.occurrence.to_le_bytes()].concat())).collect())
}

impl<'s> RowMemo<'s> {
    /// Opens the memory of an operator: of those executions whose keys differ in the rows alone, and in the fields `free`, on which the answer to a
    /// row does not depend. Nothing where rows must be asked anew.
    pub fn open(cx: &Context<'s>, free: &[&str]) -> Option<Self> {
        let mut identity = cx.rowwise.clone()?;
        free.iter().for_each(|field| drop(identity.remove(*field)));
        let name = Digest::of_json(&Json::Object(identity)).hex();
        Some(Self { store: cx.store, folder: cx.store.root().join("rows").join(name) })
    }

    /// Recalls what was said of rows, the newest first.
    pub fn recall(&self, keys: &[Digest]) -> Recalled {
        let mut rows: Vec<Option<Range<usize>>> = vec![None; keys.len()];
        let mut answers: Vec<Artifact> = Vec::new();
        let mut before = 0;
        for path in self.files() {
            if rows.iter().all(Option::is_some) {
                break;
            }
            let Some((head, places)) = fs::read(&path).ok().and_then(|bytes| read(&bytes)) else { continue };
            let wanted: Vec<(usize, Range<usize>)> = (0..keys.len())
                .filter(|at| rows[*at].is_none())
                .filter_map(|at| Some((at, places.get(&keys[at])?.clone())))
                .collect();
            // Damaged bytes are as good as none; whoever needs the result itself will say so.
            let whole = |file: &FileRef| {
                self.store.reuse(*file) && self.store.look(file.digest).is_ok_and(|look| look == Look::Whole)
            };
            if wanted.is_empty() || !head.answers.files.values().all(whole) {
                continue;
            }
            let same = answers.first().is_none_or(|first| first.meta["columns"] == head.answers.meta["columns"]);
            let all = head.answers.rows().unwrap_or(0) as usize;
            if !same || wanted.iter().any(|(_, range)| range.end > all) {
                continue;
            }
            for (at, range) in wanted {
                rows[at] = Some(before + range.start..before + range.end);
            }
            before += all;
            answers.push(head.answers);
        }
        Recalled { rows, answers }
    }

    /// Remembers rows: the key of each and how many answers it has, one after the other in `answers`, a dataset in the store.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn remember(&self, rows: &[(Digest, usize)], answers: Artifact) -> Result<(), OpError> {
        let mut bytes = serde_json::to_vec(&Head { answers, rows: rows.len() })?;
        bytes.push(b'\n');
        for (key, count) in rows {
            bytes.extend(key.0);
            bytes.extend(u32::try_from(*count).map_err(io::Error::other)?.to_le_bytes());
        }
        self.store.commit()?;
        self.write(bytes)
    }

    /// Recalls the number that was said of each row, the newest first.
    pub fn numbers(&self, keys: &[Digest]) -> Vec<Option<f64>> {
        let mut out = vec![None; keys.len()];
        for path in self.files() {
            if out.iter().all(Option::is_some) {
                break;
            }
            let Some(known) = fs::read(&path).ok().and_then(|bytes| read_numbers(&bytes)) else { continue };
            for (number, key) in out.iter_mut().zip(keys).filter(|(number, _)| number.is_none()) {
                *number = known.get(key).copied();
            }
        }
        out
    }

    /// Remembers a number for each row.
    ///
    /// # Errors
    /// The store cannot be written.
    pub fn remember_numbers(&self, rows: &[(Digest, f64)]) -> Result<(), OpError> {
        let mut bytes = NUMBERS.to_vec();
        for (key, number) in rows {
            bytes.extend(key.0);
            bytes.extend(number.to_le_bytes());
        }
        self.write(bytes)
    }

    /// Writes a file with its checksum; the oldest beyond those that are kept go.
    fn write(&self, mut bytes: Vec<u8>) -> Result<(), OpError> {
        let checksum = Digest::of(&bytes);
        bytes.extend(checksum.0);
        let name = format!("{}-{}", crate::engine::event::stamp(), checksum.short());
        self.store.write_whole(&self.folder.join(name), &bytes)?;
        self.files().skip(KEPT).for_each(|old| drop(fs::remove_file(old)));
        Ok(())
    }

    /// The newest first.
    fn files(&self) -> impl Iterator<Item = PathBuf> {
        let mut found: Vec<PathBuf> =
            fs::read_dir(&self.folder).into_iter().flatten().flatten().map(|e| e.path()).collect();
        found.sort_unstable_by(|a, b| b.cmp(a));
        found.into_iter()
    }
}

/// Returns what stands before the checksum, if that is right.
fn honest(bytes: &[u8]) -> Option<&[u8]> {
    let (bytes, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    (Digest::of(bytes).0[..] == *checksum).then_some(bytes)
}

/// Reads a file of numbers; nothing if it is damaged.
fn read_numbers(bytes: &[u8]) -> Option<HashMap<Digest, f64>> {
    let entries = honest(bytes)?.strip_prefix(NUMBERS)?;
    let number = |entry: &[u8]| {
        let (key, number) = entry.split_first_chunk::<32>()?;
        Some((Digest(*key), f64::from_le_bytes(number.try_into().ok()?)))
    };
    entries.chunks_exact(NUMBERED).map(number).collect()
}

/// Reads a file; nothing if it is damaged.
fn read(bytes: &[u8]) -> Option<(Head, HashMap<Digest, Range<usize>>)> {
    let bytes = honest(bytes)?;
    let end = bytes.iter().position(|b| *b == b'\n')?;
    let head: Head = serde_json::from_slice(&bytes[..end]).ok()?;
    let (mut at, mut places) = (0, HashMap::with_capacity(head.rows));
    for entry in bytes[end + 1..].chunks_exact(ENTRY) {
        let (mut key, mut count) = ([0; 32], [0; 4]);
        key.copy_from_slice(&entry[..32]);
        count.copy_from_slice(&entry[32..]);
        let next = at + u32::from_le_bytes(count) as usize;
        places.insert(Digest(key), at..next);
        at = next;
    }
    (places.len() == head.rows).then_some((head, places))
}
