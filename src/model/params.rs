//! All weights of a model as views into one flat buffer, so that the optimizer, clipping and saving work on flat memory.

use std::collections::BTreeMap;
use std::ops::Range;

use tch::{Device, Kind, Tensor, no_grad};

use super::guard::seeded;
use crate::base::OpError;

/// The names and shapes of a model's weights in the order in which they lie in memory.
pub type Schema = Vec<(String, Vec<i64>)>;

/// One named weight.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its name on the hub.
    pub name: String,
    /// Its shape.
    pub shape: Vec<i64>,
    /// Its first element in the flat buffer.
    pub offset: i64,
    /// Whether the optimizer may change it.
    pub trainable: bool,
}

impl Entry {
    /// Returns its number of elements.
    pub fn len(&self) -> i64 {
        self.shape.iter().product()
    }

    /// Says whether it has no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// A tensor of the graph: one weight, or neighbours fused into one matrix (q, k and v; gate and up).
struct Leaf {
    entries: Range<usize>,
    tensor: Tensor,
}

/// A stretch of the flat buffer that is read as one: the weights of a block, or of what stands by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unit {
    /// What the names of its weights begin with: `model.layers.3`, `visual.merger`.
    pub name: String,
    /// First element.
    pub start: i64,
    /// Number of elements.
    pub len: i64,
    /// Whether the optimizer may change any of them.
    pub trainable: bool,
}

impl Leaf {
    /// Returns its place in a buffer, in its shape.
    fn view(&self, buffer: &Tensor, at: i64, entries: &[Entry]) -> Tensor {
        let members = &entries[self.entries.clone()];
        let mut shape = members[0].shape.clone();
        shape[0] = members.iter().map(|e| e.shape[0]).sum();
        buffer.narrow(0, at, shape.iter().product()).view(shape.as_slice()).detach()
    }
}

/// All weights of a model: names in order, one flat buffer of one dtype, one flat gradient of the same layout.
pub struct Params {
    flat: Tensor,
    grad: Option<Tensor>,
    entries: Vec<Entry>,
    index: BTreeMap<String, usize>,
    leaves: Vec<Leaf>,
    /// The stretches of the flat buffer that have values; nothing where all of it has.
    filled: Option<Vec<Range<i64>>>,
}

impl Params {
    /// Makes zeroed weights of a schema.
    pub fn zeros(schema: &Schema, kind: Kind, device: Device) -> Self {
        let made = Self::unset(schema, kind, device);
        let _ = made.flat.shallow_clone().zero_();
        made
    }

    /// Makes weights of a schema without values, all of which are to get some; see [`Self::only`].
    pub fn unset(schema: &Schema, kind: Kind, device: Device) -> Self {
        let mut offset = 0;
        let mut entries = Vec::with_capacity(schema.len());
        for (name, shape) in schema {
            let entry = Entry { name: name.clone(), shape: shape.clone(), offset, trainable: false };
            offset += entry.len();
            entries.push(entry);
        }
        let index = entries.iter().enumerate().map(|(i, e)| (e.name.clone(), i)).collect();
        let flat = Tensor::empty([offset], (kind, device));
        Self { flat, grad: None, entries, index, leaves: Vec::new(), filled: None }
    }

    /// Says that nothing but these stretches of the flat buffer has values.
    pub fn only(self, filled: Vec<Range<i64>>) -> Self {
        Self { filled: Some(filled), ..self }
    }

    /// Fills matrices and embeddings from N(0, `deviation`²), vectors named `*norm*.weight` or `*ln_q.weight` with ones and
    /// biases with zeros.
    ///
    /// # Randomness
    /// libtorch's CPU generator seeded with `seed`; bit-exact across thread counts.
    ///
    /// # Source
    /// `_init_weights` of transformers' `PreTrainedModel` (`initializer_range` 0.02).
    pub fn randomize(&mut self, deviation: f64, seed: i64) {
        let draw = || {
            for i in 0..self.entries.len() {
                let entry = &self.entries[i];
                let mut view = self.view(i);
                if entry.shape.len() >= 2 {
                    let noise = Tensor::randn(entry.shape.as_slice(), (Kind::Float, Device::Cpu)) * deviation;
                    view.copy_(&noise);
                } else if entry.name.ends_with(".weight") {
                    let _ = view.fill_(1.0);
                }
            }
        };
        seeded(seed, || no_grad(draw));
    }

    /// Returns all weights' descriptions in order.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Returns names and shapes in order.
    pub fn schema(&self) -> Schema {
        self.entries.iter().map(|e| (e.name.clone(), e.shape.clone())).collect()
    }

    /// Returns the flat buffer, shape `[n]`. Change it only under `no_grad`, between steps.
    pub fn flat(&self) -> &Tensor {
        &self.flat
    }

    /// Returns the flat gradient, shape `[n]`, the layout of [`Self::flat`]; zero at frozen weights. None until something is trainable.
    pub fn grad(&self) -> Option<&Tensor> {
        self.grad.as_ref()
    }

