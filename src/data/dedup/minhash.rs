//! Near-duplicate texts: candidates by MinHash and banding, confirmed by the exact Jaccard similarity of their word shingles.

use std::borrow::Cow;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};

use rayon::prelude::*;
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed, xxh3_128_with_seed};

use super::bandkeys::Keys;
pub use super::bandkeys::{KEYS_IN_MEMORY, Spill};
use super::clusters::{Links, Rule, Sets, groups};
use super::signs::signs;
use super::text::Words;
use super::texts::Texts;

/// What counts as near.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Jaccard similarity from which two texts are duplicates, 0..1.
    pub similar: f64,
    /// Words per shingle.
    pub shingle: usize,
    /// Bands of the signature; two texts that agree on one whole band are candidates.
    pub bands: usize,
    /// Hash values per band.
    pub rows: usize,
    /// Confirm candidates exactly. Without it every candidate is a duplicate.
    pub verify: bool,
    /// For [`Rule::Components`] pairs that are joined already are not looked at again.
    pub rule: Rule,
}

/// Says of two texts, by their place, that they are no duplicates for another reason.
pub type Apart<'a> = &'a (dyn Fn(usize, usize) -> bool + Sync);

/// Groups up to this size are compared pair by pair when candidates are confirmed anyway: cheaper than a signature, and misses nothing.
const SMALL: usize = 48;
/// Lanes of a signature that are computed together, in registers.
const LANES: usize = 32;

/// Finds near-duplicates among texts of the same group. A text without words has no duplicates.
///
/// A pair that `apart` tells apart is never linked. With `verify`, neither is one of the same shingles with other [`signs`], and another pair is linked exactly if it is a candidate and `|A ∩ B| / |A ∪ B| ≥ similar` over the sets of shingles. The chance that a pair of
/// similarity `s` becomes a candidate is `1 − (1 − s^rows)^bands`. The result does not depend on the number of threads.
///
/// # Source
/// Broder 1997, "On the resemblance and containment of documents"; banding: Leskovec, Rajaraman, Ullman, "Mining of Massive Datasets", 3.4.
pub fn links(texts: &[String], group: &[u32], options: &Options, apart: Apart<'_>) -> Links {
    let found = find(texts, group, options, apart, None);
    found.expect("band keys that stay in memory cannot fail").links
}

/// As [`links`], for any number of texts: band keys that are too many for memory go to nameless files.
///
/// # Errors
/// A file of band keys cannot be written or read.
pub fn find<'a, T: Texts + ?Sized>(
    texts: &'a T,
    group: &[u32],
    options: &'a Options,
    apart: Apart<'a>,
    spill: Option<Spill<'_>>,
) -> io::Result<Near<'a, T>> {
    let Read { identity, signed, mut keys } = Read::new(texts, group, options, spill)?;
    let mut links = Links::by_key(&identity);
    let distinct: Vec<bool> =
        (0..).zip(&identity).map(|(row, identity)| links.represents(row) && identity.is_some()).collect();
    drop(identity);
    let rows = (0..texts.rows() as u32).filter(|&r| distinct[r as usize]);
    let mut compare = Compare {
        texts,
        options,
        apart,
        sets: (0..texts.rows()).map(|_| OnceLock::new()).collect(),
        held: AtomicUsize::new(0),
    };
    let mut joined = Sets::new(texts.rows());
    let mut member = vec![true; texts.rows()];
    if options.verify {
        // Whoever is compared pair by pair, or alone in its group, is in no band.
        let small: Vec<Vec<u32>> = groups(group, rows).into_iter().filter(|g| g.len() <= SMALL).collect();
        small.iter().flatten().for_each(|&row| member[row as usize] = false);
        compare.all(&small, &mut joined, &mut links.edges);
    }
    for band in 0..options.bands {
        let keys = keys.band(band)?;
        let mut order: Vec<(u64, u32)> = keys
            .iter()
            .zip(&signed)
            .filter(|(_, row)| member[**row as usize] && distinct[**row as usize])
            .map(|(key, row)| (*key, *row))
            .collect();
        order.par_sort_unstable();
        let buckets: Vec<Vec<u32>> = order
            .chunk_by(|a, b| a.0 == b.0)
            .filter(|c| c.len() > 1)
            .map(|c| c.iter().map(|m| m.1).collect())
            .collect();
        compare.all(&buckets, &mut joined, &mut links.edges);
        compare.forget();
    }
    links.edges.par_sort_unstable();
    links.edges.dedup();
    Ok(Near { links, compare })
}

