//! Operators of module `data`.

mod annotated;
pub mod arrow;
pub mod as_sft;
pub mod blend;
pub mod chat;
pub mod clips;
pub mod concat;
pub mod count;
pub mod csv;
pub mod derive;
pub mod disjoint;
pub mod drop;
pub mod episodes;
pub mod frames;
pub mod hf;
pub mod jsonl;
pub mod layout;
pub mod lvis;
pub mod parquet;
pub mod profile;
mod profile_page;
pub mod quantile;
pub mod regions;
pub mod rename;
pub mod sample;
pub mod select;
pub mod shuffle;
pub mod sort;
mod source;
pub mod split;
pub mod top;
pub mod visual_genome;
pub mod webdataset;

use std::collections::BTreeMap;

use ::arrow::datatypes::DataType;
use serde::Deserialize;

use crate::base::{Digest, OpError};
use crate::data::arrow_type;
use crate::data::cell::Cell;
use crate::data::draw::{Draw, Keyer};
use crate::data::table::Table;
use crate::engine::Context;

/// A number of rows, or a share of them: `{"rows": 80}` or `{"ratio": 0.05}`.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Amount {
    Rows(usize),
    Ratio(f64),
}

impl Amount {
    /// Returns how many rows of `total` it means; a share is rounded to the nearest.
    fn of(self, total: usize) -> usize {
        match self {
            Amount::Rows(n) => n,
            Amount::Ratio(share) => (share * total as f64).round().max(0.0) as usize,
        }
    }
}

/// Divides `total` by weights: whole parts first, then one more for the largest remainders, ties to the earlier.
fn shares(total: usize, weights: &[f64]) -> Vec<usize> {
    let sum: f64 = weights.iter().sum();
    if sum <= 0.0 {
        return vec![0; weights.len()];
    }
    let exact: Vec<f64> = weights.iter().map(|w| total as f64 * w / sum).collect();
    let mut parts: Vec<usize> = exact.iter().map(|e| e.floor() as usize).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by(|&a, &b| exact[b].fract().total_cmp(&exact[a].fract()));
    let left = total.saturating_sub(parts.iter().sum());
    order.into_iter().take(left).for_each(|k| parts[k] += 1);
    parts
}

/// Draws a number of `0.0..1.0` for each row of a slot from `stream`, by its content but for a column, so the order of arrival does not matter.
fn drawn(cx: &Context, slot: &str, except: Option<&str>, stream: Digest) -> Result<Vec<f64>, OpError> {
    let mut keyer = Keyer::default();
    let mut drawn = Vec::new();
    for chunk in cx.chunks(slot)? {
        cx.go_on()?;
        let chunk = chunk?;
        let columns = chunk.columns();
        let names: Vec<&str> = columns.iter().map(|(n, _)| n.as_str()).filter(|n| Some(*n) != except).collect();
        drawn.extend(keyer.keys(&chunk, &names)?.iter().map(|key| Draw::new(stream, *key).unit()));
    }
    Ok(drawn)
}

/// Returns the rows of a slot in an order drawn from `stream`.
fn shuffled(cx: &Context, slot: &str, stream: Digest) -> Result<Vec<u32>, OpError> {
    let drawn = drawn(cx, slot, None, stream)?;
    let mut order: Vec<u32> = (0..drawn.len() as u32).collect();
    order.sort_by(|&a, &b| drawn[a as usize].total_cmp(&drawn[b as usize]));
    Ok(order)
}

/// Returns for each row of the dataset `d` the number of its value in a column, and the values in order; without a column all rows have one.
fn strata(cx: &Context, by: Option<&str>, rows: usize) -> Result<(Vec<u32>, Vec<String>), OpError> {
    let Some(by) = by else { return Ok((vec![0; rows], vec![String::new(); rows.min(1)])) };
    let mut numbers: BTreeMap<String, u32> = BTreeMap::new();
    let mut of_rows = Vec::with_capacity(rows);
    for part in cx.chunks("d")?.only(|name, _| name == by) {
        for text in part?.texts(&[by.to_owned()])? {
            let next = numbers.len() as u32;
            of_rows.push(*numbers.entry(text).or_insert(next));
        }
    }
    let mut place = vec![0; numbers.len()];
    numbers.values().enumerate().for_each(|(at, &number)| place[number as usize] = at as u32);
    of_rows.iter_mut().for_each(|number| *number = place[*number as usize]);
    Ok((of_rows, numbers.into_keys().collect()))
}

/// Returns the values of a column of the dataset `d`.
fn values<'p>(parts: &'p [Table], column: &str) -> Result<Vec<Cell<'p>>, OpError> {
    let mut cells = Vec::with_capacity(parts.iter().map(Table::rows).sum());
    for part in parts {
        cells.extend(part.cells(column)?);
    }
    Ok(cells)
}

/// Returns the columns that all of some datasets have, in the first one's order, leaving out `except`.
///
/// # Errors
/// `E0211` when there is no dataset; `E0302` when a column has different types.
fn shared_names(datasets: &[Vec<(String, DataType)>], except: Option<&str>) -> Result<Vec<String>, OpError> {
    let (first, rest) = datasets.split_first().ok_or_else(|| OpError::new("E0211", "no dataset was given"))?;
    let mut names = Vec::new();
    for (name, ty) in first.iter().filter(|(name, _)| Some(name.as_str()) != except) {
        let others = rest.iter().map(|d| d.iter().find(|(n, _)| n == name).map(|(_, ty)| ty));
        let Some(others) = others.collect::<Option<Vec<_>>>() else { continue };
        if let Some(other) = others.into_iter().find(|other| *other != ty) {
            let (a, b) = (arrow_type::text(ty), arrow_type::text(other));
            let message = format!("column `.{name}` is {a} in one input and {b} in another");
            return Err(OpError::new("E0302", message));
        }
        names.push(name.clone());
    }
    Ok(names)
}
