//! Near-duplicate fingerprints: 64-bit SimHash of texts, and all pairs within a Hamming distance (also of picture hashes).

use rayon::prelude::*;
use xxhash_rust::xxh3::xxh3_64;

use super::clusters::{Links, groups};
use super::text::Words;

/// Returns the 64-bit SimHash of a text over lower-cased word shingles; none for a text without words.
///
/// # Source
/// Charikar 2002, "Similarity estimation techniques from rounding algorithms"; all shingles weigh the same, ties are zeros.
pub fn simhash(words: &mut Words, text: &str, shingle: usize) -> Option<u64> {
    words.read(text);
    let mut ones = [0i32; 64];
    let mut count = 0;
    words.shingles(shingle, |s| {
        let hash = xxh3_64(s);
        count += 1;
        for (bit, ones) in ones.iter_mut().enumerate() {
            *ones += (hash >> bit & 1) as i32;
        }
    });
    let bit = |b: usize| u64::from(2 * ones[b] > count) << b;
    (count > 0).then(|| (0..64).map(bit).sum())
}

/// Groups up to this size are compared pair by pair.
const SMALL: usize = 4096;

/// Links rows of the same group whose hashes differ in at most `distance` bits. Exact, whatever the size.
///
/// Large groups are searched by blocks: of four blocks of 16 bits, one differs in at most `distance / 4`.
pub fn links(hashes: &[Option<u64>], group: &[u32], distance: u32) -> Links {
    let keys: Vec<Option<(u32, u64)>> = hashes.iter().zip(group).map(|(h, g)| h.map(|h| (*g, h))).collect();
    let mut links = Links::by_key(&keys);
    if distance == 0 {
        return links;
    }
    let distinct = (0..hashes.len() as u32).filter(|&r| links.represents(r) && hashes[r as usize].is_some());
    let groups = groups(group, distinct);
    let hash = |row: u32| hashes[row as usize].unwrap_or_default();
    let (small, large): (Vec<_>, Vec<_>) = groups.into_iter().partition(|g| g.len() <= SMALL);
    links.edges = small
        .par_iter()
        .flat_map_iter(|group| {
            let pairs = group.iter().enumerate().flat_map(|(i, &a)| group[i + 1..].iter().map(move |&b| (a, b)));
            pairs.filter(|&(a, b)| (hash(a) ^ hash(b)).count_ones() <= distance).collect::<Vec<_>>()
        })
        .collect();
    for group in &large {
        links.edges.extend(by_blocks(group, &hash, distance));
    }
    links.edges.par_sort_unstable();
    links.edges.dedup();
    links
}

fn by_blocks(rows: &[u32], hash: &(impl Fn(u32) -> u64 + Sync), distance: u32) -> Vec<(u32, u32)> {
    let reach = (distance / 4).min(16);
    let masks: Vec<u16> = (0..=u16::MAX).filter(|m| m.count_ones() <= reach).collect();
    let mut edges = Vec::new();
    for block in 0..4 {
        let part = |row: u32| (hash(row) >> (16 * block)) as u16;
        // Rows by value of this block, as offsets into one list.
        let mut order = rows.to_vec();
        order.sort_by_key(|&r| part(r));
        let mut starts = vec![0u32; (1 << 16) + 1];
        order.iter().for_each(|&r| starts[part(r) as usize + 1] += 1);
        for value in 0..1 << 16 {
            starts[value + 1] += starts[value];
        }
        let found: Vec<(u32, u32)> = rows
            .par_iter()
            .with_min_len(256)
            .flat_map_iter(|&a| {
                let (order, starts) = (&order, &starts);
                masks.iter().flat_map(move |mask| {
                    let value = usize::from(part(a) ^ mask);
                    let bucket = &order[starts[value] as usize..starts[value + 1] as usize];
                    bucket
                        .iter()
                        .filter(move |&&b| a < b && (hash(a) ^ hash(b)).count_ones() <= distance)
                        .map(move |&b| (a, b))
                })
            })
            .collect();
        edges.extend(found);
    }
    edges
}
