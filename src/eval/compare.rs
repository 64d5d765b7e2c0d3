//! Compares scores, and lays a sweep's scores out as a table.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::answers::Histogram;
use super::stats::{POWER, benjamini_hochberg, detectable, holm, pooled, t95, variance};
use super::stored::{Run, Spread, Stored};
use super::total::{Difference, Matched, Unit, mean_difference, total};
use crate::base::OpError;

/// Compares two scores on the items that both hold, with equal questions; `None` where there are none.
///
/// # Errors
/// E0612 when the two were totalled in different ways.
pub fn paired(from: &Stored, to: &Stored) -> Result<Option<Difference>, OpError> {
    matched(from, to)?.map(|m| m.difference()).transpose()
}

/// Returns the items that two scores share, with equal questions, in each run that both have; `None` where there are none.
fn matched(from: &Stored, to: &Stored) -> Result<Option<Matched>, OpError> {
    let known: BTreeMap<&str, usize> = from.units.iter().enumerate().map(|(i, u)| (u.id.as_str(), i)).collect();
    let mut shared: Vec<&str> = Vec::new();
    for (j, unit) in to.units.iter().enumerate() {
        if let Some(&i) = known.get(unit.id.as_str())
            && from.items[i] == to.items[j]
        {
            shared.push(&unit.id);
        }
    }
    let named = |score: &Stored| -> Vec<String> { score.runs.iter().map(|r| r.label.clone()).collect() };
    let mut runs = named(from);
    runs.retain(|run| named(to).contains(run));
    let whole = from.runs.is_empty() && to.runs.is_empty();
    if shared.is_empty() || (runs.is_empty() && !whole) {
        return Ok(None);
    }
    if from.meta["headline"] != to.meta["headline"] {
        return Err(OpError::new("E0612", "the two scores have different headline totals, so they cannot be compared"));
    }
    // A question that is asked again, under another seed or in another benchmark, is no new one: it is a cluster under its own name.
    let picked = |score: &Stored| -> Vec<Unit> {
        let places: BTreeMap<&str, usize> = score.units.iter().enumerate().map(|(i, u)| (u.id.as_str(), i)).collect();
        let named = |id: &&str| {
            let at = *places.get(id)?;
            let mut unit = score.units[at].clone();
            if unit.cluster == unit.id {
                unit.cluster = format!("{id}\n{}", score.items[at]);
            }
            Some(unit)
        };
        shared.iter().filter_map(named).collect()
    };
    let by_run = |score: &Stored| -> Vec<Vec<Unit>> {
        if whole {
            return vec![picked(score)];
        }
        let of = |label: &String| score.runs.iter().find(|r| r.label == *label).map(|r| picked(&r.score));
        runs.iter().filter_map(of).collect()
    };
    let (a, b) = (by_run(from), by_run(to));
    Ok(Some(Matched { total: total(&to.meta["headline"])?, a, b, runs }))
}

/// One cell of a sweep: labels, one per axis, and the score, or why there is none.
#[derive(Clone, Debug)]
pub struct Cell {
    /// One per axis.
    pub labels: Vec<String>,
    /// The score.
    pub score: Result<Stored, String>,
}

/// What a table shows unless it is asked for other things.
pub const SHOWN: [&str; 6] = ["ci", "delta", "n", "unparsed", "chance", "majority"];

/// How a table is laid out.
#[derive(Clone, Debug, Default, Deserialize)]
pub struct Layout {
    /// Axis names.
    pub axes: Vec<String>,
    /// Labels of each axis, in order.
    pub labels: Vec<Vec<String>>,
    /// The axis that becomes rows; see [`Self::places`].
    #[serde(default)]
    pub rows: Option<String>,
    /// The axis that becomes columns.
    #[serde(default)]
    pub cols: Option<String>,
    /// The label of the column axis that others are compared with.
    #[serde(default)]
    pub baseline: Option<String>,
    /// What is shown; `None` is [`SHOWN`].
    #[serde(default)]
    pub show: Option<Vec<String>>,
    /// `holm` or `bh`.
    #[serde(default)]
    pub adjust: Option<String>,
    /// The label of the column axis whose gain over each other column is measured.
    #[serde(default)]
    pub gain: Option<String>,
    /// The axes that the cells are means over; see [`super::runs::fold`].
    #[serde(default)]
    pub over: Vec<String>,
    /// A difference: the table says how many questions it takes to see it.
    #[serde(default)]
    pub see: Option<f64>,
}

