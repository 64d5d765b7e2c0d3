//! Golden values of intervals, tests and corrections.

use std::collections::BTreeMap;

use rbpipe::eval::stats::{
    benjamini_hochberg, clustered_error, few_clusters, holm, mcnemar, sign_flip, standard_error, t95, wilson,
};
use rbpipe::eval::total::{Matched, Total, Unit, mean_difference, total};
use serde_json::json;

fn close(a: f64, b: f64, within: f64) {
    assert!((a - b).abs() <= within, "{a} is not {b}");
}

#[test]
fn wilson_intervals() {
    for (right, n, low, high) in [
        (114.0, 150.0, 0.6857, 0.8213),
        (12.0, 100.0, 0.0700, 0.1981),
        (61.0, 100.0, 0.5120, 0.6998),
        (0.0, 77.0, 0.0, 0.0475),
        (77.0, 77.0, 0.9525, 1.0),
    ] {
        let (a, b) = wilson(right, n);
        close(a, low, 5e-5);
        close(b, high, 5e-5);
    }
}

#[test]
fn mcnemar_exact() {
    for (b, c, p) in [(10, 22, 0.050_102), (5, 8, 0.581_055), (0, 6, 0.031_25), (3, 3, 1.0), (12, 30, 0.007_916)] {
        close(mcnemar(b, c), p, 5e-7);
    }
    close(mcnemar(2000, 2000), 1.0, 1e-9);
}

#[test]
fn corrections() {
    let p = [0.01, 0.04, 0.03, 0.005];
    for (got, want) in holm(&p).into_iter().zip([0.03, 0.06, 0.06, 0.02]) {
        close(got, want, 1e-12);
    }
    for (got, want) in benjamini_hochberg(&p).into_iter().zip([0.02, 0.04, 0.04, 0.02]) {
        close(got, want, 1e-12);
    }
}

#[test]
fn errors_of_means() {
    let scores = [1.0, 1.0, 1.0, 0.0, 0.0, 1.0, 0.0, 0.0];
    let clusters = [0, 0, 0, 1, 1, 2, 3, 3];
    close(standard_error(&scores), 0.188_982, 5e-7);
    close(clustered_error(&scores, &clusters, false), 0.265_165, 5e-7);
    close(clustered_error(&scores, &clusters, true), 0.306_186, 5e-7);
}

#[test]
fn quantiles_of_t() {
    for (df, t) in [(1.0, 12.7062), (5.0, 2.5706), (9.0, 2.2622), (30.0, 2.0423), (1000.0, 1.9623)] {
        close(t95(df), t, 1e-4);
    }
}

#[test]
fn sign_flips_are_exact_for_few() {
    close(sign_flip(&[1.0, 1.0, 1.0, 1.0, 1.0]), 2.0 / 32.0, 1e-12);
    close(sign_flip(&[1.0, -1.0]), 1.0, 1e-12);
    assert!(sign_flip(&[1.0; 40]) < 0.001);
}

fn units(scores: &[f64], groups: &[&str], clusters: &[usize]) -> Vec<Unit> {
    let unit = |i: usize| Unit {
        id: i.to_string(),
        rotations: vec![scores[i]],
        chance: 0.5,
        cluster: clusters[i].to_string(),
        groups: BTreeMap::from([("g".to_owned(), groups[i].to_owned())]),
        pair: None,
    };
    (0..scores.len()).map(unit).collect()
}

fn micro() -> Total {
    total(&json!({ "verb": "total.micro", "args": {} })).unwrap()
}

#[test]
fn paired_difference() {
    let each: Vec<usize> = (0..10).collect();
    let a = units(&[1., 0., 0., 1., 0., 0., 1., 1., 0., 1.], &["x"; 10], &each);
    let b = units(&[1., 1., 0., 1., 0., 1., 1., 0., 1., 1.], &["x"; 10], &each);
    let d = micro().difference_runs(&[&a], &[&b]).unwrap();
    close(d.value, 0.2, 1e-12);
    close(d.se, 0.2, 1e-12);
    close(d.high, 0.2 + 0.2 * t95(9.0), 1e-9);
    assert_eq!((d.wins, d.losses, d.test.as_str()), (3, 1, "mcnemar"));
}

