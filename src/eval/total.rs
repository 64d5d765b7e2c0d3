//! `total.*`: how item scores become one number, with its standard error and interval.
//!
//! Every aggregator is a weighted sum of means over groups of items ("leaves"), so errors, intervals and paired differences of
//! all of them come from the same few lines.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::stats::{bootstrap, clustered_error, few_clusters, mcnemar, mean, sign_flip, standard_error, t95, wilson};
use super::stats::{effective_interval, pooled, t_tails, variance};
use crate::base::OpError;

/// A `total.*` value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "verb", content = "args")]
#[allow(missing_docs)]
pub enum Total {
    #[serde(rename = "total.micro")]
    Micro {},
    #[serde(rename = "total.nested")]
    Nested { by: Vec<String> },
    #[serde(rename = "total.pairs")]
    Pairs { by: String },
    #[serde(rename = "total.all_rotations")]
    AllRotations {},
    #[serde(rename = "total.chance_adjusted")]
    ChanceAdjusted { inner: Box<Total> },
    #[serde(rename = "total.weighted")]
    Weighted { of: BTreeMap<String, f64> },
}

/// One item with the scores of its rotations and repeats.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Unit {
    /// The item.
    pub id: String,
    /// Mean over repeats, by rotation.
    pub rotations: Vec<f64>,
    /// What guessing scores.
    pub chance: f64,
    /// Items that are not independent of it share this.
    pub cluster: String,
    /// Groups by name; `kind` is among them.
    pub groups: BTreeMap<String, String>,
    /// Its twin's id, or a name that twins share.
    pub pair: Option<String>,
}

impl Unit {
    /// Returns the item's score: the mean over rotations.
    pub fn score(&self) -> f64 {
        mean(&self.rotations)
    }
}

/// An estimate of a mean score.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The score, 0…1 (a chance-adjusted one may be negative).
    pub value: f64,
    /// Its standard error.
    pub se: f64,
    /// Lower end of the 95 % interval; none when all items are one cluster.
    pub low: Option<f64>,
    /// Upper end.
    pub high: Option<f64>,
    /// How the interval was made: `wilson`, `bootstrap`, `few clusters` (fewer than 10), `runs` (over questions and runs); `one cluster`:
    /// there is none.
    pub interval: String,
    /// Items.
    pub n: usize,
    /// Independent clusters of items.
    pub clusters: usize,
}

/// The difference of two models on the same items.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Difference {
    /// Second minus first.
    pub value: f64,
    /// Its standard error.
    pub se: f64,
    /// Lower end of the 95 % interval.
    pub low: f64,
    /// Upper end.
    pub high: f64,
    /// Two-sided p-value, not adjusted.
    pub p: f64,
    /// `mcnemar`, `sign flip`, `t over runs`; `one cluster`: the interval is everything that is possible.
    pub test: String,
    /// Items that both answered.
    pub n: usize,
    /// Items on which the second did better, and worse.
    pub wins: usize,
    /// Items on which the second did worse.
    pub losses: usize,
}

impl Total {
    /// Returns a short name: `micro`, `nested(dim, source)`.
    pub fn name(&self) -> String {
        match self {
            Total::Micro {} => "micro".into(),
            Total::Nested { by } => format!("nested({})", by.join(", ")),
            Total::Pairs { .. } => "pairs".into(),
            Total::AllRotations {} => "all_rotations".into(),
            Total::ChanceAdjusted { inner } => format!("chance_adjusted({})", inner.name()),
            Total::Weighted { .. } => "weighted".into(),
        }
    }

    /// Returns what is compared between models: a total without its chance taken off.
    fn plain(&self) -> &Total {
        match self {
            Total::ChanceAdjusted { inner } => inner.plain(),
            own => own,
        }
    }

    /// Returns the groups that it reads.
    pub fn groups(&self) -> Vec<&str> {
        match self {
            Total::Nested { by } => by.iter().map(String::as_str).collect(),
            Total::ChanceAdjusted { inner } => inner.groups(),
            _ => Vec::new(),
        }
    }

