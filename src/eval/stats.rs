//! Statistics of evaluation: standard errors, intervals, paired tests, correction for many tests.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// Resamples and permutations drawn; their seed is fixed, so results are the same every time.
const DRAWS: usize = 10_000;
const SEED: u64 = 20_251_114;
/// Standard errors that a difference must be away from 0 to be found at the 5 % level with 80 % power: 1.96 + 0.84.
pub const POWER: f64 = 2.80;
const Z95: f64 = 1.959_963_984_540_054;

/// Returns the Wilson 95 % interval of a proportion.
///
/// # Source
/// Wilson 1927. Golden values in `tests/it/eval.rs`.
pub fn wilson(right: f64, n: f64) -> (f64, f64) {
    if n == 0.0 {
        return (0.0, 1.0);
    }
    score_interval(right / n, n, Z95)
}

/// Returns the 95 % interval of a score between 0 and 1 whose items lie in few clusters; `None` for fewer than two, which
/// say nothing about each other.
///
/// Wilson's interval with two changes: `n` is the effective number of items `p(1−p)/SE²`, at most their number, and the
/// normal quantile gives way to Student's with `C−1` degrees of freedom, since the clustered error comes from `C` values only.
///
/// # Source
/// Korn and Graubard 1998, Confidence intervals for proportions with small expected number of positive counts estimated from
/// survey data; with Wilson's interval as Dean and Pagano 2015 advise. Simulated coverage in `tests/it/eval.rs`.
pub fn few_clusters(p: f64, error: f64, n: f64, clusters: usize) -> Option<(f64, f64)> {
    if clusters < 2 {
        return None;
    }
    Some(effective_interval(p, error, n, clusters as f64 - 1.0))
}

/// Returns Wilson's 95 % interval of a score with this standard error: for the effective number of items `p(1−p)/SE²`, at most `n`, and
/// the quantile of Student's t with `df` degrees of freedom.
pub fn effective_interval(p: f64, error: f64, n: f64, df: f64) -> (f64, f64) {
    let own = p * (1.0 - p) / (error * error);
    let effective = if own.is_finite() { own.clamp(1.0, n.max(1.0)) } else { n };
    score_interval(p, effective, t95(df))
}

/// Returns the standard error of a sum of independent estimates, given the variance and degrees of freedom of each, and the degrees of
/// freedom of that error; infinitely many where it is 0.
///
/// # Source
/// Satterthwaite 1946, Welch 1947.
pub fn pooled(parts: &[(f64, f64)]) -> (f64, f64) {
    let sum: f64 = parts.iter().map(|(v, _)| v).sum();
    let spent: f64 = parts.iter().filter(|(v, _)| *v > 0.0).map(|(v, df)| v * v / df.max(f64::MIN_POSITIVE)).sum();
    (sum.sqrt(), if spent > 0.0 { sum * sum / spent } else { f64::INFINITY })
}

/// Wilson's interval of a share `p` of `n`, for a quantile `z`.
fn score_interval(p: f64, n: f64, z: f64) -> (f64, f64) {
    let z2 = z * z;
    let centre = (p + z2 / (2.0 * n)) / (1.0 + z2 / n);
    let half = z / (1.0 + z2 / n) * (p * (1.0 - p) / n + z2 / (4.0 * n * n)).max(0.0).sqrt();
    ((centre - half).max(0.0), (centre + half).min(1.0))
}

/// Returns the mean; 0 for none.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() { 0.0 } else { values.iter().sum::<f64>() / values.len() as f64 }
}

/// Returns the variance of values about their mean: `Σ(s−s̄)²/(n−1)`; 0 for fewer than two.
pub fn variance(values: &[f64]) -> f64 {
    if values.len() < 2 {
        return 0.0;
    }
    let centre = mean(values);
    values.iter().map(|v| (v - centre).powi(2)).sum::<f64>() / (values.len() as f64 - 1.0)
}

/// Returns the standard error of the mean of independent values: `sqrt(Σ(s−s̄)²/(n−1)/n)`; 0 for fewer than two.
pub fn standard_error(values: &[f64]) -> f64 {
    (variance(values) / values.len().max(1) as f64).sqrt()
}

