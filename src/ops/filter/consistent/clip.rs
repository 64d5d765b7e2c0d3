//! Consistency by an encoder of pictures and texts: each distinct picture and text is encoded once.

use std::collections::{BTreeMap, BTreeSet};

use rayon::prelude::*;
use tch::Tensor;

use super::{Args, Scores};
use crate::base::OpError;
use crate::data::pictures::picture::Picture;
use crate::data::table::Table;
use crate::engine::Context;
use crate::model::dual::BATCH;
use crate::model::{self, DualEncoder, guard, set_threads};
use crate::ops::rows::pooled;

/// Texts encoded between two looks at whether the run is being stopped.
const STEP: usize = 256;

/// Scores the chosen rows.
pub fn scores(cx: &Context, args: &Args, table: &Table, chosen: &[usize]) -> Result<Scores, OpError> {
    set_threads(cx.threads);
    let folder = cx.folder_of(cx.input("by")?, "model")?;
    let encoder = guard("loading the encoder", || DualEncoder::load(&folder))??;
    let texts = table.texts(std::slice::from_ref(&args.text))?;
    let cells = table.cells(&args.images)?;
    let lists: Vec<Vec<Picture>> = chosen.iter().map(|&row| Picture::all(&cells[row])).collect();
    let shown: BTreeMap<&str, &Picture> = lists.iter().flatten().map(|p| (p.digest.as_str(), p)).collect();
    let shown: Vec<&Picture> = shown.into_values().collect();
    let seen = seen(cx, &encoder, &shown)?;
    let said: BTreeSet<&str> = chosen.iter().map(|&row| texts[row].as_str()).filter(|t| !t.trim().is_empty()).collect();
    let said: Vec<&str> = said.into_iter().collect();
    let mut read: Vec<Vec<f32>> = Vec::with_capacity(said.len());
    for some in said.chunks(STEP) {
        cx.go_on()?;
        let some: Vec<String> = some.iter().map(|&text| text.to_owned()).collect();
        read.extend(rows_of(&encoder.texts(&some)?)?);
    }
    let score = |(&row, list): (&usize, &Vec<Picture>)| {
        let text = said.binary_search(&texts[row].as_str()).map_err(|_| format!(".{} is empty", args.text))?;
        if list.is_empty() {
            return Err(format!(".{} has no picture", args.images));
        }
        let mut sum = 0.0;
        for picture in list {
            sum += encoder.fit(cosine(seen[&picture.digest].as_ref().map_err(Clone::clone)?, &read[text]));
        }
        Ok(sum / list.len() as f64)
    };
    Ok(chosen.iter().zip(&lists).map(score).collect())
}

/// Returns the vector of each picture by its digest, or why it has none.
fn seen(
    cx: &Context,
    encoder: &DualEncoder,
    pictures: &[&Picture],
) -> Result<BTreeMap<String, Result<Vec<f32>, String>>, OpError> {
    let mut seen = BTreeMap::new();
    for some in pictures.chunks(BATCH) {
        cx.go_on()?;
        let decode = |&picture: &&Picture| Ok((picture.clone(), model::Picture::decode(&picture.bytes(cx.store)?)));
        let all: Vec<_> = pooled(cx.threads, || some.par_iter().map(decode).collect::<Result<_, OpError>>())??;
        let mut decoded = Vec::new();
        for (picture, pixels) in all {
            match pixels {
                Ok(pixels) => decoded.push((picture, pixels)),
                Err(error) => {
                    seen.insert(picture.digest, Err(error.message));
                }
            }
        }
        let (names, pixels): (Vec<Picture>, Vec<model::Picture>) = decoded.into_iter().unzip();
        for (picture, vector) in names.into_iter().zip(rows_of(&encoder.pictures(&pixels)?)?) {
            seen.insert(picture.digest, Ok(vector));
        }
        cx.progress(seen.len() as u64, pictures.len() as u64, "pictures");
    }
    Ok(seen)
}

/// Returns the rows of a matrix.
fn rows_of(matrix: &Tensor) -> Result<Vec<Vec<f32>>, OpError> {
    let row = |i| Vec::try_from(matrix.get(i)).unwrap_or_default();
    let rows: Vec<Vec<f32>> = (0..matrix.size()[0]).map(row).collect();
    if rows.iter().flatten().any(|v| !v.is_finite()) {
        return Err(OpError::new("E0503", "the encoder in `by` gives vectors that are not finite numbers")
            .help("its weights are damaged, or its config.json is another model's"));
    }
    Ok(rows)
}

fn cosine(a: &[f32], b: &[f32]) -> f64 {
    a.iter().zip(b).map(|(x, y)| f64::from(*x) * f64::from(*y)).sum::<f64>().clamp(-1.0, 1.0)
}
