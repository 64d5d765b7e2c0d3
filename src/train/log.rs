//! What a training run writes down: the reference trainer's log line, our richer one, and the loss plot.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value as Json, json};

use crate::data::plot::{Frame, Series, lines};
use crate::engine::capacity::kernel_bytes;

/// One line of the log: the state of the run at a step that is logged or evaluated.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Optimizer steps done.
    pub step: u64,
    /// Optimizer steps in all.
    pub total: u64,
    /// Mean training loss since the last line, in nats per labelled token (SFT) or per pair (DPO).
    pub loss: Option<f64>,
    /// Mean loss on the validation rows.
    pub eval_loss: Option<f64>,
    /// Learning rate that the step used.
    pub lr: Option<f64>,
    /// Global gradient norm of the step before clipping.
    pub grad_norm: Option<f64>,
    /// Mean preference measures since the last line, such as `rewards/accuracies`.
    pub measures: Vec<(String, f64)>,
    /// Epochs done.
    pub epoch: f64,
    /// Input tokens seen, media tokens included, padding not.
    pub tokens: u64,
    /// Seconds of training, over all attempts.
    pub seconds: f64,
    /// Mean seconds per step that the model waited for its batch since the last line.
    #[serde(default)]
    pub data_wait: Option<f64>,
    /// Floating-point operations a second of all ranks since the last line.
    #[serde(default)]
    pub flops: Option<f64>,
    /// Their share of what the ranks' GPUs can do at most, 0 to 1; none where that is not known.
    #[serde(default)]
    pub mfu: Option<f64>,
    /// Peak resident memory of the process, bytes.
    pub rss: u64,
}

/// Returns the line that the reference trainer writes to `trainer_log.jsonl`: its keys in its order, absent ones left out.
///
/// # Units
/// `percentage` in percent, `elapsed_time` and `remaining_time` as `h:mm:ss`, `throughput` in tokens per second over all ranks.
///
/// # Source
/// `LogCallback` of LLaMA-Factory (`train/callbacks.py`); spec/train.md 6.6.
pub fn trainer_line(record: &Record) -> Json {
    let mut line = Map::new();
    let mut put = |key: &str, value: Json| {
        if !value.is_null() {
            line.insert(key.to_owned(), value);
        }
    };
    let measure = |name: &str| record.measures.iter().find(|(n, _)| n == name).map(|(_, v)| round(*v, 4));
    let speed = record.seconds.max(1e-9) / record.step.max(1) as f64;
    put("current_steps", json!(record.step));
    put("total_steps", json!(record.total));
    put("loss", json!(record.loss.map(|v| round(v, 4))));
    put("eval_loss", json!(record.eval_loss));
    put("reward", json!(measure("rewards/chosen")));
    put("accuracy", json!(measure("rewards/accuracies")));
    put("lr", json!(record.lr));
    put("epoch", json!(record.epoch));
    put("percentage", json!(round(record.step as f64 / record.total.max(1) as f64 * 100.0, 2)));
    put("elapsed_time", json!(clock(record.seconds)));
    put("remaining_time", json!(clock(speed * record.total.saturating_sub(record.step) as f64)));
    put("throughput", json!(round(record.tokens as f64 / record.seconds.max(1e-9), 2)));
    put("total_tokens", json!(record.tokens));
    Json::Object(line)
}

/// Returns our own line: the reference's facts at full precision, with gradient norm, measures, seconds and memory.
pub fn full_line(record: &Record) -> Json {
    let mut line = Map::new();
    let mut put = |key: &str, value: Json| {
        if !value.is_null() {
            line.insert(key.to_owned(), value);
        }
    };
    put("step", json!(record.step));
    put("total", json!(record.total));
    put("loss", json!(record.loss));
    put("eval_loss", json!(record.eval_loss));
    put("lr", json!(record.lr));
    put("grad_norm", json!(record.grad_norm));
    for (name, value) in &record.measures {
        put(name, json!(value));
    }
    put("epoch", json!(record.epoch));
    put("tokens", json!(record.tokens));
    put("seconds", json!(round(record.seconds, 3)));
    put("data_wait", json!(record.data_wait.map(|s| round(s, 5))));
    put("tflops", json!(record.flops.map(|f| round(f / 1e12, 5))));
    put("mfu", json!(record.mfu.map(|share| round(share, 4))));
    put("rss", json!(record.rss));
    Json::Object(line)
}

/// Writes `trainer_log.jsonl`, `log.jsonl` and `loss.svg` into `folder`.
pub fn write(folder: &Path, records: &[Record]) -> io::Result<()> {
    std::fs::create_dir_all(folder)?;
    let text = |line: fn(&Record) -> Json| records.iter().map(|r| line(r).to_string() + "\n").collect::<String>();
    std::fs::write(folder.join("trainer_log.jsonl"), text(trainer_line))?;
    std::fs::write(folder.join("log.jsonl"), text(full_line))?;
    std::fs::write(folder.join("loss.svg"), plot(records)?)
}

/// Draws the training loss, its moving average and the evaluation loss over optimizer steps, as SVG.
fn plot(records: &[Record]) -> io::Result<String> {
    let points = |value: fn(&Record) -> Option<f64>| -> Vec<(f64, f64)> {
        let finite = |r: &Record| Some((r.step as f64, value(r).filter(|v| v.is_finite())?));
        records.iter().filter_map(finite).collect()
    };
    let train = points(|r| r.loss);
    let named = |name: &str, points: Vec<(f64, f64)>| Series { name: name.into(), points, ..Series::default() };
    let average = named("moving average", smoothed(&train));
    let all = [named("training", train), average, named("validation", points(|r| r.eval_loss))];
    let drawn: Vec<Series> = all.into_iter().filter(|series| !series.points.is_empty()).collect();
    let frame = Frame { title: "Loss", x: "optimizer step", y: "nats", ..Frame::default() };
    lines(&frame, &drawn).map_err(|e| io::Error::other(e.to_string()))
}

/// An exponential moving average, corrected for its start.
fn smoothed(points: &[(f64, f64)]) -> Vec<(f64, f64)> {
    let (mut mean, mut weight) = (0.0, 0.0);
    points
        .iter()
        .map(|&(x, y)| {
            mean = 0.8 * mean + 0.2 * y;
            weight = 0.8 * weight + 0.2;
            (x, mean / weight)
        })
        .collect()
}

/// Formats seconds as Python's `str(timedelta)` without a fraction: `0:02:03`, `1 day, 2:00:00`.
pub fn clock(seconds: f64) -> String {
    let s = seconds.max(0.0) as u64;
    let time = format!("{}:{:02}:{:02}", s / 3600 % 24, s / 60 % 60, s % 60);
    match s / 86_400 {
        0 => time,
        1 => format!("1 day, {time}"),
        days => format!("{days} days, {time}"),
    }
}

/// Rounds to a number of decimals.
fn round(value: f64, decimals: i32) -> f64 {
    let scale = 10_f64.powi(decimals);
    (value * scale).round_ties_even() / scale
}

/// Returns the peak resident memory of this process in bytes, 0 where the system does not say.
pub fn peak_rss() -> u64 {
    kernel_bytes("/proc/self/status", "VmHWM").unwrap_or(0)
}