/// Near-duplicates that were found.
pub struct Near<'a, T: ?Sized> {
    /// Which rows are duplicates of which.
    pub links: Links,
    compare: Compare<'a, T>,
}

impl<T: Texts + ?Sized> Near<'_, T> {
    /// Returns the exact Jaccard similarity of the shingles of two texts.
    pub fn jaccard(&self, a: usize, b: usize) -> f64 {
        // Rows of a class have the same words.
        if self.links.class[a] == self.links.class[b] {
            return 1.0;
        }
        let (a, b) = (self.compare.set(a as u32), self.compare.set(b as u32));
        similarity(&a, &b)
    }
}

/// What one pass over the texts gives.
struct Read {
    /// Of each row: its words, their signs and its group; `None` for a text without words.
    identity: Vec<Option<u128>>,
    /// Rows of groups that are too large to be compared pair by pair.
    signed: Vec<u32>,
    /// Their band keys. The group is part of a key, so that groups never meet.
    keys: Keys,
}

/// Rows whose keys are made together.
const BLOCK: usize = 1 << 13;

impl Read {
    fn new<T: Texts + ?Sized>(
        texts: &T,
        group: &[u32],
        options: &Options,
        spill: Option<Spill<'_>>,
    ) -> io::Result<Self> {
        let mut size: HashMap<u32, usize> = HashMap::new();
        group.iter().for_each(|g| *size.entry(*g).or_default() += 1);
        let large = |row: &u32| !options.verify || size[&group[*row as usize]] > SMALL;
        let (signed, other): (Vec<u32>, Vec<u32>) = (0..texts.rows() as u32).partition(large);

        let signer = Signer::new(options);
        let mut identity = vec![None; texts.rows()];
        let mut keys = Keys::new(signed.len(), options.bands, spill)?;
        let mut block = vec![0u64; signed.len().min(BLOCK) * options.bands];
        for rows in signed.chunks(BLOCK) {
            let block = &mut block[..rows.len() * options.bands];
            let each = |scratch: &mut Scratch, (keys, &row): (&mut [u64], &u32)| {
                let group = group[row as usize];
                let identity = texts.with(row as usize, |text| scratch.identity(text, group));
                signer.sign(scratch, group, keys);
                identity
            };
            let parts = block.par_chunks_mut(options.bands.max(1)).zip(rows).with_min_len(16);
            let read: Vec<Option<u128>> = parts.map_init(Scratch::default, each).collect();
            rows.iter().zip(read).for_each(|(row, id)| identity[*row as usize] = id);
            keys.append(block)?;
        }
        let alone = |scratch: &mut Scratch, &row: &u32| {
            texts.with(row as usize, |text| scratch.identity(text, group[row as usize]))
        };
        let read: Vec<Option<u128>> = other.par_iter().with_min_len(64).map_init(Scratch::default, alone).collect();
        other.iter().zip(read).for_each(|(row, id)| identity[*row as usize] = id);
        Ok(Self { identity, signed, keys })
    }
}

/// What a thread needs for one text after the other.
#[derive(Default)]
struct Scratch {
    words: Words,
    shingles: Vec<u32>,
    signature: Vec<u32>,
    bytes: Vec<u8>,
}

impl Scratch {
    /// Reads a text; what the others of its group must have to be the same.
    fn identity(&mut self, text: &str, group: u32) -> Option<u128> {
        self.words.read(text);
        let normal = self.words.normal();
        (!normal.is_empty()).then(|| xxh3_128_with_seed(normal, u64::from(group)) ^ (u128::from(signs(text)) << 32))
    }
}

/// Sets of shingles that are kept take about so many bytes at most; others are made anew for each comparison.
const SETS: usize = 384 << 20;

