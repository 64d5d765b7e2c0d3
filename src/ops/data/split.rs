//! `data.split`: training, validation and test rows that share nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::{Amount, shares};
use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::clusters::Sets;
use crate::data::phash::{self, Hash};
use crate::data::table::Table;
use crate::data::within;
use crate::engine::{Builtin, Context, Output, Outputs};
use crate::ops::rows::pooled;
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
    let d = cx.table("d")?;
    let together = pooled(cx.threads, || together(cx, &d, &args.apart))??;
    let strata = match &args.by {
        Some(by) => d.texts(std::slice::from_ref(by))?,
        None => vec![String::new(); d.rows()],
    };
    // Units in random order, by stratum of their first row.
    let mut units: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
    together.iter().enumerate().for_each(|(row, &unit)| units.entry(unit).or_default().push(row as u32));
    let mut queues: BTreeMap<&str, Vec<&Vec<u32>>> = BTreeMap::new();
    for row in super::shuffled(&d, cx.stream)? {
        if together[row as usize] == row {
            queues.entry(&strata[row as usize]).or_default().push(&units[&row]);
        }
    }
    let sizes: Vec<f64> = queues.values().map(|q| q.iter().map(|u| u.len()).sum::<usize>() as f64).collect();
    let mut part = vec![0usize; d.rows()];
    for (number, amount) in [(1, &args.validation), (2, &args.test)] {
        let quotas = shares(amount.of(d.rows()).min(d.rows()), &sizes);
        for (queue, quota) in queues.values_mut().zip(quotas) {
            let mut room = quota;
            queue.retain(|unit| {
                let fits = unit.len() <= room;
                if fits {
                    room -= unit.len();
                    unit.iter().for_each(|&row| part[row as usize] = number);
                }
                !fits
            });
        }
    }
    let mut outputs = Vec::new();
    for (number, name) in ["train", "validation", "test"].into_iter().enumerate() {
        let rows = d.filter(&part.iter().map(|p| *p == number).collect::<Vec<_>>())?;
        cx.counts.insert(name.into(), rows.rows() as u64);
        outputs.push((name.to_owned(), Output::Table(rows)));
    }
    Ok(outputs)
}

/// Returns for each row the first row that it must stay together with.
fn together(cx: &Context, d: &Table, apart: &[String]) -> Result<Vec<u32>, OpError> {
    let columns = apart.iter().map(|c| d.cells(c)).collect::<Result<Vec<_>, _>>()?;
    let mut pictures = BTreeSet::new();
    columns.iter().flatten().for_each(|cell| within::collect(cell, &mut pictures));
    let looks = phash::clusters(&phash::hashes(&pictures, Hash::Phash, cx.store)?, IMAGE_DISTANCE);
    let mut sets = Sets::new(d.rows());
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
    Ok((0..d.rows() as u32).map(|row| sets.find(row)).collect())
}
