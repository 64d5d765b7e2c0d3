//! Which share of a benchmark's questions is among the training rows.

use std::collections::BTreeSet;
use std::sync::Arc;

use arrow::array::{ArrayRef, StringArray};

use crate::base::OpError;
use crate::data::leak::{self, Sign};
use crate::data::table::Table;
use crate::engine::artifact::Artifact;
use crate::engine::{Context, dataset};
use crate::eval::benchmark::items_dataset;
use crate::eval::compare::{Layout, ScoreTable};
use crate::eval::item::{self, Item};
use crate::ops::rows::pooled;

/// Bits by which the hashes of two pictures that look alike may differ.
const DISTANCE: u32 = 4;

/// Fills the column of each row whose questions are known: those of the first score in it.
pub(super) fn add(cx: &Context, table: &mut ScoreTable, layout: &Layout, shared: &str) -> Result<(), OpError> {
    let train = cx.table("train")?;
    let signs = BTreeSet::from_iter(match shared {
        "picture" => vec![Sign::Picture],
        "words" => vec![Sign::Words],
        _ => vec![Sign::Picture, Sign::Words],
    });
    let axis = layout.axes.iter().position(|a| Some(a) == layout.rows.as_ref()).unwrap_or(layout.axes.len() - 1);
    for row in &mut table.rows {
        let slot = |key: &String| key.split('|').nth(axis) == Some(row.label.as_str());
        let cells = cx.args["g"]["cells"].as_object().into_iter().flatten().filter(|(key, _)| slot(key));
        let score =
            cells.filter_map(|(_, cell)| cx.inputs.get(cell["$input"].as_str()?)).find(|s| !s.meta["items"].is_null());
        let Some(score) = score else { continue };
        let questions = questions(cx, score)?;
        let leaks =
            pooled(cx.threads, || leak::leaks(&questions, &train, &signs, shared == "both", DISTANCE, cx.store))??;
        let found: BTreeSet<u32> = leaks.iter().map(|l| l.row).collect();
        row.overlap = Some(found.len() as f64 / questions.rows().max(1) as f64);
    }
    Ok(())
}

/// The questions of a score with their pictures, each once.
fn questions(cx: &Context, score: &Artifact) -> Result<Table, OpError> {
    let all = item::from_table(&dataset::load(cx.store, &items_dataset(score))?)?;
    let mut seen = BTreeSet::new();
    let items: Vec<&Item> = all.iter().filter(|i| seen.insert(i.id.clone())).collect();
    let text: ArrayRef = Arc::new(items.iter().map(|i| Some(i.question.as_str())).collect::<StringArray>());
    let images = item::picture_lists(items.iter().map(|i| i.images.as_slice()))?;
    Table::new(vec![("question".to_owned(), text), ("images".to_owned(), images)], items.len())
}
