//! What a rank holds of weights, gradients and sums, and how it exchanges them with the others.
//!
//! Shapes: `n` all weights of the model, `m` those of this rank's parts.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, no_grad};

use super::decay::Segment;
use super::shards::{Shards, Stage};
use super::transfer::{add, bring, norm};
use crate::base::OpError;
use crate::dist::{Group, Pending};
use crate::model::{Params, QwenVl, Unit};

/// Weights and gradients of a rank.
pub struct Held<'a> {
    /// The model; whole between two steps unless the weights themselves are shared out.
    pub model: &'a QwenVl,
    /// The ranks.
    pub group: &'a Group<'a>,
    /// What is shared out.
    pub stage: Stage,
    /// How.
    pub shards: Shards,
    /// The stretches of the model that are read as one.
    pub units: Vec<Unit>,
    /// f32 weights `[m]`: the model's own buffer, or a master copy of this rank's parts; in main memory where they are offloaded.
    pub weights_m: Tensor,
    /// f32 gradients `[m]` of this rank's parts, summed over all ranks once a step is done; they lie where the weights above lie.
    pub grads_m: Tensor,
    /// f32 gradients `[n]` of this rank's rows, where they are not shared out.
    sums_n: Option<Tensor>,
    /// This rank's parts as the model computes with them: `[m]`, where weights are shared out.
    parts_m: Option<Tensor>,
    /// Units that are here whole, or on their way.
    gathered: BTreeMap<usize, (Tensor, Option<Pending>)>,
    /// Gradients on their way to their owners: unit, this rank's part. One unit at a time, so that little is there twice.
    leaving: Vec<(usize, Tensor, Pending)>,
    /// Units whose gradients of this step have been sent, where none are shared out during a pass; how many, of [`Self::order`].
    gone: usize,
    /// Their sums on the way.
    summing: Vec<Pending>,
}

impl<'a> Held<'a> {
    /// Shares a model out. It must have chosen what is trainable; its gradients get their place here unless they are shared out.
    pub fn new(model: &'a QwenVl, group: &'a Group<'a>, stage: Stage) -> Self {
        Self::laid_out(model, group, stage, false)
    }

    /// As [`Self::new`], with weights, gradients and thereby the optimizer's states of their own in main memory, wherever the model is: the step is taken
    /// there, and the model gets the weights back. Every number is what it would be without.
    ///
    /// # Source
    /// Ren et al. 2021 (ZeRO-Offload).
    pub fn offloaded(model: &'a QwenVl, group: &'a Group<'a>, stage: Stage) -> Self {
        Self::laid_out(model, group, stage, true)
    }

    fn laid_out(model: &'a QwenVl, group: &'a Group<'a>, stage: Stage, offload: bool) -> Self {
        let params = &model.params;
        let units = params.units();
        let n = params.flat().numel() as i64;
        let shards = match stage {
            Stage::None => Shards::whole(n),
            _ => shared_out(params, group),
        };
        let float = params.kind() == Kind::Float;
        // Weights that are shared out may have been read elsewhere; what is gathered of them lies where the ranks exchange it.
        let device = if stage == Stage::Weights { group.device() } else { params.device() };
        let host = if offload { Device::Cpu } else { device };
        let zeros = |len: i64, device: Device| Tensor::zeros([len], (Kind::Float, device));
        // The sums of several ranks lie where the ranks exchange them.
        let alone = stage == Stage::None && group.world() == 1;
        let sums_n = (stage < Stage::Gradients).then(|| match params.grad() {
            Some(grad) if float => grad.shallow_clone(),
            _ => zeros(n, if alone { host } else { device }),
        });
        let (weights_m, grads_m) = match (stage, &sums_n) {
            (Stage::None, Some(sums_n)) if !offload => {
                let flat = params.flat();
                (if float { flat.shallow_clone() } else { flat.to_kind(Kind::Float) }, sums_n.shallow_clone())
            }
            _ => {
                let weights_m = zeros(shards.len(), host);
                shards.take(shards.rank(group), params.flat(), &weights_m);
                let shared = sums_n.as_ref().filter(|_| alone && !float).map(Tensor::shallow_clone);
                (weights_m, shared.unwrap_or_else(|| zeros(shards.len(), host)))
            }
        };
        let mut held = Self {
            model,
            group,
            stage,
            shards,
            units,
            weights_m,
            grads_m,
            sums_n,
            parts_m: None,
            gathered: BTreeMap::new(),
            leaving: Vec::new(),
            gone: 0,
            summing: Vec::new(),
        };
        if stage == Stage::Weights {
            let own = float && !offload;
            let copy = || held.weights_m.to_device_(device, params.kind(), false, true);
            held.parts_m = Some(if own { held.weights_m.shallow_clone() } else { copy() });
            params.release(device);
        }
        held
    }