/// Returns the standard error of the mean of clustered values: from the residual sums of clusters, times `C/(C−1)` when
/// `corrected`. `clusters[i]` numbers the cluster of value `i` from 0.
///
/// # Source
/// Liang and Zeger 1986; Miller 2024, Adding Error Bars to Evals, section 2.2.
pub fn clustered_error(values: &[f64], clusters: &[usize], corrected: bool) -> f64 {
    let centre = mean(values);
    let count = clusters.iter().max().map_or(0, |m| m + 1);
    if count < 2 {
        return 0.0;
    }
    let mut sums = vec![0.0; count];
    for (value, cluster) in values.iter().zip(clusters) {
        sums[*cluster] += value - centre;
    }
    let n = values.len() as f64;
    let variance = sums.iter().map(|r| r * r).sum::<f64>() / (n * n);
    let factor = if corrected { count as f64 / (count as f64 - 1.0) } else { 1.0 };
    (variance * factor).sqrt()
}

/// Returns the 95 % percentile interval of a statistic over resampled clusters. `strata` lists cluster numbers; clusters are
/// drawn within their stratum. `statistic` receives how often each cluster was drawn.
pub fn bootstrap(strata: &[Vec<usize>], clusters: usize, statistic: impl Fn(&[f64]) -> f64) -> (f64, f64) {
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut weights = vec![0.0; clusters];
    let mut draws: Vec<f64> = (0..DRAWS)
        .map(|_| {
            weights.fill(0.0);
            for stratum in strata {
                for _ in stratum {
                    weights[stratum[below(&mut rng, stratum.len())]] += 1.0;
                }
            }
            statistic(&weights)
        })
        .collect();
    draws.sort_by(f64::total_cmp);
    let at = |q: f64| draws[((q * DRAWS as f64) as usize).min(DRAWS - 1)];
    (at(0.025), at(0.975))
}

/// Returns the exact two-sided McNemar p-value of `b` and `c` discordant pairs.
///
/// # Source
/// McNemar 1947, with the binomial in place of the chi-square. Golden values in `tests/it/eval.rs`.
pub fn mcnemar(b: u64, c: u64) -> f64 {
    let n = b + c;
    if n == 0 {
        return 1.0;
    }
    // Terms of the binomial in log space, so that large counts do not overflow.
    let mut term = -(n as f64) * std::f64::consts::LN_2;
    let mut tail = 0.0;
    for k in 0..=b.min(c) {
        tail += term.exp();
        term += ((n - k) as f64).ln() - ((k + 1) as f64).ln();
    }
    (2.0 * tail).min(1.0)
}

/// Returns the two-sided p-value of a sum of cluster differences under random flips of sign: exact up to 13 clusters, else
/// by seeded draws.
pub fn sign_flip(differences: &[f64]) -> f64 {
    let moved: Vec<f64> = differences.iter().copied().filter(|d| *d != 0.0).collect();
    let seen = moved.iter().sum::<f64>().abs() - 1e-12;
    if moved.is_empty() {
        return 1.0;
    }
    if moved.len() <= 13 {
        let all = 1u32 << moved.len();
        let flip = |signs: u32| -> f64 {
            moved.iter().enumerate().map(|(i, d)| if signs >> i & 1 == 1 { -d } else { *d }).sum()
        };
        return (0..all).filter(|s| flip(*s).abs() >= seen).count() as f64 / f64::from(all);
    }
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut extreme = 0;
    for _ in 0..DRAWS {
        let mut sum = 0.0;
        for chunk in moved.chunks(64) {
            let signs = rng.next_u64();
            for (i, d) in chunk.iter().enumerate() {
                sum += if signs >> i & 1 == 1 { -d } else { *d };
            }
        }
        extreme += usize::from(sum.abs() >= seen);
    }
    (extreme + 1) as f64 / (DRAWS + 1) as f64
}

/// Returns Holm's adjusted p-values, in the order given.
///
/// # Source
/// Holm 1979.
pub fn holm(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut out = vec![0.0; p.len()];
    let mut least: f64 = 0.0;
    for (rank, &i) in order.iter().enumerate() {
        least = least.max(((p.len() - rank) as f64 * p[i]).min(1.0));
        out[i] = least;
    }
    out
}

/// Returns Benjamini–Hochberg q-values, in the order given.
///
/// # Source
/// Benjamini and Hochberg 1995.
pub fn benjamini_hochberg(p: &[f64]) -> Vec<f64> {
    let order = ascending(p);
    let mut out = vec![0.0; p.len()];
    let mut most: f64 = 1.0;
    for (rank, &i) in order.iter().enumerate().rev() {
        most = most.min(p.len() as f64 / (rank + 1) as f64 * p[i]);
        out[i] = most;
    }
    out
}

