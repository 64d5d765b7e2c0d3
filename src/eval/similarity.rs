//! The Ratcliff–Obershelp similarity of two texts.

use std::collections::BTreeMap;

/// Returns twice the matched length over the total length, 0…1; matches are the longest common block, then the same to its
/// left and right. Case-sensitive, in Unicode scalars; 1 for two empty texts.
///
/// # Source
/// Ratcliff and Metzener 1988, with the tie rules and the popularity cut (texts of 200 characters and more) of Python's
/// `difflib.SequenceMatcher`, on which published scores rest.
pub fn ratio(a: &str, b: &str) -> f64 {
    let a: Vec<char> = a.chars().collect();
    let b: Vec<char> = b.chars().collect();
    if a.is_empty() && b.is_empty() {
        return 1.0;
    }
    let places = places(&b);
    let mut matched = 0;
    let mut todo = vec![(0, a.len(), 0, b.len())];
    while let Some((alo, ahi, blo, bhi)) = todo.pop() {
        let (i, j, size) = longest(&a, &b, &places, (alo, ahi, blo, bhi));
        if size > 0 {
            matched += size;
            todo.push((alo, i, blo, j));
            todo.push((i + size, ahi, j + size, bhi));
        }
    }
    2.0 * matched as f64 / (a.len() + b.len()) as f64
}

fn places(b: &[char]) -> BTreeMap<char, Vec<usize>> {
    let mut out: BTreeMap<char, Vec<usize>> = BTreeMap::new();
    for (j, c) in b.iter().enumerate() {
        out.entry(*c).or_default().push(j);
    }
    if b.len() >= 200 {
        let most = b.len() / 100 + 1;
        out.retain(|_, js| js.len() <= most);
    }
    out
}

fn longest(
    a: &[char],
    b: &[char],
    places: &BTreeMap<char, Vec<usize>>,
    (alo, ahi, blo, bhi): (usize, usize, usize, usize),
) -> (usize, usize, usize) {
    let (mut i, mut j, mut size) = (alo, blo, 0);
    let mut lengths: BTreeMap<usize, usize> = BTreeMap::new();
    for (at, c) in a.iter().enumerate().take(ahi).skip(alo) {
        let mut next = BTreeMap::new();
        for &p in places.get(c).map_or(&[][..], Vec::as_slice) {
            if p < blo {
                continue;
            }
            if p >= bhi {
                break;
            }
            let k = p.checked_sub(1).and_then(|q| lengths.get(&q)).copied().unwrap_or(0) + 1;
            next.insert(p, k);
            if k > size {
                (i, j, size) = (at + 1 - k, p + 1 - k, k);
            }
        }
        lengths = next;
    }
    while i > alo && j > blo && a[i - 1] == b[j - 1] {
        (i, j, size) = (i - 1, j - 1, size + 1);
    }
    while i + size < ahi && j + size < bhi && a[i + size] == b[j + size] {
        size += 1;
    }
    (i, j, size)
}
