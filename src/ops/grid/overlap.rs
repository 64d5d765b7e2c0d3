//! Which share of a benchmark's questions is among the training rows.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};
use serde_json::Value as Json;

use crate::base::OpError;
use crate::data::dedup::leak::{self, Compared, Sign};
use crate::data::table::Table;
use crate::engine::Context;
use crate::engine::artifact::Artifact;
use crate::engine::storage::dataset;
use crate::eval::benchmark::items_dataset;
use crate::eval::compare::{Layout, ScoreTable};
use crate::eval::item::{self, Item};
use crate::ops::rows::pooled;

/// Bits by which the hashes of two pictures that look alike may differ.
const DISTANCE: u32 = 4;

/// Fills the column of each row whose questions are known: those of the first score in it.
pub(super) fn add(cx: &Context, table: &mut ScoreTable, layout: &Layout, shared: &str) -> Result<(), OpError> {
    // The keys of the grid have all its axes, those that the table is a mean over too.
    let (rows, _) = layout.places()?;
    let named = |axes: &Vec<Json>| axes.iter().position(|a| a.as_str() == Some(&layout.axes[rows]));
    let axis = cx.args["g"]["axes"].as_array().and_then(named).unwrap_or(rows);
    // The training rows are read once: the questions of all rows are looked for together, and none changes what another has in common with them.
    let mut items: Vec<Item> = Vec::new();
    let mut asked: Vec<(usize, Range<u32>)> = Vec::new();
    for (at, row) in table.rows.iter().enumerate() {
        let slot = |key: &String| key.split('|').nth(axis) == Some(row.label.as_str());
        let cells = cx.args["g"]["cells"].as_object().into_iter().flatten().filter(|(key, _)| slot(key));
        let score =
            cells.filter_map(|(_, cell)| cx.inputs.get(cell["$input"].as_str()?)).find(|s| !s.meta["items"].is_null());
        let Some(score) = score else { continue };
        let start = items.len() as u32;
        items.extend(distinct(cx, score)?);
        asked.push((at, start..items.len() as u32));
    }
    if asked.is_empty() {
        return Ok(());
    }
    let signs = BTreeSet::from_iter(match shared {
        "picture" => vec![Sign::Picture],
        "words" => vec![Sign::Words],
        _ => vec![Sign::Picture, Sign::Words],
    });
    let how = Compared { signs, all: shared == "both", distance: DISTANCE, held: leak::HELD };
    let questions = questions(&items)?;
    let all = || Ok(std::iter::once(Ok(questions.clone())));
    let leaks = pooled(cx.threads, || leak::leaks(all, || cx.chunks("train"), &how, cx.store))??;
    let found: BTreeSet<u32> = leaks.iter().map(|l| l.row).collect();
    for (at, range) in asked {
        let all = range.len().max(1);
        table.rows[at].overlap = Some(found.range(range).count() as f64 / all as f64);
    }
    Ok(())
}

/// The items of a score, those with one id once.
fn distinct(cx: &Context, score: &Artifact) -> Result<Vec<Item>, OpError> {
    let mut items = item::from_table(&dataset::load(cx.store, &items_dataset(score))?)?;
    let mut seen = BTreeSet::new();
    items.retain(|i| seen.insert(i.id.clone()));
    Ok(items)
}

/// The questions of items with their pictures, as rows.
fn questions(items: &[Item]) -> Result<Table, OpError> {
    let text: ArrayRef = Arc::new(items.iter().map(|i| Some(i.question.as_str())).collect::<StringArray>());
    let images = item::picture_lists(items.iter().map(|i| i.images.as_slice()))?;
    Table::new(vec![("question".to_owned(), text), ("images".to_owned(), images)], items.len())
}
