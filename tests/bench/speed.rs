//! Our half of `tests/bench/train.py`: trains and decodes the model and batch of `peers/train_hf.py`, and prints times, losses and tokens as JSON.
//!
//! `speed train|decode MODEL BATCH.json fp32|bf16 STEPS|TOKENS`

use std::path::Path;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use rbpipe::base::OpError;
use rbpipe::dist::Group;
use rbpipe::model::collate::{Padding, Pixels, Sample, collate};
use rbpipe::model::{Config, QwenVl, keep_memory, set_threads};
use rbpipe::model::{Decoding, generate};
use rbpipe::plan::memory::recompute::Recompute;
use rbpipe::train::adamw::AdamW;
use rbpipe::train::decay::Decay;
use rbpipe::train::held::Held;
use rbpipe::train::optim::Rule;
use rbpipe::train::pass::Pass;
use rbpipe::train::run::{self, Hooks, Objective, Settings, StepLoss};
use rbpipe::train::schedule::{Shape, Span};
use rbpipe::train::sft::{self, Scaling, Step, Weighting};
use rbpipe::train::shards::Stage;
use rbpipe::train::share::Share;
use serde_json::{Value as Json, json};
use tch::{Device, Kind};

/// What a row of the batch is filled up with; no row of it is short.
const PAD: i64 = 0;
/// Steps before those that are timed.
const WARM_UP: usize = 3;

fn main() {
    let args: Vec<String> = std::env::args().skip(1).filter(|a| a != "--bench").collect();
    let [mode, model, batch, dtype, amount] = &args[..] else { panic!("see the head of tests/bench/speed.rs") };
    keep_memory();
    set_threads(1);
    let kind = if dtype == "bf16" { Kind::BFloat16 } else { Kind::Float };
    let batch: Json = serde_json::from_str(&std::fs::read_to_string(batch).expect("the batch")).expect("JSON");
    let model = QwenVl::load(Path::new(model), Device::Cpu, kind).expect("the model");
    let amount = amount.parse().expect("a number");
    let said = if mode == "train" { train(model, &batch, amount) } else { decode(&model, &batch, amount) };
    println!("{said}");
}

/// The same rows at every step, and when each step began.
struct Rows<'a> {
    config: &'a Config,
    samples: Vec<Sample>,
    seen: Mutex<Vec<(f64, Instant, f64)>>,
}

impl Objective for Rows<'_> {
    type Batch = Step;

    fn rows(&self) -> usize {
        self.samples.len()
    }

    fn prepare(&self, _rows: &[usize], _share: Share) -> Result<Step, OpError> {
        let samples: Vec<&Sample> = self.samples.iter().collect();
        Ok(Step::of(vec![collate(self.config, &samples, Padding::right(PAD))?]))
    }

    fn backward(&self, pass: &mut dyn Pass, step: &Step) -> Result<StepLoss, OpError> {
        let began = (cpu_seconds(), Instant::now());
        let given = sft::backward(pass, step, Weighting::plain(Scaling::TokenMean))?;
        self.seen.lock().expect("one thread").push((began.0, began.1, given.loss));
        Ok(given)
    }

    fn evaluate(&self, _pass: &mut dyn Pass, _share: Share) -> Result<(f64, usize), OpError> {
        Ok((0.0, 0))
    }
}

