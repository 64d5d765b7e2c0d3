//! Training: numbers against the goldens, preference losses by hand, resume, and what a bad run says.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use rbpipe::base::OpError;
use rbpipe::dist::Group;
use rbpipe::model::collate::{IGNORE, Padding, Sample, collate};
use rbpipe::model::params::Entry;
use rbpipe::model::{QwenVl, guard};
use rbpipe::plan::memory::recompute::Recompute;
use rbpipe::train::adafactor::{Adafactor, Factors};
use rbpipe::train::adamw::AdamW;
use rbpipe::train::decay::Decay;
use rbpipe::train::dpo::{Logps, Preference, Variant};
use rbpipe::train::held::Held;
use rbpipe::train::log::{Record, clock, trainer_line};
use rbpipe::train::optim::Rule;
use rbpipe::train::pass::Pass;
use rbpipe::train::reward::Scores;
use rbpipe::train::run::{Every, Hooks, Objective, Settings, StepLoss, run};
use rbpipe::train::schedule::{Schedule, Shape, Span};
use rbpipe::train::sft::{self, Scaling, Step, Weighting};
use rbpipe::train::shards::{Shards, Stage};
use rbpipe::train::share::Share;
use rbpipe::train::transfer;
use serde_json::Value as Json;
use tch::{Device, Kind, Tensor, no_grad};

fn goldens() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/goldens/dev"))
}

#[test]
fn numbers_match_the_goldens() {
    let rows = rbpipe::verify::verify(goldens(), tch::Device::Cpu).expect("the goldens are there");
    let bad: Vec<_> =
        rows.iter().filter(|r| !r.ok && (r.name.starts_with("train") || r.name.starts_with("dpo"))).cloned().collect();
    assert!(bad.is_empty(), "{}", rbpipe::verify::table(&bad));
    assert!(rows.iter().filter(|r| r.name.starts_with("dpo.")).count() > 20);
}

/// Text of some length as a training set: each row teaches to repeat a token.
struct Echo {
    dir: std::path::PathBuf,
    /// After so many steps someone asks the run to stop.
    stop_after: Option<u64>,
    steps: AtomicU64,
    cancelled: AtomicBool,
}

impl Objective for Echo {
    type Batch = Step;

    fn rows(&self) -> usize {
        6
    }

    fn prepare(&self, rows: &[usize], _: Share) -> Result<Step, OpError> {
        let config = rbpipe::model::Config::load(&self.dir)?;
        let sample = |&row: &usize| {
            let word = 40 + row as i64;
            let ids = vec![505, word, word + 100, word, 506];
            let labels = vec![IGNORE, IGNORE, word + 100, word, 506];
            Sample { name: row.to_string(), ids, labels, ..Sample::default() }
        };
        let samples: Vec<Sample> = rows.iter().map(sample).collect();
        let batch = collate(&config, &samples.iter().collect::<Vec<_>>(), Padding::right(504))?;
        Ok(Step::of(vec![batch]))
    }

    fn backward(&self, pass: &mut dyn Pass, step: &Step) -> Result<StepLoss, OpError> {
        if self.stop_after == Some(self.steps.fetch_add(1, Ordering::Relaxed) + 1) {
            self.cancelled.store(true, Ordering::Relaxed);
        }
        sft::backward(pass, step, Weighting::plain(Scaling::TokenMean))
    }

    fn evaluate(&self, _: &mut dyn Pass, _: Share) -> Result<(f64, usize), OpError> {
        Ok((0.0, 0))
    }
}

fn settings(steps: u64) -> Settings {
    Settings {
        epochs: 100.0,
        max_steps: Some(steps),
        batch: 4,
        per_device: 1,
        seed: 7,
        lr: 3e-3,
        schedule: Shape::Cosine,
        warmup: Span::Ratio(0.1),
        floor: 0.1,
        cooldown: Span::Steps(0),
        rule: Rule::AdamW(AdamW { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.01 }),
        decay: Decay::Matrices,
        clip: 1.0,
        ema: Some(0.9),
        evaluate: None,
        best: false,
    }
}

struct Outcome {
    records: Result<Vec<Record>, OpError>,
    weights: Tensor,
}

