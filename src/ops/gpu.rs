//! Where a node of the tensor engine computes, as `with { gpus }` says.

use serde_json::Value as Json;
use tch::Device;

use crate::base::OpError;
use crate::engine::Context;
use crate::model::cuda;

/// Returns the processor, or the GPU that the scheduler gave the node.
///
/// # Errors
/// `E0712` for a GPU that is not there, and for more than one.
pub fn device(cx: &Context) -> Result<Device, OpError> {
    let gpus = cx.with.get("gpus").and_then(Json::as_i64).unwrap_or(0);
    let refused = |why: &str, help: &str| {
        Err(OpError::new("E0712", format!("`gpus: {gpus}` cannot be had: {why}")).help(help.to_owned()))
    };
    match gpus {
        ..=0 => Ok(Device::Cpu),
        _ if !cuda::available() => refused(
            cuda::ABSENT,
            "`with { gpus: 0 }` takes the processor; `rbpipe engine install --cuda` builds the engine for GPUs",
        ),
        1 => Ok(Device::Cuda(0)),
        _ => refused("this node is one process, which takes one GPU", "`with { gpus: 1 }` takes one"),
    }
}
