//! Checks the engine's numbers against reference tensors: one row per golden.
//!
//! The reference is transformers 4.57.6 and torch 2.13.0 on a CPU in f32; `tests/goldens/dev/README.md` says what each file holds.

mod compare;
mod embed;
mod forward;
mod generate;
mod pixels;
mod text;
mod train;

use std::path::Path;

use tch::Device;

pub use compare::{Row, Rows, table};

use crate::base::OpError;
use crate::model::set_threads;

/// Runs every check on a folder of goldens, the model on `device`, and returns one row each, in reading order.
///
/// # Errors
/// When the folder is no golden set. A check that cannot run is a row that is not ok.
pub fn verify(dir: &Path, device: Device) -> Result<Vec<Row>, OpError> {
    if !dir.join("batch.safetensors").exists() {
        return Err(OpError::new("E0501", format!("{}: no golden set (batch.safetensors is absent)", dir.display())));
    }
    set_threads(1);
    let mut rows = Rows::default();
    rows.section("forward", || forward::check(dir, device));
    rows.section("train", || train::check(dir, device));
    rows.section("text", || text::check(dir));
    rows.section("pixels", || pixels::check(dir));
    rows.section("generate", || generate::check(dir, device));
    rows.section("embed", || embed::check(dir));
    Ok(rows.done())
}