/// Returns the two-sided 95 % quantile of Student's t with this many degrees of freedom.
pub fn t95(df: f64) -> f64 {
    if df < 1.0 {
        return f64::INFINITY;
    }
    let df = df.min(1e5);
    // P(|T| > t) = I_{df/(df+t²)}(df/2, 1/2) falls in t: bisect.
    let (mut low, mut high) = (1.0, 100.0);
    for _ in 0..80 {
        let t = f64::midpoint(low, high);
        if incomplete_beta(df / (df + t * t), df / 2.0, 0.5) > 0.05 {
            low = t;
        } else {
            high = t;
        }
    }
    high
}

/// Returns the two-sided p-value of `t` under Student's t with this many degrees of freedom; 1 for fewer than one.
pub fn t_tails(t: f64, df: f64) -> f64 {
    match df {
        df if df < 1.0 => 1.0,
        // Beyond this the fraction no longer moves, and the normal is the same to six digits.
        df => {
            let df = df.min(1e5);
            incomplete_beta(df / (df + t * t), df / 2.0, 0.5)
        }
    }
}

/// Returns the smallest difference that a paired test of `n` items finds with 80 % power at the 5 % level:
/// `2.80·sqrt(2p(1−p)(1−ρ)/n)`.
pub fn detectable(p: f64, correlation: f64, n: f64) -> f64 {
    POWER * (2.0 * p * (1.0 - p) * (1.0 - correlation) / n).sqrt()
}

fn ascending(p: &[f64]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..p.len()).collect();
    order.sort_by(|a, b| p[*a].total_cmp(&p[*b]));
    order
}

fn below(rng: &mut ChaCha8Rng, n: usize) -> usize {
    ((u128::from(rng.next_u64()) * n as u128) >> 64) as usize
}

/// The regularised incomplete beta function, by Lentz's continued fraction.
fn incomplete_beta(x: f64, a: f64, b: f64) -> f64 {
    if x <= 0.0 || x >= 1.0 {
        return if x <= 0.0 { 0.0 } else { 1.0 };
    }
    if x > (a + 1.0) / (a + b + 2.0) {
        return 1.0 - incomplete_beta(1.0 - x, b, a);
    }
    let front = (a * x.ln() + b * (1.0 - x).ln() + ln_gamma(a + b) - ln_gamma(a) - ln_gamma(b)).exp() / a;
    let (mut f, mut c, mut d) = (1.0, 1.0, 0.0);
    for i in 0..300 {
        let m = f64::from(i / 2);
        let numerator = if i == 0 {
            1.0
        } else if i % 2 == 0 {
            m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m))
        } else {
            -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0))
        };
        let guard = |v: f64| if v.abs() < 1e-300 { 1e-300 } else { v };
        d = 1.0 / guard(1.0 + numerator * d);
        c = guard(1.0 + numerator / c);
        f *= c * d;
        if (1.0 - c * d).abs() < 1e-14 {
            break;
        }
    }
    front * (f - 1.0)
}

/// Lanczos approximation, g = 7.
fn ln_gamma(x: f64) -> f64 {
    const COEFFICIENTS: [f64; 8] = [
        676.520_368_121_885_1,
        -1_259.139_216_722_402_8,
        771.323_428_777_653_1,
        -176.615_029_162_140_6,
        12.507_343_278_686_905,
        -0.138_571_095_265_720_12,
        9.984_369_578_019_572e-6,
        1.505_632_735_149_311_6e-7,
    ];
    if x < 0.5 {
        let pi = std::f64::consts::PI;
        return (pi / (pi * x).sin()).ln() - ln_gamma(1.0 - x);
    }
    let x = x - 1.0;
    let mut sum = 0.999_999_999_999_809_9;
    for (i, c) in COEFFICIENTS.iter().enumerate() {
        sum += c / (x + i as f64 + 1.0);
    }
    let t = x + 7.5;
    0.5 * (2.0 * std::f64::consts::PI).ln() + (x + 0.5) * t.ln() - t + sum.ln()
}

/// Returns the shares that log-likelihoods have among each other.
pub fn softmax(logs: &[f64]) -> Vec<f64> {
    let most = logs.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = logs.iter().map(|l| (l - most).exp()).collect();
    let sum: f64 = weights.iter().sum();
    weights.into_iter().map(|w| w / sum).collect()
}

/// Returns the place of the largest number, the first of equals.
pub fn largest(values: &[f64]) -> Option<usize> {
    (0..values.len()).max_by(|a, b| values[*a].total_cmp(&values[*b]).then(b.cmp(a)))
}