#[test]
fn nested_means_weigh_groups_alike() {
    let each: Vec<usize> = (0..5).collect();
    let u = units(&[1., 1., 1., 0., 0.], &["a", "a", "a", "b", "b"], &each);
    let nested = total(&json!({ "verb": "total.nested", "args": { "by": ["g"] } })).unwrap();
    close(nested.estimate(&u).unwrap().value, 0.5, 1e-12);
    close(micro().estimate(&u).unwrap().value, 0.6, 1e-12);
    let adjusted =
        total(&json!({ "verb": "total.chance_adjusted", "args": { "inner": { "verb": "total.micro", "args": {} } } }));
    close(adjusted.unwrap().estimate(&u).unwrap().value, 0.2, 1e-12);
    let lacking = total(&json!({ "verb": "total.nested", "args": { "by": ["h"] } })).unwrap().estimate(&u);
    assert!(lacking.unwrap_err().message.contains("group `h`"));
}

#[test]
fn twins_and_rotations() {
    let mut u = units(&[1., 1., 1., 0.], &["a"; 4], &[0, 1, 2, 3]);
    u[0].pair = Some("1".into());
    u[1].pair = Some("0".into());
    u[2].pair = Some("3".into());
    u[3].pair = Some("2".into());
    let pairs = total(&json!({ "verb": "total.pairs", "args": { "by": "pair" } })).unwrap();
    close(pairs.estimate(&u).unwrap().value, 0.5, 1e-12);
    u[0].rotations = vec![1.0, 0.0];
    let all = total(&json!({ "verb": "total.all_rotations", "args": {} })).unwrap();
    close(all.estimate(&u).unwrap().value, 0.5, 1e-12);
    close(micro().estimate(&u).unwrap().value, 2.5 / 4.0, 1e-12);
}

/// Worked by hand: p(1−p)/SE² = 0.24/0.01 = 24 items, t of 4 degrees of freedom = 2.7764; never more items than there are.
#[test]
fn few_clusters_have_an_interval() {
    let (low, high) = few_clusters(0.4, 0.1, 100.0, 5).unwrap();
    close(low, 0.181_54, 5e-5);
    close(high, 0.667_08, 5e-5);
    let (agreeing, _) = few_clusters(0.5, 0.0, 20.0, 5).unwrap();
    close(agreeing, few_clusters(0.5, 0.5 / 20f64.sqrt(), 20.0, 5).unwrap().0, 1e-12);
    assert_eq!(few_clusters(0.5, 0.1, 20.0, 1), None);

    let clusters = [0, 0, 0, 1, 1, 1, 2, 2];
    let e = micro().estimate(&units(&[1., 0., 1., 1., 1., 0., 0., 1.], &["x"; 8], &clusters)).unwrap();
    assert_eq!(e.interval, "few clusters");
    let (low, high) = (e.low.unwrap(), e.high.unwrap());
    assert!(0.0 < low && low < e.value && e.value < high && high < 1.0, "{low} {high}");
    let one = micro().estimate(&units(&[1., 0., 1.], &["x"; 3], &[0, 0, 0])).unwrap();
    assert_eq!((one.low, one.high, one.interval.as_str()), (None, None, "one cluster"));
}

