//! What the training operators do around the loop: load the model, encode rows, run, publish.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};
use tch::Kind;

use super::amplify::needs_a_teacher;
use super::arguments::{Amount, Amplify, Shared};
use super::machine::{self, Place};
use super::preflight::{self, Writes};
use crate::base::OpError;
use crate::engine::capacity::meminfo;
use crate::engine::node::context::Fate;
use crate::engine::run::prolong::{BEGUN, STATE};
use crate::engine::{Artifact, Context, FileRef, Kind as ArtifactKind, Output, Outputs};
use crate::model::beside::{AMPLIFIER, VALUE_HEAD};
use crate::model::{Chat, Params, QwenVl, set_threads};
use crate::ops::rows::pooled;
use crate::plan::memory::shape::part_of;
use crate::plan::prolong::{self, KEEP};
use crate::train::album;
use crate::train::checkpoint::folder_of;
use crate::train::encoder::{Encoded, Encoder, Limits, Shown, shown};
use crate::train::examples::{Example, Gallery};
use crate::train::held::{Held, shared_out};
use crate::train::log::{self, Record};
use crate::train::micro::Layout;
use crate::train::optim::Rule;
use crate::train::pairs::{Pair, Pairs};
use crate::train::rows::{self, Columns, TextRow};
use crate::train::run::{Every, Hooks, Kept, Objective, Settings, Start, Trained, run};
use crate::train::schedule::Span;
use crate::train::shards::Stage;
use crate::train::share::Share;
use crate::train::split::{permutation, rows_of, split};

/// A model on its way through a training.
pub struct Session<'a> {
    /// Where it runs and with whom.
    pub place: Place<'a>,
    /// The start model's files.
    pub source: PathBuf,
    /// The model.
    pub model: QwenVl,
    encoder: Encoder,
}

/// What a model is to learn.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Learns {
    /// To write replies.
    Replies,
    /// To write the last reply of each conversation.
    LastReplies,
    /// To score replies, with a value head of its own.
    Scores,
}

/// Training and held-out rows with the pictures of both.
pub struct Split<T> {
    /// Trained on.
    pub rows: Vec<T>,
    /// Evaluated.
    pub held_out: Vec<T>,
    /// Their pictures.
    pub gallery: Gallery,
}

impl<'a> Session<'a> {
    /// Meets the other ranks, lays out and loads the model in slot `m`, gives it an amplifier if one is asked for, chooses what is trainable, and reads
    /// tokenizer and processor. Where weights are shared out, a rank reads no more than its own, into main memory.
    pub fn open(cx: &Context<'a>, shared: &Shared, learns: Learns) -> Result<Self, OpError> {
        let place = machine::place(cx, shared)?;
        let device = place.device;
        // Beside a GPU the CPU prepares batches, several at a time and each on one thread.
        set_threads(if device.is_cuda() { 1 } else { place.threads });
        place.group.tell("loads the model");
        let strength = shared.amplify.as_ref().map(Amplify::strength).transpose()?;
        let source = cx.folder_of(cx.input("m")?, "start")?;
        let kind = if shared.dtype == "bf16" { Kind::BFloat16 } else { Kind::Float };
        let mut model = if place.stage < Stage::Weights {
            QwenVl::load(&source, device, kind)?
        } else {
            let own = |params: &Params| shared_out(params, &place.group).parts(place.group.rank());
            QwenVl::load_parts(&source, kind, own)?
        };
        if let Some(strength) = strength {
            if model.vision.is_none() {
                return Err(OpError::new("E0214", "amplify: the start model reads text alone and has no image tokens"));
            }
            model = model.amplified(strength, cx.seed as i64);
        }
        if learns == Learns::Scores {
            model = model.valued(cx.seed as i64);
        }
        let frozen = |part: &str| shared.freeze.iter().any(|f| f == part);
        model.params.choose(|name| match name {
            gate if AMPLIFIER.has(gate) => strength.is_some(),
            head if VALUE_HEAD.has(head) => true,
            "lm_head.weight" if learns == Learns::Scores => false, // scores do not depend on it
            weight => !frozen(part_of(weight)),
        })?;
        if place.stage < Stage::Gradients {
            model.params.lay_out_grads();
        }
        let limits = Limits {
            cutoff: shared.cutoff,
            drop_long: shared.long == "drop",
            history: learns == Learns::LastReplies,
            system: shared.system.clone(),
            pixels: (shared.pixels.from, shared.pixels.to),
            video_pixels: (shared.video_pixels.from, shared.video_pixels.to),
            frames: (shared.frames.from, shared.frames.to),
            fps: shared.fps,
        };
        let mut encoder = Encoder::open(&source, &model.config, limits)?;
        if shared.template.is_some() {
            encoder.speak(Chat::Qwen2Vl);
        }
        Ok(Self { place, source, model, encoder })
    }

