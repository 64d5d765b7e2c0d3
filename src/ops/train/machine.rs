//! What a training is asked for that hangs on the machine: what cannot be done is refused, what has no effect here is said.

use std::time::Duration;

use serde_json::{Value as Json, json};
use tch::Device;

use super::arguments::Shared;
use crate::base::OpError;
use crate::dist::group::PATIENCE;
use crate::dist::{Group, Launch};
use crate::engine::Context;
use crate::engine::job::SQUEEZE;
use crate::model::cuda;
use crate::ops::gpu;
use crate::plan::memory::recompute::Recompute;
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
    /// How often the training has run out of memory.
    pub squeeze: u64,
    recompute: Recompute,
}

impl Place<'_> {
    /// Returns what a forward may hold at most, of the rows and tokens that it would hold otherwise: the first step down the ladder of memory quarters
    /// it, the second leaves one row.
    pub fn forward(&self, rows: usize, tokens: usize) -> (usize, usize) {
        let quarter = |n: usize| if n == usize::MAX { n } else { n.div_ceil(4) };
        match self.squeeze {
            0 => (rows, tokens),
            1 => (quarter(rows), quarter(tokens)),
            _ => (1, tokens),
        }
    }

    /// Returns which blocks are computed again for their backward: those that `with { recompute }` says, all of them from the third step down on.
    pub fn recompute(&self) -> Recompute {
        if self.squeeze >= 3 { Recompute::All } else { self.recompute }
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
    let stage = word(cx, "shard").map_or(Ok(Stage::None), |shard| serde_json::from_value(Json::from(shard)))?;
    let recompute = word(cx, "recompute").map_or(Ok(Recompute::None), |r| serde_json::from_value(Json::from(r)))?;
    if stage != Stage::None && group.world() == 1 {
        first(&format!("shard: \"{}\" has no effect here: one rank has everything", word(cx, "shard").unwrap_or("")));
    }
    if let Some(kernel) = word(cx, "attention").filter(|kernel| *kernel != "sdpa") {
        first(&format!("attention: \"{kernel}\" has no effect here: libtorch chooses the kernel"));
    }
    if cx.with.get("offload").and_then(Json::as_bool) == Some(true) {
        if device.is_cuda() {
            let why = "`offload: true` is not there yet: the states of the optimizer stay on the GPU";
            return Err(
                OpError::new("E0712", why).help("`with { offload: false }` keeps them there, to the same result")
            );
        }
        first("offload: true has no effect here: weights, gradients and states are in main memory already");
    }
    if shared.thinking {
        first("thinking: true has no effect here: the template `qwen2_vl` has no thinking blocks");
    }
    let squeeze = cx.with.get(SQUEEZE).and_then(Json::as_u64).unwrap_or(0);
    let stage = match group.world() {
        1 => Stage::None,
        _ if squeeze >= 4 => Stage::Weights,
        _ => stage,
    };
    if squeeze > 0 {
        let steps = [
            "a quarter as much in each forward",
            "one row in each forward",
            "blocks computed again for their backward",
            "weights shared out",
        ];
        let steps =
            steps.into_iter().take(squeeze as usize).filter(|step| *step != "weights shared out" || group.world() > 1);
        let plan = steps.collect::<Vec<_>>().join(", ");
        first(&format!("memory ran out {squeeze} times: {plan}; the result is the same"));
    }
    Ok(Place { device, group, stage, threads: (cx.threads / launch.beside.max(1)).max(1), squeeze, recompute })
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
