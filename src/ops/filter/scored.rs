//! Filters that score rows and keep a range of scores or the best: the selection itself.

use std::sync::Arc;

use arrow::array::{ArrayRef, Float64Array};
use serde::Deserialize;

use crate::base::OpError;
use crate::data::table::Table;
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

/// Which end of the scores is best.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Best {
    /// Small scores.
    Lowest,
    /// Large scores.
    Highest,
}

/// Scores the rows in scope, adds the scores as a column, and drops the rows that are not kept; rows out of scope pass without one.
pub fn keep(
    cx: &mut Context,
    table: &Table,
    name: &str,
    keep: &Keep,
    best: Best,
    score: impl FnOnce(&Context, &[usize]) -> Result<Vec<Result<f64, String>>, OpError>,
) -> Result<Outputs, OpError> {
    let scope = in_scope(cx, table)?;
    let chosen: Vec<usize> = (0..table.rows()).filter(|&row| scope[row]).collect();
    let scores = score(cx, &chosen)?;
    let mut column = vec![None; table.rows()];
    let mut reasons: Vec<Option<Reason>> = vec![None; table.rows()];
    for (&row, score) in chosen.iter().zip(scores) {
        match score {
            Ok(score) => column[row] = Some(score),
            Err(why) => reasons[row] = Some(Reason::new("no score", why)),
        }
    }
    let scored = |row: &usize| column[*row].map(|score: f64| (*row, score));
    match *keep {
        Keep::Range { from, to } => {
            let bounds = Bounds { from: from.unwrap_or(f64::NEG_INFINITY), to: to.unwrap_or(f64::INFINITY) };
            for (row, score) in chosen.iter().filter_map(scored) {
                let outside = |side| Reason::new(side, format!("{name} {score:.4} is outside {bounds}"));
                reasons[row] = bounds.outside(score).map(outside);
            }
        }
        Keep::Top { top } => {
            let mut ranked: Vec<(usize, f64)> = chosen.iter().filter_map(scored).collect();
            let sign = if best == Best::Lowest { 1.0 } else { -1.0 };
            ranked.sort_by(|a, b| (a.1 * sign).total_cmp(&(b.1 * sign)).then(a.0.cmp(&b.0)));
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
