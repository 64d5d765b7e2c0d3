//! The training loop that SFT, DPO and reward training share: steps, schedule, clipping, logging, evaluation, checkpoints, resume.
//!
//! Shapes: `n` all weights of the model, in the order of its flat buffer.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tch::{Kind, Tensor, no_grad};

use super::checkpoint::{self, State, Window};
use super::clip::clip;
use super::log::{Record, peak_rss};
use super::optim::{AdamW, Decay, Optimizer, Segment, merged};
use super::order::{self, Order};
use super::schedule::{Schedule, Shape, Span};
use crate::base::{Digest, OpError};
use crate::model::QwenVl;

/// What is minimised: turns rows into gradients.
pub trait Objective: Sync {
    /// The tensors of one optimizer step.
    type Batch: Send;
    /// Returns the number of training rows.
    fn rows(&self) -> usize;
    /// Returns the rows that follow each other in every epoch; each row by itself unless an objective says otherwise.
    fn groups(&self) -> Vec<Vec<usize>> {
        order::singly(self.rows())
    }
    /// Makes the tensors of a step from its rows; runs ahead, on another thread.
    fn prepare(&self, rows: &[usize]) -> Result<Self::Batch, OpError>;
    /// Adds the gradients of a step to the model's, calling `fold` after each micro-batch.
    fn backward(&self, model: &QwenVl, batch: &Self::Batch, fold: &mut dyn FnMut()) -> Result<StepLoss, OpError>;
    /// Returns the loss on the held-out rows; none without such rows.
    fn evaluate(&self, model: &QwenVl) -> Result<Option<f64>, OpError>;
}

/// What one optimizer step gave.
#[derive(Clone, Debug, Default)]
pub struct StepLoss {
    /// In nats: mean per labelled token (SFT) or per pair (DPO).
    pub loss: f64,
    /// Input tokens, media tokens included, padding not.
    pub tokens: u64,
    /// Means of further measures.
    pub measures: Vec<(String, f64)>,
}

/// How often something happens.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Every {
    /// Each so many optimizer steps.
    Steps(u64),
    /// Each so many seconds.
    Duration(f64),
}

impl Every {
    fn due(self, step: u64, since: Instant) -> bool {
        match self {
            Every::Steps(n) => step % n.max(1) == 0,
            Every::Duration(seconds) => since.elapsed().as_secs_f64() >= seconds,
        }
    }
}

/// Everything that decides how weights change, given rows and objective.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Settings {
    /// Passes over the rows; the last may be a part.
    pub epochs: f64,
    /// Optimizer steps at most.
    pub max_steps: Option<u64>,
    /// Rows per optimizer step.
    pub batch: usize,
    /// Rows per micro-batch as the log counts epochs; 1 if the loss does not depend on it.
    pub per_device: usize,
    /// Seed of the order of rows.
    pub seed: u64,
    /// Highest learning rate.
    pub lr: f64,
    /// Its shape over the run.
    pub schedule: Shape,
    /// Linear warm-up.
    pub warmup: Span,
    /// Lowest rate at the end, as a part of `lr`.
    pub floor: f64,
    /// Last decline of a WSD schedule.
    pub cooldown: Span,
    /// Optimizer constants.
    pub adamw: AdamW,
    /// Which weights decay.
    pub decay: Decay,
    /// Largest global gradient norm; 0 for none.
    pub clip: f64,
    /// Decay of an exponential moving average of the weights, which then is the result.
    pub ema: Option<f64>,
    /// How often the held-out rows are evaluated; always at the end.
    pub evaluate: Option<Every>,
    /// The result is the model with the lowest evaluation loss.
    pub best: bool,
}

/// What surrounds a run and never changes its result.
pub struct Hooks<'a> {
    /// Receives progress.
    pub emit: &'a (dyn Fn(&str, Json) + Sync),
    /// Set when the run is being stopped.
    pub cancelled: &'a AtomicBool,
    /// Where checkpoints lie.
    pub checkpoints: Option<&'a Path>,
    /// How often they are written.
    pub checkpoint: Option<Every>,
    /// Steps between log lines.
    pub log: u64,
    /// Threads that prepare batches.
    pub makers: usize,
}

