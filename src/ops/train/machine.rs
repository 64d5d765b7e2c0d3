//! What a training is asked for that hangs on the machine: what cannot be done is refused, what has no effect here is said.

use std::time::Duration;

use serde_json::{Map, Value as Json, json};
use tch::Device;

use super::arguments::Shared;
use crate::base::{OpError, phrase};
use crate::dist::group::PATIENCE;
use crate::dist::{Group, Launch};
use crate::engine::Context;
use crate::engine::run::job::{FORESEEN, SQUEEZE};
use crate::model::cuda;
use crate::ops::gpu;
use crate::plan::memory::ladder::{Forward, Plan};
use crate::train::shards::Stage;

/// Where a training runs and with whom.
pub struct Place<'a> {
    /// The processor, or this rank's GPU.
    pub device: Device,
    /// The ranks.
    pub group: Group<'a>,
    /// What they share out; nothing where a rank is alone.
    pub stage: Stage,
    /// Threads of this rank.
    pub threads: usize,
    /// How it is laid out in memory.
    pub plan: Plan,
}

impl Place<'_> {
    /// Returns what a forward may hold at most, of the rows and tokens that it would hold otherwise.
    pub fn forward(&self, rows: usize, tokens: usize) -> (usize, usize) {
        let quarter = |n: usize| if n == usize::MAX { n } else { n.div_ceil(4) };
        match self.plan.forward {
            Forward::Asked => (rows, tokens),
            Forward::Quarter => (quarter(rows), quarter(tokens)),
            Forward::Row => (1, tokens),
        }
    }
}

/// Meets the other ranks, where there are any, on the device that `with { gpus, ranks }` says; refuses options that this engine cannot follow, and tells
/// which of the others change nothing.
///
/// # Errors
/// `E0712` for GPUs that are not there or are not as many as the ranks; class `peer` when the others do not come.
pub fn place<'a>(cx: &Context<'a>, shared: &Shared) -> Result<Place<'a>, OpError> {
    let launch = Launch::from_env()?;
    let device = device(cx, &launch)?;
    let number = |name: &str| cx.with.get(name).and_then(Json::as_f64);
    // The scheduler ends a rank that is silent for too long; the ranks give each other twice that, so that it is the scheduler who says so.
    let patience = number("stall").filter(|s| *s > 0.0).map_or(PATIENCE, |s| Duration::from_secs_f64(2.0 * s));
    let emit = cx.emit;
    let told = move |text: &str| emit("node_rank", json!({ "text": text }));
    let group = Group::join(&launch, device, patience, Box::new(told))?;
    let first = |text: &str| {
        if group.first() {
            cx.say(text);
        }
    };
    let none = Map::new();
    let asked = Plan::asked(cx.with.as_object().unwrap_or(&none), group.world() as u64);
    let squeeze = cx.with.get(SQUEEZE).and_then(Json::as_u64).unwrap_or(0);
    let (plan, taken) = asked.down(squeeze);
    let stage = match plan.stage {
        0 => Stage::None,
        1 => Stage::Optimizer,
        2 => Stage::Gradients,
        _ => Stage::Weights,
    };
    let shard = word(cx, "shard").filter(|shard| *shard != "none");
    if let Some(shard) = shard.filter(|_| asked.ranks == 1 && asked.stage == 0) {
        first(&format!("shard: \"{shard}\" has no effect here: one rank has everything"));
    }
    if let Some(kernel) = word(cx, "attention").filter(|kernel| *kernel != "sdpa") {
        first(&format!("attention: \"{kernel}\" has no effect here: libtorch chooses the kernel"));
    }
    if asked.offload && !device.is_cuda() {
        first(
            "offload: true saves nothing here: states are in main memory already, and the step has weights of its own beside the model's",
        );
    }
    if shared.thinking {
        first("thinking: true has no effect here: the template `qwen2_vl` has no thinking blocks");
    }
    if !taken.is_empty() {
        let steps: Vec<&str> = taken.iter().map(|rung| rung.words()).collect();
        let foreseen = cx.with.get(FORESEEN).and_then(Json::as_u64).unwrap_or(0);
        let why = match squeeze.saturating_sub(foreseen) {
            0 => "memory would run out as it is asked for".to_owned(),
            times => format!("memory ran out {}", phrase::count(times as usize, "time")),
        };
        first(&format!("{why}: {}; the result is the same", steps.join(", ")));
    }
    Ok(Place { device, group, stage, threads: (cx.threads / launch.beside.max(1)).max(1), plan })
}

/// Returns the processor, or the GPU that is this rank's among those of the node.
fn device(cx: &Context, launch: &Launch) -> Result<Device, OpError> {
    if launch.world == 1 {
        return gpu::device(cx);
    }
    let gpus = cx.with.get("gpus").and_then(Json::as_i64).unwrap_or(0);
    let refused = |why: String, help: &str| {
        Err(OpError::new("E0712", format!("`gpus: {gpus}` cannot be had: {why}")).help(help.to_owned()))
    };
    let there = if gpus > 0 && cuda::available() { tch::Cuda::device_count() } else { 0 };
    match gpus {
        ..=0 => Ok(Device::Cpu),
        _ if there == 0 => {
            refused(cuda::ABSENT.into(), "`with { gpus: 0, ranks: 2 }` trains in two processes on the processor")
        }
        _ if launch.local as i64 >= there => {
            refused(format!("rank {} has none, the machine has {there}", launch.rank), "ask for as many as there are")
        }
        _ => Ok(Device::Cuda(launch.local)),
    }
}

/// Returns how many threads encode rows: `with { workers }`, else those of the rank.
pub fn workers(cx: &Context, threads: usize) -> usize {
    cx.with.get("workers").and_then(Json::as_u64).map_or(threads, |n| n.max(1) as usize)
}

/// Returns how many threads prepare batches: `with { workers }`, else as many as the rank has beside a GPU, and one beside a CPU, which has no
/// core to spare.
pub fn makers(cx: &Context, threads: usize, device: Device) -> usize {
    match cx.with.get("workers").and_then(Json::as_u64) {
        Some(workers) => workers.max(1) as usize,
        None if device.is_cuda() => threads,
        None => 1,
    }
}

fn word<'a>(cx: &'a Context, name: &str) -> Option<&'a str> {
    cx.with.get(name).and_then(Json::as_str)
}