    /// Returns the maximal runs (offset, length in elements) of the flat buffer that are trainable, in order.
    pub fn trainable_runs(&self) -> Vec<(i64, i64)> {
        let mut runs: Vec<(i64, i64)> = Vec::new();
        for entry in self.entries.iter().filter(|e| e.trainable) {
            match runs.last_mut() {
                Some((start, len)) if *start + *len == entry.offset => *len += entry.len(),
                _ => runs.push((entry.offset, entry.len())),
            }
        }
        runs
    }

    /// Returns the number of elements, all and trainable.
    pub fn counts(&self) -> (i64, i64) {
        let trainable = self.entries.iter().filter(|e| e.trainable).map(Entry::len).sum();
        (self.entries.iter().map(Entry::len).sum(), trainable)
    }

    /// Returns the dtype of the weights.
    pub fn kind(&self) -> Kind {
        self.flat.kind()
    }

    /// Returns where the weights lie.
    pub fn device(&self) -> Device {
        self.flat.device()
    }

    /// Returns the weight `i` as a view without gradient.
    pub fn view(&self, i: usize) -> Tensor {
        let entry = &self.entries[i];
        self.flat.narrow(0, entry.offset, entry.len()).view(entry.shape.as_slice()).detach()
    }

    /// Returns a weight by name as a view without gradient.
    pub fn get(&self, name: &str) -> Option<Tensor> {
        self.index.get(name).map(|&i| self.view(i))
    }

    /// Returns the gradient of a weight as a view, None while nothing is trainable.
    pub fn grad_of(&self, name: &str) -> Option<Tensor> {
        let entry = &self.entries[*self.index.get(name)?];
        Some(self.grad.as_ref()?.narrow(0, entry.offset, entry.len()).view(entry.shape.as_slice()))
    }

