//! The training loop that SFT, DPO and reward training share: steps, schedule, clipping, logging, evaluation, checkpoints, resume.
//!
//! Every rank of a group runs it; whatever decides how it goes on is the same on all of them.
//!
//! Shapes: `m` the weights of the model, or this rank's parts of them.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::sync_channel;
use std::time::Instant;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use tch::{Tensor, no_grad};

use super::blocks::pass;
use super::checkpoint::{self, State};
use super::clip::clip;
use super::decay::Decay;
use super::flops::peak;
use super::held::Held;
use super::log::{Record, peak_rss};
use super::optim::{Optimizer, Rule};
use super::order::{self, Order};
use super::pass::Pass;
use super::schedule::{Schedule, Shape, Span};
use super::share::Share;
use super::watch::signs;
use crate::base::{Digest, OpError};
use crate::model::set_threads;
use crate::plan::memory::recompute::Recompute;

/// Where a state for longer runs lies among the checkpoints.
const KEPT: &str = "kept";

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
    /// Makes the tensors of this rank's share of a step from all of its rows; runs ahead, on another thread.
    fn prepare(&self, rows: &[usize], share: Share) -> Result<Self::Batch, OpError>;
    /// Adds the gradients of this rank's share of a step to the model's.
    fn backward(&self, pass: &mut dyn Pass, batch: &Self::Batch) -> Result<StepLoss, OpError>;
    /// Returns the sum of the losses of this rank's share of the held-out rows, and their number.
    fn evaluate(&self, pass: &mut dyn Pass, share: Share) -> Result<(f64, usize), OpError>;
}

/// What one optimizer step gave; with several ranks, what this rank's share adds to it.
#[derive(Clone, Debug, Default)]
pub struct StepLoss {
    /// In nats: mean per labelled token (SFT) or per pair (DPO).
    pub loss: f64,
    /// Input tokens, media tokens included, padding not.
    pub tokens: u64,
    /// Floating-point operations, as [`super::flops::of_batch`] counts them.
    pub flops: f64,
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
    /// The optimizer with its constants.
    pub rule: Rule,
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
    /// Says after which of a run's steps, given their number, its state is kept for longer runs; 0 for none. Not asked unless it is to be kept.
    pub keep: Option<&'a dyn Fn(u64) -> u64>,
    /// The state of a shorter run, to begin from.
    pub start: Option<Start<'a>>,
    /// Steps between log lines.
    pub log: u64,
    /// Threads that prepare batches.
    pub makers: usize,
    /// Blocks that are computed again for their backward instead of keeping what it needs.
    pub recompute: Recompute,
    /// Threads that take the step beside a GPU, where weights and states are offloaded.
    pub threads: usize,
}

/// The state of a shorter run.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    /// Where it lies, as a checkpoint.
    pub folder: &'a Path,
    /// Optimizer steps that are done.
    pub step: u64,
}

/// The state of a run that is kept for longer ones, as a checkpoint.
pub struct Kept {
    /// Its folder.
    pub path: PathBuf,
    /// Optimizer steps that were done.
    pub step: u64,
    /// Optimizer steps of an epoch.
    pub per_epoch: u64,
    /// Seconds of training until then.
    pub seconds: f64,
}

/// What a run gave.
pub struct Trained {
    /// The state that was to be kept for longer runs, on rank 0.
    pub kept: Option<Kept>,
    /// The step of a shorter run after which it began.
    pub began: Option<u64>,
    /// Its log.
    pub records: Vec<Record>,
    /// All weights, on rank 0, where they were shared out: the model's own memory is given up then.
    pub weights_n: Option<Tensor>,
}

