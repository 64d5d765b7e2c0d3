//! How long the texts of a dataset are, for who wants to know before anything runs.

use std::collections::BTreeMap;

use arrow::array::AsArray;
use arrow::datatypes::DataType;

use super::artifact::Artifact;
use super::dataset::Chunks;
use super::store::Store;
use crate::base::OpError;

/// Returns, for each column of text, the words that 99 of 100 rows do not exceed; an absent text has none.
///
/// # Errors
/// `E0503` when a column is missing or damaged.
pub fn words(store: &Store, artifact: &Artifact) -> Result<BTreeMap<String, u64>, OpError> {
    let mut rows: BTreeMap<String, BTreeMap<u64, u64>> = BTreeMap::new();
    for chunk in Chunks::open(store, artifact)?.only(|_, ty| *ty == DataType::Utf8) {
        let chunk = chunk?;
        for (name, texts) in chunk.columns() {
            let Some(texts) = texts.as_string_opt::<i32>() else { continue };
            let counts = rows.entry(name).or_default();
            for text in texts {
                *counts.entry(text.map_or(0, |t| t.split_whitespace().count() as u64)).or_default() += 1;
            }
        }
    }
    Ok(rows.into_iter().map(|(name, counts)| (name, percentile(&counts))).collect())
}

/// The least number that 99 of 100 do not exceed.
fn percentile(counts: &BTreeMap<u64, u64>) -> u64 {
    let all: u64 = counts.values().sum();
    let mut so_far = 0;
    for (words, rows) in counts {
        so_far += rows;
        if so_far * 100 >= all * 99 {
            return *words;
        }
    }
    0
}
