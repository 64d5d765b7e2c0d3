//! `data.split`: training, validation and test rows that share nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Amount, shares};
use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::dedup::clusters::Sets;
use crate::data::dedup::phash::{self, Hash};
use crate::data::dedup::within;
use crate::engine::{Builtin, Context, Output, Outputs};
use crate::ops::rows::{self, pooled};
use crate::spec::{Class, OpSpec};

/// The operator.
pub static SPLIT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Splits rows at random into training, validation and test rows. Rows that share a value of `apart` stay together, so parts may be a little smaller than asked.
op data.split(
  d: Dataset[{ ..r }],
  ## How many rows, or which share of them, are for validation.
  validation: Ratio | Rows in 0%..100%,
  ## The same for testing.
  test: Ratio | Rows in 0%..100% = 0%,
  ## Rows that share a value of one of these columns never straddle parts. Of lists each item counts; pictures that look the same are one value.
  apart: Cols = [],
  ## Split each value of this column in the same proportion; rows that stay together count as their first one.
  by: Col? = none,
) -> { train: Dataset[{ ..r }], validation: Dataset[{ ..r }], test: Dataset[{ ..r }] }"#,
        class: Class::Sampled,
        ..OpSpec::BASE
    },
    run: Some(run),
};

/// Bits by which the hashes of two pictures of one cluster may differ, as in the dedups.
const IMAGE_DISTANCE: u32 = 4;

#[derive(serde::Deserialize)]
struct Args {
    validation: Amount,
    test: Amount,
    #[serde(default)]
    apart: Vec<String>,
    by: Option<String>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let rows = cx.input("d")?.rows().unwrap_or(0) as usize;
    let together = pooled(cx.threads, || together(cx, rows, &args.apart))??;
    let (strata, values) = super::strata(cx, args.by.as_deref(), rows)?;
    let mut sizes_of_units = vec![0u32; rows];
    together.iter().for_each(|&unit| sizes_of_units[unit as usize] += 1);
    // Units in random order, by stratum of their first row, which names them.
    let mut queues: Vec<Vec<u32>> = vec![Vec::new(); values.len()];
    for row in super::shuffled(cx, "d", cx.stream)? {
        if together[row as usize] == row {
            queues[strata[row as usize] as usize].push(row);
        }
    }
    // A value that only rows within units have is no stratum.
    queues.retain(|queue| !queue.is_empty());
    let size = |unit: &u32| sizes_of_units[*unit as usize] as usize;
    let sizes: Vec<f64> = queues.iter().map(|q| q.iter().map(size).sum::<usize>() as f64).collect();
    let mut of_units = vec![0u8; rows];
    for (number, amount) in [(1, &args.validation), (2, &args.test)] {
        let quotas = shares(amount.of(rows).min(rows), &sizes);
        for (queue, quota) in queues.iter_mut().zip(quotas) {
            let mut room = quota;
            queue.retain(|unit| {
                let fits = size(unit) <= room;
                if fits {
                    room -= size(unit);
                    of_units[*unit as usize] = number;
                }
                !fits
            });
        }
    }
    let parts = rows::parted(cx, 3, |row| Some(of_units[together[row] as usize].into()))?;
    let mut outputs = Vec::new();
    for (name, part) in ["train", "validation", "test"].into_iter().zip(parts) {
        cx.counts.insert(name.into(), part.rows().unwrap_or(0));
        outputs.push((name.to_owned(), Output::Artifact(part)));
    }
    Ok(outputs)
}

/// Returns for each row the first row that it must stay together with.
fn together(cx: &Context, rows: usize, apart: &[String]) -> Result<Vec<u32>, OpError> {
    if apart.is_empty() {
        return Ok((0..rows as u32).collect());
    }
    let parts = cx.parts("d", &apart.iter().map(String::as_str).collect::<Vec<_>>())?;
    let columns = apart.iter().map(|c| super::values(&parts, c)).collect::<Result<Vec<_>, _>>()?;
    let mut pictures = BTreeSet::new();
    columns.iter().flatten().for_each(|cell| within::collect(cell, &mut pictures));
    let looks = phash::clusters(&phash::hashes(&pictures, Hash::Phash, cx.store)?, IMAGE_DISTANCE);
    let mut sets = Sets::new(rows);
    for column in &columns {
        let mut first: BTreeMap<String, u32> = BTreeMap::new();
        for (row, cell) in column.iter().enumerate() {
            let values = match cell {
                Cell::List(items) => items.as_slice(),
                other => std::slice::from_ref(other),
            };
            for value in values.iter().filter(|v| !matches!(v, Cell::None)) {
                let digest = value.field("digest").and_then(Cell::as_str);
                let key = match digest.and_then(|d| looks.get(d)) {
                    Some(cluster) => format!("look {cluster}"),
                    None => value.text().into_owned(),
                };
                let other = *first.entry(key).or_insert(row as u32);
                sets.union(other, row as u32);
            }
        }
    }
    Ok((0..rows as u32).map(|row| sets.find(row)).collect())
}
