//! Rows of one dataset that are also in another: by picture, by runs of words, by whole texts.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::phash::{self, Hash};
use super::text::{self, Words};
use super::within;
use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::data::cell::Cell;
use crate::data::table::Table;

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

/// How two datasets are compared.
#[derive(Clone, Debug)]
pub struct Compared {
    /// What is a leak.
    pub signs: BTreeSet<Sign>,
    /// A pair must show every sign, not just one.
    pub all: bool,
    /// Bits by which the 64-bit hashes of two pictures that look alike may differ.
    pub distance: u32,
    /// About so many bytes of hashes are held at once; if there are more, the rows are read again for the others.
    pub held: usize,
}

/// What [`Compared::held`] is where nothing speaks for another number.
pub const HELD: usize = 512 << 20;

/// Returns all pairs of rows that show any of the signs, or with [`Compared::all`] every one of them, in order.
///
/// All columns of text and of pictures are looked at, each cell on its own. `d` and `from` give the rows of a dataset from the first on each time they
/// are called. Hashes are held of the dataset that has fewer; the rows of the other one are looked up as they come.
///
/// # Errors
/// Those of `d` and `from`; `E0503` when a picture is missing in the store or does not decode.
pub fn leaks<D, F>(
    d: impl Fn() -> Result<D, OpError>,
    from: impl Fn() -> Result<F, OpError>,
    how: &Compared,
    blobs: &dyn Blobs,
) -> Result<Vec<Leak>, OpError>
where
    D: Iterator<Item = Result<Table, OpError>>,
    F: Iterator<Item = Result<Table, OpError>>,
{
    let (ours, theirs) = (Overview::of(d()?, &how.signs)?, Overview::of(from()?, &how.signs)?);
    let mut found: BTreeMap<(u32, u32), Vec<Sign>> = BTreeMap::new();
    for &sign in &how.signs {
        let (own, other) = (Hashes::new(sign, &ours, &theirs), Hashes::new(sign, &theirs, &ours));
        let pairs = match sign {
            Sign::Picture => by_picture(&ours.pictures, &theirs.pictures, how.distance, blobs)?,
            // What makes two hashes a pair is the same from both sides.
            _ if own.most < other.most => by_key((&d, &own), (&from, &other), how.held)?,
            _ => {
                let turned = by_key((&from, &other), (&d, &own), how.held)?;
                turned.into_iter().map(|(other, row)| (row, other)).collect()
            }
        };
        pairs.into_iter().for_each(|pair| found.entry(pair).or_default().push(sign));
    }
    let wanted = found.into_iter().filter(|(_, shown)| !how.all || shown.len() == how.signs.len());
    Ok(wanted.map(|((row, other), signs)| Leak { row, other, signs }).collect())
}

/// Rows by the digests of their pictures.
type Owners = BTreeMap<String, BTreeSet<u32>>;

/// What is to be known of a dataset before it is compared.
#[derive(Default)]
struct Overview {
    pictures: Owners,
    /// Texts of at least [`SHORTEST`] words.
    texts: usize,
    /// Words in these.
    words: usize,
    /// Numbers of words that texts shorter than a run have.
    lengths: BTreeSet<usize>,
}

impl Overview {
    fn of(rows: impl Iterator<Item = Result<Table, OpError>>, signs: &BTreeSet<Sign>) -> Result<Self, OpError> {
        let mut seen = Self::default();
        let worded = signs.iter().any(|sign| *sign != Sign::Picture);
        for table in rows {
            let table = table?;
            if signs.contains(&Sign::Picture) {
                seen.pictures(&table)?;
            }
            let lengths = |words: &mut Words, row: usize| {
                let mut found = Vec::new();
                for_each_text(&table, row, &mut |text| {
                    words.read(text);
                    found.extend(Some(words.count()).filter(|n| *n >= SHORTEST));
                });
                found
            };
            let rows = if worded { table.rows() } else { 0 };
            let found: Vec<usize> =
                (0..rows).into_par_iter().map_init(Words::default, lengths).flatten_iter().collect();
            seen.texts += found.len();
            seen.words += found.iter().sum::<usize>();
            seen.lengths.extend(found.into_iter().filter(|n| *n < RUN));
        }
        Ok(seen)
    }

    fn pictures(&mut self, table: &Table) -> Result<(), OpError> {
        for (name, _) in table.columns() {
            for (row, cell) in table.cells(&name)?.iter().enumerate() {
                let mut digests = BTreeSet::new();
                within::collect(cell, &mut digests);
                for digest in digests {
                    self.pictures.entry(digest).or_default().insert((table.before + row) as u32);
                }
            }
        }
        Ok(())
    }
}

fn by_picture(ours: &Owners, theirs: &Owners, distance: u32, blobs: &dyn Blobs) -> Result<Vec<(u32, u32)>, OpError> {
    let digests: BTreeSet<String> = ours.keys().chain(theirs.keys()).cloned().collect();
    let hashes = phash::hashes(&digests, Hash::Phash, blobs)?;
    let theirs: Vec<(u64, &BTreeSet<u32>)> = theirs.iter().map(|(digest, rows)| (hashes[digest], rows)).collect();
    let pairs = ours.par_iter().flat_map_iter(|(digest, rows)| {
        let hash = hashes[digest];
        let near = theirs.iter().filter(move |(other, _)| (hash ^ other).count_ones() <= distance);
        near.flat_map(move |(_, others)| rows.iter().flat_map(move |&a| others.iter().map(move |&b| (a, b))))
    });
    let mut pairs: Vec<(u32, u32)> = pairs.collect();
    // Two rows may share several pictures.
    pairs.par_sort_unstable();
    pairs.dedup();
    Ok(pairs)
}