    /// Returns all (name, weight) pairs in order, as views without gradient.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Tensor)> {
        (0..self.entries.len()).map(|i| (self.entries[i].name.as_str(), self.view(i)))
    }

    /// Returns the tensor that the graph uses for `names`: one weight, or neighbours stacked along their first axis into one
    /// matrix without a copy. Asking twice gives the same tensor.
    pub(crate) fn leaf(&mut self, names: &[String]) -> Tensor {
        let first = self.index[&names[0]];
        let entries = first..first + names.len();
        for (i, name) in names.iter().enumerate() {
            assert_eq!(self.entries[first + i].name, *name, "fused weights must be neighbours in the schema");
        }
        if let Some(leaf) = self.leaves.iter().find(|l| l.entries == entries) {
            return leaf.tensor.shallow_clone();
        }
        let (offset, mut shape) = (self.entries[first].offset, self.entries[first].shape.clone());
        shape[0] = self.entries[entries.clone()].iter().map(|e| e.shape[0]).sum();
        let len: i64 = shape.iter().product();
        // Detached: a leaf of the graph that shares memory with the flat buffer.
        let tensor = self.flat.narrow(0, offset, len).view(shape.as_slice()).detach();
        self.leaves.push(Leaf { entries, tensor: tensor.shallow_clone() });
        tensor
    }

    /// Returns the stretches of the flat buffer that are read as one, in order.
    pub fn units(&self) -> Vec<Unit> {
        let mut units: Vec<Unit> = Vec::new();
        for entry in &self.entries {
            let name = unit_of(&entry.name);
            match units.last_mut() {
                Some(last) if last.name == name => {
                    last.len += entry.len();
                    last.trainable |= entry.trainable;
                }
                _ => units.push(Unit {
                    name: name.to_owned(),
                    start: entry.offset,
                    len: entry.len(),
                    trainable: entry.trainable,
                }),
            }
        }
        units
    }

    /// Chooses which weights are trained and lays their gradients out in one flat, zeroed buffer.
    ///
    /// # Errors
    /// As [`Self::choose`].
    pub fn set_trainable(&mut self, choose: impl Fn(&str) -> bool) -> Result<(), OpError> {
        self.choose(choose)?;
        self.lay_out_grads();
        Ok(())
    }

    /// Chooses which weights are trained; their gradients have no place yet.
    ///
    /// # Errors
    /// `E0612` when weights that are computed as one matrix (q, k, v; gate, up) are to differ.
    pub fn choose(&mut self, choose: impl Fn(&str) -> bool) -> Result<(), OpError> {
        for entry in &mut self.entries {
            entry.trainable = choose(&entry.name);
        }
        self.grad = None;
        for leaf in &mut self.leaves {
            let members = &self.entries[leaf.entries.clone()];
            let trainable = members[0].trainable;
            if let Some(other) = members.iter().find(|m| m.trainable != trainable) {
                return Err(OpError::new(
                    "E0612",
                    format!("`{}` and `{}` are one matrix in memory: train both or none", members[0].name, other.name),
                ));
            }
            leaf.tensor.zero_grad();
            let _ = leaf.tensor.set_requires_grad(trainable);
        }
        Ok(())
    }

    /// Lays the gradients of what is trained out in one flat, zeroed buffer.
    pub fn lay_out_grads(&mut self) {
        let any = self.entries.iter().any(|e| e.trainable);
        self.grad = any.then(|| self.flat.zeros_like());
        if let Some(grad) = &self.grad {
            self.bind_grads(0, &grad.shallow_clone());
        }
    }

    /// Lets the gradients of what is trained in a stretch of the flat buffer, from `start` on and as long as `buffer`, add up in `buffer`.
    ///
    /// The first time a gradient tensor is made; its memory is then swapped for the place in the buffer, and every backward adds in place.
    pub fn bind_grads(&self, start: i64, buffer: &Tensor) {
        for (leaf, at) in self.within(start, buffer.numel() as i64) {
            if leaf.tensor.requires_grad() {
                if !leaf.tensor.grad().defined() {
                    leaf.tensor.sum(buffer.kind()).backward();
                }
                leaf.tensor.grad().set_data(&leaf.view(buffer, at, &self.entries));
            }
        }
    }

    /// Lets the weights of a stretch, from `start` on and as long as `buffer`, lie in `buffer`.
    pub fn bind(&self, start: i64, buffer: &Tensor) {
        for (leaf, at) in self.within(start, buffer.numel() as i64) {
            leaf.tensor.shallow_clone().set_data(&leaf.view(buffer, at, &self.entries));
        }
    }

    /// Gives up the memory of the weights of a stretch; they must be bound again before they are used.
    pub fn unbind(&self, start: i64, len: i64) {
        let nothing = Tensor::empty([0], (self.flat.kind(), self.flat.device()));
        for (leaf, _) in self.within(start, len) {
            leaf.tensor.shallow_clone().set_data(&nothing);
        }
    }

    /// Gives up the place of the gradients of a stretch.
    pub fn unbind_grads(&self, start: i64, len: i64) {
        let nothing = Tensor::empty([0], (self.flat.kind(), self.flat.device()));
        for (leaf, _) in self.within(start, len) {
            if leaf.tensor.grad().defined() {
                leaf.tensor.grad().set_data(&nothing);
            }
        }
    }

    /// Gives up the flat buffer and with it the memory of all weights; those that are bound from now on lie on `device`.
    pub fn release(&self, device: Device) {
        let nothing = Tensor::empty([0], (self.flat.kind(), device));
        self.flat.shallow_clone().set_data(&nothing);
        let len = self.entries.iter().map(Entry::len).sum();
        self.unbind(0, len);
    }

    /// Takes a flat buffer for all weights.
    pub fn restore(&mut self, flat: Tensor) {
        self.bind(0, &flat);
        self.flat = flat;
    }

    /// Returns the tensors of the graph that lie in a stretch, each with its place in it.
    fn within(&self, start: i64, len: i64) -> impl Iterator<Item = (&Leaf, i64)> {
        let offset = |leaf: &Leaf| self.entries[leaf.entries.start].offset;
        let inside = move |at: i64| at >= start && at < start + len;
        self.leaves
            .iter()
            .map(move |leaf| (leaf, offset(leaf)))
            .filter(move |(_, at)| inside(*at))
            .map(move |(l, at)| (l, at - start))
    }

    /// Sets all gradients to zero.
    pub fn zero_grad(&mut self) {
        if let Some(grad) = &mut self.grad {
            no_grad(|| {
                let _ = grad.zero_();
            });
        }
    }

    /// Returns a copy with its own memory, nothing trainable.
    pub fn copy(&self) -> Self {
        let mut copy = Self::zeros(&self.schema(), self.kind(), self.device());
        no_grad(|| copy.flat.copy_(&self.flat));
        copy
    }

    /// Returns a copy with more weights behind its own, zeroed, nothing trainable. Stretches without values have none in it either, and take no memory
    /// on a processor.
    pub fn extended(&self, more: &Schema) -> Self {
        let mut names = self.schema();
        names.extend(more.iter().cloned());
        let own = self.flat.numel() as i64;
        let copy = Self::unset(&names, self.kind(), self.device());
        let end = copy.flat.numel() as i64;
        no_grad(|| {
            for range in self.filled.as_ref().unwrap_or(&vec![0..own]) {
                let part = |flat: &Tensor| flat.narrow(0, range.start, range.end - range.start);
                part(&copy.flat).copy_(&part(&self.flat));
            }
            let _ = copy.flat.narrow(0, own, end - own).zero_();
        });
        let filled = self.filled.clone().map(|mut ranges| {
            ranges.push(own..end);
            ranges
        });
        Self { filled, ..copy }
    }

    /// Returns the same weights in another dtype or on another device, in their own memory, nothing trainable.
    pub fn to(&self, kind: Kind, device: Device) -> Self {
        let mut copy = Self::zeros(&self.schema(), kind, device);
        no_grad(|| copy.flat.copy_(&self.flat));
        copy
    }
}

/// Returns what the names of a block's weights begin with: up to its number, or the first two parts of a name without one.
fn unit_of(name: &str) -> &str {
    let mut end = 0;
    for (i, part) in name.split('.').enumerate() {
        if i == 2 && !part.bytes().all(|b| b.is_ascii_digit()) {
            break;
        }
        end += part.len() + usize::from(i > 0);
        if i == 2 {
            break;
        }
    }
    &name[..end]
}