/// A table of scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreTable {
    /// Column labels.
    pub columns: Vec<String>,
    /// Rows in order.
    pub rows: Vec<ScoreRow>,
    /// Means over the rows that have no hole, by column.
    pub means: Vec<Option<Mean>>,
    /// Rows that the means leave out.
    pub left_out: Vec<String>,
    /// The column that others are compared with.
    pub baseline: Option<String>,
    /// What one column gains over each other one, if that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gain: Option<Gain>,
    /// How p-values were adjusted.
    pub adjust: String,
    /// What is shown.
    pub show: Vec<String>,
    /// The axes that cells are means over.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub over: Vec<String>,
    /// The difference for which questions are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub see: Option<f64>,
}

/// A row of a table of scores.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ScoreRow {
    /// Its label.
    pub label: String,
    /// One per column.
    pub cells: Vec<ScoreCell>,
    /// Questions.
    pub n: Option<u64>,
    /// What guessing scores.
    pub chance: Option<f64>,
    /// What the best constant answer scores.
    pub majority: Option<f64>,
    /// The smallest paired difference that is found with 80 % power at the 5 % level: with a baseline as measured, `2.80·SE` of the
    /// differences to it, their mean over the columns; without one for answers that correlate by 0.5.
    pub detectable: Option<f64>,
    /// How many questions of this sort a difference of [`ScoreTable::see`] needs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needed: Option<u64>,
    /// The share of its questions that are among the training rows, if these were given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<f64>,
}

/// A cell of a table of scores.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ScoreCell {
    /// The score, 0…1.
    pub value: Option<f64>,
    /// Its standard error.
    pub se: f64,
    /// Interval, if there is one.
    pub low: Option<f64>,
    /// Interval, if there is one.
    pub high: Option<f64>,
    /// Share of questions whose reply came and holds no value that could be read.
    pub unparsed: Option<f64>,
    /// The mean score of the replies with a value.
    pub skill: Option<f64>,
    /// The answer given most too often: what, its share of the replies, its share of the right answers.
    pub favourite: Option<(String, f64, f64)>,
    /// The score under the compat profile.
    pub compat: Option<f64>,
    /// The same over the questions that were answered, where some were not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compat_answered: Option<f64>,
    /// Against the baseline.
    pub delta: Option<Difference>,
    /// The adjusted p-value.
    pub adjusted: Option<f64>,
    /// Why there is no score.
    pub hole: Option<String>,
    /// The share of replies that a server or its model refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<f64>,
    /// The share of questions that were never answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub failed: Option<f64>,
    /// The share of replies that were cut off at the most tokens that were asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub truncated: Option<f64>,
    /// Tokens of question and reply, per request, as a server counts them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tokens: Option<(f64, f64)>,
    /// What they cost, in the money of the model's `price`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cost: Option<f64>,
    /// Where the number was published, if it was not measured here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub published: Option<String>,
    /// What its runs say, if it is a mean over some.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Spread>,
    /// How its interval was made, as in [`super::total::Estimate::interval`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub interval: Option<String>,
    /// Independent clusters of questions.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clusters: Option<u64>,
}

/// A mean over rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Mean {
    /// The mean.
    pub value: f64,
    /// Its standard error: `sqrt(Σ SE²)/K`; none where a row has no interval.
    pub se: Option<f64>,
    /// Half of its 95 % interval where that is not 1.96 SE.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub half: Option<f64>,
    /// Against the baseline's mean: value, low, high; without the ends where a row's difference may be anything.
    pub delta: Option<(f64, Option<f64>, Option<f64>)>,
    /// The numbers were published elsewhere.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub published: bool,
    /// The means of the runs that every row has, if cells are means over runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runs: Option<Spread>,
}