/// The hashes of a dataset's rows for a sign of text.
struct Hashes<'o> {
    sign: Sign,
    /// So many at most.
    most: usize,
    /// Numbers of words of the other dataset's shorter texts, which runs of this one could equal.
    lengths: &'o BTreeSet<usize>,
}

impl<'o> Hashes<'o> {
    fn new(sign: Sign, own: &Overview, other: &'o Overview) -> Self {
        let most = if sign == Sign::Text { own.texts } else { own.words * (1 + other.lengths.len()) };
        Self { sign, most, lengths: &other.lengths }
    }

    /// Returns the hashes of a row's texts, each once, and whether each is of a whole text or of a run of full length.
    fn of_row(&self, words: &mut Words, table: &Table, row: usize) -> Vec<(u64, bool)> {
        let mut hashes = Vec::new();
        for_each_text(table, row, &mut |text| {
            words.read(text);
            let count = words.count();
            if count < SHORTEST {
                return;
            }
            if self.sign == Sign::Text {
                return hashes.push((xxh3_64(text::normalise(text).as_bytes()), true));
            }
            words.shingles(count.min(RUN), |run| hashes.push((xxh3_64(run), true)));
            for &length in self.lengths.iter().filter(|&&length| length < count) {
                words.shingles(length, |run| hashes.push((xxh3_64(run), false)));
            }
        });
        hashes.sort_unstable();
        hashes.dedup();
        hashes
    }
}

/// Pairs rows that share a hash which is whole on at least one side: (row of `few`, row of `many`), in order. Hashes of `few` are held, at most `held`
/// bytes of them at a time.
fn by_key<A, B>(
    (few, of_few): (&impl Fn() -> Result<A, OpError>, &Hashes<'_>),
    (many, of_many): (&impl Fn() -> Result<B, OpError>, &Hashes<'_>),
    held: usize,
) -> Result<Vec<(u32, u32)>, OpError>
where
    A: Iterator<Item = Result<Table, OpError>>,
    B: Iterator<Item = Result<Table, OpError>>,
{
    let parts = (of_few.most * size_of::<(u64, bool, u32)>()).div_ceil(held.max(1)).max(1) as u64;
    let mut pairs = Vec::new();
    for part in 0..parts {
        let mine = |(hash, _): &(u64, bool)| hash % parts == part;
        let mut index: Vec<(u64, bool, u32)> = Vec::new();
        for table in few()? {
            let table = table?;
            let of_row = |words: &mut Words, row: usize| {
                let number = (table.before + row) as u32;
                let hashes = of_few.of_row(words, &table, row).into_iter().filter(mine);
                hashes.map(move |(hash, whole)| (hash, whole, number))
            };
            index.par_extend((0..table.rows()).into_par_iter().map_init(Words::default, of_row).flatten_iter());
        }
        index.par_sort_unstable();
        let marks = Marks::of(&index);
        for table in many()? {
            let table = table?;
            let of_row = |words: &mut Words, row: usize| {
                let mut others = BTreeSet::new();
                for (hash, whole) in of_many.of_row(words, &table, row).into_iter().filter(mine) {
                    if marks.has(hash) {
                        let start = index.partition_point(|e| e.0 < hash);
                        let same = index[start..].iter().take_while(|e| e.0 == hash);
                        others.extend(same.filter(|e| whole || e.1).map(|e| e.2));
                    }
                }
                let number = (table.before + row) as u32;
                others.into_iter().map(move |other| (other, number))
            };
            pairs.par_extend((0..table.rows()).into_par_iter().map_init(Words::default, of_row).flatten_iter());
        }
    }
    pairs.par_sort_unstable();
    pairs.dedup();
    Ok(pairs)
}

/// Tells most hashes apart that are not in an index, without looking there.
struct Marks {
    bits: Vec<u64>,
}

impl Marks {
    fn of(index: &[(u64, bool, u32)]) -> Self {
        let mut marks = Self { bits: vec![0; (index.len() / 8).next_power_of_two()] };
        for &(hash, ..) in index {
            let (word, bit) = marks.place(hash);
            marks.bits[word] |= bit;
        }
        marks
    }

    fn has(&self, hash: u64) -> bool {
        let (word, bit) = self.place(hash);
        self.bits[word] & bit != 0
    }

    fn place(&self, hash: u64) -> (usize, u64) {
        ((hash >> 6) as usize & (self.bits.len() - 1), 1 << (hash & 63))
    }
}

/// Hands over each text of a row, those in lists too; digests and media types of pictures are no texts.
fn for_each_text(table: &Table, row: usize, each: &mut impl FnMut(&str)) {
    fn visit(cell: &Cell<'_>, each: &mut impl FnMut(&str)) {
        match cell {
            Cell::Str(text) => each(text),
            Cell::List(items) => items.iter().for_each(|item| visit(item, each)),
            Cell::Record(fields) if cell.field("digest").is_none() => {
                fields.iter().for_each(|(_, value)| visit(value, each));
            }
            _ => {}
        }
    }
    table.batch.columns().iter().for_each(|array| visit(&Cell::read(array.as_ref(), row), each));
}
