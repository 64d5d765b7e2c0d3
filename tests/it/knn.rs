//! Exact search among vectors: what is found is what every pair, looked at one by one, gives.

use std::collections::BTreeSet;

use rbpipe::base::Digest;
use rbpipe::data::draw::{Draw, RowKey};
use rbpipe::data::knn::{Vectors, links};

/// Vectors around a few centres, some of them copies, one of zeros, so that cosines lie everywhere up to 1.
fn vectors(rows: usize, width: usize) -> Vectors {
    let mut draw = Draw::new(Digest::of(b"knn"), RowKey { digest: Digest::of(&width.to_le_bytes()), occurrence: 0 });
    let mut centres = vec![0f32; 8 * width];
    centres.iter_mut().for_each(|v| *v = draw.between(-1.0, 1.0) as f32);
    let mut data: Vec<f32> = Vec::with_capacity(rows * width);
    for row in 0..rows {
        let (centre, spread) = (draw.below(8), draw.between(0.0, 0.6));
        match row % 9 {
            8 => data.extend_from_within((row - 7) * width..(row - 6) * width),
            _ => data.extend((0..width).map(|k| centres[centre * width + k] + draw.between(-spread, spread) as f32)),
        }
    }
    data[..width].fill(0.0);
    Vectors::new(data, width)
}

/// The edges of the `neighbors` nearest of each row, by definition.
fn expected(
    v: &Vectors,
    group: &[u32],
    similar: f32,
    neighbors: usize,
    apart: &dyn Fn(usize, usize) -> bool,
) -> Vec<(u32, u32)> {
    let mut edges = BTreeSet::new();
    for a in 0..v.count() {
        // The order of the factors is the one of the search.
        let to = |b: usize| (v.cosine(a.min(b), a.max(b)), b);
        let near = |&(cosine, b): &(f32, usize)| cosine >= similar && !apart(a.min(b), a.max(b));
        let others = (0..v.count()).filter(|&b| b != a && group[a] == group[b]);
        let mut found: Vec<(f32, usize)> = others.map(to).filter(near).collect();
        found.sort_by(|x, y| y.0.total_cmp(&x.0).then(x.1.cmp(&y.1)));
        edges.extend(found.into_iter().take(neighbors).map(|(_, b)| (a.min(b) as u32, a.max(b) as u32)));
    }
    edges.into_iter().collect()
}

#[test]
fn every_pair_is_found() {
    let cases = [
        // rows, width, groups, similar, neighbors
        (1_300, 384, 1, 0.95, 64),
        (1_300, 384, 2, 0.80, 3),
        (700, 30, 1, 0.99, 8),
        (700, 2, 1, 0.999_99, 5),
        (900, 1, 1, 0.5, 4),
        (600, 64, 40, 0.9, 64),
        (2, 16, 1, -1.0, 1),
    ];
    for (rows, width, groups, similar, neighbors) in cases {
        let v = vectors(rows, width);
        let group: Vec<u32> = (0..rows as u32).map(|r| r % groups).collect();
        let apart = |a: usize, b: usize| (a * b) % 7 == 3;
        let right = expected(&v, &group, similar, neighbors, &apart);
        assert!(!right.is_empty(), "{rows} x {width}: a case that finds nothing shows nothing");
        for threads in [1, 4] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
            let found = pool.install(|| links(&v, &group, similar, neighbors, apart));
            assert_eq!(found.edges, right, "{rows} x {width} at {similar} with {threads} threads");
        }
    }
}
