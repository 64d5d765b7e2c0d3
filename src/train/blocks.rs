//! A pass through a model block by block, so that a block's weights need to be whole, and its gradients to have a place, only while it is computed.
//!
//! Every rank goes through the same blocks in the same order, whether its rows have pictures or not and however many micro-batches it has: what
//! the ranks exchange does not hang on the data.

use std::collections::BTreeMap;

use tch::{Kind, Tensor, no_grad};

use super::held::Held;
use super::pass::{Pass, Read, WholePass, fold, fold_unit};
use super::shards::Stage;
use crate::base::OpError;
use crate::model::attention::Mask;
use crate::model::qwen_vl::Embedded;
use crate::model::rope::Rope;
use crate::model::vision::VisionPlan;
use crate::model::windows::Grid;
use crate::model::{Batch, QwenVl, fused};
use crate::plan::memory::recompute::Recompute;

/// Returns a way through the model of `held`: all at once, or block by block where ranks exchange something during a pass or `recompute` saves memory.
pub fn pass<'h>(held: &'h mut Held<'_>, recompute: Recompute) -> Box<dyn Pass + 'h> {
    let (alone, keeps) = (held.group.world() == 1, recompute == Recompute::None);
    match held.sums() {
        Some(sums_n) if keeps && alone => Box::new(WholePass::summed(held.model, sums_n)),
        _ => Box::new(BlockPass::new(held, recompute)),
    }
}

/// A part of the model that is computed at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    Patches,
    Sight(usize),
    Merge,
    Embed,
    Text(usize),
}

impl Part {
    /// Says whether it reads pictures alone.
    fn sees(self) -> bool {
        matches!(self, Part::Patches | Part::Sight(_) | Part::Merge)
    }

    /// Says whether its graph is kept for its backward.
    fn keeps(self, recompute: Recompute) -> bool {
        match self {
            Part::Sight(block) => !recompute.vision(block),
            Part::Text(block) => !recompute.text(block),
            Part::Patches | Part::Merge | Part::Embed => recompute != Recompute::All,
        }
    }
}

/// What a part read, and what it made of it where its graph is kept.
struct Step {
    given: Vec<Tensor>,
    made: Option<Vec<Tensor>>,
}

/// What the parts need to know of a batch.
struct Scene<'b> {
    batch: &'b Batch,
    pictures: Option<(Tensor, Vec<Grid>, VisionPlan)>,
    rope: Rope,
    mask: Mask,
}

impl<'b> Scene<'b> {
    fn of(model: &QwenVl, batch: &'b Batch) -> Result<Self, OpError> {
        let plan = |(pixels, grids): (Tensor, Vec<Grid>)| {
            let plan = model.tower()?.plan(&grids);
            Ok::<_, OpError>((pixels, grids, plan))
        };
        let pictures = batch.pictures().map(plan).transpose()?;
        Ok(Self { batch, pictures, rope: model.rope(&batch.position_ids), mask: model.mask(batch, None) })
    }
}

/// A pass block by block.
pub struct BlockPass<'h, 'a> {
    held: &'h mut Held<'a>,
    recompute: Recompute,
    parts: Vec<Part>,
    /// Units of each part.
    units: Vec<Vec<usize>>,
    /// Units of what reads the hidden states: the last norm and the output layer.
    reading: Vec<usize>,
    /// The first part that has anything to learn.
    first: usize,
    /// Gradients of units under way, each in a buffer of its own.
    grads: Vec<(usize, Tensor)>,
    /// Micro-batches of this step that are still to come.
    ahead: usize,
    /// Where each unit stands in the order in which gradients become complete.
    places: Vec<usize>,
}