/// Trains the model of `held` in place, together with the ranks that hold the rest of it.
///
/// A step that follows a checkpoint is bit for bit the step of an unbroken run on a CPU: weights, moments and step number are
/// restored, and the order of rows is a function of seed and step. So is the step that follows the state of a shorter run, where the rates of all steps
/// before it are the same in both.
///
/// # Precision
/// Weights, gradients of all micro-batches of a step, and moments in f32; a model in bf16 keeps f32 master weights here.
///
/// # Errors
/// `E0710` when the loss or the gradient norm is not finite, naming the step; class `preempted` when the run is stopped, after a
/// checkpoint; class `peer` when another rank is gone.
pub fn run<O: Objective>(held: Held, objective: &O, settings: &Settings, hooks: &Hooks) -> Result<Trained, OpError> {
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
    let mut trainer = Trainer::new(held, settings, hooks, total, objective.rows())?;
    trainer.keeps = hooks.keep.map(|shared| shared(total)).filter(|step| *step > 0);
    trainer.per_epoch = order.steps_per_epoch();
    trainer.resume()?;
    let share = Share::of(trainer.held.group);
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
                        let batch = objective.prepare(&order.rows(step), share);
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
    trainer.finish()
}

/// A run under way.
struct Trainer<'a> {
    settings: &'a Settings,
    hooks: &'a Hooks<'a>,
    held: Held<'a>,
    optimizer: Optimizer,
    ema_m: Option<Tensor>,
    best_m: Option<Tensor>,
    state: State,
    /// What the state of a run of any length belongs to.
    beginning: Digest,
    /// The step after which the state is kept for longer runs.
    keeps: Option<u64>,
    per_epoch: u64,
    total: u64,
    started: Instant,
    before: f64,
    evaluated: Instant,
    saved: Instant,
    spoken: Instant,
    /// Seconds of training at the last line of the log.
    logged: f64,
    /// Signs that it goes wrong that were told already.
    told: Vec<&'static str>,
}

/// A step that is done.
#[derive(Clone, Copy)]
struct At {
    step: u64,
    lr: f64,
    norm: f64,
    epoch: f64,
}

/// What the ranks tell each other at each step.
struct Agreed {
    /// One of them is being stopped.
    stopping: bool,
    evaluate: bool,
    save: bool,
}

impl<'a> Trainer<'a> {
    fn new(
        held: Held<'a>,
        settings: &'a Settings,
        hooks: &'a Hooks<'a>,
        total: u64,
        rows: usize,
    ) -> Result<Self, OpError> {
        let params = &held.model.params;
        if params.entries().iter().all(|e| !e.trainable) {
            return Err(OpError::new("E0711", "nothing is trainable: `freeze` names every part of the model"));
        }
        let optimizer = Optimizer::new(settings.rule, settings.decay, &held);
        let shape: Vec<_> = params.entries().iter().map(|e| json!([e.name, e.shape, e.trainable])).collect();
        let fingerprint =
            Digest::of_json(&json!({ "settings": settings, "shape": shape, "rows": rows, "total": total }));
        let endless = Settings { epochs: 0.0, max_steps: None, cooldown: Span::Steps(0), ..settings.clone() };
        let beginning = Digest::of_json(&json!({ "settings": endless, "shape": shape, "rows": rows }));
        let ema_m = settings.ema.map(|_| held.weights_m.copy());
        let now = Instant::now();
        Ok(Self {
            settings,
            hooks,
            held,
            optimizer,
            ema_m,
            best_m: None,
            state: State::new(fingerprint),
            beginning,
            keeps: None,
            per_epoch: 0,
            total,
            started: now,
            before: 0.0,
            evaluated: now,
            saved: now,
            spoken: now,
            logged: 0.0,
            told: Vec::new(),
        })
    }

    /// Continues from the newest valid checkpoint, if there is one, or from the state of a shorter run, if that is farther.
    fn resume(&mut self) -> Result<(), OpError> {
        let own = match self.hooks.checkpoints {
            Some(folder) => checkpoint::newest(folder, self.state.fingerprint, &self.held.shards, self.held.group)?,
            None => None,
        };
        let done = own.as_ref().map_or(0, |(state, _)| state.step);
        if let Some(start) = self.hooks.start.filter(|start| start.step > done && start.step < self.total) {
            let shorter = checkpoint::newest(start.folder, self.beginning, &self.held.shards, self.held.group)?;
            if let Some((mut state, tensors)) = shorter.filter(|(state, _)| state.step == start.step) {
                drop(own);
                (state.fingerprint, state.began) = (self.state.fingerprint, Some(state.step));
                state.records.iter_mut().for_each(|record| record.total = self.total);
                let text =
                    format!("continues from step {} of {}, where a shorter training was", state.step, self.total);
                return self.take_up(state, tensors, &text);
            }
            self.say(&format!("the state after step {} of a shorter training is not one of this training", start.step));
        }
        let Some((state, tensors)) = own else { return Ok(()) };
        let text = format!("continues after step {} of {}", state.step, self.total);
        self.take_up(state, tensors, &text)
    }