/// Several benchmarks as one: by hand, and with a picture that two of them show.
#[test]
fn mean_differences_pool_benchmarks() {
    let each: Vec<usize> = (0..40).collect();
    let ids = |mut u: Vec<Unit>, name: &str| {
        u.iter_mut().for_each(|u| u.cluster = format!("{name}{}", u.cluster));
        u
    };
    let half: Vec<f64> = (0..40).map(|i| f64::from(i % 2)).collect();
    let pair = |a: &[f64], b: &[f64], name: &str| Matched {
        total: micro(),
        runs: Vec::new(),
        a: vec![ids(units(a, &["x"; 40], &each), name)],
        b: vec![ids(units(b, &["x"; 40], &each), name)],
    };
    let better: Vec<f64> = (0..40).map(|i| if i % 4 == 0 { 1.0 } else { f64::from(i % 2) }).collect();
    let d = mean_difference(&[pair(&half, &better, "p"), pair(&half, &half, "q")]).unwrap();
    close(d.value, 0.125, 1e-12);
    assert!(d.low > 0.03 && d.low < 0.1 && d.high < 0.25 && d.p < 0.01, "{d:?}");
    assert_eq!((d.n, d.wins, d.losses), (80, 10, 0));
    // The same pictures in both: differences move together, so the interval is wider than that of strangers.
    let strangers = mean_difference(&[pair(&half, &better, "p"), pair(&half, &better, "q")]).unwrap();
    let shared = mean_difference(&[pair(&half, &better, "p"), pair(&half, &better, "p")]).unwrap();
    close(shared.value, 0.25, 1e-12);
    assert!(shared.high - shared.low > 1.2 * (strangers.high - strangers.low), "{shared:?} {strangers:?}");
    let again = mean_difference(&[pair(&half, &better, "p"), pair(&half, &better, "p")]).unwrap();
    assert_eq!(shared, again);

    let lone = [0usize; 4];
    let of = |s: &[f64]| ids(units(s, &["x"; 4], &lone), "p");
    let one =
        Matched { total: micro(), runs: Vec::new(), a: vec![of(&[0., 0., 1., 1.])], b: vec![of(&[1., 1., 1., 1.])] };
    let d = mean_difference(&[one]).unwrap();
    assert_eq!((d.low, d.high, d.test.as_str()), (-1.0, 1.0, "one cluster"));
}

/// With five clusters of very unequal difficulty the interval still covers the truth about as often as it says.
#[test]
fn intervals_of_few_clusters_cover() {
    let mut state = 11u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1u32 << 24)
    };
    let clusters: Vec<usize> = (0..60).map(|i| i / 12).collect();
    let (mut covered, mut width) = (0, 0.0);
    for _ in 0..1000 {
        let mut scores = Vec::new();
        for _ in 0..5 {
            let p = 0.2 + 0.6 * random();
            scores.extend((0..12).map(|_| f64::from(u8::from(random() < p))));
        }
        let e = micro().estimate(&units(&scores, &["x"; 60], &clusters)).unwrap();
        let (low, high) = (e.low.unwrap(), e.high.unwrap());
        covered += usize::from(low <= 0.5 && high >= 0.5);
        width += (high - low) / 1000.0;
    }
    assert!((920..=995).contains(&covered), "{covered} of 1000");
    assert!(width < 0.6, "{width}");
}

/// The interval covers the truth about as often as it says: 400 simulated runs of 120 items in 40 clusters.
#[test]
fn intervals_cover() {
    let mut state = 7u64;
    let mut random = move || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / f64::from(1u32 << 24)
    };
    let clusters: Vec<usize> = (0..120).map(|i| i / 3).collect();
    let mut covered = 0;
    for _ in 0..400 {
        let mut scores = Vec::new();
        for _ in 0..40 {
            let p = if random() < 0.5 { 0.3 } else { 0.7 };
            scores.extend((0..3).map(|_| f64::from(u8::from(random() < p))));
        }
        let e = micro().estimate(&units(&scores, &["x"; 120], &clusters)).unwrap();
        covered += usize::from(e.low.unwrap() <= 0.5 && e.high.unwrap() >= 0.5);
    }
    assert!((360..=394).contains(&covered), "{covered} of 400");
}