/// What one column gains over each other one, in the mean over rows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gain {
    /// The column.
    pub of: String,
    /// By column; none for the column itself, and where the two share no questions.
    pub over: Vec<Option<Gained>>,
}

/// A mean of paired differences.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Gained {
    /// Over the rows in which both have a score: interval of a bootstrap over clusters, p-value not adjusted.
    pub difference: Difference,
    /// How many rows these are.
    pub rows: usize,
    /// The p-value, adjusted over the columns.
    pub adjusted: f64,
}

impl Layout {
    /// Returns the positions of the row axis and of the other axes, checked against the names. Without `rows` the last axis that is not `cols`
    /// becomes rows.
    ///
    /// # Errors
    /// E0604 for an axis or label that is not there.
    pub fn places(&self) -> Result<(usize, Vec<usize>), OpError> {
        let find = |name: &str| {
            self.axes.iter().position(|a| a == name).ok_or_else(|| {
                OpError::new("E0604", format!("the grid has no axis `{name}`; its axes are {}", self.axes.join(", ")))
            })
        };
        let cols = self.cols.as_deref().map(find).transpose()?;
        let rows = match self.rows.as_deref() {
            Some(name) => find(name)?,
            None => (0..self.axes.len()).rev().find(|i| Some(*i) != cols).unwrap_or(0),
        };
        let others = (0..self.axes.len()).filter(|i| *i != rows).collect();
        Ok((rows, others))
    }

    /// Returns every combination of the labels of some axes, the last one changing first.
    pub fn combinations(&self, axes: &[usize]) -> Vec<Vec<String>> {
        let mut out: Vec<Vec<String>> = vec![Vec::new()];
        for &axis in axes {
            let labels = self.labels.get(axis).map_or(&[][..], Vec::as_slice);
            out = out.iter().flat_map(|c| labels.iter().map(move |l| [c.clone(), vec![l.clone()]].concat())).collect();
        }
        out
    }
}