/// Trains `model` in place and returns the log.
///
/// A step that follows a checkpoint is bit for bit the step of an unbroken run on a CPU: weights, moments and step number are
/// restored, and the order of rows is a function of seed and step.
///
/// # Precision
/// Weights, gradients of all micro-batches of a step, and moments in f32; a model in bf16 keeps f32 master weights here.
///
/// # Errors
/// `E0710` when the loss or the gradient norm is not finite, naming the step; class `preempted` when the run is stopped, after a
/// checkpoint.
pub fn run<O: Objective>(
    model: &QwenVl,
    objective: &O,
    settings: &Settings,
    hooks: &Hooks,
) -> Result<Vec<Record>, OpError> {
    let order = Order::new(objective.groups(), settings.batch, settings.seed);
    let mut total = order.total_steps(settings.epochs);
    if let Some(most) = settings.max_steps {
        total = total.min(most);
    }
    if total == 0 {
        return Err(OpError::new("E0711", format!("no training step: {} rows, {} epochs", order.n, settings.epochs)));
    }
    let schedule = Schedule {
        shape: settings.schedule,
        base: settings.lr,
        floor: settings.floor,
        warmup: settings.warmup.steps(total),
        decay: settings.cooldown.steps(total),
        total,
    };
    let mut trainer = Trainer::new(model, settings, hooks, total, objective.rows())?;
    trainer.resume();
    let first = trainer.state.step + 1;
    // Steps are prepared while others are computed: each maker takes every so many-th, and they are taken up in order.
    let makers = hooks.makers.max(1);
    std::thread::scope(|scope| {
        let order = &order;
        let prepared: Vec<_> = (0..makers as u64)
            .map(|maker| {
                let (sender, receiver) = sync_channel(1);
                scope.spawn(move || {
                    for step in (first + maker..=total).step_by(makers) {
                        let batch = objective.prepare(&order.rows(step));
                        let failed = batch.is_err();
                        if sender.send(batch).is_err() || failed {
                            return;
                        }
                    }
                });
                receiver
            })
            .collect();
        for step in first..=total {
            let receiver = &prepared[((step - first) % makers as u64) as usize];
            let asked = Instant::now();
            let batch = receiver.recv().map_err(|_| OpError::new("E0612", "the batch maker stopped"))??;
            trainer.state.window.waited += asked.elapsed().as_secs_f64();
            trainer.step(objective, &batch, step, schedule.lr(step), order.epochs_done(step, settings.per_device))?;
        }
        Ok::<(), OpError>(())
    })?;
    Ok(trainer.finish())
}

/// A run under way.
struct Trainer<'a> {
    model: &'a QwenVl,
    settings: &'a Settings,
    hooks: &'a Hooks<'a>,
    optimizer: Optimizer,
    /// f32 weights: the model's own buffer, or a master copy for a model in bf16.
    weights_n: Tensor,
    /// f32 gradients: the model's own buffer, or a sum over micro-batches.
    grads_n: Tensor,
    ema_n: Option<Tensor>,
    best_n: Option<Tensor>,
    state: State,
    total: u64,
    started: Instant,
    before: f64,
    evaluated: Instant,
    saved: Instant,
    spoken: Instant,
}

impl<'a> Trainer<'a> {
    fn new(
        model: &'a QwenVl,
        settings: &'a Settings,
        hooks: &'a Hooks<'a>,
        total: u64,
        rows: usize,
    ) -> Result<Self, OpError> {
        let params = &model.params;
        let Some(grads) = params.grad() else {
            return Err(OpError::new("E0711", "nothing is trainable: `freeze` names every part of the model"));
        };
        let segments = merged(params.entries().iter().filter(|e| e.trainable).map(|e| Segment {
            start: e.offset,
            len: e.len(),
            decay: settings.decay.applies(&e.name, e.shape.len()),
        }));
        let (weights_n, grads_n) = if params.kind() == Kind::Float {
            (params.flat().shallow_clone(), grads.shallow_clone())
        } else {
            (params.flat().to_kind(Kind::Float), grads.to_kind(Kind::Float))
        };
        let n = weights_n.numel() as i64;
        let optimizer = Optimizer::new(settings.adamw, segments, n, weights_n.device());
        let shape: Vec<_> = params.entries().iter().map(|e| json!([e.name, e.shape, e.trainable])).collect();
        let fingerprint =
            Digest::of_json(&json!({ "settings": settings, "shape": shape, "rows": rows, "total": total }));
        let state = State {
            fingerprint,
            step: 0,
            tokens: 0,
            seconds: 0.0,
            window: Window::default(),
            best: None,
            records: Vec::new(),
            tensors: None,
        };
        let ema_n = settings.ema.map(|_| weights_n.copy());
        let now = Instant::now();
        Ok(Self {
            model,
            settings,
            hooks,
            optimizer,
            weights_n,
            grads_n,
            ema_n,
            best_n: None,
            state,
            total,
            started: now,
            before: 0.0,
            evaluated: now,
            saved: now,
            spoken: now,
        })
    }