    /// Says whether the step is taken in main memory and the model is on a GPU.
    pub fn offloads(&self) -> bool {
        self.weights_m.device() != self.model.params.device()
    }

    /// Returns the f32 sums of this rank's gradients over all of the model, where there are such.
    pub fn sums(&self) -> Option<&Tensor> {
        self.sums_n.as_ref()
    }

    /// Brings stretches of the flat buffer into this rank's own.
    pub fn segments(&self, flat: &[Segment]) -> Vec<Segment> {
        self.shards.segments(self.shards.rank(self.group), flat)
    }

    /// Sets all gradients to zero.
    pub fn zero(&mut self) {
        let params = &self.model.params;
        let apart = params.grad().filter(|_| params.kind() != Kind::Float);
        let parts = (self.stage != Stage::None).then_some(&self.grads_m);
        no_grad(|| {
            for sums in self.sums_n.iter().chain(apart).chain(parts) {
                let _ = sums.shallow_clone().zero_();
            }
        });
    }

    /// Sums the gradients of all ranks, once all micro-batches of a step are done.
    ///
    /// # Errors
    /// Class `peer` when another rank is gone.
    pub fn reduce(&mut self) -> Result<(), OpError> {
        self.complete(usize::MAX)?;
        self.gone = 0;
        std::mem::take(&mut self.summing).into_iter().try_for_each(Pending::wait)?;
        self.sent()?;
        match &self.sums_n {
            Some(sums_n) if self.stage == Stage::None => bring(&self.grads_m, sums_n),
            _ => {}
        }
        Ok(())
    }