    /// Goes on from a state and this rank's parts of its tensors.
    fn take_up(&mut self, state: State, tensors: Vec<(String, Tensor)>, text: &str) -> Result<(), OpError> {
        no_grad(|| {
            for (name, tensor) in tensors {
                match name.as_str() {
                    "weights" => self.held.weights_m.copy_(&tensor),
                    "ema" => self.ema_m = Some(tensor.to_device(self.held.weights_m.device())),
                    "best" => self.best_m = Some(tensor.to_device(self.held.weights_m.device())),
                    state => self.optimizer.restore(state, &tensor),
                }
            }
        });
        self.held.push()?;
        self.optimizer.resume(state.step);
        self.before = state.seconds;
        self.logged = self.seconds();
        self.say(text);
        self.state = state;
        Ok(())
    }

    /// Tells people something.
    fn say(&self, text: &str) {
        (self.hooks.emit)("node_log", json!({ "text": text }));
    }

    fn step<O: Objective>(
        &mut self,
        objective: &O,
        batch: &O::Batch,
        step: u64,
        lr: f64,
        epoch: f64,
    ) -> Result<(), OpError> {
        let group = self.held.group;
        group.tell(&format!("step {step} of {}: computes", self.total));
        self.held.zero();
        let mut pass = pass(&mut self.held, self.hooks.recompute);
        let mut given = objective.backward(pass.as_mut(), batch)?;
        pass.settle()?;
        drop(pass);
        group.tell(&format!("step {step} of {}: waits for the sums of all ranks", self.total));
        self.held.reduce()?;
        let last = step == self.total;
        let agreed = self.agree(&mut given, step)?;
        if !given.loss.is_finite() {
            return Err(not_finite("the loss", given.loss, step, self.total));
        }
        // Beside a GPU the main thread has one processor core, but for this.
        let offloads = self.held.offloads();
        if offloads {
            set_threads(self.hooks.threads);
        }
        let norm = self.change(lr, step);
        if offloads {
            set_threads(1);
        }
        let norm = norm?;
        self.state.step = step;
        self.state.tokens += given.tokens;
        self.count(&given);
        self.tell(&given, step, lr, norm);
        let at = At { step, lr, norm, epoch };
        let (logs, evaluates) = (step % self.hooks.log.max(1) == 0, agreed.evaluate);
        if self.keeps == Some(step) {
            // What a run does only because it ends comes after its state is kept: a longer one does not do it here.
            self.look(objective, at, logs, evaluates)?;
            self.keep()?;
            self.look(objective, at, last && !logs, last && !evaluates)?;
        } else {
            self.look(objective, at, logs || last, evaluates || last)?;
        }
        if !last && (agreed.stopping || agreed.save) {
            group.tell(&format!("step {step} of {}: writes a checkpoint", self.total));
            self.save()?;
        }
        if agreed.stopping && !last {
            return Err(
                OpError::new("E0612", format!("stopped after step {step} of {}", self.total)).class("preempted")
            );
        }
        Ok(())
    }

    /// Adds a line to the log, or evaluates, or both.
    fn look<O: Objective>(&mut self, objective: &O, at: At, logs: bool, evaluates: bool) -> Result<(), OpError> {
        if logs {
            self.log(at)?;
        }
        if evaluates {
            self.held.group.tell(&format!("step {} of {}: evaluates", at.step, self.total));
            self.evaluate(objective, at)?;
        }
        Ok(())
    }