fn train(kind: Kind, settings: &Settings, checkpoints: Option<&Path>, stop_after: Option<u64>) -> Outcome {
    train_held((kind, Stage::None, false), settings, checkpoints, stop_after)
}

/// As [`train`], with weights and states shared out by one rank alone, and perhaps offloaded.
fn train_held(
    (kind, stage, offload): (Kind, Stage, bool),
    settings: &Settings,
    checkpoints: Option<&Path>,
    stop_after: Option<u64>,
) -> Outcome {
    rbpipe::model::set_threads(1);
    let dir = goldens().join("model");
    let mut model = QwenVl::load(&dir, Device::Cpu, kind).expect("the golden model loads");
    model.params.choose(|_| true).expect("all of it");
    if stage < Stage::Gradients {
        model.params.lay_out_grads();
    }
    let echo = Echo { dir, stop_after, steps: AtomicU64::new(0), cancelled: AtomicBool::new(false) };
    let every = checkpoints.map(|_| Every::Steps(3));
    let group = Group::alone();
    let hooks = Hooks {
        emit: &|_, _| (),
        cancelled: &echo.cancelled,
        checkpoints,
        checkpoint: every,
        keep: None,
        start: None,
        log: 1,
        makers: 2,
        recompute: Recompute::None,
        threads: 1,
    };
    let held = if offload { Held::offloaded } else { Held::new }(&model, &group, stage);
    if offload {
        let own = [held.weights_m.data_ptr(), held.grads_m.data_ptr()];
        let theirs = [Some(model.params.flat()), model.params.grad()].map(|t| t.map(Tensor::data_ptr));
        assert!(own.iter().all(|own| !theirs.contains(&Some(*own))), "the step has memory of its own");
    }
    let (records, weights) = match run(held, &echo, settings, &hooks) {
        Ok(trained) => (Ok(trained.records), trained.weights_n),
        Err(e) => (Err(e), None),
    };
    Outcome { records, weights: weights.unwrap_or_else(|| model.params.flat().copy()) }
}

fn losses(outcome: Outcome) -> Vec<f64> {
    outcome.records.expect("the run ends").iter().filter_map(|r| r.loss).collect()
}

#[test]
fn a_stopped_run_goes_on_bit_for_bit() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = train(Kind::Float, &settings(12), None, None);
    let stopped = train(Kind::Float, &settings(12), Some(folder.path()), Some(5));
    let error = stopped.records.expect_err("it was stopped");
    assert_eq!(error.class, "preempted", "{error}");
    let resumed = train(Kind::Float, &settings(12), Some(folder.path()), None);
    assert_eq!(resumed.weights, whole.weights);
    assert_eq!(losses(resumed), losses(whole));
}

/// What the step reads and writes lies apart from the model then: the same numbers, and checkpoints that either goes on from.
#[test]
fn offloaded_states_change_no_bit() {
    let adafactor =
        Settings { rule: Rule::Adafactor(Adafactor { weight_decay: 0.1 }), lr: 1e-3, best: true, ..settings(8) };
    for kind in [Kind::Float, Kind::BFloat16] {
        for stage in [Stage::None, Stage::Optimizer, Stage::Gradients, Stage::Weights] {
            for settings in [&settings(8), &adafactor] {
                let usual = train_held((kind, stage, false), settings, None, None);
                let ours = train_held((kind, stage, true), settings, None, None);
                assert_eq!(ours.weights, usual.weights, "{kind:?}, {stage:?}, {:?}", settings.rule);
                assert_eq!(losses(ours), losses(usual));
            }
        }
        let folder = tempfile::tempdir().expect("a folder");
        let whole = train(kind, &settings(8), None, None);
        let stopped = train_held((kind, Stage::None, true), &settings(8), Some(folder.path()), Some(5));
        assert_eq!(stopped.records.expect_err("it was stopped").class, "preempted");
        assert_eq!(train(kind, &settings(8), Some(folder.path()), None).weights, whole.weights);
    }
}

