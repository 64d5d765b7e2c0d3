//! One way through a model: forward into a loss and backward into the gradients, or forward alone.

use tch::{Kind, Tensor, no_grad};

use super::transfer::add;
use crate::base::OpError;
use crate::model::{Batch, Params, QwenVl, Unit};

/// What reads hidden states, `[b, t, d]` each.
pub type Read<'a> = dyn FnMut(&[Tensor]) -> Result<(), OpError> + 'a;

/// How a batch passes through a model.
pub trait Pass {
    /// Returns the model.
    fn model(&self) -> &QwenVl;

    /// Says how many calls of [`Self::train`] a step will have, so that gradients may travel while the last one is computed.
    fn expect(&mut self, _calls: usize) {}

    /// Runs forward, gives the hidden states after so many blocks to `read`, which runs backward into them, and adds what comes out to the gradients.
    ///
    /// # Errors
    /// What the model or `read` refuses; class `peer` when other ranks are gone.
    fn train(&mut self, batch: &Batch, depths: &[usize], read: &mut Read) -> Result<(), OpError>;

    /// Runs forward without gradients and gives the last hidden states to `read`.
    ///
    /// # Errors
    /// As [`Self::train`].
    fn look(&mut self, batch: &Batch, read: &mut Read) -> Result<(), OpError>;

    /// Goes along with ranks that have more micro-batches to train on.
    ///
    /// # Errors
    /// As [`Self::train`].
    fn settle(&mut self) -> Result<(), OpError> {
        Ok(())
    }

    /// Goes along with ranks that have more to look at.
    ///
    /// # Errors
    /// As [`Self::train`].
    fn settle_looking(&mut self) -> Result<(), OpError> {
        Ok(())
    }
}

/// The whole model at once, as libtorch's own graph has it.
pub struct WholePass<'a> {
    model: &'a QwenVl,
    /// Where the gradients of a model of another kind are summed.
    sums_n: Option<Tensor>,
}

impl<'a> WholePass<'a> {
    /// Passes through `model`, whose gradients add up where they are.
    pub fn new(model: &'a QwenVl) -> Self {
        Self { model, sums_n: None }
    }

    /// As [`Self::new`]; after each backward the gradients of a model of another kind are moved to `sums_n`, `[n]` f32.
    pub fn summed(model: &'a QwenVl, sums_n: &Tensor) -> Self {
        Self { model, sums_n: Some(sums_n.shallow_clone()) }
    }
}

impl Pass for WholePass<'_> {
    fn model(&self) -> &QwenVl {
        self.model
    }

    fn train(&mut self, batch: &Batch, depths: &[usize], read: &mut Read) -> Result<(), OpError> {
        read(&self.model.forward_after(batch, depths)?)?;
        fold(&self.model.params, self.sums_n.as_ref());
        Ok(())
    }

    fn look(&mut self, batch: &Batch, read: &mut Read) -> Result<(), OpError> {
        no_grad(|| read(&[self.model.forward_hidden(batch)?]))
    }
}

/// Moves the gradients of a model of another kind to their f32 sums, where there are such.
///
/// # Shapes
/// `sums_n`: `[n]` f32.
pub(super) fn fold(params: &Params, sums_n: Option<&Tensor>) {
    fold_part(params, sums_n, 0, params.flat().numel() as i64);
}

/// As [`fold`], of one unit.
pub(super) fn fold_unit(params: &Params, sums_n: Option<&Tensor>, unit: &Unit) {
    fold_part(params, sums_n, unit.start, unit.len);
}

fn fold_part(params: &Params, sums_n: Option<&Tensor>, start: i64, len: i64) {
    if let (Some(sums_n), Some(own), false) = (sums_n, params.grad(), params.kind() == Kind::Float) {
        let mut own = own.narrow(0, start, len);
        add(&sums_n.narrow(0, start, len), &own);
        let _ = no_grad(|| own.zero_());
    }
}