    /// Changes the weights by the gradients of a step, and returns the norm of these.
    fn change(&mut self, lr: f64, step: u64) -> Result<f64, OpError> {
        let norm = self.held.norm()?;
        clip(&mut self.held.grads_m, norm, self.settings.clip);
        if !norm.is_finite() {
            return Err(not_finite("the gradient norm", norm, step, self.total));
        }
        self.optimizer.step(&self.held, lr)?;
        self.held.push()?;
        if let (Some(ema_m), Some(decay)) = (&mut self.ema_m, self.settings.ema) {
            let _ = no_grad(|| ema_m.lerp_(&self.held.weights_m, 1.0 - decay));
        }
        Ok(norm)
    }

    /// Adds up what the ranks' shares gave, and agrees on what comes after the step: rank 0's clock decides, and a request to stop that reached any.
    fn agree(&self, given: &mut StepLoss, step: u64) -> Result<Agreed, OpError> {
        let due = |every: Option<Every>, since: Instant| {
            f64::from(u8::from(self.held.group.first() && every.is_some_and(|every| every.due(step, since))))
        };
        let stopping = f64::from(u8::from(self.hooks.cancelled.load(Ordering::Relaxed)));
        let (evaluate, save) = (due(self.settings.evaluate, self.evaluated), due(self.hooks.checkpoint, self.saved));
        let mut values = vec![given.loss, given.tokens as f64, given.flops, stopping, evaluate, save];
        values.extend(given.measures.iter().map(|(_, value)| value));
        self.held.group.sum(&mut values)?;
        (given.loss, given.tokens, given.flops) = (values[0], values[1] as u64, values[2]);
        given.measures.iter_mut().zip(&values[6..]).for_each(|((_, own), all)| *own = *all);
        Ok(Agreed { stopping: values[3] > 0.0, evaluate: values[4] > 0.0, save: values[5] > 0.0 })
    }

