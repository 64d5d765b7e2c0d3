//! All weights of a model as views into one flat buffer, so that the optimizer, clipping and saving work on flat memory.

use std::collections::BTreeMap;

use tch::{Device, Kind, Tensor, no_grad};

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
    entries: std::ops::Range<usize>,
    tensor: Tensor,
}

/// All weights of a model: names in order, one flat buffer of one dtype, one flat gradient of the same layout.
pub struct Params {
    flat: Tensor,
    grad: Option<Tensor>,
    entries: Vec<Entry>,
    index: BTreeMap<String, usize>,
    leaves: Vec<Leaf>,
}

impl Params {
    /// Makes zeroed weights of a schema.
    pub fn zeros(schema: &Schema, kind: Kind, device: Device) -> Self {
        let mut offset = 0;
        let mut entries = Vec::with_capacity(schema.len());
        for (name, shape) in schema {
            let entry = Entry { name: name.clone(), shape: shape.clone(), offset, trainable: false };
            offset += entry.len();
            entries.push(entry);
        }
        let index = entries.iter().enumerate().map(|(i, e)| (e.name.clone(), i)).collect();
        Self { flat: Tensor::zeros([offset], (kind, device)), grad: None, entries, index, leaves: Vec::new() }
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
        tch::manual_seed(seed);
        no_grad(|| {
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
        });
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
        (self.flat.numel() as i64, trainable)
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

    /// Chooses which weights are trained and lays their gradients out in one flat, zeroed buffer.
    ///
    /// # Errors
    /// `E0612` when weights that are computed as one matrix (q, k, v; gate, up) are to differ.
    pub fn set_trainable(&mut self, choose: impl Fn(&str) -> bool) -> Result<(), OpError> {
        for entry in &mut self.entries {
            entry.trainable = choose(&entry.name);
        }
        let any = self.entries.iter().any(|e| e.trainable);
        self.grad = any.then(|| self.flat.zeros_like());
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
            if let (true, Some(grad)) = (trainable, &self.grad) {
                // The first backward makes a gradient tensor; its memory is then swapped for our slice of the flat buffer, and
                // every later backward adds in place.
                if !leaf.tensor.grad().defined() {
                    leaf.tensor.sum(self.flat.kind()).backward();
                }
                let slice = grad.narrow(0, members[0].offset, leaf.tensor.numel() as i64);
                leaf.tensor.grad().set_data(&slice.view(leaf.tensor.size().as_slice()).detach());
            }
        }
        Ok(())
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

    /// Returns a copy with more weights behind its own, zeroed, nothing trainable.
    pub fn extended(&self, more: &Schema) -> Self {
        let mut names = self.schema();
        names.extend(more.iter().cloned());
        let copy = Self::zeros(&names, self.kind(), self.device());
        no_grad(|| copy.flat.narrow(0, 0, self.flat.numel() as i64).copy_(&self.flat));
        copy
    }

    /// Returns the same weights in another dtype or on another device, in their own memory, nothing trainable.
    pub fn to(&self, kind: Kind, device: Device) -> Self {
        let mut copy = Self::zeros(&self.schema(), kind, device);
        no_grad(|| copy.flat.copy_(&self.flat));
        copy
    }
}