/// Lays scores out as a table with intervals, paired differences to the baseline and adjusted p-values.
pub fn table(layout: &Layout, cells: &[Cell]) -> Result<ScoreTable, OpError> {
    let (row_axis, others) = layout.places()?;
    let columns = layout.combinations(&others);
    let names: Vec<String> =
        columns.iter().map(|c| if c.is_empty() { "score".to_owned() } else { c.join(", ") }).collect();
    let against = |label: &Option<String>| match label {
        Some(label) => partners(&columns, label).ok_or_else(|| no_column(label, &names)),
        None => Ok(vec![None; columns.len()]),
    };
    let bases = against(&layout.baseline)?;
    let find = |row: &str, column: &[String]| {
        cells.iter().find(|cell| {
            cell.labels.get(row_axis).is_some_and(|l| l == row)
                && others.iter().zip(column).all(|(axis, label)| cell.labels.get(*axis) == Some(label))
        })
    };
    let mut rows = Vec::new();
    for label in layout.labels.get(row_axis).into_iter().flatten() {
        let found: Vec<Option<&Cell>> = columns.iter().map(|c| find(label, c)).collect();
        let base = |column: usize| bases[column].and_then(|b| found[b]).and_then(|c| c.score.as_ref().ok());
        let mut made = Vec::new();
        for (i, cell) in found.iter().enumerate() {
            made.push(match cell.map(|c| &c.score) {
                None => ScoreCell { hole: Some("not in the sweep".into()), ..ScoreCell::default() },
                Some(Err(why)) => ScoreCell { hole: Some(why.clone()), ..ScoreCell::default() },
                Some(Ok(score)) => filled(score, base(i))?,
            });
        }
        let first = found.iter().flatten().find_map(|c| c.score.as_ref().ok());
        let fact = |key: &str| first.and_then(|s| s.meta[key].as_f64());
        let n = found.iter().flatten().find_map(|c| c.score.as_ref().ok()?.meta["n"].as_u64());
        // Nobody was asked yet: half right is where a difference is hardest to see.
        let half =
            |s: &Stored| if s.meta["failed"].as_f64() == Some(1.0) { Some(0.5) } else { s.meta["value"].as_f64() };
        let p = (0..columns.len()).find_map(base).or(first).and_then(half);
        let measured: Vec<f64> =
            made.iter().filter_map(|c| c.delta.as_ref()).map(|d| POWER * d.se).filter(|d| *d > 0.0).collect();
        let smallest = match measured.is_empty() {
            true => n.zip(p).map(|(n, p)| detectable(p.clamp(0.05, 0.95), 0.5, n as f64)),
            false => Some(super::stats::mean(&measured)),
        };
        let needed = |(least, see): (f64, f64)| n.map(|n| (n as f64 * (least / see).powi(2)).ceil() as u64);
        rows.push(ScoreRow {
            label: label.clone(),
            cells: made,
            n,
            chance: fact("chance"),
            majority: fact("majority"),
            detectable: smallest,
            needed: smallest.zip(layout.see.filter(|see| *see > 0.0)).and_then(needed),
            overlap: None,
        });
    }
    adjust(&mut rows, layout.adjust.as_deref());
    // What nobody published is no hole in what was measured.
    let elsewhere = |column: usize| rows.iter().any(|row| row.cells[column].published.is_some());
    let measured: Vec<usize> = (0..columns.len()).filter(|&i| !elsewhere(i)).collect();
    let whole = |row: &ScoreRow| measured.iter().all(|&i| row.cells[i].value.is_some());
    let left_out = rows.iter().filter(|r| !whole(r)).map(|r| r.label.clone()).collect();
    let complete: Vec<&ScoreRow> = rows.iter().filter(|r| whole(r)).collect();
    let means = (0..columns.len()).map(|i| mean(&complete, i, bases[i])).collect();
    let gain = match &layout.gain {
        Some(label) => {
            let of = against(&layout.gain)?;
            let at = |row: &String, column: usize| find(row, &columns[column]).and_then(|c| c.score.as_ref().ok());
            let rows = layout.labels.get(row_axis).map_or(&[][..], Vec::as_slice);
            Some(gain(label, &of, rows, at, layout.adjust.as_deref())?)
        }
        None => None,
    };
    let all = || SHOWN.map(str::to_owned).to_vec();
    Ok(ScoreTable {
        columns: names,
        means,
        left_out,
        baseline: layout.baseline.clone(),
        gain,
        adjust: layout.adjust.clone().unwrap_or_else(|| "holm".into()),
        show: layout.show.clone().unwrap_or_else(all),
        over: layout.over.clone(),
        see: layout.see,
        rows,
    })
}

/// For each column the one that it is compared with: the label's, with the column's other labels. `None` where no column has the label.
fn partners(columns: &[Vec<String>], label: &String) -> Option<Vec<Option<usize>>> {
    let axis = columns.iter().find_map(|column| column.iter().position(|own| own == label))?;
    let partner = |column: &Vec<String>| {
        let mut wanted = column.clone();
        wanted[axis].clone_from(label);
        columns.iter().position(|other| *other == wanted).filter(|_| column[axis] != *label)
    };
    Some(columns.iter().map(partner).collect())
}

fn no_column(label: &str, names: &[String]) -> OpError {
    OpError::new("E0604", format!("no column is called `{label}`; there are {}", names.join(", ")))
}

/// Compares each column with its partner of the label over the rows in which both have questions with scores.
fn gain<'a>(
    label: &str,
    of: &[Option<usize>],
    rows: &[String],
    at: impl Fn(&String, usize) -> Option<&'a Stored>,
    adjust: Option<&str>,
) -> Result<Gain, OpError> {
    let mut found: Vec<Option<(Difference, usize)>> = Vec::with_capacity(of.len());
    for (column, partner) in of.iter().enumerate() {
        let mut benches = Vec::new();
        for (row, of) in rows.iter().flat_map(|row| partner.map(|of| (row, of))) {
            if let (Some(from), Some(to)) = (at(row, column), at(row, of)) {
                benches.extend(matched(from, to)?);
            }
        }
        let shared = benches.len();
        found.push(if shared == 0 { None } else { Some((mean_difference(&benches)?, shared)) });
    }
    let p: Vec<f64> = found.iter().flatten().map(|(d, _)| d.p).collect();
    let mut adjusted = corrected(&p, adjust).into_iter();
    let mut gained = |(difference, rows)| Gained { difference, rows, adjusted: adjusted.next().unwrap_or(1.0) };
    Ok(Gain { of: label.to_owned(), over: found.into_iter().map(|f| f.map(&mut gained)).collect() })
}