impl<'h, 'a> BlockPass<'h, 'a> {
    /// Passes through the model of `held`. The graph of a block is kept for its backward, but for those that are to be computed again then: all of them
    /// take a third more work and much less memory. Weights that are shared out are not kept, so there all blocks are.
    pub fn new(held: &'h mut Held<'a>, recompute: Recompute) -> Self {
        let model = held.model;
        let sight = model.vision.iter().flat_map(|tower| (0..tower.blocks.len()).map(Part::Sight));
        let text = (0..model.blocks.len()).map(Part::Text);
        let seen = model.vision.is_some();
        let patches = seen.then_some(Part::Patches).into_iter();
        let merge = seen.then_some(Part::Merge);
        let parts: Vec<Part> = patches.chain(sight).chain(merge).chain([Part::Embed]).chain(text).collect();
        let named = |prefix: &str| -> Vec<usize> {
            let own =
                |name: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
            (0..held.units.len()).filter(|&u| own(&held.units[u].name)).collect()
        };
        let of = |part: &Part| match part {
            Part::Patches => named("visual.patch_embed"),
            Part::Sight(i) => named(&format!("visual.blocks.{i}")),
            Part::Merge => named("visual.merger"),
            Part::Embed => [named("model.embed_tokens"), named("amplifier")].concat(),
            Part::Text(i) => named(&format!("model.layers.{i}")),
        };
        let units: Vec<Vec<usize>> = parts.iter().map(of).collect();
        let head = if model.config.tied { "model.embed_tokens" } else { "lm_head" };
        let reading = [named("model.norm"), named(head), named("v_head")].concat();
        let learns = |units: &Vec<usize>| units.iter().any(|&u| held.units[u].trainable);
        let first = units.iter().position(learns).unwrap_or(parts.len());
        let recompute = if held.stage == Stage::Weights { Recompute::All } else { recompute };
        let mut places = vec![0; held.units.len()];
        held.order().into_iter().enumerate().for_each(|(place, unit)| places[unit] = place);
        Self { held, recompute, parts, units, reading, first, grads: Vec::new(), ahead: usize::MAX, places }
    }

    /// Agrees with the other ranks, where they exchange anything during a pass, on whether any has a micro-batch, and one with pictures.
    fn agreed(&self, from: Stage, works: bool, sees: bool) -> Result<(bool, bool), OpError> {
        let mut flags = [f64::from(u8::from(works)), f64::from(u8::from(sees))];
        if self.held.stage >= from {
            self.held.group.most(&mut flags)?;
        }
        Ok((flags[0] > 0.0, flags[1] > 0.0))
    }

    /// Returns the parts that any rank goes through.
    fn live(&self, sees: bool) -> Vec<usize> {
        (0..self.parts.len()).filter(|&p| sees || !self.parts[p].sees()).collect()
    }

    /// Has the units of a part here, and those of the next on their way.
    fn enter(&mut self, part: usize, next: Option<&usize>) -> Result<(), OpError> {
        for at in 0..self.units[part].len() {
            self.held.enter(self.units[part][at])?;
        }
        let next = next.map_or(&self.reading, |&next| &self.units[next]);
        next.iter().try_for_each(|&unit| self.held.ahead(unit))
    }

    fn leave(&mut self, part: usize) {
        self.units[part].iter().for_each(|&unit| self.held.leave(unit));
    }

    /// Gives the gradients of units a place, where they are shared out.
    fn place(&mut self, units: &[usize]) {
        if self.held.stage < Stage::Gradients {
            return;
        }
        let params = &self.held.model.params;
        for &unit in units.iter().filter(|&&u| self.held.units[u].trainable) {
            let shard = self.held.shards.units[unit];
            let len = shard.part * self.held.shards.world as i64;
            let buffer = Tensor::zeros([len], (params.kind(), params.device()));
            params.bind_grads(shard.start, &buffer.narrow(0, 0, shard.len));
            self.grads.push((unit, buffer));
        }
    }

    /// Sends the gradients of units, and of all that come before them in the order, once the last micro-batch of a step has added to them.
    fn complete(&mut self, units: &[usize]) -> Result<(), OpError> {
        let Some(place) = units.iter().map(|&unit| self.places[unit]).max().filter(|_| self.ahead == 0) else {
            return Ok(());
        };
        units.iter().for_each(|&unit| fold_unit(&self.held.model.params, self.held.sums(), &self.held.units[unit]));
        self.held.complete(place + 1)
    }

    /// Sends the gradients of these units to their owners.
    fn harvest(&mut self) -> Result<(), OpError> {
        for (unit, buffer) in std::mem::take(&mut self.grads) {
            let shard = self.held.shards.units[unit];
            self.held.model.params.unbind_grads(shard.start, shard.len);
            self.held.send(unit, &buffer)?;
        }
        Ok(())
    }