    /// Estimates the score of some items.
    ///
    /// # Errors
    /// E0302 when an item lacks a group that is averaged over, or no item has a pair.
    pub fn estimate(&self, units: &[Unit]) -> Result<Estimate, OpError> {
        self.estimate_runs(&[units])
    }

    /// Estimates the mean score of several runs over the same items, in the same order. The error is that of other questions and of other
    /// runs together: `SE² = SE²(mean over runs of each item) + s²(runs)/k`, with the degrees of freedom of Welch and Satterthwaite. What
    /// one item does otherwise in another run is in both parts, so the interval is a little wide rather than narrow.
    ///
    /// # Errors
    /// As [`Self::estimate`]; E0612 for runs over different items.
    pub fn estimate_runs(&self, runs: &[&[Unit]]) -> Result<Estimate, OpError> {
        let first = runs.first().copied().unwrap_or(&[]);
        if let Total::ChanceAdjusted { inner } = self {
            let plain = inner.estimate_runs(runs)?;
            let (values, leaves) = inner.parts(first)?;
            let chances: Vec<f64> = first.iter().map(|u| u.chance).collect();
            let chance = if values.len() == chances.len() { weighted_mean(&chances, &leaves) } else { mean(&chances) };
            let room = (1.0 - chance).max(1e-9);
            let adjust = |v: f64| (v - chance) / room;
            return Ok(Estimate {
                value: adjust(plain.value),
                se: plain.se / room,
                low: plain.low.map(adjust),
                high: plain.high.map(adjust),
                ..plain
            });
        }
        let (each, leaves) = self.parts_of_runs(runs)?;
        let (clusters, count) = self.clusters(first, each[0].len());
        let plain = estimate(&mean_of_runs(&each), &leaves, &clusters, count);
        let by_run: Vec<f64> = each.iter().map(|values| weighted_mean(values, &leaves)).collect();
        Ok(over_runs(plain, &by_run))
    }

    /// Compares two models over one or several runs of each, paired run by run, on the same items in the same order; `b` minus `a`. Errors
    /// as in [`Self::estimate_runs`].
    ///
    /// # Errors
    /// E0612 for runs over different items.
    pub fn difference_runs(&self, a: &[&[Unit]], b: &[&[Unit]]) -> Result<Difference, OpError> {
        if let Total::ChanceAdjusted { inner } = self {
            return inner.difference_runs(a, b);
        }
        let (first, leaves) = self.parts_of_runs(a)?;
        let (second, _) = self.parts_of_runs(b)?;
        if first[0].len() != second[0].len() || first.len() != second.len() {
            return Err(other_items());
        }
        let (clusters, count) = self.clusters(a[0], first[0].len());
        let plain = difference(&mean_of_runs(&first), &mean_of_runs(&second), &leaves, &clusters, count);
        let run = |(a, b): (&Vec<f64>, &Vec<f64>)| weighted_mean(b, &leaves) - weighted_mean(a, &leaves);
        let by_run: Vec<f64> = first.iter().zip(&second).map(run).collect();
        Ok(moved_over_runs(plain, &by_run, count))
    }

    /// As [`Self::parts`] for each of several runs; the leaves are those of the first.
    fn parts_of_runs(&self, runs: &[&[Unit]]) -> Result<(Vec<Vec<f64>>, Leaves), OpError> {
        let (first, leaves) = self.parts(runs.first().copied().unwrap_or(&[]))?;
        let mut each = vec![first];
        for run in runs.iter().skip(1) {
            let values = self.parts(run)?.0;
            if values.len() != each[0].len() {
                return Err(other_items());
            }
            each.push(values);
        }
        Ok((each, leaves))
    }