    fn count(&mut self, given: &StepLoss) {
        let window = &mut self.state.window;
        window.steps += 1;
        window.loss += given.loss;
        window.flops += given.flops;
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

    fn log(&mut self, at: At) -> Result<(), OpError> {
        let At { step, lr, norm, epoch } = at;
        let window = std::mem::take(&mut self.state.window);
        let steps = window.steps.max(1) as f64;
        let params = &self.held.model.params;
        let rate = window.flops / (self.seconds() - self.logged).max(1e-9);
        self.logged = self.seconds();
        let peak = peak(params.device(), params.kind()).map(|peak| peak * self.held.group.world() as f64);
        let record = Record {
            loss: Some(window.loss / steps),
            lr: Some(lr),
            grad_norm: Some(norm),
            data_wait: Some(window.waited / steps),
            flops: Some(rate),
            mfu: peak.map(|peak| rate / peak),
            measures: window.measures.into_iter().map(|(name, sum)| (name, sum / steps)).collect(),
            ..self.record(step, epoch)?
        };
        self.state.records.push(record);
        for (name, text) in signs(&self.state.records) {
            if self.held.group.first() && !self.told.contains(&name) {
                self.told.push(name);
                (self.hooks.emit)("node_log", json!({ "text": format!("step {step} of {}: {text}", self.total) }));
            }
        }
        Ok(())
    }

    fn evaluate<O: Objective>(&mut self, objective: &O, at: At) -> Result<(), OpError> {
        let At { step, epoch, .. } = at;
        let kept = self.ema_m.as_ref().map(|ema_m| {
            let kept = self.held.weights_m.copy();
            no_grad(|| self.held.weights_m.copy_(ema_m));
            kept
        });
        if kept.is_some() {
            self.held.push()?;
        }
        let share = Share::of(self.held.group);
        let mut pass = pass(&mut self.held, self.hooks.recompute);
        let (sum, count) = objective.evaluate(pass.as_mut(), share)?;
        pass.settle_looking()?;
        drop(pass);
        let mut all = [sum, count as f64];
        self.held.group.sum(&mut all)?;
        if all[1] > 0.0 {
            let loss = all[0] / all[1];
            let lowest = self.state.best.is_none_or(|(best, _)| loss < best);
            if lowest {
                self.state.best = Some((loss, step));
                if self.settings.best {
                    self.best_m = Some(self.held.weights_m.copy());
                }
            }
            let record = Record { eval_loss: Some(loss), ..self.record(step, epoch)? };
            self.state.records.push(record);
            (self.hooks.emit)(
                "node_progress",
                json!({ "done": step, "total": self.total, "unit": "steps", "eval_loss": loss }),
            );
        }
        if let Some(kept) = kept {
            no_grad(|| self.held.weights_m.copy_(&kept));
            self.held.push()?;
        }
        self.evaluated = Instant::now();
        Ok(())
    }

    /// Starts a line of the log; its memory is that of the rank with most.
    fn record(&self, step: u64, epoch: f64) -> Result<Record, OpError> {
        let mut rss = [peak_rss() as f64];
        self.held.group.most(&mut rss)?;
        Ok(Record {
            step,
            total: self.total,
            epoch,
            tokens: self.state.tokens,
            seconds: self.seconds(),
            rss: rss[0] as u64,
            ..Record::default()
        })
    }

    fn seconds(&self) -> f64 {
        self.before + self.started.elapsed().as_secs_f64()
    }

    /// Writes a checkpoint. Where it cannot be written, training goes on, and the one before is kept.
    fn save(&mut self) -> Result<(), OpError> {
        let Some(folder) = self.hooks.checkpoints else { return Ok(()) };
        if let Some(why) = self.write(folder)? {
            let step = self.state.step;
            self.say(&format!("no checkpoint at step {step}: {why}; training goes on, the last one is kept"));
        }
        self.saved = Instant::now();
        Ok(())
    }

    /// Writes the state for longer runs, beside the checkpoints until the run is through.
    fn keep(&mut self) -> Result<(), OpError> {
        let Some(folder) = self.hooks.checkpoints else { return Ok(()) };
        let own = std::mem::replace(&mut self.state.fingerprint, self.beginning);
        let written = self.write(&folder.join(KEPT));
        self.state.fingerprint = own;
        if let Some(why) = written? {
            self.say(&format!("no state after step {} is kept: {why}; training goes on", self.state.step));
        }
        Ok(())
    }

    /// Writes all that continuing needs. Returns why it cannot be written, if so.
    fn write(&mut self, folder: &Path) -> Result<Option<String>, OpError> {
        self.state.seconds = self.seconds();
        let mut tensors = vec![("weights", &self.held.weights_m)];
        tensors.extend(self.optimizer.states());
        tensors.extend(self.ema_m.as_ref().map(|t| ("ema", t)));
        tensors.extend(self.best_m.as_ref().map(|t| ("best", t)));
        checkpoint::save(folder, &self.state, &self.held.shards, &tensors, self.held.group)
    }

    /// Returns the state that was kept, on rank 0.
    fn kept(&self) -> Option<Kept> {
        let step = self.keeps.filter(|_| self.held.group.first())?;
        let folder = self.hooks.checkpoints?.join(KEPT);
        let (path, state) = checkpoint::at_step(&folder, step, self.beginning)?;
        Some(Kept { path, step, per_epoch: self.per_epoch, seconds: state.seconds })
    }

    /// Puts the result into the model.
    fn finish(mut self) -> Result<Trained, OpError> {
        self.held.group.tell("hands the model over");
        let kept = self.kept();
        if let Some(result_m) = self.best_m.take().or_else(|| self.ema_m.take()) {
            no_grad(|| self.held.weights_m.copy_(&result_m));
            self.held.push()?;
        }
        let State { records, began, .. } = self.state;
        Ok(Trained { weights_n: self.held.collect()?, records, kept, began })
    }
}

fn not_finite(what: &str, value: f64, step: u64, total: u64) -> OpError {
    OpError::new("E0710", format!("{what} is {value} at step {step} of {total}"))
        .help("a lower `lr`, a longer `warmup`, `clip: 1.0` or `dtype: \"f32\"` usually mends this; the last checkpoint is kept")
}