    fn apply(&self, part: usize, given: &[Tensor], scene: &Scene) -> Result<Vec<Tensor>, OpError> {
        let model = self.held.model;
        let pictures = scene.pictures.as_ref();
        let absent = || OpError::new("E0612", "a batch without pictures came to the vision tower");
        Ok(match self.parts[part] {
            Part::Patches => {
                let (pixels, _, plan) = pictures.ok_or_else(absent)?;
                vec![model.tower()?.ordered(&model.tower()?.patches(pixels), plan)]
            }
            Part::Sight(i) => vec![model.tower()?.block(i, &given[0], &pictures.ok_or_else(absent)?.2)],
            Part::Merge => vec![model.tower()?.merged(&given[0], &pictures.ok_or_else(absent)?.2)],
            Part::Embed => {
                let items = match (given.first(), pictures) {
                    (Some(features), Some((_, grids, _))) => model.apart(features, grids),
                    _ => Vec::new(),
                };
                let (images, videos) = items.split_at(scene.batch.image_grid_thw.len().min(items.len()));
                let Embedded { x_btd, bias_bt } = model.embed_with(scene.batch, images, videos)?;
                [Some(x_btd), bias_bt].into_iter().flatten().collect()
            }
            Part::Text(i) => {
                let biased = given.get(1).map(|bias_bt| model.mask(scene.batch, Some(bias_bt)));
                let mask = biased.as_ref().unwrap_or(&scene.mask);
                let x_btd = model.blocks[i].forward(&given[0], &scene.rope, mask, None);
                // What is added to the scores goes on to the next block.
                [Some(x_btd), given.get(1).map(Tensor::shallow_clone)].into_iter().flatten().collect()
            }
        })
    }

    /// Goes forward; returns the steps to go back over, by part, and the hidden states after each of `depths`.
    fn forward(
        &mut self,
        scene: Option<&Scene>,
        depths: &[usize],
        learn: bool,
        sees: bool,
    ) -> Result<(BTreeMap<usize, Step>, BTreeMap<usize, Tensor>), OpError> {
        let live = self.live(sees);
        let (mut steps, mut states) = (BTreeMap::new(), BTreeMap::new());
        let mut state: Vec<Tensor> = Vec::new();
        for (at, &part) in live.iter().enumerate() {
            self.enter(part, live.get(at + 1))?;
            let mine = |scene: &&Scene| scene.pictures.is_some() || !self.parts[part].sees();
            if let Some(scene) = scene.filter(mine) {
                let learns = learn && part >= self.first;
                if learns && self.parts[part].keeps(self.recompute) {
                    let given = leaves(&state, part > self.first);
                    let made = self.apply(part, &given, scene)?;
                    state = made.iter().map(Tensor::detach).collect();
                    steps.insert(part, Step { given, made: Some(made) });
                } else {
                    let made = no_grad(|| self.apply(part, &state, scene))?;
                    let given = std::mem::replace(&mut state, made);
                    if learns {
                        steps.insert(part, Step { given, made: None });
                    }
                }
                if let Part::Text(i) = self.parts[part]
                    && depths.contains(&(i + 1))
                {
                    states.insert(i + 1, state[0].shallow_clone());
                }
            }
            self.leave(part);
        }
        Ok((steps, states))
    }

    /// Lets `read` have the hidden states through the last norm, in the order of `depths`.
    fn read(
        &mut self,
        states: &BTreeMap<usize, Tensor>,
        depths: &[usize],
        read: Option<&mut Read>,
    ) -> Result<(), OpError> {
        for at in 0..self.reading.len() {
            self.held.enter(self.reading[at])?;
        }
        if let Some(read) = read {
            let normed: BTreeMap<usize, Tensor> =
                states.iter().map(|(depth, x_btd)| (*depth, self.held.model.norm.forward(x_btd))).collect();
            let states: Vec<Tensor> = depths.iter().filter_map(|d| normed.get(d).map(Tensor::shallow_clone)).collect();
            read(&states)?;
        }
        Ok(())
    }

    fn close(&mut self) {
        self.reading.iter().for_each(|&unit| self.held.leave(unit));
    }

