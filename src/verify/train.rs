//! Schedules, orders, both AdamW runs and preference training against the goldens.

use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use serde_json::{Map, Value as Json};
use tch::{Device, Kind, Tensor};

use super::compare::Rows;
use super::forward::{golden_batch, grids, json, take};
use crate::base::OpError;
use crate::dist::Group;
use crate::model::collate::Batch;
use crate::model::qwen_vl::schema;
use crate::model::{Config, QwenVl, weights};
use crate::plan::memory::recompute::Recompute;
use crate::train::adamw::AdamW;
use crate::train::decay::Decay;
use crate::train::dpo::{Logps, Preference, Variant, accuracy_and_margin};
use crate::train::held::Held;
use crate::train::log::Record;
use crate::train::optim::Rule;
use crate::train::order::{deal, epoch_order};
use crate::train::pass::{Pass, WholePass};
use crate::train::preference::{self, Piece};
use crate::train::run::{Hooks, Objective, Settings, StepLoss, Trained, run};
use crate::train::schedule::{Schedule, Shape, Span};
use crate::train::sft::{self, Scaling, Step, Weighting};
use crate::train::shards::Stage;
use crate::train::share::Share;
use crate::train::split::{rows_of, split};

/// Runs these checks.
pub(super) fn check(dir: &Path, device: Device) -> Result<Rows, OpError> {
    let mut rows = Rows::default();
    let golden = json(&dir.join("train.json"))?;
    schedules(&mut rows, &golden);
    orders(&mut rows, &golden);
    decay_lists(&mut rows, dir, &golden, device)?;
    for scaling in [Scaling::MicroMean(2), Scaling::TokenMean] {
        adamw_run(&mut rows, dir, &golden, scaling, device)?;
    }
    for stage in [Stage::None, Stage::Gradients, Stage::Weights] {
        offloaded_run(&mut rows, dir, &golden, stage, device)?;
    }
    preferences(&mut rows, dir, device)?;
    Ok(rows)
}

fn numbers(value: &Json) -> Vec<f64> {
    value.as_array().into_iter().flatten().filter_map(Json::as_f64).collect()
}

fn ordinals(value: &Json) -> Vec<usize> {
    value.as_array().into_iter().flatten().filter_map(|v| v.as_u64().map(|v| v as usize)).collect()
}

fn schedules(rows: &mut Rows, golden: &Json) {
    for (i, table) in golden["lr_tables"].as_array().into_iter().flatten().enumerate() {
        let int = |key: &str| table[key].as_u64().unwrap_or(0);
        let base = table["base"].as_f64().unwrap_or(0.0);
        let schedule =
            Schedule { shape: Shape::Cosine, base, floor: 0.0, warmup: int("warmup"), decay: 0, total: int("total") };
        let ours: Vec<f64> = (1..=int("total")).map(|step| schedule.lr(step)).collect();
        rows.close(
            &format!("train.lr_table{i}"),
            &Tensor::from_slice(&ours),
            &Tensor::from_slice(&numbers(&table["lr"])),
            1e-12,
            0.0,
        );
    }
}

fn orders(rows: &mut Rows, golden: &Json) {
    for (i, case) in golden["sample_order"].as_array().into_iter().flatten().enumerate() {
        let int = |key: &str| case[key].as_u64().unwrap_or(0);
        let (n, seed) = (int("n") as usize, int("seed"));
        let epochs: Vec<Vec<Vec<Vec<usize>>>> = serde_json::from_value(case["epochs"].clone()).unwrap_or_default();
        let ours: Vec<_> = (0..epochs.len() as u64)
            .map(|epoch| deal(&epoch_order(n, seed, epoch), int("per_device_batch") as usize, int("world") as usize))
            .collect();
        rows.equal(&format!("train.sample_order{i}"), &ours, &epochs);
    }
    for (i, case) in golden["val_split"].as_array().into_iter().flatten().enumerate() {
        let int = |key: &str| case[key].as_u64().unwrap_or(0);
        let n = int("n") as usize;
        let held = case["val_size"]
            .as_u64()
            .map_or_else(|| rows_of(n, case["val_size"].as_f64().unwrap_or(0.0)), |k| k as usize);
        let (train, validation) = split(n, held, int("seed"));
        rows.equal(&format!("train.val_split{i}.validation"), &validation, &ordinals(&case["validation"]));
        let first: Vec<usize> = train.iter().take(20).copied().collect();
        rows.equal(&format!("train.val_split{i}.train"), &first, &ordinals(&case["train_first20"]));
    }
}

