//! Filters that score rows and keep a range of scores or the best: the selection itself.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use serde::Deserialize;

use crate::base::{Digest, OpError};
use crate::data::dedup::within;
use crate::data::draw::Keyer;
use crate::data::table::Table;
use crate::engine::node::row_memo::{self, RowMemo};
use crate::engine::{Context, Outputs};
use crate::ops::bounds::Bounds;
use crate::ops::rows::{Reason, drop_rows, in_scope};

/// Which scores are kept.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(untagged)]
pub enum Keep {
    /// The best n, ties by row order.
    Top { top: usize },
    /// Both ends included; an open end is none.
    Range { from: Option<f64>, to: Option<f64> },
}

/// Which rows a filter keeps by their scores.
#[derive(Clone, Debug, Deserialize)]
pub struct Selection {
    /// Which scores.
    pub keep: Keep,
    /// The best come in equal shares from each group of rows that agree on these columns.
    #[serde(default)]
    pub within: Vec<String>,
}

/// Which end of the scores is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// Small scores.
    Lowest,
    /// Large scores.
    Highest,
}

/// Scores the rows in scope, adds the scores as a column, and drops the rows that are not kept; rows out of scope pass without one.
///
/// `alone` names the columns that a score is made of, where it does not depend on the other rows in any bit: such scores are remembered.
pub fn keep(
    cx: &mut Context,
    table: &Table,
    name: &str,
    selection: &Selection,
    best: Best,
    alone: Option<&[&str]>,
    score: impl FnOnce(&Context, &[usize]) -> Result<Vec<Result<f64, String>>, OpError>,
) -> Result<Outputs, OpError> {
    let scope = in_scope(cx, table)?;
    let chosen: Vec<usize> = (0..table.rows()).filter(|&row| scope[row]).collect();
    let scores = remembered(cx, table, &chosen, alone, score)?;
    let mut column = vec![None; table.rows()];
    let mut reasons: Vec<Option<Reason>> = vec![None; table.rows()];
    for (&row, score) in chosen.iter().zip(scores) {
        match score {
            // It would pass for the best of some orders.
            Ok(score) if score.is_nan() => {
                reasons[row] = Some(Reason::new("no score", format!("{name} is not a number")));
            }
            Ok(score) => column[row] = Some(score),
            Err(why) => reasons[row] = Some(Reason::new("no score", why)),
        }
    }
    let scored = |row: &usize| column[*row].map(|score: f64| (*row, score));
    match selection.keep {
        Keep::Range { from, to } => {
            let bounds = Bounds { from: from.unwrap_or(f64::NEG_INFINITY), to: to.unwrap_or(f64::INFINITY) };
            for (row, score) in chosen.iter().filter_map(scored) {
                let outside = |side| Reason::new(side, format!("{name} {score:.4} is outside {bounds}"));
                reasons[row] = bounds.outside(score).map(outside);
            }
        }
        Keep::Top { top } => {
            let groups = within::groups(table, &selection.within, 0, cx.store)?;
            let ranked = ranked(chosen.iter().filter_map(scored), &groups, best);
            for (place, (row, score)) in ranked.into_iter().enumerate().skip(top) {
                let why = format!("{name} {score:.4} is place {} of {top} kept", place + 1);
                reasons[row] = Some(Reason::new("not among the best", why));
            }
        }
    }
    let column: ArrayRef = Arc::new(Float64Array::from(column));
    let table = table.with_column(name, column)?;
    Ok(Context::rows(drop_rows(cx, &table, &reasons)?))
}

/// Returns the score of each chosen row: what is remembered of it, else what `score` says now.
fn remembered(
    cx: &mut Context,
    table: &Table,
    chosen: &[usize],
    alone: Option<&[&str]>,
    score: impl FnOnce(&Context, &[usize]) -> Result<Vec<Result<f64, String>>, OpError>,
) -> Result<Vec<Result<f64, String>>, OpError> {
    // Which rows are kept is decided after their scores.
    let memo = RowMemo::open(cx, &["arg.keep", "arg.within", "arg.where"]);
    let (Some(memo), Some(columns)) = (memo, alone) else { return score(cx, chosen) };
    let keys = row_memo::keys(&mut Keyer::default(), table, columns)?;
    let keys: Vec<Digest> = chosen.iter().map(|&row| keys[row]).collect();
    let mut scores: Vec<Option<Result<f64, String>>> = memo.numbers(&keys).into_iter().map(|s| s.map(Ok)).collect();
    let asked: Vec<usize> = (0..chosen.len()).filter(|&at| scores[at].is_none()).collect();
    cx.counts.insert("remembered".into(), (chosen.len() - asked.len()) as u64);
    if !asked.is_empty() {
        let said = score(cx, &asked.iter().map(|&at| chosen[at]).collect::<Vec<_>>())?;
        asked.iter().zip(said).for_each(|(&at, said)| scores[at] = Some(said));
        let all = keys.iter().zip(&scores).filter_map(|(key, score)| Some((*key, *score.as_ref()?.as_ref().ok()?)));
        memo.remember_numbers(&all.collect::<Vec<_>>())?;
    }
    Ok(scores.into_iter().map(|score| score.unwrap_or_else(|| Err("it was not scored".into()))).collect())
}

/// Orders rows from best to worst by their place within their group, as a share of the group; then by score and row. Any first part of the order holds the
/// best of every group in equal shares.
fn ranked(scored: impl Iterator<Item = (usize, f64)>, groups: &[u32], best: Best) -> Vec<(usize, f64)> {
    let sign = if best == Best::Lowest { 1.0 } else { -1.0 };
    let order = |a: &(usize, f64), b: &(usize, f64)| (a.1 * sign).total_cmp(&(b.1 * sign)).then(a.0.cmp(&b.0));
    let mut members: BTreeMap<u32, Vec<(usize, f64)>> = BTreeMap::new();
    scored.for_each(|row| members.entry(groups[row.0]).or_default().push(row));
    let mut placed: Vec<(f64, (usize, f64))> = Vec::new();
    for mut rows in members.into_values() {
        rows.sort_by(order);
        let size = rows.len() as f64;
        placed.extend(rows.into_iter().enumerate().map(|(place, row)| ((place as f64 + 0.5) / size, row)));
    }
    placed.sort_by(|a, b| a.0.total_cmp(&b.0).then_with(|| order(&a.1, &b.1)));
    placed.into_iter().map(|(_, row)| row).collect()
}
