//! What a training is asked for that hangs on the machine: what cannot be done is refused, what has no effect here is said.

use serde_json::Value as Json;
use tch::Device;

use super::arguments::Shared;
use crate::base::OpError;
use crate::engine::Context;
use crate::ops::gpu;

/// Returns where a training runs, by `with { gpus }`; refuses options that this engine cannot follow, and tells which of the others change
/// nothing.
///
/// # Errors
/// `E0712` for a GPU that is not there, for more than one, and for states shared out over processes.
pub fn device(cx: &Context, shared: &Shared) -> Result<Device, OpError> {
    let device = gpu::device(cx)?;
    if let Some(shard) = word(cx, "shard").filter(|shard| *shard != "none") {
        return Err(OpError::new(
            "E0712",
            format!("`shard: \"{shard}\"` shares states out over processes, and this training is one"),
        )
        .help("`with { shard: \"none\" }` keeps them in one place, to the same result"));
    }
    if let Some(kernel) = word(cx, "attention").filter(|kernel| *kernel != "sdpa") {
        cx.say(&format!("attention: \"{kernel}\" has no effect here: libtorch chooses the kernel"));
    }
    if cx.with.get("offload").and_then(Json::as_bool) == Some(true) {
        if device.is_cuda() {
            let why = "`offload: true` is not there yet: the states of the optimizer stay on the GPU";
            return Err(
                OpError::new("E0712", why).help("`with { offload: false }` keeps them there, to the same result")
            );
        }
        cx.say("offload: true has no effect here: weights, gradients and states are in main memory already");
    }
    if shared.thinking {
        cx.say("thinking: true has no effect here: the template `qwen2_vl` has no thinking blocks");
    }
    Ok(device)
}

/// Returns how many threads encode rows: `with { workers }`, else those of the node.
pub fn workers(cx: &Context) -> usize {
    cx.with.get("workers").and_then(Json::as_u64).map_or(cx.threads, |n| n.max(1) as usize)
}

/// Returns how many threads prepare batches: `with { workers }`, else as many as the node has beside a GPU, and one beside a CPU, which has no
/// core to spare.
pub fn makers(cx: &Context, device: Device) -> usize {
    match cx.with.get("workers").and_then(Json::as_u64) {
        Some(workers) => workers.max(1) as usize,
        None if device.is_cuda() => cx.threads,
        None => 1,
    }
}

fn word<'a>(cx: &'a Context, name: &str) -> Option<&'a str> {
    cx.with.get(name).and_then(Json::as_str)
}
