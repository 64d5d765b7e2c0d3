//! Words that tell texts apart: those that stand in each other's place in otherwise equal texts.
//!
//! To a sentence encoder "left of the red cube" and "right of the blue cube" mean nearly the same. A collection of questions shows which words matter:
//! "red" and "blue" are exchanged again and again while the rest of the sentence stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::text::Words;
use super::texts::Texts;

/// Longest run of words that counts as standing in another's place: "right next to" against "behind".
const SPAN: usize = 3;
/// Texts with more words are not searched for exchanged ones: such texts are hardly ever equal but for a few words.
const LONG: usize = 128;
/// Most different runs that are compared at one place.
const RUNS: usize = 64;

/// Which words tell texts apart.
pub struct Contrasts {
    pairs: BTreeSet<(u32, u32)>,
    texts: Vec<Vec<u32>>,
}

/// Pairs of words exchanged in one surrounding, and whether two texts of one group exchange them there.
type Exchanged = BTreeMap<(u32, u32), bool>;

impl Contrasts {
    /// Finds the pairs of words that stand in each other's place in at least `least` different surroundings. The same exchange cut out together with a
    /// neighbouring word is another surrounding.
    ///
    /// A surrounding is a text with a run of one to three words cut out. Of two runs in one surrounding, each word that only one has is exchanged
    /// with each that only the other has. Words that are exchanged within a group in three of ten surroundings or more are not in contrast: where the
    /// group is the same picture and the same answer they are two ways to say one thing, such as "color" and "colour".
    pub fn mine<T: Texts + ?Sized>(texts: &T, group: &[u32], least: u32) -> Self {
        let texts = numbered(texts);
        let mut groups: BTreeMap<&[u32], BTreeSet<u32>> = BTreeMap::new();
        for (text, group) in texts.iter().zip(group).filter(|(text, _)| text.len() <= LONG) {
            groups.entry(text).or_default().insert(*group);
        }
        let distinct: Vec<(&[u32], BTreeSet<u32>)> = groups.into_iter().collect();
        let mut places: Vec<(u64, &[u32], usize)> = distinct
            .par_iter()
            .enumerate()
            .flat_map_iter(|(i, (text, _))| surroundings(text).map(move |(hash, run)| (hash, run, i)))
            .collect();
        places.par_sort_unstable();
        let found: Vec<Exchanged> = places
            .par_chunk_by(|a, b| a.0 == b.0)
            .filter(|place| place.len() > 1)
            .map(|place| exchanged(&place[..place.len().min(RUNS)], &distinct))
            .collect();
        let mut counts: BTreeMap<(u32, u32), (u32, u32)> = BTreeMap::new();
        for (pair, within) in found.into_iter().flatten() {
            let count = counts.entry(pair).or_default();
            *count = (count.0 + 1, count.1 + u32::from(within));
        }
        let contrast = |(all, within): (u32, u32)| all >= least && u64::from(within) * 10 < u64::from(all) * 3;
        let pairs = counts.into_iter().filter(|(_, count)| contrast(*count)).map(|(pair, _)| pair).collect();
        Self { pairs, texts }
    }

    /// Says whether two of the texts are told apart: one has a word, the other one in contrast with it, each more often than its counterpart.
    pub fn apart(&self, a: usize, b: usize) -> bool {
        let (only_a, only_b) = (more(&self.texts[a], &self.texts[b]), more(&self.texts[b], &self.texts[a]));
        only_a.iter().any(|&u| only_b.iter().any(|&v| self.pairs.contains(&(u.min(v), u.max(v)))))
    }
}

/// Turns texts into numbers of words.
fn numbered<T: Texts + ?Sized>(texts: &T) -> Vec<Vec<u32>> {
    let mut ids: HashMap<Vec<u8>, u32> = HashMap::new();
    let mut words = Words::default();
    let mut number = |word: &[u8]| {
        let next = ids.len() as u32;
        *ids.entry(word.to_vec()).or_insert(next)
    };
    let mut each = |text: &str| {
        words.read(text);
        words.normal().split(|b| *b == b' ').filter(|w| !w.is_empty()).map(&mut number).collect()
    };
    (0..texts.rows()).map(|row| texts.with(row, &mut each)).collect()
}

/// Returns the hash of each surrounding in a text with the run that it surrounds.
fn surroundings(text: &[u32]) -> impl Iterator<Item = (u64, &[u32])> {
    let step = |hash: u64, word: &u32| xxh3_64_with_seed(&word.to_le_bytes(), hash);
    let (mut before, mut after) = (vec![1; text.len() + 1], vec![2; text.len() + 1]);
    for (i, word) in text.iter().enumerate() {
        before[i + 1] = step(before[i], word);
    }
    for (i, word) in text.iter().enumerate().rev() {
        after[i] = step(after[i + 1], word);
    }
    let ends = |from: usize| from + 1..=(from + SPAN).min(text.len());
    let runs: Vec<(usize, usize)> = (0..text.len()).flat_map(|from| ends(from).map(move |to| (from, to))).collect();
    runs.into_iter().map(move |(from, to)| (xxh3_64_with_seed(&before[from].to_le_bytes(), after[to]), &text[from..to]))
}

/// Returns the pairs of words that different runs in one surrounding exchange.
fn exchanged(runs: &[(u64, &[u32], usize)], texts: &[(&[u32], BTreeSet<u32>)]) -> Exchanged {
    let mut pairs = Exchanged::new();
    for (i, (_, a, x)) in runs.iter().enumerate() {
        for (_, b, y) in &runs[i + 1..] {
            let within = !texts[*x].1.is_disjoint(&texts[*y].1);
            for u in more(a, b) {
                more(b, a).into_iter().for_each(|v| *pairs.entry((u.min(v), u.max(v))).or_default() |= within);
            }
        }
    }
    pairs
}

/// Returns the words that `a` has more often than `b`.
fn more(a: &[u32], b: &[u32]) -> Vec<u32> {
    let count = |text: &[u32], word: u32| text.iter().filter(|w| **w == word).count();
    let mut out: Vec<u32> = a.iter().copied().filter(|&w| count(a, w) > count(b, w)).collect();
    out.sort_unstable();
    out.dedup();
    out
}