    /// Returns the value of each unit of analysis (an item, or a pair), and the leaves: weight and members.
    fn parts(&self, units: &[Unit]) -> Result<(Vec<f64>, Leaves), OpError> {
        let all = |n: usize| vec![(1.0, (0..n).collect())];
        Ok(match self {
            Total::Micro {} => (units.iter().map(Unit::score).collect(), all(units.len())),
            Total::AllRotations {} => {
                let right =
                    |u: &Unit| f64::from(u8::from(!u.rotations.is_empty() && u.rotations.iter().all(|s| *s >= 1.0)));
                (units.iter().map(right).collect(), all(units.len()))
            }
            Total::Pairs { .. } => {
                let pairs = pairs(units);
                if pairs.is_empty() {
                    return Err(OpError::new("E0302", "no item has a pair, so `total.pairs` has nothing to count"));
                }
                let both = pairs.iter().map(|p| f64::from(u8::from(p.iter().all(|&i| units[i].score() >= 1.0))));
                (both.collect(), all(pairs.len()))
            }
            Total::Nested { by } => {
                let mut leaves = Vec::new();
                split(units, (0..units.len()).collect(), by, 1.0, &mut leaves)?;
                (units.iter().map(Unit::score).collect(), leaves)
            }
            Total::Weighted { of } => {
                let sum: f64 = of.values().sum();
                let mut leaves = Vec::new();
                for (value, weight) in of {
                    let members: Vec<usize> =
                        (0..units.len()).filter(|&i| units[i].groups.values().any(|v| v == value)).collect();
                    if members.is_empty() {
                        return Err(OpError::new(
                            "E0302",
                            format!("`total.weighted` names `{value}`, a group that no item is in"),
                        ));
                    }
                    leaves.push((weight / sum, members));
                }
                (units.iter().map(Unit::score).collect(), leaves)
            }
            Total::ChanceAdjusted { inner } => inner.parts(units)?,
        })
    }

    /// Numbers the clusters of the units of analysis.
    fn clusters(&self, units: &[Unit], values: usize) -> (Vec<usize>, usize) {
        if matches!(self, Total::Pairs { .. }) {
            return ((0..values).collect(), values);
        }
        let names: BTreeSet<&str> = units.iter().map(|u| u.cluster.as_str()).collect();
        let numbers: BTreeMap<&str, usize> = names.into_iter().enumerate().map(|(i, n)| (n, i)).collect();
        (units.iter().map(|u| numbers[u.cluster.as_str()]).collect(), numbers.len())
    }
}

/// Micro scores by group and value.
pub type Groups = BTreeMap<String, BTreeMap<String, Estimate>>;

/// A group with more values than this is a name, and is not scored value by value.
const MOST_VALUES: usize = 200;

/// Estimates the score of each group of items over one or several runs of the same items, in the same order.
///
/// # Errors
/// E0612 for runs over different items.
pub fn by_group(runs: &[&[Unit]]) -> Result<Groups, OpError> {
    let units = runs.first().copied().unwrap_or(&[]);
    let mut groups = Groups::new();
    for name in units.iter().take(1).flat_map(|u| u.groups.keys()) {
        let mut members: BTreeMap<&String, Vec<usize>> = BTreeMap::new();
        for (i, unit) in units.iter().enumerate() {
            if let Some(value) = unit.groups.get(name) {
                members.entry(value).or_default().push(i);
            }
        }
        if members.len() > MOST_VALUES {
            continue;
        }
        let scored = members.into_iter().map(|(value, members)| {
            let of = |run: &&[Unit]| members.iter().filter_map(|&i| run.get(i).cloned()).collect::<Vec<Unit>>();
            let own: Vec<Vec<Unit>> = runs.iter().map(of).collect();
            Ok((value.clone(), Total::Micro {}.estimate_runs(&slices(&own))?))
        });
        groups.insert(name.clone(), scored.collect::<Result<_, OpError>>()?);
    }
    Ok(groups)
}

/// Fewer clusters than this are too few to be resampled.
pub const FEW: u64 = 10;

/// Weight and members of each group of items.
type Leaves = Vec<(f64, Vec<usize>)>;

