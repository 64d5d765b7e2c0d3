//! A loaded model with its encoder: scores replies of rows, for operators that do not train.

use std::path::Path;

use tch::{Device, Kind};

use super::encoder::{Encoder, Limits};
use super::micro::Layout;
use super::rows::{Columns, TextRow, read};
use super::score::{Logp, logps, rewards};
use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::data::table::Table;
use crate::model::{QwenVl, RewardHead, set_threads};

/// Tokens per forward without gradients.
const BUDGET: usize = 4096;

/// A model that scores.
pub struct Scorer {
    model: QwenVl,
    encoder: Encoder,
}

/// What each row gave: one value per reply, or why it could not be scored.
pub type Scored<T> = Vec<Result<Vec<T>, String>>;

impl Scorer {
    /// Loads a model folder in f32.
    ///
    /// # Errors
    /// As [`QwenVl::load`].
    pub fn open(folder: &Path, limits: Limits, threads: usize) -> Result<Self, OpError> {
        set_threads(threads);
        let model = QwenVl::load(folder, Device::Cpu, Kind::Float)?;
        let encoder = Encoder::open(folder, &model.config, limits)?;
        Ok(Self { model, encoder })
    }

    /// Returns the log-probability of each reply of each row of a table.
    ///
    /// # Errors
    /// `E0301` for a column that is not there.
    pub fn table(
        &self,
        table: &Table,
        columns: &Columns,
        blobs: &dyn Blobs,
        told: &dyn Fn(usize),
    ) -> Result<Scored<Logp>, OpError> {
        self.rows(&read(table, columns)?, blobs, told)
    }

    /// Returns the log-probability of each reply of each row.
    ///
    /// # Errors
    /// What the model refuses.
    pub fn rows(&self, rows: &[TextRow], blobs: &dyn Blobs, told: &dyn Fn(usize)) -> Result<Scored<Logp>, OpError> {
        self.scored(rows, blobs, |examples, gallery, layout| logps(&self.model, gallery, examples, layout, told))
    }

    /// Returns the reward of each reply of each row under a value head.
    ///
    /// # Errors
    /// What the model refuses.
    pub fn rewards(
        &self,
        head: &RewardHead,
        rows: &[TextRow],
        blobs: &dyn Blobs,
        told: &dyn Fn(usize),
    ) -> Result<Scored<f64>, OpError> {
        self.scored(rows, blobs, |examples, gallery, layout| {
            rewards(&self.model, head, gallery, examples, layout, told)
        })
    }

    fn scored<T: Copy>(
        &self,
        rows: &[TextRow],
        blobs: &dyn Blobs,
        score: impl Fn(&[super::examples::Example], &super::examples::Gallery, Layout) -> Result<Vec<T>, OpError>,
    ) -> Result<Scored<T>, OpError> {
        let (encoded, gallery, lost) = self.encoder.encode(rows, blobs, &|_| {})?;
        let mut out: Scored<T> = vec![Err("not encoded".to_owned()); rows.len()];
        for (row, why) in lost {
            out[row] = Err(why);
        }
        let places: Vec<(usize, usize)> = encoded.iter().map(|e| (e.row, e.examples.len())).collect();
        let examples: Vec<_> = encoded.into_iter().flat_map(|e| e.examples).collect();
        let layout = Layout { budget: BUDGET, rows: usize::MAX, packing: None, pad: self.encoder.pad() };
        let mut values = score(&examples, &gallery, layout)?.into_iter();
        for (row, count) in places {
            out[row] = Ok(values.by_ref().take(count).collect());
        }
        Ok(out)
    }
}