/// Returns the largest fall of the score from one label of an axis to another over all other labels, as a difference of
/// ratios, and where it is; an improvement everywhere gives a negative fall.
pub fn worst_drop(layout: &Layout, cells: &[Cell], from: &str, to: &str) -> Result<(f64, String), OpError> {
    let axis = layout
        .labels
        .iter()
        .position(|l| l.iter().any(|x| x == from))
        .ok_or_else(|| OpError::new("E0604", format!("no axis of the grid has the label `{from}`")))?;
    if !layout.labels[axis].iter().any(|x| x == to) {
        return Err(OpError::new("E0604", format!("the axis `{}` has no label `{to}`", layout.axes[axis])));
    }
    let rest = |cell: &Cell| -> Vec<String> {
        cell.labels.iter().enumerate().filter(|(i, _)| *i != axis).map(|(_, l)| l.clone()).collect()
    };
    let value = |cell: &Cell| cell.score.as_ref().ok().and_then(|s| s.meta["value"].as_f64());
    let mut worst: Option<(f64, String)> = None;
    for first in cells.iter().filter(|c| c.labels.get(axis).is_some_and(|l| l == from)) {
        let second = cells.iter().find(|c| c.labels.get(axis).is_some_and(|l| l == to) && rest(c) == rest(first));
        if let (Some(a), Some(b)) = (value(first), second.and_then(value)) {
            if worst.as_ref().is_none_or(|(most, _)| a - b > *most) {
                worst = Some((a - b, rest(first).join(", ")));
            }
        }
    }
    worst.ok_or_else(|| OpError::new("E0612", format!("no cell has a score for both `{from}` and `{to}`")))
}

/// Compares two labels of an axis over all other labels: the mean of the paired differences, `to` minus `from`.
///
/// # Errors
/// E0604 for a label that is not there; E0612 where a cell has no score, since a mean over other cells would be another question.
pub fn delta(layout: &Layout, cells: &[Cell], from: &str, to: &str) -> Result<Difference, OpError> {
    let axis = layout
        .labels
        .iter()
        .position(|l| [from, to].iter().all(|x| l.iter().any(|y| y == x)))
        .ok_or_else(|| OpError::new("E0604", format!("no axis of the grid has both labels `{from}` and `{to}`")))?;
    let mut benches = Vec::new();
    for first in cells.iter().filter(|c| c.labels[axis] == from) {
        let mut labels = first.labels.clone();
        to.clone_into(&mut labels[axis]);
        let place = || labels.join(", ");
        let second = cells.iter().find(|c| c.labels == labels);
        let (Ok(a), Some(Ok(b))) = (&first.score, second.map(|c| &c.score)) else {
            return Err(OpError::new("E0612", format!("`{}` or `{}` has no score", first.labels.join(", "), place())));
        };
        let none = || OpError::new("E0612", format!("`{}` shares no items with `{from}`", place()));
        benches.push(matched(a, b)?.ok_or_else(none)?);
    }
    mean_difference(&benches)
}

/// Returns the label of an axis with the best mean score, and that mean; labels with a hole are left out.
pub fn best(layout: &Layout, cells: &[Cell], by: &str) -> Result<(String, f64), OpError> {
    let axis = layout.axes.iter().position(|a| a == by).ok_or_else(|| {
        OpError::new("E0604", format!("the grid has no axis `{by}`; its axes are {}", layout.axes.join(", ")))
    })?;
    let mut best: Option<(String, f64)> = None;
    for label in &layout.labels[axis] {
        let scores: Option<Vec<f64>> = cells
            .iter()
            .filter(|c| c.labels.get(axis) == Some(label))
            .map(|c| c.score.as_ref().ok().and_then(|s| s.meta["value"].as_f64()))
            .collect();
        if let Some(scores) = scores.filter(|s| !s.is_empty()) {
            let mean = super::stats::mean(&scores);
            if best.as_ref().is_none_or(|(_, most)| mean > *most) {
                best = Some((label.clone(), mean));
            }
        }
    }
    best.ok_or_else(|| OpError::new("E0612", "every label has a cell without a score"))
}