/// Reads an aggregator from its JSON form.
pub fn total(json: &Json) -> Result<Total, OpError> {
    let verb = json["verb"].as_str().unwrap_or("?");
    serde_json::from_value(json.clone())
        .map_err(|e| OpError::new("E0612", format!("`{verb}` cannot be used here: {e}")))
}

/// Returns the twins as pairs of indices.
pub fn pairs(units: &[Unit]) -> Vec<[usize; 2]> {
    let by_id: BTreeMap<&str, usize> = units.iter().enumerate().map(|(i, u)| (u.id.as_str(), i)).collect();
    let mut by_name: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    let mut out = BTreeSet::new();
    for (i, unit) in units.iter().enumerate() {
        let Some(pair) = unit.pair.as_deref() else { continue };
        match by_id.get(pair) {
            Some(&j) if j != i => {
                out.insert([i.min(j), i.max(j)]);
            }
            _ => by_name.entry(pair).or_default().push(i),
        }
    }
    out.extend(by_name.into_values().filter(|m| m.len() == 2).map(|m| [m[0], m[1]]));
    out.into_iter().collect()
}

fn split(units: &[Unit], members: Vec<usize>, by: &[String], weight: f64, out: &mut Leaves) -> Result<(), OpError> {
    let Some((name, rest)) = by.split_first() else {
        out.push((weight, members));
        return Ok(());
    };
    let mut groups: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for i in members {
        let value = units[i].groups.get(name).ok_or_else(|| {
            OpError::new(
                "E0302",
                format!("item `{}` is in no group `{name}`, which the total averages over", units[i].id),
            )
            .help(format!("name it in `bench.sample(groups: {{ {name}: … }})`"))
        })?;
        groups.entry(value).or_default().push(i);
    }
    let share = weight / groups.len().max(1) as f64;
    for members in groups.into_values() {
        split(units, members, rest, share, out)?;
    }
    Ok(())
}

fn weighted_mean(values: &[f64], leaves: &Leaves) -> f64 {
    leaves.iter().map(|(w, members)| w * mean(&members.iter().map(|&i| values[i]).collect::<Vec<_>>())).sum()
}

/// Says whether some cluster has items in two leaves.
fn spans(leaves: &Leaves, clusters: &[usize], count: usize) -> bool {
    let mut home = vec![usize::MAX; count];
    leaves.iter().enumerate().any(|(l, (_, members))| {
        members.iter().any(|&i| {
            let slot = &mut home[clusters[i]];
            let strange = *slot != usize::MAX && *slot != l;
            *slot = l;
            strange
        })
    })
}

fn error(values: &[f64], leaves: &Leaves, clusters: &[usize], count: usize) -> f64 {
    if spans(leaves, clusters, count) {
        // One residual per cluster over all its leaves: the same estimator, with covariance between leaves.
        let mut sums = vec![0.0; count];
        for (weight, members) in leaves {
            let scores: Vec<f64> = members.iter().map(|&i| values[i]).collect();
            let centre = mean(&scores);
            for &i in members {
                sums[clusters[i]] += weight * (values[i] - centre) / members.len() as f64;
            }
        }
        return (sums.iter().map(|r| r * r).sum::<f64>() * count as f64 / (count as f64 - 1.0).max(1.0)).sqrt();
    }
    let variance: f64 = leaves
        .iter()
        .map(|(weight, members)| {
            let scores: Vec<f64> = members.iter().map(|&i| values[i]).collect();
            let mut local: BTreeMap<usize, usize> = BTreeMap::new();
            let own: Vec<usize> = members
                .iter()
                .map(|&i| {
                    let next = local.len();
                    *local.entry(clusters[i]).or_insert(next)
                })
                .collect();
            let se = if local.len() == members.len() {
                standard_error(&scores)
            } else {
                clustered_error(&scores, &own, true)
            };
            (weight * se).powi(2)
        })
        .sum();
    variance.sqrt()
}