/// Compares texts by their sets of shingles, made when first needed.
struct Compare<'a, T: ?Sized> {
    texts: &'a T,
    options: &'a Options,
    apart: Apart<'a>,
    sets: Vec<OnceLock<Box<[u64]>>>,
    /// Bytes in `sets`.
    held: AtomicUsize,
}

impl<T: Texts + ?Sized> Compare<'_, T> {
    /// Compares all pairs within each bucket, in parallel; no row is in two buckets.
    fn all(&self, buckets: &[Vec<u32>], joined: &mut Sets, edges: &mut Vec<(u32, u32)>) {
        let known: &Sets = joined;
        let found: Vec<(u32, u32)> = buckets.par_iter().flat_map_iter(|bucket| self.bucket(bucket, known)).collect();
        found.iter().for_each(|&(a, b)| joined.union(a, b));
        edges.extend(found);
    }

    fn bucket(&self, bucket: &[u32], known: &Sets) -> Vec<(u32, u32)> {
        let skip = self.options.rule == Rule::Components;
        let roots: Vec<u32> = if skip { bucket.iter().map(|&r| known.root(r)).collect() } else { Vec::new() };
        if skip && roots.iter().all(|&r| r == roots[0]) {
            return Vec::new();
        }
        // Positions with one root are joined from the start.
        let mut local = Sets::new(bucket.len());
        for i in 1..roots.len() {
            if let Some(j) = roots[..i].iter().position(|r| *r == roots[i]) {
                local.union(i as u32, j as u32);
            }
        }
        let mut found = Vec::new();
        for i in 0..bucket.len() {
            for j in i + 1..bucket.len() {
                if skip && local.find(i as u32) == local.find(j as u32) {
                    continue;
                }
                let (a, b) = (bucket[i].min(bucket[j]), bucket[i].max(bucket[j]));
                if (!self.options.verify || self.near(a, b)) && !(self.apart)(a as usize, b as usize) {
                    local.union(i as u32, j as u32);
                    found.push((a, b));
                }
            }
        }
        found
    }

    fn near(&self, a: u32, b: u32) -> bool {
        let (of_a, of_b) = (self.set(a), self.set(b));
        let (small, large) = (of_a.len().min(of_b.len()), of_a.len().max(of_b.len()));
        (small as f64) >= self.options.similar * large as f64 && {
            let common = common(&of_a, &of_b);
            let all = of_a.len() + of_b.len() - common;
            let signs = |row: u32| self.texts.with(row as usize, signs);
            common as f64 >= self.options.similar * all as f64 && (common < all || signs(a) == signs(b))
        }
    }

    fn set(&self, row: u32) -> Cow<'_, [u64]> {
        let make = || self.texts.with(row as usize, |text| shingle_set(text, self.options.shingle));
        let place = &self.sets[row as usize];
        match place.get() {
            Some(set) => Cow::Borrowed(&**set),
            None if self.held.load(Ordering::Relaxed) > SETS => Cow::Owned(make().into_vec()),
            None => Cow::Borrowed(&**place.get_or_init(|| {
                let set = make();
                self.held.fetch_add(size_of_val(&*set), Ordering::Relaxed);
                set
            })),
        }
    }

    /// Makes room for other sets, if there is none left.
    fn forget(&mut self) {
        if *self.held.get_mut() > SETS {
            self.sets.par_iter_mut().for_each(|set| *set = OnceLock::new());
            *self.held.get_mut() = 0;
        }
    }
}

/// Returns the sorted set of shingle hashes of a text.
fn shingle_set(text: &str, shingle: usize) -> Box<[u64]> {
    thread_local! {
        /// Kept from text to text, so that a set takes the memory that it needs and no other.
        static SCRATCH: RefCell<(Words, Vec<u64>)> = RefCell::default();
    }
    SCRATCH.with_borrow_mut(|(words, set)| {
        words.read(text);
        set.clear();
        words.shingles(shingle, |s| set.push(xxh3_64(s)));
        set.sort_unstable();
        set.dedup();
        Box::from(&set[..])
    })
}

/// Returns the exact Jaccard similarity of two texts over word shingles; 0 if neither has a word.
pub fn jaccard(a: &str, b: &str, shingle: usize) -> f64 {
    similarity(&shingle_set(a, shingle), &shingle_set(b, shingle))
}