fn train(mut model: QwenVl, batch: &Json, steps: usize) -> Json {
    model.params.set_trainable(|_| true).expect("all of it");
    let rows = Rows { config: &model.config, samples: samples(batch), seen: Mutex::default() };
    let count = rows.samples.len();
    let settings = Settings {
        // One more than are asked for: a step ends where the next begins.
        epochs: (WARM_UP + steps + 1) as f64,
        max_steps: None,
        batch: count,
        per_device: count,
        seed: 0,
        lr: batch["lr"].as_f64().expect("a rate"),
        schedule: Shape::Constant,
        warmup: Span::Steps(0),
        floor: 0.0,
        cooldown: Span::Steps(0),
        rule: Rule::AdamW(AdamW { betas: (0.9, 0.999), eps: 1e-8, weight_decay: 0.0 }),
        decay: Decay::Hf,
        clip: 1.0,
        ema: None,
        evaluate: None,
        best: false,
    };
    let (cancelled, alone) = (AtomicBool::new(false), Group::alone());
    let hooks = Hooks {
        emit: &|_, _| (),
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
    run::run(Held::new(&model, &alone, Stage::None), &rows, &settings, &hooks).expect("trains");
    let seen = rows.seen.into_inner().expect("one thread");
    let cpu: Vec<f64> = seen.windows(2).skip(WARM_UP).map(|w| w[1].0 - w[0].0).collect();
    let wall: Vec<f64> = seen.windows(2).skip(WARM_UP).map(|w| (w[1].1 - w[0].1).as_secs_f64()).collect();
    let tokens: usize = rows.samples.iter().map(|s| s.ids.len()).sum();
    json!({
        "tokens_per_step": tokens,
        "step_cpu_s_median": median(&cpu),
        "step_s_median": median(&wall),
        "tokens_per_cpu_s": tokens as f64 * cpu.len() as f64 / cpu.iter().sum::<f64>(),
        "losses": seen[..WARM_UP + steps].iter().map(|s| s.2).collect::<Vec<_>>(),
        "peak_rss_mib": peak_mib(),
    })
}

fn decode(model: &QwenVl, batch: &Json, tokens: usize) -> Json {
    let mut prompt = samples(batch).swap_remove(0);
    prompt.ids.truncate(batch["prompt_len"].as_u64().expect("a length") as usize);
    prompt.labels.truncate(prompt.ids.len());
    let once = |rows: usize, tokens: usize| {
        let prompts = vec![prompt.clone(); rows];
        let began = (cpu_seconds(), Instant::now());
        let options = Decoding { batch: rows, ..Decoding::greedy(tokens, Vec::new(), PAD) };
        let replies = generate(model, &prompts, &options, |_| ()).expect("decodes");
        (cpu_seconds() - began.0, began.1.elapsed().as_secs_f64(), replies)
    };
    let mut out = json!({});
    for rows in [1, 8] {
        once(rows, 4);
        let (first_cpu, first_wall, _) = once(rows, 1);
        let (cpu, wall, replies) = once(rows, tokens);
        let made = (rows * (tokens - 1)) as f64;
        out[rows.to_string()] = json!({
            "prefill_cpu_s": first_cpu,
            "decode_tokens_per_s": made / (wall - first_wall),
            "decode_tokens_per_cpu_s": made / (cpu - first_cpu),
            "first8": replies[0].ids[..8],
        });
    }
    out["peak_rss_mib"] = json!(peak_mib());
    out
}

fn samples(batch: &Json) -> Vec<Sample> {
    let numbers = |json: &Json| -> Vec<i64> { serde_json::from_value(json.clone()).expect("numbers") };
    let rows = batch["input_ids"].as_array().expect("rows");
    let (seed, dim) = (batch["pixel_seed"].as_u64().expect("a seed"), batch["pixel_dim"].as_u64().expect("a width"));
    let mut first = 0;
    let mut sample = |(row, ids): (usize, &Json)| {
        let grid: [i64; 3] = serde_json::from_value(batch["image_grid_thw"][row].clone()).expect("a grid");
        let values = (grid.iter().product::<i64>() as u64) * dim;
        let pixel = |i: u64| (((i + seed) * 2_654_435_761) % (1 << 32)) as f64 / f64::from(1u32 << 31) - 1.0;
        let pixels = Pixels { values: (first..first + values).map(|i| pixel(i) as f32).collect(), grid, seconds: 0.0 };
        first += values;
        Sample {
            name: row.to_string(),
            ids: numbers(ids),
            labels: numbers(&batch["labels"][row]),
            images: vec![Arc::new(pixels)],
            ..Sample::default()
        }
    };
    rows.iter().enumerate().map(&mut sample).collect()
}

fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}

/// Processor seconds of this process, all its threads.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the clock writes into the struct that it is given.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 / 1e9
}

fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("Linux");
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).expect("the line");
    line.trim().split(' ').next().expect("a number").parse::<u64>().expect("a number") / 1024
}