    /// Continues from the newest valid checkpoint, if there is one.
    fn resume(&mut self) {
        let found = self.hooks.checkpoints.and_then(|folder| checkpoint::newest(folder, self.state.fingerprint));
        let Some((state, tensors)) = found else { return };
        no_grad(|| {
            for (name, tensor) in tensors {
                match name.as_str() {
                    "weights" => self.weights_n.copy_(&tensor),
                    "first" => self.optimizer.first.copy_(&tensor),
                    "second" => self.optimizer.second.copy_(&tensor),
                    "ema" => self.ema_n = Some(tensor.to_device(self.weights_n.device())),
                    "best" => self.best_n = Some(tensor.to_device(self.weights_n.device())),
                    _ => {}
                }
            }
        });
        self.push_weights();
        self.optimizer.steps = state.step;
        self.before = state.seconds;
        (self.hooks.emit)(
            "node_log",
            json!({ "text": format!("continues after step {} of {}", state.step, self.total) }),
        );
        self.state = state;
    }

    fn step<O: Objective>(
        &mut self,
        objective: &O,
        batch: &O::Batch,
        step: u64,
        lr: f64,
        epoch: f64,
    ) -> Result<(), OpError> {
        self.zero_grads();
        let own = self.model.params.grad().expect("checked at the start").shallow_clone();
        let wide = self.grads_n.shallow_clone();
        let separate = own.kind() != Kind::Float;
        let mut fold = || {
            if separate {
                no_grad(|| {
                    let _ = wide.shallow_clone().g_add_(&own); // cast as it is read: no second buffer on a GPU
                    let _ = own.shallow_clone().zero_();
                });
            }
        };
        let given = objective.backward(self.model, batch, &mut fold)?;
        if !given.loss.is_finite() {
            return Err(not_finite("the loss", given.loss, step, self.total));
        }
        let norm = clip(&mut self.grads_n, self.settings.clip);
        if !norm.is_finite() {
            return Err(not_finite("the gradient norm", norm, step, self.total));
        }
        self.optimizer.step(&self.weights_n, &self.grads_n, lr);
        self.push_weights();
        if let (Some(ema_n), Some(decay)) = (&mut self.ema_n, self.settings.ema) {
            let _ = no_grad(|| ema_n.lerp_(&self.weights_n, 1.0 - decay));
        }
        self.state.step = step;
        self.state.tokens += given.tokens;
        self.count(&given);
        self.tell(&given, step, lr, norm);
        let last = step == self.total;
        if last || step % self.hooks.log.max(1) == 0 {
            self.log(step, lr, norm, epoch);
        }
        if last || self.settings.evaluate.is_some_and(|every| every.due(step, self.evaluated)) {
            self.evaluate(objective, step, epoch)?;
        }
        let stopping = self.hooks.cancelled.load(Ordering::Relaxed);
        if !last && (stopping || self.hooks.checkpoint.is_some_and(|every| every.due(step, self.saved))) {
            self.save()?;
        }
        if stopping && !last {
            return Err(
                OpError::new("E0612", format!("stopped after step {step} of {}", self.total)).class("preempted")
            );
        }
        Ok(())
    }

    fn count(&mut self, given: &StepLoss) {
        let window = &mut self.state.window;
        window.steps += 1;
        window.loss += given.loss;
        for (name, value) in &given.measures {
            match window.measures.iter_mut().find(|(n, _)| n == name) {
                Some((_, sum)) => *sum += value,
                None => window.measures.push((name.clone(), *value)),
            }
        }
    }