/// Added up in f32 from one end to the other, the last digits of so many squares are lost.
#[test]
fn the_norm_of_a_large_buffer_is_that_of_f64() {
    for m in [0, 5, 4096, 9_000_001] {
        let buffer_m = guard::seeded(3, || Tensor::randn([m], (Kind::Float, Device::Cpu))) * 1e-3;
        let exact = buffer_m.to_kind(Kind::Double).norm().double_value(&[]);
        let ours = transfer::norm(&buffer_m);
        assert!((ours - exact).abs() <= 1e-6 * exact, "{m}: {ours}, {exact}");
    }
}

#[test]
fn a_broken_checkpoint_is_passed_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let whole = train(Kind::Float, &settings(9), Some(folder.path()), None);
    let newest = folder.path().join("step-00000006/rank-0000.safetensors");
    let bytes = std::fs::read(&newest).expect("two checkpoints are kept");
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).expect("it can be cut");
    let again = train(Kind::Float, &settings(9), Some(folder.path()), None);
    assert_eq!(again.weights, whole.weights);
}

#[test]
fn a_tiny_set_is_learned() {
    for kind in [Kind::Float, Kind::BFloat16] {
        let losses = losses(train(kind, &settings(40), None, None));
        assert!(losses[39] < 0.25 * losses[0], "{kind:?}: {} to {}", losses[0], losses[39]);
    }
}

#[test]
fn memory_that_is_not_there_is_an_error_of_its_own_class() {
    rbpipe::model::keep_memory();
    // More than any machine's address space has.
    let error = guard("a step", || Tensor::empty([1 << 46], (Kind::Float, Device::Cpu))).expect_err("there is less");
    assert!(error.class == "oom" && error.help.is_some() && error.message.contains("not enough memory"), "{error:?}");
}

#[test]
fn memory_waits_for_tensors_of_its_size() {
    rbpipe::model::keep_memory();
    // Values survive reuse by other sizes and other threads.
    let work = |seed: i64| {
        let mut sum = 0.0;
        for step in 0..40_i64 {
            let n = (1 << 17) + (step % 5) * 70_000 + seed;
            let a = Tensor::full([n], step as f64, (Kind::Float, Device::Cpu));
            let b = Tensor::ones([n / 2], (Kind::Float, Device::Cpu));
            drop(a.narrow(0, 0, 1).shallow_clone());
            sum += a.mean(Kind::Double).double_value(&[]) + b.mean(Kind::Double).double_value(&[]);
        }
        sum
    };
    let all = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|seed| scope.spawn(move || work(seed))).collect();
        threads.into_iter().map(|t| t.join().expect("ends")).collect::<Vec<f64>>()
    });
    assert_eq!(all, vec![(0..40).sum::<i64>() as f64 + 40.0; 4]);
}

#[test]
fn a_loss_that_is_no_number_stops_the_run() {
    let mad = Settings { lr: f64::INFINITY, ema: None, clip: 0.0, ..settings(8) };
    let error = train(Kind::Float, &mad, None, None).records.expect_err("it cannot end well");
    assert_eq!(error.code, "E0710");
    assert!(error.message.contains("at step"), "{error}");
}

#[test]
fn preference_losses_by_hand() {
    // One pair: log pi(chosen) = -2, log pi(rejected) = -3, reference -2.5 both; 2 and 4 reply tokens. Delta = 1.
    let policy = Logps { chosen: Tensor::from_slice(&[-2.0_f32]), rejected: Tensor::from_slice(&[-3.0_f32]) };
    let reference = Logps { chosen: Tensor::from_slice(&[-2.5_f32]), rejected: Tensor::from_slice(&[-2.5_f32]) };
    let (two, four) = (Tensor::from_slice(&[2.0_f32]), Tensor::from_slice(&[4.0_f32]));
    let plain = Preference { variant: Variant::Sigmoid, beta: 0.5, gamma: 0.5, smoothing: 0.0, sft: 0.0 };
    let table = [
        (plain, (1.0 + (-0.5_f64).exp()).ln()),
        (
            Preference { smoothing: 0.2, ..plain },
            0.8 * (1.0 + (-0.5_f64).exp()).ln() + 0.2 * (1.0 + 0.5_f64.exp()).ln(),
        ),
        (Preference { variant: Variant::Hinge, ..plain }, 0.5),
        // Per token: (-1 - -0.75) - (-1.25 - -0.625) = 0.375; minus 1 / (2 beta) = 1.
        (Preference { variant: Variant::Ipo, ..plain }, 0.390_625),
        // 0.5 * (-1 - -0.75 - 1) = -0.625.
        (Preference { variant: Variant::Simpo, ..plain }, (1.0 + 0.625_f64.exp()).ln()),
        (Preference { variant: Variant::Orpo, ..plain }, {
            let odds = |p: f64| p - (1.0 - p.exp()).ln();
            1.0 + 0.5 * (1.0 + (-(odds(-1.0) - odds(-0.75))).exp()).ln()
        }),
        (Preference { sft: 0.3, ..plain }, (1.0 + (-0.5_f64).exp()).ln() + 0.3),
    ];
    for (preference, wanted) in table {
        let outcome = preference.losses(&policy, &reference, &two, &four);
        let found = outcome.losses.double_value(&[0]);
        assert!((found - wanted).abs() < 1e-6, "{preference:?}: {found}, by hand {wanted}");
    }
    let rewards = plain.losses(&policy, &reference, &two, &four);
    assert_eq!((rewards.chosen_rewards.double_value(&[0]), rewards.rejected_rewards.double_value(&[0])), (0.25, -0.25));
}