    /// Goes forward and backward over one micro-batch, or along with those who have one.
    fn through(
        &mut self,
        batch: Option<&Batch>,
        depths: &[usize],
        read: Option<&mut Read>,
        sees: bool,
    ) -> Result<(), OpError> {
        let scene = batch.map(|batch| Scene::of(self.held.model, batch)).transpose()?;
        let (mut steps, states) = self.forward(scene.as_ref(), depths, true, sees)?;
        let reading = self.reading.clone();
        self.place(&reading);
        let states: BTreeMap<usize, Tensor> =
            states.into_iter().map(|(depth, x)| (depth, x.detach().set_requires_grad(true))).collect();
        self.read(&states, depths, read)?;
        self.harvest()?;
        // A tied embedding reads too, and is complete after all blocks.
        let read: Vec<usize> =
            reading.into_iter().filter(|unit| !self.units.iter().flatten().any(|u| u == unit)).collect();
        self.complete(&read)?;
        self.close();
        let mut grads: Vec<Option<Tensor>> = Vec::new();
        let first = self.first;
        let live: Vec<usize> = self.live(sees).into_iter().filter(|&part| part >= first).collect();
        for (at, &part) in live.iter().enumerate().rev() {
            let below = at.checked_sub(1).map(|at| live[at]);
            let own = self.units[part].clone();
            own.iter().try_for_each(|&unit| self.held.enter(unit))?;
            if let Some(below) = below {
                self.units[below].iter().try_for_each(|&unit| self.held.ahead(unit))?;
            }
            self.place(&own);
            if let (Some(step), Some(scene)) = (steps.remove(&part), &scene) {
                if let Part::Text(i) = self.parts[part] {
                    let read = states.get(&(i + 1)).map(Tensor::grad).filter(Tensor::defined);
                    grads.resize_with(grads.len().max(1), || None);
                    grads[0] = [grads[0].take(), read].into_iter().flatten().reduce(|a, b| a + b);
                }
                let (given, made) = match step.made {
                    Some(made) => (step.given, made),
                    None => {
                        let given = leaves(&step.given, part > first);
                        let made = self.apply(part, &given, scene)?;
                        (given, made)
                    }
                };
                back(&made, &grads);
                grads = given.iter().map(|leaf| Some(leaf.grad()).filter(Tensor::defined)).collect();
            }
            self.harvest()?;
            self.complete(&own)?;
            self.leave(part);
        }
        fold(&self.held.model.params, self.held.sums());
        Ok(())
    }
}

/// Runs backward from what a part made, whose gradients are known.
fn back(made: &[Tensor], grads: &[Option<Tensor>]) {
    let known = made.iter().zip(grads).filter_map(|(made, grad)| Some((made, grad.as_ref()?)));
    match known.filter(|(made, _)| made.requires_grad()).collect::<Vec<_>>()[..] {
        [] => {}
        [(made, grad)] => fused::backward(made, grad),
        ref several => {
            let total = several.iter().map(|(made, grad)| (*made * *grad).sum(None::<Kind>)).reduce(|a, b| a + b);
            total.iter().for_each(Tensor::backward);
        }
    }
}

/// Returns tensors without their graphs, as leaves of the next one.
fn leaves(tensors: &[Tensor], learn: bool) -> Vec<Tensor> {
    tensors.iter().map(|t| t.detach().set_requires_grad(learn)).collect()
}

impl Pass for BlockPass<'_, '_> {
    fn model(&self) -> &QwenVl {
        self.held.model
    }

    fn expect(&mut self, calls: usize) {
        self.ahead = calls;
    }

    fn train(&mut self, batch: &Batch, depths: &[usize], read: &mut Read) -> Result<(), OpError> {
        self.ahead = self.ahead.saturating_sub(1);
        let (_, sees) = self.agreed(Stage::Gradients, true, batch.pictures().is_some())?;
        self.through(Some(batch), depths, Some(read), sees)
    }

    fn look(&mut self, batch: &Batch, read: &mut Read) -> Result<(), OpError> {
        let model = self.held.model;
        if self.held.stage != Stage::Weights {
            return no_grad(|| read(&[model.forward_hidden(batch)?]));
        }
        let (_, sees) = self.agreed(Stage::Weights, true, batch.pictures().is_some())?;
        let scene = Scene::of(model, batch)?;
        let depths = [model.blocks.len()];
        let (_, states) = self.forward(Some(&scene), &depths, false, sees)?;
        no_grad(|| self.read(&states, &depths, Some(read)))?;
        self.close();
        Ok(())
    }

    fn settle(&mut self) -> Result<(), OpError> {
        while self.held.stage >= Stage::Gradients {
            let (goes_on, sees) = self.agreed(Stage::Gradients, false, false)?;
            if !goes_on {
                break;
            }
            self.through(None, &[], None, sees)?;
        }
        Ok(())
    }

    fn settle_looking(&mut self) -> Result<(), OpError> {
        while self.held.stage == Stage::Weights {
            let (goes_on, sees) = self.agreed(Stage::Weights, false, false)?;
            if !goes_on {
                break;
            }
            self.forward(None, &[], false, sees)?;
            self.read(&BTreeMap::new(), &[], None)?;
            self.close();
        }
        Ok(())
    }
}