fn decay_lists(rows: &mut Rows, dir: &Path, golden: &Json, device: Device) -> Result<(), OpError> {
    let model = QwenVl::load(&dir.join("model"), device, Kind::Float)?;
    for (key, wanted) in [("hf_decay_parameters", true), ("hf_no_decay_parameters", false)] {
        let entries = model.params.entries().iter();
        let mut ours: Vec<&str> =
            entries.filter(|e| Decay::Hf.applies(&e.name, e.shape.len()) == wanted).map(|e| e.name.as_str()).collect();
        ours.sort_unstable();
        let mut theirs: Vec<&str> = golden[key].as_array().into_iter().flatten().filter_map(Json::as_str).collect();
        theirs.sort_unstable();
        rows.equal(&format!("train.{key}"), &ours, &theirs);
    }
    Ok(())
}

/// The golden micro-batches as a data set of one step per epoch.
struct Golden {
    dir: PathBuf,
    weighting: Weighting,
}

impl Objective for Golden {
    type Batch = Step;

    fn rows(&self) -> usize {
        4
    }

    fn prepare(&self, _: &[usize], _: Share) -> Result<Step, OpError> {
        let pixels = weights::read(&self.dir.join("processor.safetensors"))?;
        let batches = weights::read(&self.dir.join("batch.safetensors"))?;
        Ok(Step::of((0..2).map(|k| golden_batch(&batches, &pixels, k)).collect::<Result<_, _>>()?))
    }

    fn backward(&self, pass: &mut dyn Pass, step: &Step) -> Result<StepLoss, OpError> {
        sft::backward(pass, step, self.weighting)
    }

    fn evaluate(&self, _: &mut dyn Pass, _: Share) -> Result<(f64, usize), OpError> {
        Ok((0.0, 0))
    }
}

fn settings(golden: &Json, batch: usize) -> Settings {
    let number = |key: &str| golden[key].as_f64().unwrap_or(0.0);
    let betas = numbers(&golden["betas"]);
    Settings {
        epochs: golden["total_steps"].as_f64().unwrap_or(3.0),
        max_steps: None,
        batch,
        per_device: 1,
        seed: 42,
        lr: number("base_lr"),
        schedule: Shape::Cosine,
        warmup: Span::Steps(golden["warmup_steps"].as_u64().unwrap_or(0)),
        floor: 0.0,
        cooldown: Span::Steps(0),
        rule: Rule::AdamW(AdamW {
            betas: (betas.first().copied().unwrap_or(0.9), betas.get(1).copied().unwrap_or(0.999)),
            eps: golden["eps"].as_f64().unwrap_or(1e-8),
            weight_decay: number("weight_decay"),
        }),
        decay: Decay::Hf,
        clip: golden["max_grad_norm"].as_f64().unwrap_or(1.0),
        ema: None,
        evaluate: None,
        best: false,
    }
}

fn train<O: Objective>(model: &mut QwenVl, objective: &O, settings: &Settings) -> Result<Vec<Record>, OpError> {
    model.params.set_trainable(|_| true)?;
    let group = Group::alone();
    Ok(trained(Held::new(model, &group, Stage::None), objective, settings)?.records)
}

fn trained<O: Objective>(held: Held, objective: &O, settings: &Settings) -> Result<Trained, OpError> {
    let cancelled = AtomicBool::new(false);
    let hooks = Hooks {
        emit: &|_, _| {},
        cancelled: &cancelled,
        checkpoints: None,
        checkpoint: None,
        keep: None,
        start: None,
        log: 1,
        makers: 1,
        recompute: Recompute::None,
        threads: 1,
    };
    run(held, objective, settings, &hooks)
}