/// Returns the facts of a comparison for an artifact.
pub fn facts(difference: &Difference) -> Json {
    json!({
        "value": difference.value, "low": difference.low, "high": difference.high, "se": difference.se, "p": difference.p,
        "test": difference.test, "n": difference.n, "wins": difference.wins, "losses": difference.losses,
    })
}

fn filled(score: &Stored, base: Option<&Stored>) -> Result<ScoreCell, OpError> {
    let fact = |key: &str| score.meta[key].as_f64();
    let pair = |of: &Json| of["prompt"].as_f64().zip(of["reply"].as_f64());
    let value = |run: &Run| Some((run.label.clone(), run.score.meta["value"].as_f64()?));
    let (tokens, price) = (pair(&score.meta["tokens"]), pair(&score.meta["served"]["price"]));
    Ok(ScoreCell {
        value: fact("value"),
        se: fact("se").unwrap_or(0.0),
        low: fact("low"),
        high: fact("high"),
        unparsed: fact("unparsed"),
        skill: fact("skill"),
        favourite: favourite(&score.meta["answers"]),
        compat: fact("compat"),
        compat_answered: fact("compat_answered"),
        delta: base.map(|b| paired(b, score)).transpose()?.flatten(),
        adjusted: None,
        hole: if fact("value").is_none() { Some("no value".into()) } else { None },
        refused: fact("refused").filter(|r| *r > 0.0),
        failed: fact("failed").filter(|f| *f > 0.0),
        truncated: fact("truncated").filter(|t| *t > 0.0),
        tokens: tokens.zip(fact("requests")).map(|((prompt, reply), n)| (prompt / n.max(1.0), reply / n.max(1.0))),
        cost: tokens.zip(price).map(|(tokens, price)| (tokens.0 * price.0 + tokens.1 * price.1) / 1e6),
        published: score.meta["source"].as_str().map(str::to_owned),
        runs: (score.asked > 0).then(|| Spread::of(score.runs.iter().filter_map(value).collect(), score.asked)),
        interval: score.meta["interval"].as_str().map(str::to_owned),
        clusters: score.meta["clusters"].as_u64(),
    })
}

/// The answer of a score's histograms that is said most too often; letters before the texts of options.
fn favourite(answers: &Json) -> Option<(String, f64, f64)> {
    let all: Vec<Histogram> = serde_json::from_value(answers.clone()).ok()?;
    let first = all.iter().find(|h| h.of == "letter").or_else(|| all.first())?;
    first.favourite().map(|(answer, said, right)| (answer.to_owned(), said, right))
}

/// Adjusts p-values over the family that the table shows: every compared cell.
fn adjust(rows: &mut [ScoreRow], how: Option<&str>) {
    let p: Vec<f64> = rows.iter().flat_map(|r| &r.cells).filter_map(|c| c.delta.as_ref().map(|d| d.p)).collect();
    let adjusted = corrected(&p, how);
    let compared = rows.iter_mut().flat_map(|r| &mut r.cells).filter(|c| c.delta.is_some());
    compared.zip(adjusted).for_each(|(cell, p)| cell.adjusted = Some(p));
}

fn corrected(p: &[f64], how: Option<&str>) -> Vec<f64> {
    if how == Some("bh") { benjamini_hochberg(p) } else { holm(p) }
}