    /// Reads, splits and encodes the rows of slot `data` by these columns; rows that cannot be used become fates.
    ///
    /// # Errors
    /// `E0711` when no row with a label is left.
    pub fn sft(&self, cx: &mut Context, shared: &Shared, columns: &Columns) -> Result<Split<Example>, OpError> {
        self.split(cx, "data", shared, columns, |e, _| e.examples.into_iter().next())
    }

    /// Reads, splits and encodes the pairs of slot `pairs`; `given` says that the rows bring the log-probabilities of the reference.
    ///
    /// # Errors
    /// `E0711` when no pair is left; `E0301` for a column that is not there, `E0302` for one without a number.
    pub fn pairs(&self, cx: &mut Context, shared: &Shared, given: bool) -> Result<Pairs<'_>, OpError> {
        let references = if given { Some(rows::references(&cx.table("pairs")?)?) } else { None };
        let Split { rows, held_out, gallery } =
            self.split(cx, "pairs", shared, &Columns::pairs(), |encoded, row| {
                let mut examples = encoded.examples.into_iter();
                let reference = references.as_ref().map_or((0.0, 0.0), |known| known[row]);
                Some(Pair { chosen: examples.next()?, rejected: examples.next()?, reference })
            })?;
        if self.place.group.first() {
            preflight::alike(cx, &rows);
        }
        Ok(Pairs { config: &self.model.config, rows, held_out, gallery, layout: self.layout(cx, None) })
    }

    /// Takes the first `max_rows` of the shuffled rows, holds some out, and encodes them; `make` is told the number of each row in the table.
    fn split<T>(
        &self,
        cx: &mut Context,
        slot: &str,
        shared: &Shared,
        columns: &Columns,
        make: impl Fn(Encoded, usize) -> Option<T>,
    ) -> Result<Split<T>, OpError> {
        let table = cx.table(slot)?;
        let all = rows::read(&table, columns)?;
        if self.encoder.limits.history && !columns.conversations(&table) {
            cx.say("history: true has no effect here: rows of instruction and output have one turn");
        }
        let teaching = shared.amplify.as_ref().map(|a| a.teaching(&table, cx.threads)).transpose()?;
        let mut order: Vec<usize> = (0..all.len()).collect();
        if let Some(most) = shared.max_rows.filter(|&most| most < all.len()) {
            order = permutation(all.len(), cx.seed);
            order.truncate(most);
        }
        let held = match shared.validation {
            Amount::Ratio(part) => rows_of(order.len(), part),
            Amount::Rows(n) => n,
            _ => 0,
        };
        let training = order.len() - held.min(order.len());
        if held > 0 {
            let (train, held) = split(order.len(), held, cx.seed);
            order = train.into_iter().chain(held).map(|place| order[place]).collect();
        }
        let chosen: Vec<TextRow> = order.iter().map(|&i| all[i].clone()).collect();
        let (total, progress) = (chosen.len() as u64, &*cx);
        let told = |done: usize| progress.progress(done as u64, total, "rows encoded");
        let (encoder, group, workers) = (&self.encoder, &self.place.group, machine::workers(cx, self.place.threads));
        group.tell("encodes the rows");
        let shown = shown(&chosen);
        let own: Vec<Shown> = Share::of(group).turns(shown.len()).map(|number| shown[number].clone()).collect();
        let part = |done: usize| told(done * chosen.len() / own.len().max(1));
        let packed = pooled(workers, || encoder.packed(&own, progress.store, &part))??;
        // The other ranks' folders lie in that of rank 0.
        let own = progress.scratch.as_path();
        let folder = if group.first() { own } else { own.parent().unwrap_or(own) };
        let packed = album::exchanged(packed, shown.len(), folder, group)?;
        let (encoded, gallery, lost) = pooled(workers, || encoder.encode_with(&chosen, shown, packed, &told))??;
        cx.counts.insert("read".into(), all.len() as u64);
        cx.counts.insert("dropped".into(), lost.len() as u64);
        cx.counts.insert("cut".into(), encoded.iter().filter(|e| e.cut.is_some()).count() as u64);
        for (encoded, whole) in encoded.iter().filter_map(|e| Some((e, e.cut?))) {
            let kept = encoded.examples.iter().map(|e| e.sample.ids.len()).max().unwrap_or(0);
            let (row, why) = (chosen[encoded.row].name.clone(), format!("{whole} tokens were cut to {kept}"));
            cx.fates.push(Fate { row, what: "cut".into(), why });
        }
        for (row, why) in lost {
            cx.fates.push(Fate { row: chosen[row].name.clone(), what: "dropped".into(), why });
        }
        let (mut rows, mut held_out, mut teachers) = (Vec::new(), Vec::new(), 0);
        for mut encoded in encoded {
            let train = encoded.row < training;
            if train && teaching.as_ref().is_some_and(|t| t[order[encoded.row]]) {
                encoded.examples.iter_mut().for_each(|e| e.sample.teaches = true);
                teachers += 1;
            }
            let side = if train { &mut rows } else { &mut held_out };
            let row = order[encoded.row];
            side.extend(make(encoded, row));
        }
        if rows.is_empty() {
            return Err(OpError::new("E0711", format!("no row with a trainable label is left of {}", all.len()))
                .help("look at the dropped rows with `trace`; a `cutoff` shorter than the prompts leaves no reply"));
        }
        if teaching.is_some() {
            needs_a_teacher(teachers)?;
            cx.counts.insert("amplifier learns from".into(), teachers as u64);
        }
        cx.counts.insert("trained on".into(), rows.len() as u64);
        cx.counts.insert("held out".into(), held_out.len() as u64);
        cx.counts.insert("pictures".into(), gallery.len() as u64);
        Ok(Split { rows, held_out, gallery })
    }

    /// Returns how samples are laid out: as many per forward as `with.micro_batch` says, or as memory allows.
    pub fn layout(&self, cx: &Context, packing: Option<usize>) -> Layout {
        let rows = cx.with.get("micro_batch").and_then(Json::as_u64).map_or(usize::MAX, |n| n.max(1) as usize);
        let budget = if rows == usize::MAX { token_budget(&self.model) } else { usize::MAX };
        let (rows, budget) = self.place.forward(rows, budget);
        Layout { budget, rows, packing, pad: self.encoder.pad() }
    }

    /// Returns the weights and gradients of this rank, shared out as asked for.
    pub fn held(&self) -> Held<'_> {
        let held = if self.place.plan.offload { Held::offloaded } else { Held::new };
        held(&self.model, &self.place.group, self.place.stage)
    }

    /// Runs the loop on what is held and returns its log. Where weights were shared out, rank 0 has them whole in the end, see [`Self::publish`].
    pub fn train<O: Objective>(
        &self,
        cx: &Context,
        shared: &Shared,
        per_device: usize,
        held: Held,
        objective: &O,
    ) -> Result<Trained, OpError> {
        let settings = Settings {
            epochs: shared.epochs,
            max_steps: shared.max_steps,
            batch: shared.batch,
            per_device,
            seed: cx.seed,
            lr: shared.lr,
            schedule: word(&shared.schedule)?,
            warmup: span(shared.warmup),
            floor: shared.floor,
            cooldown: span(shared.cooldown),
            rule: shared.rule(),
            decay: word(&shared.decay)?,
            clip: shared.clip,
            ema: shared.ema,
            evaluate: shared.evaluate.and_then(every),
            best: shared.best,
        };
        let shared_steps = |total: u64| prolong::shared(&cx.args, total);
        let keeps = cx.with.get(KEEP).and_then(Json::as_bool) == Some(true);
        if let Some(why) = prolong::hindrance(&cx.args).filter(|_| keeps && self.place.group.first()) {
            cx.say(&format!("{KEEP}: true has no effect here: {why}"));
        }
        let shorter = self.shorter(cx)?;
        let hooks = Hooks {
            emit: cx.emit,
            cancelled: cx.cancelled,
            checkpoints: cx.checkpoints.as_deref(),
            checkpoint: cx.with.get("checkpoint").and_then(option),
            keep: keeps.then_some(&shared_steps as &dyn Fn(u64) -> u64),
            start: shorter.as_ref().map(|(folder, step)| Start { folder, step: *step }),
            log: cx.with.get("log").and_then(option).map_or(5, |e| if let Every::Steps(n) = e { n } else { 5 }),
            makers: machine::makers(cx, self.place.threads, self.place.device),
            recompute: self.place.plan.recompute,
            threads: self.place.threads,
        };
        let (all, _) = self.model.params.counts();
        let states = if matches!(settings.rule, Rule::AdamW(_)) { 2 } else { 0 };
        let numbers = 1 + states + u64::from(settings.ema.is_some()) + u64::from(settings.best);
        let width = self.model.params.kind().elt_size_in_bytes() as u64;
        let writes = Writes { checkpoint: 4 * numbers * all as u64, result: width * all as u64 };
        if self.place.group.first() {
            preflight::disk(cx, &writes, hooks.checkpoint.is_some(), keeps)?;
        }
        run(held, objective, &settings, &hooks)
    }

    /// Lays out the state of a shorter training, where one is given, as the checkpoint that it was. Returns where, and how many steps are done.
    fn shorter(&self, cx: &Context) -> Result<Option<(PathBuf, u64)>, OpError> {
        let Some(state) = cx.inputs.get(STATE) else { return Ok(None) };
        let Some(step) = state.meta["step"].as_u64() else { return Ok(None) };
        let folder = cx.scratch.join("shorter");
        cx.lay_out(state, &folder.join(folder_of(step)))?;
        Ok(Some((folder, step)))
    }

    /// Writes the model with its companions, and the logs as attachments, as an output, and the state for longer trainings as another where one is kept. Ranks
    /// other than the first have none.
    pub fn publish(mut self, cx: &mut Context, trained: Trained) -> Result<Outputs, OpError> {
        if !self.place.group.first() {
            return Ok(Vec::new());
        }
        let records = &trained.records;
        if let Some(step) = trained.began {
            cx.counts.insert(BEGUN.into(), step);
        }
        let state = trained.kept.and_then(|kept| stored(cx, &kept));
        if let Some(weights_n) = trained.weights_n {
            self.model.params.restore(weights_n);
        }
        let folder = cx.scratch.join("model");
        self.model.save(&folder, &self.source)?;
        log::write(&folder.join("training"), records)?;
        let mut meta = cx.input("m")?.meta.clone();
        if let Some(meta) = meta.as_object_mut() {
            // The training loss is a mean since the last line of the log, and `with` says how often there is one: it stands in the log alone.
            let eval_loss = records.iter().rev().find_map(|r| r.eval_loss);
            let steps = records.last().map_or(0, |r| r.step);
            meta.insert("training".into(), json!({ "steps": steps, "eval_loss": eval_loss }));
            if self.model.value_head.is_some() {
                meta.insert("head".into(), "reward".into());
            }
            if let Some(amplifier) = &self.model.amplifier {
                meta.insert("amplifier".into(), serde_json::to_value(amplifier.strength)?);
            }
        }
        // The log tells clock times: it goes with the model and is no part of what the model is.
        let attached = Some("training".into());
        let model = Output::Folder { kind: ArtifactKind::Model, meta, path: "model".into(), attached };
        let state = state.map(|state| (STATE.to_owned(), Output::Artifact(state)));
        Ok(std::iter::once((String::new(), model)).chain(state).collect())
    }
}