/// The run by micro-batches again, with the step in main memory, whatever of it stays with the model.
fn offloaded_run(rows: &mut Rows, dir: &Path, golden: &Json, stage: Stage, device: Device) -> Result<(), OpError> {
    let golden = &golden["run_micro_mean"];
    let mut model = QwenVl::load(&dir.join("model"), device, Kind::Float)?;
    model.params.choose(|_| true)?;
    if stage < Stage::Gradients {
        model.params.lay_out_grads();
    }
    let objective = Golden { dir: dir.to_owned(), weighting: Weighting::plain(Scaling::MicroMean(2)) };
    let group = Group::alone_on(device);
    let Trained { records, weights_n, .. } =
        trained(Held::offloaded(&model, &group, stage), &objective, &settings(golden, 4))?;
    let name = |what: &str| format!("train.offload.{}.{what}", stage.name());
    for (ours, theirs) in records.iter().zip(golden["log"].as_array().into_iter().flatten()) {
        let loss = theirs["loss"].as_f64().unwrap_or(f64::NAN);
        rows.number(&name(&format!("step{}.loss", ours.step)), ours.loss.unwrap_or(f64::NAN), loss, 1e-5, 0.0);
    }
    let policy = weights::load(&dir.join("policy"), &schema(&model.config), Kind::Float, Device::Cpu)?;
    let ours = weights_n.unwrap_or_else(|| model.params.flat().to_device(Device::Cpu));
    rows.fraction(&name("weights"), &ours, policy.flat(), 2e-5, 0.0, 0.999);
    rows.close(&name("weights (worst)"), &ours, policy.flat(), 1e-3, 0.0);
    Ok(())
}

fn adamw_run(rows: &mut Rows, dir: &Path, golden: &Json, scaling: Scaling, device: Device) -> Result<(), OpError> {
    let mode = if scaling == Scaling::TokenMean { "token_mean" } else { "micro_mean" };
    let golden = &golden[format!("run_{mode}")];
    let mut model = QwenVl::load(&dir.join("model"), device, Kind::Float)?;
    let objective = Golden { dir: dir.to_owned(), weighting: Weighting::plain(scaling) };
    let records = train(&mut model, &objective, &settings(golden, 4))?;
    let logged = golden["log"].as_array().map_or(0, Vec::len);
    rows.equal(&format!("train.{mode}.steps"), &records.len(), &logged.max(1));
    for (ours, theirs) in records.iter().zip(golden["log"].as_array().into_iter().flatten()) {
        let name = |what: &str| format!("train.{mode}.step{}.{what}", ours.step);
        let number = |key: &str| theirs[key].as_f64().unwrap_or(f64::NAN);
        rows.number(&name("loss"), ours.loss.unwrap_or(f64::NAN), number("loss"), 1e-5, 0.0);
        rows.number(&name("grad_norm"), ours.grad_norm.unwrap_or(f64::NAN), number("grad_norm"), 0.0, 1e-4);
        rows.number(&name("lr"), ours.lr.unwrap_or(f64::NAN), number("lr"), 1e-12, 0.0);
    }
    let norms = golden["final_param_norms"].as_object();
    let (ours, theirs): (Vec<f64>, Vec<f64>) = norms
        .into_iter()
        .flatten()
        .filter_map(|(name, norm)| Some((model.params.get(name)?.norm().double_value(&[]), norm.as_f64()?)))
        .unzip();
    rows.equal(&format!("train.{mode}.param_names"), &ours.len(), &norms.map_or(0, Map::len));
    rows.close(
        &format!("train.{mode}.param_norms"),
        &Tensor::from_slice(&ours),
        &Tensor::from_slice(&theirs),
        0.0,
        1e-4,
    );
    if mode == "micro_mean" {
        let policy = weights::load(&dir.join("policy"), &schema(&model.config), Kind::Float, device)?;
        rows.fraction(&format!("train.{mode}.weights"), model.params.flat(), policy.flat(), 2e-5, 0.0, 0.999);
        rows.close(&format!("train.{mode}.weights (worst)"), model.params.flat(), policy.flat(), 1e-3, 0.0);
    }
    Ok(())
}

/// The golden pairs as a data set of one step per epoch.
struct Pairs {
    dir: PathBuf,
    preference: Preference,
    reference: Vec<(f64, f64)>,
}

impl Objective for Pairs {
    type Batch = preference::Step;

    fn rows(&self) -> usize {
        self.reference.len()
    }