#[test]
fn ranking_losses_by_hand() {
    let scores = Scores { chosen: Tensor::from_slice(&[1.5_f32, -1.0]), rejected: Tensor::from_slice(&[0.5_f32, 1.0]) };
    for (center, wanted) in [
        (0.0, [(1.0 + (-1.0_f64).exp()).ln(), (1.0 + 2.0_f64.exp()).ln()]),
        (0.1, [(1.0 + (-1.0_f64).exp()).ln() + 0.4, (1.0 + 2.0_f64.exp()).ln()]),
    ] {
        let losses = scores.losses(center);
        for (i, wanted) in wanted.into_iter().enumerate() {
            let found = losses.double_value(&[i as i64]);
            assert!((found - wanted).abs() < 1e-6, "{center}, pair {i}: {found}, by hand {wanted}");
        }
    }
}

#[test]
fn schedules_end_where_they_should() {
    let of = |shape, floor| Schedule { shape, base: 1.0, floor, warmup: 2, decay: 4, total: 10 };
    let rates = |shape, floor| (1..=10).map(|k| of(shape, floor).lr(k)).collect::<Vec<_>>();
    assert_eq!(rates(Shape::Constant, 0.0), [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
    assert_eq!(rates(Shape::Linear, 0.0), [0.0, 0.5, 1.0, 0.875, 0.75, 0.625, 0.5, 0.375, 0.25, 0.125]);
    assert_eq!(rates(Shape::Wsd, 0.0), [0.0, 0.5, 1.0, 1.0, 1.0, 1.0, 1.0, 0.75, 0.5, 0.25]);
    assert!(rates(Shape::Cosine, 0.2).iter().skip(2).all(|&rate| rate >= 0.2));
}

#[test]
fn the_log_line_is_the_reference_trainers() {
    let record = Record {
        step: 5,
        total: 93,
        loss: Some(5.701_349),
        lr: Some(1.0000000000000002e-06),
        epoch: 40.0 / 243.0,
        tokens: 1_614_784,
        seconds: 123.2,
        ..Record::default()
    };
    let line = trainer_line(&record).to_string();
    assert_eq!(
        line,
        r#"{"current_steps":5,"total_steps":93,"loss":5.7013,"lr":1.0000000000000002e-6,"epoch":0.1646090534979424,"percentage":5.38,"elapsed_time":"0:02:03","remaining_time":"0:36:08","throughput":13107.01,"total_tokens":1614784}"#
    );
    assert_eq!(clock(93_784.0), "1 day, 2:03:04");
}

fn numbers(value: &Json) -> Vec<f64> {
    value.as_array().expect("a list").iter().map(|v| v.as_f64().expect("a number")).collect()
}

fn optimizers(file: &str) -> Json {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/goldens/optimizers").join(file);
    serde_json::from_str(&std::fs::read_to_string(path).expect("a golden file")).expect("JSON")
}

#[test]
fn schedules_are_those_of_transformers() {
    let tables = optimizers("schedules.json");
    for table in tables.as_array().expect("a list") {
        let int = |key: &str| table[key].as_u64().expect("a number");
        let shape = match table["name"].as_str().expect("a name") {
            "linear" => Shape::Linear,
            "constant_with_warmup" => Shape::Constant,
            "warmup_stable_decay" => Shape::Wsd,
            _ => Shape::Cosine,
        };
        let (base, floor) = (table["base"].as_f64().expect("a rate"), table["floor"].as_f64().expect("a part"));
        let schedule = Schedule { shape, base, floor, warmup: int("warmup"), decay: int("decay"), total: int("total") };
        for (step, theirs) in (1..).zip(numbers(&table["lr"])) {
            let ours = schedule.lr(step);
            assert!((ours - theirs).abs() < 1e-12 * base.max(1.0), "{table}: step {step} is {ours}");
        }
    }
}

/// Single weights by gradients that are written down as a formula.
#[test]
fn adafactor_changes_weights_as_that_of_transformers() {
    let golden = optimizers("adafactor.json");
    for case in golden["weights"].as_array().expect("a list") {
        let shape: Vec<i64> = numbers(&case["shape"]).iter().map(|&n| n as i64).collect();
        let n: i64 = shape.iter().product();
        let entry = Entry { name: "weight".into(), shape: shape.clone(), offset: 0, trainable: true };
        let rule = Adafactor { weight_decay: case["weight_decay"].as_f64().expect("a rate") };
        let at = Tensor::arange(n, (Kind::Double, Device::Cpu));
        let weights_n = (&at * 0.7).sin().to_kind(Kind::Float);
        let shards = Shards::whole(n);
        let mut factors = Factors::new(rule, std::slice::from_ref(&entry), Decay::Matrices, &shards, 0, Device::Cpu);
        for (step, after) in (1..).zip(case["after"].as_array().expect("a list")) {
            let grads_n = ((&at * 0.3 + f64::from(step)).cos() * 10f64.powi(step - 3)).to_kind(Kind::Float);
            factors.step(&weights_n, &grads_n, case["lr"].as_f64().expect("a rate"), None).expect("nobody else");
            let ours = Vec::<f64>::try_from(weights_n.to_kind(Kind::Double)).expect("numbers");
            for (ours, theirs) in ours.iter().zip(numbers(after)) {
                assert!((ours - theirs).abs() < 2e-6, "{shape:?}, step {step}: {ours}, {theirs}");
            }
        }
    }
}

#[test]
fn adafactor_trains_as_that_of_transformers() {
    let golden = &optimizers("adafactor.json")["training"];
    let steps = golden["steps"].as_u64().expect("a number");
    let number = |key: &str| golden[key].as_f64().expect("a number");
    let settings = Settings {
        batch: 6,
        lr: number("lr"),
        schedule: Shape::Constant,
        warmup: Span::Steps(0),
        rule: Rule::Adafactor(Adafactor { weight_decay: number("weight_decay") }),
        clip: 0.0,
        ema: None,
        ..settings(steps)
    };
    let outcome = train(Kind::Float, &settings, None, None);
    let model = QwenVl::load(&goldens().join("model"), Device::Cpu, Kind::Float).expect("the golden model loads");
    no_grad(|| model.params.flat().shallow_clone().copy_(&outcome.weights));
    // Attention does not see a bias of all keys: its gradients are rounding, which this rule brings to the size of all others.
    let seen = |name: &str| !name.ends_with("k_proj.bias");
    for (name, norm) in golden["norms"].as_object().expect("norms").iter().filter(|(name, _)| seen(name)) {
        let ours = model.params.get(name).unwrap_or_else(|| panic!("no {name}")).norm().double_value(&[]);
        let theirs = norm.as_f64().expect("a number");
        assert!((ours - theirs).abs() < 1e-4 * theirs.max(0.1), "{name}: {ours}, {theirs}");
    }
    let (ours, theirs) = (losses(outcome), numbers(&golden["loss"]));
    assert_eq!(ours.len(), theirs.len());
    for (ours, theirs) in ours.iter().zip(&theirs) {
        assert!((ours - theirs).abs() < 1e-4, "{ours}, {theirs}");
    }
}
