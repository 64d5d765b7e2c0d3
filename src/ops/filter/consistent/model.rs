//! Consistency as the probability of the text under a vision-language model.

use super::{Args, Scores};
use crate::base::OpError;
use crate::data::table::Table;
use crate::engine::Context;
use crate::train::encoder::Limits;
use crate::train::rows::{Columns, pictures, read};
use crate::train::scorer::Scorer;

/// Scores the chosen rows.
pub fn scores(cx: &Context, args: &Args, table: &Table, chosen: &[usize]) -> Result<Scores, OpError> {
    let given: Vec<&str> = args.given.iter().map(String::as_str).collect();
    let mut rows = read(table, &Columns::of(given, vec![&args.text]))?;
    for (row, images) in rows.iter_mut().zip(pictures(table, &args.images)?) {
        row.images = images;
    }
    let folder = cx.folder_of(cx.input("by")?, "model")?;
    let scorer = Scorer::open(&folder, Limits::default(), cx.threads)?;
    let seen = |row: usize| !rows[row].images.is_empty() || !rows[row].videos.is_empty();
    let judged: Vec<_> = chosen.iter().filter(|&&row| seen(row)).map(|&row| rows[row].clone()).collect();
    let total = judged.len() as u64;
    let mut logps = scorer.rows(&judged, cx.store, &|done| cx.progress(done as u64, total, "rows"))?.into_iter();
    let score = |&row: &usize| {
        if !seen(row) {
            return Err(format!(".{} has no picture", args.images));
        }
        match logps.next().unwrap_or_else(|| Err("not scored".to_owned()))?.as_slice() {
            [one] if one.tokens > 0 => Ok((one.sum / one.tokens as f64).exp().clamp(0.0, 1.0)),
            _ => Err(format!(".{} has no token to judge", args.text)),
        }
    };
    Ok(chosen.iter().map(score).collect())
}