    fn prepare(&self, _: &[usize], _: Share) -> Result<preference::Step, OpError> {
        Ok(preference::Step::of(vec![Piece::halves(pair_batch(&self.dir)?, self.reference.clone())]))
    }

    fn backward(&self, pass: &mut dyn Pass, step: &preference::Step) -> Result<StepLoss, OpError> {
        preference::backward(pass, step, &self.preference)
    }

    fn evaluate(&self, _: &mut dyn Pass, _: Share) -> Result<(f64, usize), OpError> {
        Ok((0.0, 0))
    }
}

fn pair_batch(dir: &Path) -> Result<Batch, OpError> {
    let golden = weights::read(&dir.join("dpo.safetensors"))?;
    let get = |name: &str| take(&golden, name);
    let picture = take(&weights::read(&dir.join("processor.safetensors"))?, "img0.pixel_values_fast")?;
    let attention_mask = get("attention_mask")?;
    let image_grid_thw = grids(&get("image_grid_thw")?);
    let rows = attention_mask.size()[0] as usize;
    Ok(Batch {
        input_ids: get("input_ids")?,
        labels: get("labels")?,
        position_ids: get("position_ids")?,
        pixel_values: Some(picture.repeat([image_grid_thw.len() as i64, 1])),
        image_uses: (0..image_grid_thw.len()).collect(),
        image_grid_thw,
        image_teaches: Vec::new(),
        pixel_values_videos: None,
        video_grid_thw: Vec::new(),
        video_teaches: Vec::new(),
        rope_deltas: vec![0; rows],
        mask: None,
        left_padded: false,
        tokens: attention_mask.sum(Kind::Int64).int64_value(&[]),
        attention_mask,
    })
}

fn absent(what: &str) -> OpError {
    OpError::new("E0501", format!("no golden `{what}`"))
}

fn list(tensor: &Tensor) -> Vec<f64> {
    Vec::try_from(tensor.to_kind(Kind::Double).to_device(Device::Cpu).contiguous().view([-1])).unwrap_or_default()
}

