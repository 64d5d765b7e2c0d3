//! Rows of one dataset that are also in another: by picture, by runs of words, by whole texts.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::blobs::Blobs;
use super::cell::Cell;
use super::phash::{self, Hash};
use super::table::Table;
use super::text::{self, Words};
use super::within;
use crate::base::OpError;

/// A sign of a leak.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sign {
    /// A picture of one row looks like a picture of the other.
    Picture,
    /// They share a run of 13 words; a text of 8 to 12 words counts whole.
    Words,
    /// A text of at least 8 words is the same in both, apart from case, blanks and punctuation.
    Text,
}

/// Words in a run. 13 as in Brown et al. 2020, "Language models are few-shot learners", appendix C.
const RUN: usize = 13;
/// Texts with fewer words are too common to tell anything.
const SHORTEST: usize = 8;

/// A row that is also in the other dataset.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leak {
    /// The row.
    pub row: u32,
    /// The row of the other dataset.
    pub other: u32,
    /// The signs that they share.
    pub signs: Vec<Sign>,
}

/// Returns all pairs of rows that show any of the signs, or with `all` every one of them, in order.
///
/// All columns of text and of pictures are looked at, each cell on its own. Pictures look alike when their 64-bit hashes differ in at most `distance` bits.
pub fn leaks(
    d: &Table,
    from: &Table,
    signs: &BTreeSet<Sign>,
    all: bool,
    distance: u32,
    blobs: &dyn Blobs,
) -> Result<Vec<Leak>, OpError> {
    let mut found: BTreeMap<(u32, u32), Vec<Sign>> = BTreeMap::new();
    for &sign in signs {
        let pairs = match sign {
            Sign::Picture => by_picture(d, from, distance, blobs)?,
            Sign::Words => by_key(&word_keys(d, from), &word_keys(from, d)),
            Sign::Text => by_key(&text_keys(d), &text_keys(from)),
        };
        pairs.into_iter().for_each(|pair| found.entry(pair).or_default().push(sign));
    }
    let wanted = found.into_iter().filter(|(_, shown)| !all || shown.len() == signs.len());
    Ok(wanted.map(|((row, other), signs)| Leak { row, other, signs }).collect())
}

fn by_picture(d: &Table, from: &Table, distance: u32, blobs: &dyn Blobs) -> Result<Vec<(u32, u32)>, OpError> {
    let owners = |table: &Table| -> Result<BTreeMap<String, BTreeSet<u32>>, OpError> {
        let mut owners: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        for (name, _) in table.columns() {
            for (row, cell) in table.cells(&name)?.iter().enumerate() {
                let mut digests = BTreeSet::new();
                within::collect(cell, &mut digests);
                for digest in digests {
                    owners.entry(digest).or_default().insert(row as u32);
                }
            }
        }
        Ok(owners)
    };
    let (ours, theirs) = (owners(d)?, owners(from)?);
    let digests: BTreeSet<String> = ours.keys().chain(theirs.keys()).cloned().collect();
    let hashes = phash::hashes(&digests, Hash::Phash, blobs)?;
    let theirs: Vec<(u64, &BTreeSet<u32>)> = theirs.iter().map(|(digest, rows)| (hashes[digest], rows)).collect();
    let pairs = ours.par_iter().flat_map_iter(|(digest, rows)| {
        let hash = hashes[digest];
        let near = theirs.iter().filter(move |(other, _)| (hash ^ other).count_ones() <= distance);
        near.flat_map(move |(_, others)| rows.iter().flat_map(move |&a| others.iter().map(move |&b| (a, b))))
    });
    Ok(pairs.collect())
}

/// For each row the hashes of its texts, and whether each hash is of a whole text.
type Keys = Vec<BTreeSet<(u64, bool)>>;

/// Pairs rows that share a hash, where at least one side has it as a whole text or both as a run of full length.
fn by_key(ours: &Keys, theirs: &Keys) -> Vec<(u32, u32)> {
    let mut index: Vec<(u64, bool, u32)> = theirs
        .iter()
        .enumerate()
        .flat_map(|(row, keys)| keys.iter().map(move |&(hash, whole)| (hash, whole, row as u32)))
        .collect();
    index.par_sort_unstable();
    let of_row = |(row, keys): (usize, &BTreeSet<(u64, bool)>)| {
        let mut others = BTreeSet::new();
        for &(hash, whole) in keys {
            let start = index.partition_point(|e| e.0 < hash);
            let same = index[start..].iter().take_while(|e| e.0 == hash);
            others.extend(same.filter(|e| whole || e.1).map(|e| e.2));
        }
        others.into_iter().map(move |other| (row as u32, other))
    };
    ours.par_iter().enumerate().flat_map_iter(of_row).collect()
}

/// Hashes runs of [`RUN`] words, whole shorter texts, and the runs that a whole shorter text of `other` could equal.
fn word_keys(table: &Table, other: &Table) -> Keys {
    let mut lengths: BTreeSet<usize> = BTreeSet::new();
    let mut words = Words::default();
    for_each_text(other, |_, text| {
        words.read(text);
        lengths.extend(Some(words.count()).filter(|n| (SHORTEST..RUN).contains(n)));
    });
    let mut keys: Keys = vec![BTreeSet::new(); table.rows()];
    for_each_text(table, |row, text| {
        words.read(text);
        let keys = &mut keys[row];
        let count = words.count();
        let whole = if count >= RUN { RUN } else { count };
        if count >= SHORTEST {
            words.shingles(whole, |run| keys.extend([(xxh3_64(run), true)]));
        }
        for &length in lengths.iter().filter(|&&length| length < count) {
            words.shingles(length, |run| keys.extend([(xxh3_64(run), false)]));
        }
    });
    keys
}

fn text_keys(table: &Table) -> Keys {
    let mut words = Words::default();
    let mut keys: Keys = vec![BTreeSet::new(); table.rows()];
    for_each_text(table, |row, text| {
        words.read(text);
        if words.count() >= SHORTEST {
            keys[row].insert((xxh3_64(text::normalise(text).as_bytes()), true));
        }
    });
    keys
}

/// Hands over each text of each row, those in lists too; digests and media types of pictures are no texts.
fn for_each_text(table: &Table, mut each: impl FnMut(usize, &str)) {
    fn visit(cell: &Cell<'_>, row: usize, each: &mut impl FnMut(usize, &str)) {
        match cell {
            Cell::Str(text) => each(row, text),
            Cell::List(items) => items.iter().for_each(|item| visit(item, row, each)),
            Cell::Record(fields) if cell.field("digest").is_none() => {
                fields.iter().for_each(|(_, value)| visit(value, row, each));
            }
            _ => {}
        }
    }
    for (_, array) in table.columns() {
        for row in 0..table.rows() {
            visit(&Cell::read(array.as_ref(), row), row, &mut each);
        }
    }
}
