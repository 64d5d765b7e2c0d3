//! What a training is asked for that hangs on the machine: what cannot be done is refused, what has no effect here is said.

use serde_json::Value as Json;

use super::arguments::Shared;
use crate::base::OpError;
use crate::engine::Context;

/// Refuses options of `with` that this engine cannot follow, and tells which of the others change nothing.
///
/// # Errors
/// `E0712` for GPUs and for states shared out over processes.
pub fn check(cx: &Context, shared: &Shared) -> Result<(), OpError> {
    let gpus = cx.with.get("gpus").and_then(Json::as_i64).unwrap_or(0);
    if gpus > 0 {
        let why = match tch::Cuda::is_available() {
            true => "the engine trains on the CPU so far",
            false => "the engine is built without CUDA, or the machine has no GPU",
        };
        return Err(OpError::new("E0712", format!("`gpus: {gpus}` cannot be had: {why}"))
            .help("`with { gpus: 0 }` trains on the CPU, to the same result"));
    }
    if let Some(shard) = word(cx, "shard").filter(|shard| *shard != "none") {
        return Err(OpError::new(
            "E0712",
            format!("`shard: \"{shard}\"` shares states out over processes, and this training is one"),
        )
        .help("`with { shard: \"none\" }` keeps them in one place, to the same result"));
    }
    if let Some(kernel) = word(cx, "attention").filter(|kernel| *kernel != "sdpa") {
        cx.say(&format!("attention: \"{kernel}\" has no effect here: on a CPU libtorch chooses the kernel"));
    }
    if cx.with.get("offload").and_then(Json::as_bool) == Some(true) {
        cx.say("offload: true has no effect here: weights, gradients and states are in main memory already");
    }
    if shared.thinking {
        cx.say("thinking: true has no effect here: the template `qwen2_vl` has no thinking blocks");
    }
    Ok(())
}

/// Returns how many threads encode rows: `with { workers }`, else those of the node.
pub fn workers(cx: &Context) -> usize {
    cx.with.get("workers").and_then(Json::as_u64).map_or(cx.threads, |n| n.max(1) as usize)
}

fn word<'a>(cx: &'a Context, name: &str) -> Option<&'a str> {
    cx.with.get(name).and_then(Json::as_str)
}