fn estimate(values: &[f64], leaves: &Leaves, clusters: &[usize], count: usize) -> Estimate {
    let value = weighted_mean(values, leaves);
    let n: usize = leaves.iter().map(|(_, m)| m.len()).sum();
    let se = error(values, leaves, clusters, count);
    let binary = values.iter().all(|v| *v == 0.0 || *v == 1.0);
    let constant = values.windows(2).all(|w| w[0] == w[1]);
    let (low, high, interval) = if binary && (constant || (count == n && leaves.len() == 1)) {
        let (low, high) = wilson(value * count as f64, count as f64);
        (Some(low), Some(high), "wilson")
    } else if (count as u64) < FEW {
        match few_clusters(value, se, n as f64, count) {
            Some((low, high)) => (Some(low), Some(high), "few clusters"),
            None => (None, None, "one cluster"),
        }
    } else {
        let (low, high) = resample(values, leaves, clusters, count, value);
        (Some(low), Some(high), "bootstrap")
    };
    Estimate { value, se, low, high, interval: interval.to_owned(), n, clusters: count }
}

fn other_items() -> OpError {
    OpError::new("E0612", "the two scores hold different items")
}

/// The mean of each item over runs.
fn mean_of_runs(each: &[Vec<f64>]) -> Vec<f64> {
    if let [one] = each {
        return one.clone();
    }
    (0..each[0].len()).map(|i| mean(&each.iter().map(|run| run[i]).collect::<Vec<_>>())).collect()
}

/// Adds what runs differ by to an estimate over questions; one run tells nothing about others.
fn over_runs(plain: Estimate, runs: &[f64]) -> Estimate {
    let (Some(_), true) = (plain.low, runs.len() > 1) else { return plain };
    let k = runs.len() as f64;
    let (se, df) = pooled(&[(plain.se.powi(2), plain.clusters as f64 - 1.0), (variance(runs) / k, k - 1.0)]);
    let (low, high) = effective_interval(plain.value, se, plain.n as f64, df);
    Estimate { se, low: Some(low), high: Some(high), interval: "runs".to_owned(), ..plain }
}

/// Adds what runs differ by to a difference over questions of `clusters` clusters.
fn moved_over_runs(plain: Difference, runs: &[f64], clusters: usize) -> Difference {
    if runs.len() < 2 || plain.test == test_name(0) {
        return plain;
    }
    let k = runs.len() as f64;
    widened(plain, variance(runs) / k, k - 1.0, clusters)
}

/// Adds a variance with its degrees of freedom to that of a difference over questions.
fn widened(plain: Difference, more: f64, freedom: f64, clusters: usize) -> Difference {
    let (se, df) = pooled(&[(plain.se.powi(2), clusters as f64 - 1.0), (more, freedom)]);
    let half = if se == 0.0 { 0.0 } else { t95(df) * se };
    let p = match se == 0.0 {
        true if plain.value == 0.0 => 1.0,
        true => plain.p,
        false => t_tails(plain.value / se, df),
    };
    let (low, high) = ((plain.value - half).max(-1.0), (plain.value + half).min(1.0));
    Difference { se, low, high, p, test: "t over runs".to_owned(), ..plain }
}

/// Bootstrap over clusters, within leaves where no cluster spans two.
fn resample(values: &[f64], leaves: &Leaves, clusters: &[usize], count: usize, value: f64) -> (f64, f64) {
    let leaf_count = leaves.len();
    // Per cluster and leaf: sum of scores and number of items.
    let mut sums: Vec<Vec<(usize, f64, f64)>> = vec![Vec::new(); count];
    for (l, (_, members)) in leaves.iter().enumerate() {
        for &i in members {
            let cells = &mut sums[clusters[i]];
            match cells.iter_mut().find(|c| c.0 == l) {
                Some(cell) => {
                    cell.1 += values[i];
                    cell.2 += 1.0;
                }
                None => cells.push((l, values[i], 1.0)),
            }
        }
    }
    let used: Vec<usize> = (0..count).filter(|&c| !sums[c].is_empty()).collect();
    let strata: Vec<Vec<usize>> = if spans(leaves, clusters, count) {
        vec![used]
    } else {
        (0..leaf_count).map(|l| used.iter().copied().filter(|&c| sums[c][0].0 == l).collect()).collect()
    };
    let (low, high) = bootstrap(&strata, count, |weights| {
        let mut totals = vec![(0.0, 0.0); leaf_count];
        for (c, cells) in sums.iter().enumerate() {
            if weights[c] > 0.0 {
                for (l, sum, n) in cells {
                    totals[*l].0 += weights[c] * sum;
                    totals[*l].1 += weights[c] * n;
                }
            }
        }
        // A leaf that was not drawn at all keeps out of the mean.
        let (mut sum, mut weight) = (0.0, 0.0);
        for ((w, _), (s, n)) in leaves.iter().zip(&totals) {
            if *n > 0.0 {
                sum += w * s / n;
                weight += w;
            }
        }
        if weight > 0.0 { sum / weight } else { value }
    });
    (low.min(value), high.max(value))
}