    /// Sends the first `count` of the units in [`Self::order`] that have not been sent, whose gradients of this step are complete; while they
    /// travel, others are computed. Every rank calls it in its own time and sends the same units in the same order.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn complete(&mut self, count: usize) -> Result<(), OpError> {
        let Some(sums_n) = self.sums_n.as_ref().map(Tensor::shallow_clone) else { return Ok(()) };
        let order = self.order();
        for &unit in order.iter().take(count).skip(self.gone) {
            let Unit { start, len, trainable, .. } = self.units[unit];
            let own = sums_n.narrow(0, start, len);
            match self.stage {
                _ if !trainable => {}
                Stage::None => self.summing.push(self.group.start_sum(&own)?),
                _ => self.send(unit, &own)?,
            }
        }
        self.gone = self.gone.max(count.min(order.len()));
        Ok(())
    }

    /// Returns all units in the order in which their gradients become complete: what reads the hidden states, the text's blocks from the last on,
    /// the embeddings and what stands beside them, then the vision tower from its end on.
    pub fn order(&self) -> Vec<usize> {
        let embed = self.units.iter().position(|u| u.name == "model.embed_tokens").unwrap_or(0);
        let block = |unit: &usize| self.units[*unit].name.starts_with("model.layers.");
        let last = |unit: &usize| self.units[*unit].name.starts_with("amplifier");
        let text: Vec<usize> = (embed + 1..self.units.len()).collect();
        let reading = text.iter().copied().filter(|unit| !block(unit) && !last(unit));
        let blocks = text.iter().rev().copied().filter(block);
        let beside = text.iter().copied().filter(last);
        reading.chain(blocks).chain(beside).chain([embed]).chain((0..embed).rev()).collect()
    }

    /// Returns the norm of all gradients.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn norm(&self) -> Result<f64, OpError> {
        let own = norm(&self.grads_m);
        if self.stage == Stage::None {
            return Ok(own);
        }
        let mut squares = [own * own];
        self.group.sum(&mut squares)?;
        Ok(squares[0].sqrt())
    }

    /// Starts to send a unit's gradients `[len]` to their owners, who add them to their own.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn send(&mut self, unit: usize, whole: &Tensor) -> Result<(), OpError> {
        self.sent()?;
        let shard = self.shards.units[unit];
        let whole = padded(&whole.to_kind(Kind::Float), shard.part * self.group.world() as i64);
        let part = Tensor::empty([shard.part], (Kind::Float, whole.device()));
        let pending = self.group.start_scatter(&part, &whole)?;
        self.leaving.push((unit, part, pending));
        Ok(())
    }

    /// Waits for the gradients that are on their way.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn sent(&mut self) -> Result<(), OpError> {
        for (unit, part, pending) in std::mem::take(&mut self.leaving) {
            pending.wait()?;
            let shard = self.shards.units[unit];
            add(&self.grads_m.narrow(0, shard.at, shard.part), &part);
        }
        Ok(())
    }

    /// Starts to gather a unit's weights, where they are shared out.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn ahead(&mut self, unit: usize) -> Result<(), OpError> {
        let Some(parts_m) = &self.parts_m else { return Ok(()) };
        if !self.gathered.contains_key(&unit) {
            let (whole, pending) = self.gather(unit, &self.part(unit, parts_m))?;
            self.gathered.insert(unit, (whole, Some(pending)));
        }
        Ok(())
    }

    /// Has a unit's weights here, whole.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn enter(&mut self, unit: usize) -> Result<(), OpError> {
        self.ahead(unit)?;
        if let Some((whole, pending)) = self.gathered.get_mut(&unit)
            && let Some(pending) = pending.take()
        {
            pending.wait()?;
            let shard = self.shards.units[unit];
            self.model.params.bind(shard.start, &whole.narrow(0, 0, shard.len));
        }
        Ok(())
    }

    /// Gives the other ranks' parts of a unit up.
    pub fn leave(&mut self, unit: usize) {
        if self.gathered.remove(&unit).is_some() {
            let shard = self.shards.units[unit];
            self.model.params.unbind(shard.start, shard.len);
        }
    }

    /// Returns this rank's part of a unit out of a buffer of its parts.
    fn part(&self, unit: usize, from_m: &Tensor) -> Tensor {
        let shard = self.shards.units[unit];
        from_m.narrow(0, shard.at, shard.part)
    }

    /// Starts to gather all ranks' parts of a unit.
    fn gather(&self, unit: usize, part: &Tensor) -> Result<(Tensor, Pending), OpError> {
        let len = self.shards.units[unit].part * self.group.world() as i64;
        let whole = Tensor::empty([len], (part.kind(), part.device()));
        let pending = self.group.start_gather(&whole, part)?;
        Ok((whole, pending))
    }

    /// Brings the f32 weights of all ranks into the model.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn push(&mut self) -> Result<(), OpError> {
        let (flat, kind) = (self.model.params.flat(), self.model.params.kind());
        match (self.stage, &self.parts_m) {
            (Stage::None, _) => bring(flat, &self.weights_m),
            (Stage::Weights, Some(parts_m)) => bring(parts_m, &self.weights_m),
            (Stage::Weights, None) => {}
            _ => {
                let mut before: Option<(usize, Tensor, Pending)> = None;
                let take = |(unit, whole, pending): (usize, Tensor, Pending)| {
                    pending.wait()?;
                    let shard = self.shards.units[unit];
                    no_grad(|| flat.narrow(0, shard.start, shard.len).copy_(&whole.narrow(0, 0, shard.len)));
                    Ok::<(), OpError>(())
                };
                for unit in (0..self.units.len()).filter(|&u| self.units[u].trainable) {
                    let own = self.part(unit, &self.weights_m).to_kind(kind).to_device(flat.device());
                    let (whole, pending) = self.gather(unit, &own)?;
                    if let Some(before) = before.replace((unit, whole, pending)) {
                        take(before)?;
                    }
                }
                before.map_or(Ok(()), take)?;
            }
        }
        Ok(())
    }

    /// Returns all weights as the model computes with them, on rank 0 in main memory, where they are shared out.
    ///
    /// # Errors
    /// As [`Self::reduce`].
    pub fn collect(&self) -> Result<Option<Tensor>, OpError> {
        let Some(parts_m) = &self.parts_m else { return Ok(None) };
        let n = self.shards.units.last().map_or(0, |u| u.start + u.len);
        let flat = self.group.first().then(|| Tensor::zeros([n], (parts_m.kind(), Device::Cpu)));
        for (unit, shard) in self.shards.units.iter().enumerate() {
            let (whole, pending) = self.gather(unit, &self.part(unit, parts_m))?;
            pending.wait()?;
            if let Some(flat) = &flat {
                no_grad(|| flat.narrow(0, shard.start, shard.len).copy_(&whole.narrow(0, 0, shard.len)));
            }
        }
        Ok(flat)
    }
}

/// Returns how a model is shared out over the ranks of a group.
pub fn shared_out(params: &Params, group: &Group) -> Shards {
    Shards::new(params.units().iter().map(|u| (u.start, u.len)), group.world())
}

fn padded(whole: &Tensor, len: i64) -> Tensor {
    let own = whole.numel() as i64;
    if own == len { whole.contiguous() } else { whole.constant_pad_nd([0, len - own]) }
}