/// Takes the state for longer trainings into the store. Without room for it the training is none the worse.
fn stored(cx: &Context, kept: &Kept) -> Option<Artifact> {
    let files = || -> std::io::Result<BTreeMap<String, FileRef>> {
        let entries = std::fs::read_dir(&kept.path)?.collect::<Result<Vec<_>, _>>()?;
        let file = |entry: std::fs::DirEntry| {
            Ok((entry.file_name().to_string_lossy().into_owned(), cx.store.put_file(&entry.path())?))
        };
        entries.into_iter().map(file).collect()
    };
    match files() {
        Ok(files) => {
            let meta = json!({ "step": kept.step, "per_epoch": kept.per_epoch, "seconds": kept.seconds });
            Some(Artifact { kind: ArtifactKind::State, meta, files })
        }
        Err(e) => {
            cx.say(&format!("no state for longer trainings is kept: {e}"));
            None
        }
    }
}

/// Returns how many tokens one forward and backward may hold: a quarter of the free memory, 8,192 at most, since longer
/// micro-batches are no faster.
fn token_budget(model: &QwenVl) -> usize {
    let text = &model.config.text;
    let per_layer = 8 * text.hidden + 2 * text.kv_heads * text.head_width() + 5 * text.intermediate;
    let per_token = (text.layers as i64 * per_layer + 4 * text.vocab) as f64 * 4.0;
    let free = meminfo("MemAvailable").unwrap_or(4_000_000 * 1024);
    ((free as f64 / 4.0 / per_token) as usize).clamp(512, 8192)
}

fn word<T: DeserializeOwned>(text: &str) -> Result<T, OpError> {
    Ok(serde_json::from_value(Json::from(text))?)
}

fn span(amount: Amount) -> Span {
    match amount {
        Amount::Ratio(r) => Span::Ratio(r),
        Amount::Steps(n) => Span::Steps(n),
        _ => Span::Steps(0),
    }
}

fn every(amount: Amount) -> Option<Every> {
    match amount {
        Amount::Steps(n) => Some(Every::Steps(n)),
        Amount::Duration(s) => Some(Every::Duration(s)),
        _ => None,
    }
}

/// Reads an interval of `with`: steps as a plain number, or tagged with its unit.
fn option(value: &Json) -> Option<Every> {
    if let Some(n) = value.as_u64() {
        return Some(Every::Steps(n));
    }
    serde_json::from_value::<Amount>(value.clone()).ok().and_then(every)
}