/// By hand: variances add up, degrees of freedom by Welch and Satterthwaite.
#[test]
fn errors_of_questions_and_of_runs_add_up() {
    use rbpipe::eval::stats::{pooled, t_tails, t95};

    let (se, df) = pooled(&[(0.04, 9.0), (0.01, 2.0)]);
    close(se, 0.05_f64.sqrt(), 1e-12);
    close(df, 0.0025 / (0.0016 / 9.0 + 0.0001 / 2.0), 1e-9);
    assert_eq!(pooled(&[(0.0, 3.0)]), (0.0, f64::INFINITY));
    // Tables of Student's t: 2.228 at 10, 4.303 at 2, and the normal quantile far out.
    close(t_tails(2.228_138_9, 10.0), 0.05, 1e-6);
    close(t_tails(-4.302_652_7, 2.0), 0.05, 1e-6);
    close(t_tails(1.959_964, f64::INFINITY), 0.05, 1e-4);
    close(t95(f64::INFINITY), 1.959_964, 1e-4);

    let each: Vec<usize> = (0..8).collect();
    let run = |scores: &[f64]| units(scores, &["x"; 8], &each);
    let (one, two) = (run(&[1., 1., 1., 0., 0., 0., 1., 1.]), run(&[1., 1., 1., 1., 0., 0., 1., 1.]));
    let e = micro().estimate_runs(&[&one, &two]).unwrap();
    close(e.value, 0.6875, 1e-12);
    // Item means 1 1 1 ½ 0 0 1 1: Σ(s−s̄)² = 1.46875, over 7 and 8. Runs 0.625 and 0.75: variance 1/128, over 2.
    close(e.se, (1.468_75 / 7.0 / 8.0 + 1.0 / 256.0_f64).sqrt(), 1e-12);
    assert_eq!(e.interval, "runs");
    let alone = micro().estimate(&two).unwrap();
    assert!(e.low.unwrap() < e.value && e.high.unwrap() > e.value && alone.interval == "wilson");
    assert!(micro().estimate_runs(&[&one, &two[..7]]).is_err(), "runs over other questions are no runs");

    // Twice the same runs are no difference, however much the runs differ from each other.
    let same = micro().difference_runs(&[&one, &two], &[&one, &two]).unwrap();
    assert_eq!((same.value, same.low, same.high, same.p), (0.0, 0.0, 0.0, 1.0));
}

/// A new seed moves a model by what it moves; that must not be taken for a difference of models. Seeds are drawn anew for both, so a test that
/// looked at questions alone would find one far too often.
#[test]
fn seeds_of_one_recipe_are_rarely_told_apart() {
    let mut random = crate::random::Random(11);
    let mut unit = || random.next() as f64 / u64::MAX as f64;
    let each: Vec<usize> = (0..200).collect();
    let (mut found, mut naive) = (0, 0);
    for _ in 0..200 {
        let mut draw = || -> Vec<Vec<Unit>> {
            (0..4)
                .map(|_| {
                    // The seed's own luck: ±6 points.
                    let luck = 0.6 + 0.12 * (unit() - 0.5);
                    let scores: Vec<f64> = (0..200).map(|_| f64::from(u8::from(unit() < luck))).collect();
                    units(&scores, &["x"; 200], &each)
                })
                .collect()
        };
        let (a, b) = (draw(), draw());
        let a: Vec<&[Unit]> = a.iter().map(Vec::as_slice).collect();
        let b: Vec<&[Unit]> = b.iter().map(Vec::as_slice).collect();
        found += usize::from(micro().difference_runs(&a, &b).unwrap().p < 0.05);
        naive += usize::from(micro().difference_runs(&[a[0]], &[b[0]]).unwrap().p < 0.05);
    }
    assert!(found <= 14, "{found} of 200 are called different");
    assert!(naive > found, "one seed each finds {naive}");
}
