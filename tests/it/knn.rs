//! Search among vectors: what the exact one finds is what every pair, looked at one by one, gives; cells find as much of it as they say.

use std::collections::BTreeSet;

use rbpipe::base::Digest;
use rbpipe::data::dedup::knn::links;
use rbpipe::data::dedup::pairs::{FEW, Job, Search};
use rbpipe::data::dedup::projection::Projection;
use rbpipe::data::dedup::scan::{Kernel, Scan};
use rbpipe::data::dedup::vectors::Vectors;
use rbpipe::data::draw::{Draw, RowKey};

/// Vectors around a few centres, some of them copies, one of zeros, so that cosines lie everywhere up to 1.
fn vectors(rows: usize, width: usize) -> Vectors {
    vectors_around(8, rows, width)
}

fn vectors_around(many: usize, rows: usize, width: usize) -> Vectors {
    let mut draw = Draw::new(Digest::of(b"knn"), RowKey { digest: Digest::of(&width.to_le_bytes()), occurrence: 0 });
    let mut centres = vec![0f32; many * width];
    centres.iter_mut().for_each(|v| *v = draw.between(-1.0, 1.0) as f32);
    let mut data: Vec<f32> = Vec::with_capacity(rows * width);
    for row in 0..rows {
        let (centre, spread) = (draw.below(many), draw.between(0.0, 0.6));
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
            let job = Job { similar, neighbors, search: Search::Exact, apart: &apart };
            let (found, measured) = pool.install(|| links(&v, &group, &job));
            assert_eq!(measured.rows, 0);
            assert_eq!(found.edges, right, "{rows} x {width} at {similar} with {threads} threads");
        }
    }
}

#[test]
fn cells_find_what_they_say() {
    let rows = 2 * FEW;
    let v = vectors(rows, 24);
    let group = vec![0; rows];
    let search = |search: Search, threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().expect("threads");
        let job = Job { similar: 0.99, neighbors: 10, search, apart: &|a, b| (a + b) % 5 == 0 };
        pool.install(|| links(&v, &group, &job))
    };
    let exact: BTreeSet<_> = search(Search::Exact, 2).0.edges.into_iter().collect();
    let (found, measured) = search(Search::Cells, 1);
    assert_eq!((&found, measured), (&search(Search::Cells, 3).0, search(Search::Cells, 3).1), "threads change nothing");
    assert_eq!(measured.rows, rows);
    let hit = found.edges.iter().filter(|edge| exact.contains(edge)).count() as f64 / exact.len() as f64;
    let said = measured.found as f64 / measured.pairs as f64;
    assert!(measured.pairs > 500 && said >= 0.99, "{measured:?}");
    assert!(hit >= 0.99 && (hit - said).abs() < 0.01, "of {} edges {hit}, said {said}", exact.len());

    // Groups too small for cells are searched whole; rows of different groups are never linked.
    let group: Vec<u32> = (0..rows as u32).map(|row| row % 3).collect();
    let job = |search| Job { similar: 0.9, neighbors: 3, search, apart: &|_, _| false };
    let (small, measured) = links(&v, &group, &job(Search::Cells));
    assert_eq!((small, measured.rows), (links(&v, &group, &job(Search::Exact)).0, 0));
}

#[test]
fn codes_rule_out_no_pair_whatever_the_instructions() {
    let kernels = Kernel::all();
    let cases = [(200, 700, 384, 0.9, true), (8, 520, 30, 0.97, false), (8, 513, 5, 0.2, false)];
    for (many, rows, width, similar, shorter) in cases {
        let v = vectors_around(many, rows, width);
        let members: Vec<u32> = (0..rows as u32).rev().collect();
        let firsts = rows - 100;
        let near = |a: usize, b: usize| v.cosine(members[a] as usize, members[b] as usize) >= similar;
        let wanted: Vec<_> =
            (0..firsts).flat_map(|a| (a + 1..rows).map(move |b| (a, b))).filter(|&(a, b)| near(a, b)).collect();
        for scan in kernels.iter().flat_map(|&kernel| [false, true].map(|short| Scan { kernel, similar, short })) {
            let compared = scan.projection(&v, &members).width();
            assert_eq!(compared < width, scan.short && shorter, "{scan:?}: {compared} numbers for {width}");
            let found = std::sync::Mutex::new(Vec::new());
            scan.candidates(&v, &members, firsts, &|a, b| found.lock().unwrap().push((a, b)));
            let mut found = found.into_inner().unwrap();
            let all = found.len();
            found.sort_unstable();
            found.dedup();
            assert_eq!(found.len(), all, "{scan:?}: each pair once");
            assert!(wanted.len() > 100 && all < firsts * rows / 2, "{scan:?}: {all} of {}", wanted.len());
            assert!(wanted.iter().all(|pair| found.binary_search(pair).is_ok()), "{scan:?} {rows} x {width}");
        }
    }
}

#[test]
fn stand_ins_are_no_farther_apart_than_vectors() {
    let (many, rows, width) = (400, 700, 96);
    let v = vectors_around(many, rows, width);
    let members: Vec<u32> = (0..rows as u32).collect();
    let apart = |a: &[f32], b: &[f32]| a.iter().zip(b).map(|(x, y)| f64::from(x - y).powi(2)).sum::<f64>().sqrt();
    for short in [false, true] {
        let projection = Projection::fit(&v, &members, short, 0.3, 63.0);
        assert_eq!(projection.width() < width, short);
        let stand_ins: Vec<(Vec<f32>, f32)> = (0..rows).map(|row| projection.of(v.get(row))).collect();
        let mut nearer = 0;
        for (a, (own, moved)) in stand_ins.iter().enumerate() {
            assert!(own.len() == projection.width() && *moved < 0.02, "{moved}");
            for (b, (other, other_moved)) in stand_ins.iter().enumerate().skip(a + 1) {
                let (short, whole) = (apart(own, other), apart(v.get(a), v.get(b)));
                assert!(short <= whole + f64::from(moved + other_moved), "rows {a} and {b}: {short} for {whole}");
                nearer += usize::from(short < 0.9 * whole);
            }
        }
        assert_eq!(nearer > 0, short, "what lies across the directions is known by its length alone");
    }
    // What is no number is near to nothing, and moves no other vector.
    let broken = Vectors::new([vec![f32::NAN; width], vec![1.0; width], vec![-1.0; width]].concat(), width);
    let projection = Projection::fit(&broken, &[0, 1, 2], true, 0.3, 63.0);
    assert!(projection.of(broken.get(0)).0.iter().all(|v| *v == 0.0) && projection.step().is_finite());
    assert!(apart(&projection.of(broken.get(1)).0, &projection.of(broken.get(2)).0) > 1.99);
}