fn preferences(rows: &mut Rows, dir: &Path, device: Device) -> Result<(), OpError> {
    let golden = json(&dir.join("dpo.json"))?;
    let tensors = weights::read(&dir.join("dpo.safetensors"))?;
    let number = |key: &str| golden[key].as_f64().unwrap_or(f64::NAN);
    let config = Config::load(&dir.join("model"))?;
    let policy_params = weights::load(&dir.join("policy"), &schema(&config), Kind::Float, device)?;
    let mut policy = QwenVl::new(config, policy_params);
    let start = QwenVl::load(&dir.join("model"), device, Kind::Float)?;

    let batch = pair_batch(dir)?;
    let nothing = vec![(0.0, 0.0); batch.rope_deltas.len() / 2];
    let piece = Piece::halves(batch, nothing);
    let reference = piece.look(&mut WholePass::new(&start))?;
    let joined = |logps: &Logps| Tensor::cat(&[&logps.chosen, &logps.rejected], 0);
    rows.close("dpo.ref_sum_logps", &joined(&reference), &take(&tensors, "ref_sum_logps")?, 1e-4, 0.0);
    let reference: Vec<(f64, f64)> = list(&reference.chosen).into_iter().zip(list(&reference.rejected)).collect();
    let piece = Piece::halves(pair_batch(dir)?, reference.clone());

    let sigmoid = Preference {
        variant: Variant::Sigmoid,
        beta: number("beta"),
        gamma: number("simpo_gamma"),
        smoothing: 0.0,
        sft: 0.0,
    };
    let logps = piece.look(&mut WholePass::new(&policy))?;
    let outcome = piece.outcome(&logps, &sigmoid);
    rows.close("dpo.policy_sum_logps", &joined(&logps), &take(&tensors, "policy_sum_logps")?, 1e-4, 0.0);
    rows.close("dpo.sigmoid_losses", &outcome.losses, &take(&tensors, "sigmoid_losses")?, 1e-5, 0.0);
    rows.close("dpo.rewards_chosen", &outcome.chosen_rewards, &take(&tensors, "rewards_chosen")?, 1e-5, 0.0);
    rows.close("dpo.rewards_rejected", &outcome.rejected_rewards, &take(&tensors, "rewards_rejected")?, 1e-5, 0.0);
    let (accuracy, margin) = accuracy_and_margin(&outcome);
    rows.number("dpo.margin", margin, number("margin"), 1e-5, 0.0);
    rows.number("dpo.accuracy", accuracy, number("accuracy"), 0.0, 0.0);

    let variants = [
        ("sigmoid", sigmoid, &golden["variants"]["sigmoid"]),
        (
            "sigmoid@label_smoothing=0.1",
            Preference { smoothing: 0.1, ..sigmoid },
            &golden["variants"]["sigmoid@label_smoothing=0.1"],
        ),
        ("hinge", Preference { variant: Variant::Hinge, ..sigmoid }, &golden["variants"]["hinge"]),
        ("ipo", Preference { variant: Variant::Ipo, ..sigmoid }, &golden["variants"]["ipo"]),
        ("simpo", Preference { variant: Variant::Simpo, ..sigmoid }, &golden["variants"]["simpo"]),
        ("orpo", Preference { variant: Variant::Orpo, ..sigmoid }, &golden["variants"]["orpo"]),
        ("sigmoid+0.3sft", Preference { sft: 0.3, ..sigmoid }, &golden["sigmoid_plus_0.3_sft"]),
    ];
    for (name, preference, theirs) in variants {
        let losses = piece.outcome(&logps, &preference).losses;
        let ours = losses.mean(Kind::Float).double_value(&[]);
        rows.number(&format!("dpo.variant.{name}"), ours, theirs.as_f64().unwrap_or(f64::NAN), 1e-5, 1e-6);
    }

    policy.params.set_trainable(|_| true)?;
    policy.params.zero_grad();
    preference::backward(&mut WholePass::new(&policy), &preference::Step::of(vec![piece]), &sigmoid)?;
    let total = policy.params.grad().map_or(f64::NAN, |g| g.norm().double_value(&[]));
    rows.number("dpo.total_grad_norm", total, number("total_grad_norm"), 0.0, 1e-4);
    let (ours, theirs): (Vec<f64>, Vec<f64>) = golden["grad_norm_per_param"]
        .as_object()
        .into_iter()
        .flatten()
        .filter_map(|(name, norm)| Some((policy.params.grad_of(name)?.norm().double_value(&[]), norm.as_f64()?)))
        .unzip();
    rows.equal("dpo.param_names", &ours.len(), &golden["grad_norm_per_param"].as_object().map_or(0, Map::len));
    rows.close("dpo.grad_norm_per_param", &Tensor::from_slice(&ours), &Tensor::from_slice(&theirs), 1e-6, 1e-4);

    // Its name holds the rate: `steps_lr5e-4`.
    let named = |(name, steps): (&String, &Json)| Some((name.strip_prefix("steps_lr")?.parse().ok()?, steps.clone()));
    let (lr, steps): (f64, Json) =
        golden.as_object().into_iter().flatten().find_map(named).ok_or_else(|| absent("steps_lr*"))?;
    let steps = steps.as_array().cloned().unwrap_or_default();
    let pairs = reference.len();
    let settings =
        Settings { epochs: steps.len() as f64, lr, schedule: Shape::Constant, ..settings(&Json::Null, pairs) };
    let objective = Pairs { dir: dir.to_owned(), preference: sigmoid, reference };
    let records = train(&mut policy, &objective, &settings)?;
    rows.equal("dpo.steps", &records.len(), &steps.len().max(1));
    for (ours, theirs) in records.iter().zip(&steps) {
        let name = |what: &str| format!("dpo.step{}.{what}", ours.step);
        let number = |key: &str| theirs[key].as_f64().unwrap_or(f64::NAN);
        let measure = |name: &str| ours.measures.iter().find(|(n, _)| n == name).map_or(f64::NAN, |(_, v)| *v);
        rows.number(&name("loss"), ours.loss.unwrap_or(f64::NAN), number("loss"), 1e-5, 0.0);
        rows.number(&name("grad_norm"), ours.grad_norm.unwrap_or(f64::NAN), number("grad_norm"), 0.0, 1e-4);
        rows.number(&name("margin"), measure("rewards/margins"), number("margin"), 1e-4, 0.0);
    }
    Ok(())
}