fn difference(a: &[f64], b: &[f64], leaves: &Leaves, clusters: &[usize], count: usize) -> Difference {
    let d: Vec<f64> = a.iter().zip(b).map(|(a, b)| b - a).collect();
    let value = weighted_mean(&d, leaves);
    let se = error(&d, leaves, clusters, count);
    let half = margin(&d, se, count);
    let wins = d.iter().filter(|d| **d > 0.0).count();
    let losses = d.iter().filter(|d| **d < 0.0).count();
    let binary = a.iter().chain(b).all(|v| *v == 0.0 || *v == 1.0);
    let n: usize = leaves.iter().map(|(_, m)| m.len()).sum();
    let (p, test) = if binary && leaves.len() == 1 && count == n {
        (mcnemar(wins as u64, losses as u64), "mcnemar")
    } else {
        (sign_flip(&by_cluster(&d, leaves, clusters, count)), test_name(count))
    };
    let clip = |v: f64| v.clamp(-1.0, 1.0);
    Difference { value, se, low: clip(value - half), high: clip(value + half), p, test: test.into(), n, wins, losses }
}

/// Half of the 95 % interval of a mean difference, by Student's t over clusters. One cluster that moved says nothing.
fn margin(d: &[f64], se: f64, count: usize) -> f64 {
    match count {
        0 | 1 if d.iter().any(|d| *d != 0.0) => 2.0,
        _ if se == 0.0 => 0.0,
        _ => t95(count as f64 - 1.0) * se,
    }
}

fn test_name(count: usize) -> &'static str {
    if count < 2 { "one cluster" } else { "sign flip" }
}

/// What each cluster adds to the weighted mean.
fn by_cluster(d: &[f64], leaves: &Leaves, clusters: &[usize], count: usize) -> Vec<f64> {
    let mut sums = vec![0.0; count];
    for (weight, members) in leaves {
        for &i in members {
            sums[clusters[i]] += weight * d[i] / members.len() as f64;
        }
    }
    sums
}

/// Two models' items of one benchmark, in the same order in every run, and how the benchmark is totalled.
pub struct Matched {
    /// The headline total.
    pub total: Total,
    /// The runs that both have, by name; none where nothing was repeated.
    pub runs: Vec<String>,
    /// The first model's items, by run.
    pub a: Vec<Vec<Unit>>,
    /// The second model's.
    pub b: Vec<Vec<Unit>>,
}

impl Matched {
    /// Compares the two; `b` minus `a`.
    ///
    /// # Errors
    /// As [`Total::difference_runs`].
    pub fn difference(&self) -> Result<Difference, OpError> {
        self.total.difference_runs(&slices(&self.a), &slices(&self.b))
    }
}

fn slices(runs: &[Vec<Unit>]) -> Vec<&[Unit]> {
    runs.iter().map(Vec::as_slice).collect()
}