/// The mean of a column over rows, and its difference to that of column `base`.
fn mean(rows: &[&ScoreRow], column: usize, base: Option<usize>) -> Option<Mean> {
    let cells: Vec<&ScoreCell> = rows.iter().map(|r| &r.cells[column]).collect();
    let values: Vec<f64> = cells.iter().map(|c| c.value).collect::<Option<_>>()?;
    if values.is_empty() {
        return None;
    }
    let by_run = runs_of_mean(&cells);
    let sure = cells.iter().all(|c| c.low.is_some());
    let errors = || cells.iter().map(|c| (c.se, c.runs.as_ref().map_or(&[][..], |r| &r.values))).collect::<Vec<_>>();
    let (se, half) = error_of_mean(&errors(), &by_run);
    let deltas: Option<Vec<&Difference>> = cells.iter().map(|c| c.delta.as_ref()).collect();
    let delta = deltas.map(|d| {
        let value = super::stats::mean(&d.iter().map(|d| d.value).collect::<Vec<_>>());
        let by_row: Vec<Vec<(String, f64)>> = match base {
            Some(base) => {
                rows.iter().map(|r| minus(r.cells[column].runs.as_ref(), r.cells[base].runs.as_ref())).collect()
            }
            None => vec![Vec::new(); rows.len()],
        };
        let errors: Vec<(f64, &[(String, f64)])> =
            d.iter().zip(&by_row).map(|(d, runs)| (d.se, runs.as_slice())).collect();
        let half = error_of_mean(&errors, &in_all(&by_row)).1;
        // Over one cluster that moved nothing is known of the error.
        let sure = d.iter().all(|d| d.high - d.low < 2.0);
        (value, sure.then_some(value - half), sure.then_some(value + half))
    });
    let runs = cells.iter().find_map(|c| c.runs.as_ref()).map(|r| Spread::of(by_run, r.of));
    Some(Mean {
        value: super::stats::mean(&values),
        se: sure.then_some(se),
        half: sure.then_some(half).filter(|_| runs.is_some()),
        delta,
        published: cells.iter().any(|c| c.published.is_some()),
        runs,
    })
}

/// The mean over rows of each run that all of them have.
fn runs_of_mean(cells: &[&ScoreCell]) -> Vec<(String, f64)> {
    in_all(&cells.iter().map(|c| c.runs.as_ref().map_or_else(Vec::new, |r| r.values.clone())).collect::<Vec<_>>())
}

/// The means over rows of what every row has a number of.
fn in_all(rows: &[Vec<(String, f64)>]) -> Vec<(String, f64)> {
    let Some(first) = rows.first() else { return Vec::new() };
    let of = |label: &String| -> Option<(String, f64)> {
        let each: Option<Vec<f64>> =
            rows.iter().map(|row| row.iter().find(|(l, _)| l == label).map(|(_, v)| *v)).collect();
        Some((label.clone(), super::stats::mean(&each?)))
    };
    first.iter().filter_map(|(label, _)| of(label)).collect()
}

/// What the runs that both have differ by.
fn minus(a: Option<&Spread>, b: Option<&Spread>) -> Vec<(String, f64)> {
    let (Some(a), Some(b)) = (a, b) else { return Vec::new() };
    let other = |label: &String| b.values.iter().find(|(l, _)| l == label).map(|(_, v)| *v);
    a.values.iter().filter_map(|(label, v)| Some((label.clone(), v - other(label)?))).collect()
}

/// The standard error of a mean over rows, `sqrt(Σ SE²)/K`, and half of its 95 % interval. A run, such as a seed, moves all rows together: of
/// rows with runs only the error over questions adds up so, and the runs add that of their own means. `rows` holds the error of each row,
/// its runs' part included, and its runs.
fn error_of_mean(rows: &[(f64, &[(String, f64)])], means: &[(String, f64)]) -> (f64, f64) {
    let k = rows.len() as f64;
    let of_runs = |runs: &[(String, f64)]| {
        let values: Vec<f64> = runs.iter().map(|r| r.1).collect();
        variance(&values) / values.len().max(1) as f64
    };
    if means.len() < 2 {
        let se = rows.iter().map(|(se, _)| se * se).sum::<f64>().sqrt() / k;
        return (se, 1.96 * se);
    }
    let questions: f64 = rows.iter().map(|(se, runs)| (se * se - of_runs(runs)).max(0.0)).sum::<f64>() / (k * k);
    let (se, df) = pooled(&[(questions, f64::INFINITY), (of_runs(means), means.len() as f64 - 1.0)]);
    (se, t95(df) * se)
}