    /// Sends progress, at most ten times a second.
    fn tell(&mut self, given: &StepLoss, step: u64, lr: f64, norm: f64) {
        if step != self.total && self.spoken.elapsed().as_millis() < 100 {
            return;
        }
        self.spoken = Instant::now();
        let speed = self.state.tokens as f64 / self.seconds().max(1e-9);
        let mut fields = json!({
            "done": step, "total": self.total, "unit": "steps", "loss": given.loss, "lr": lr, "grad_norm": norm,
            "tokens_per_second": speed.round(),
        });
        for (name, value) in &given.measures {
            fields[name] = json!(value);
        }
        (self.hooks.emit)("node_progress", fields);
    }

    fn log(&mut self, step: u64, lr: f64, norm: f64, epoch: f64) {
        let window = std::mem::take(&mut self.state.window);
        let steps = window.steps.max(1) as f64;
        let record = Record {
            loss: Some(window.loss / steps),
            lr: Some(lr),
            grad_norm: Some(norm),
            data_wait: Some(window.waited / steps),
            measures: window.measures.into_iter().map(|(name, sum)| (name, sum / steps)).collect(),
            ..self.record(step, epoch)
        };
        self.state.records.push(record);
    }

    fn evaluate<O: Objective>(&mut self, objective: &O, step: u64, epoch: f64) -> Result<(), OpError> {
        let kept = self.ema_n.as_ref().map(|ema_n| {
            let kept = self.weights_n.copy();
            no_grad(|| self.weights_n.shallow_clone().copy_(ema_n));
            kept
        });
        self.push_weights();
        let loss = objective.evaluate(self.model)?;
        if let Some(loss) = loss {
            let lowest = self.state.best.is_none_or(|(best, _)| loss < best);
            if lowest {
                self.state.best = Some((loss, step));
                if self.settings.best {
                    self.best_n = Some(self.weights_n.copy());
                }
            }
            let record = Record { eval_loss: Some(loss), ..self.record(step, epoch) };
            self.state.records.push(record);
            (self.hooks.emit)(
                "node_progress",
                json!({ "done": step, "total": self.total, "unit": "steps", "eval_loss": loss }),
            );
        }
        if let Some(kept) = kept {
            no_grad(|| self.weights_n.copy_(&kept));
            self.push_weights();
        }
        self.evaluated = Instant::now();
        Ok(())
    }

    fn record(&self, step: u64, epoch: f64) -> Record {
        Record {
            step,
            total: self.total,
            epoch,
            tokens: self.state.tokens,
            seconds: self.seconds(),
            rss: peak_rss(),
            ..Record::default()
        }
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    fn save(&mut self) -> Result<(), OpError> {
        let Some(folder) = self.hooks.checkpoints else { return Ok(()) };
        self.state.seconds = self.seconds();
        let mut tensors =
            vec![("weights", &self.weights_n), ("first", &self.optimizer.first), ("second", &self.optimizer.second)];
        tensors.extend(self.ema_n.as_ref().map(|t| ("ema", t)));
        tensors.extend(self.best_n.as_ref().map(|t| ("best", t)));
        checkpoint::save(folder, &self.state, &tensors)?;
        self.saved = Instant::now();
        Ok(())
    }

    /// Puts the result into the model and returns the log.
    fn finish(mut self) -> Vec<Record> {
        if let Some(result_n) = self.best_n.take().or_else(|| self.ema_n.take()) {
            no_grad(|| self.weights_n.copy_(&result_n));
            self.push_weights();
        }
        self.state.records
    }

    fn zero_grads(&mut self) {
        no_grad(|| {
            let _ = self.grads_n.zero_();
            if let Some(grads) = self.model.params.grad() {
                let _ = grads.shallow_clone().zero_();
            }
        });
    }

    /// Copies the f32 master weights into a model of another dtype.
    fn push_weights(&self) {
        let flat = self.model.params.flat();
        if flat.kind() != Kind::Float {
            no_grad(|| flat.shallow_clone().copy_(&self.weights_n));
        }
    }
}

fn not_finite(what: &str, value: f64, step: u64, total: u64) -> OpError {
    OpError::new("E0710", format!("{what} is {value} at step {step} of {total}"))
        .help("a lower `lr`, a longer `warmup`, `clip: 1.0` or `dtype: \"f32\"` usually mends this; the last checkpoint is kept")
}