fn similarity(a: &[u64], b: &[u64]) -> f64 {
    let common = common(a, b);
    if a.len() + b.len() == 0 { 0.0 } else { common as f64 / (a.len() + b.len() - common) as f64 }
}

/// Counts what two sorted sets share; free of unpredictable branches.
fn common(a: &[u64], b: &[u64]) -> usize {
    let (mut i, mut j, mut common) = (0, 0, 0);
    while i < a.len() && j < b.len() {
        let (x, y) = (a[i], b[j]);
        common += usize::from(x == y);
        i += usize::from(x <= y);
        j += usize::from(y <= x);
    }
    common
}

/// Makes band keys.
struct Signer<'a> {
    family: Family,
    options: &'a Options,
}

impl<'a> Signer<'a> {
    fn new(options: &'a Options) -> Self {
        Self { family: Family::new((options.bands * options.rows).next_multiple_of(LANES)), options }
    }

    /// Writes the band keys of the text that was read last.
    fn sign(&self, scratch: &mut Scratch, group: u32, keys: &mut [u64]) {
        let Scratch { words, shingles, signature, bytes } = scratch;
        shingles.clear();
        words.shingles(self.options.shingle, |s| {
            let h = xxh3_64(s);
            shingles.push((h >> 32) as u32 ^ h as u32);
        });
        signature.resize(self.family.a.len(), 0);
        self.family.minimise(shingles, signature);
        for (band, (key, part)) in keys.iter_mut().zip(signature.chunks(self.options.rows.max(1))).enumerate() {
            bytes.clear();
            bytes.extend(part.iter().flat_map(|v| v.to_le_bytes()));
            bytes.extend(group.to_le_bytes());
            *key = xxh3_64_with_seed(bytes, band as u64);
        }
    }
}

/// A family of hash functions `x → a·x + b` modulo 2³², over hashes that are uniform already.
struct Family {
    a: Vec<u32>,
    b: Vec<u32>,
}

impl Family {
    /// Draws `lanes` functions from SplitMix64 with a fixed seed: signatures are the same everywhere.
    fn new(lanes: usize) -> Self {
        let mut state = 0x9E37_79B9_7F4A_7C15_u64;
        let mut next = || {
            state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
            let z = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
            z ^ (z >> 31)
        };
        let (a, b) = (0..lanes).map(|_| ((next() >> 32) as u32 | 1, (next() >> 32) as u32)).unzip();
        Self { a, b }
    }

    /// Writes the minimum of each function over all hashes.
    fn minimise(&self, hashes: &[u32], out: &mut [u32]) {
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f") {
                // SAFETY: the processor has AVX-512F.
                return unsafe { minimise_avx512(&self.a, &self.b, hashes, out) };
            }
            if is_x86_feature_detected!("avx2") {
                // SAFETY: the processor has AVX2.
                return unsafe { minimise_avx2(&self.a, &self.b, hashes, out) };
            }
        }
        minimise(&self.a, &self.b, hashes, out);
    }
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx512f")]
fn minimise_avx512(a: &[u32], b: &[u32], hashes: &[u32], out: &mut [u32]) {
    minimise(a, b, hashes, out);
}

#[cfg(target_arch = "x86_64")]
#[target_feature(enable = "avx2")]
fn minimise_avx2(a: &[u32], b: &[u32], hashes: &[u32], out: &mut [u32]) {
    minimise(a, b, hashes, out);
}

/// One body for all instruction sets: the compiler vectorises it for the caller's. Each block of lanes stays in registers over all hashes.
#[inline(always)]
fn minimise(a: &[u32], b: &[u32], hashes: &[u32], out: &mut [u32]) {
    for ((a, b), out) in a.chunks_exact(LANES).zip(b.chunks_exact(LANES)).zip(out.chunks_exact_mut(LANES)) {
        let mut least = [u32::MAX; LANES];
        for &x in hashes {
            for lane in 0..LANES {
                least[lane] = least[lane].min(x.wrapping_mul(a[lane]).wrapping_add(b[lane]));
            }
        }
        out.copy_from_slice(&least);
    }
}