/// Compares two models over several benchmarks: the mean of the benchmarks' differences, `b` minus `a`, with the 95 %
/// percentile interval of a bootstrap over clusters (by Student's t with fewer than 10). A benchmark that is one cluster and moved
/// says nothing about how it moves elsewhere, so the interval is then all that is possible. Several runs widen it as in
/// [`Total::estimate_runs`]; where benchmarks lack different runs, these count as independent between benchmarks.
///
/// Clusters that were declared under one name in several benchmarks, such as a picture, are one cluster; items that declared
/// none are clusters of their own.
///
/// # Errors
/// As [`Total::difference_runs`]; E0612 for no benchmark.
pub fn mean_difference(benches: &[Matched]) -> Result<Difference, OpError> {
    let share = 1.0 / benches.len().max(1) as f64;
    let mut d: Vec<f64> = Vec::new();
    let mut leaves: Leaves = Vec::new();
    let mut names: BTreeMap<String, usize> = BTreeMap::new();
    let mut clusters: Vec<usize> = Vec::new();
    let mut unsure = false;
    let mut by_run: Vec<Vec<f64>> = Vec::new();
    for (number, Matched { total, a, b, .. }) in benches.iter().enumerate() {
        let total = total.plain();
        let (first_runs, own) = total.parts_of_runs(&slices(a))?;
        let second_runs = total.parts_of_runs(&slices(b))?.0;
        if first_runs[0].len() != second_runs[0].len() || first_runs.len() != second_runs.len() {
            return Err(other_items());
        }
        let run = |(a, b): (&Vec<f64>, &Vec<f64>)| weighted_mean(b, &own) - weighted_mean(a, &own);
        by_run.push(first_runs.iter().zip(&second_runs).map(run).collect());
        let (first, second) = (mean_of_runs(&first_runs), mean_of_runs(&second_runs));
        let start = d.len();
        unsure |= total.clusters(&a[0], first.len()).1 < 2 && first != second;
        d.extend(first.iter().zip(&second).map(|(a, b)| b - a));
        leaves.extend(own.into_iter().map(|(w, m)| (w * share, m.into_iter().map(|i| i + start).collect())));
        for i in 0..first.len() {
            let name = match a[0].get(i) {
                Some(unit) if unit.cluster != unit.id && !matches!(total, Total::Pairs { .. }) => unit.cluster.clone(),
                _ => format!("{number}\n{i}"),
            };
            let next = names.len();
            clusters.push(*names.entry(name).or_insert(next));
        }
    }
    if d.is_empty() {
        return Err(OpError::new("E0612", "the two have no item in common"));
    }
    let count = names.len();
    let value = weighted_mean(&d, &leaves);
    let se = error(&d, &leaves, &clusters, count);
    let (low, high) = if unsure {
        (-1.0, 1.0)
    } else if (count as u64) < FEW {
        let half = margin(&d, se, count);
        ((value - half).max(-1.0), (value + half).min(1.0))
    } else {
        resample(&d, &leaves, &clusters, count, value)
    };
    let p = if unsure { 1.0 } else { sign_flip(&by_cluster(&d, &leaves, &clusters, count)) };
    let test = test_name(if unsure { 1 } else { count }).to_owned();
    let wins = d.iter().filter(|d| **d > 0.0).count();
    let losses = d.iter().filter(|d| **d < 0.0).count();
    let plain = Difference { value, se, low, high, p, test, n: d.len(), wins, losses };
    if unsure || by_run.iter().all(|runs| runs.len() < 2) {
        return Ok(plain);
    }
    if benches.iter().all(|bench| bench.runs == benches[0].runs) {
        let k = by_run[0].len();
        let means: Vec<f64> = (0..k).map(|r| mean(&by_run.iter().map(|runs| runs[r]).collect::<Vec<_>>())).collect();
        return Ok(moved_over_runs(plain, &means, count));
    }
    let parts: Vec<(f64, f64)> = by_run
        .iter()
        .map(|runs| (share * share * variance(runs) / runs.len() as f64, runs.len() as f64 - 1.0))
        .collect();
    let (error, freedom) = pooled(&parts);
    Ok(widened(plain, error * error, freedom, count))
}
