//! What is looked at before the first step, besides the rows: room on the disk, and pairs that teach nothing.

use std::path::Path;

use crate::base::OpError;
use crate::engine::Context;
use crate::engine::capacity::gibibytes;
use crate::train::checkpoint::KEEP;
use crate::train::pairs::Pair;

/// What a training writes.
pub struct Writes {
    /// Bytes of a checkpoint, of all ranks.
    pub checkpoint: u64,
    /// Bytes of the model.
    pub result: u64,
}

/// Compares what a training writes with the room on the disk: without room for the result it does not start, without room for checkpoints, or
/// for the state that is kept for longer trainings, it says so.
///
/// # Errors
/// `E0612` naming the folder, what is needed and what is free.
pub fn disk(cx: &Context, writes: &Writes, checkpoints: bool, keeps: bool) -> Result<(), OpError> {
    let short = |folder: &Path, needs: u64| {
        let free = fs4::available_space(folder).ok().filter(|free| *free < needs)?;
        Some(format!("{} are needed in {}, and {} are free", gibibytes(needs), folder.display(), gibibytes(free)))
    };
    if let Some(why) = short(&cx.scratch, writes.result) {
        return Err(OpError::new("E0612", format!("no room for the trained model: {why}"))
            .help("`rbpipe cache gc` frees what no recent run uses; `RBPIPE_CACHE` moves the store to another disk"));
    }
    let there = cx.checkpoints.as_deref().and_then(|folder| folder.ancestors().find(|folder| folder.exists()));
    // A state lies among the checkpoints, and in the store in the end.
    if let Some(why) = there.filter(|_| keeps).and_then(|folder| short(folder, 2 * writes.checkpoint + writes.result)) {
        cx.say(&format!("no room for the state of `keep_state`: {why}; if it does not fit it is left out"));
    }
    // One more than are kept: the next is written before the oldest goes.
    let times = (KEEP as u64 + 1) * writes.checkpoint;
    if let Some(why) = there.filter(|_| checkpoints).and_then(|folder| short(folder, times)) {
        cx.say(&format!("no room for checkpoints: {why}; one that does not fit is left out, and training goes on"));
    }
    Ok(())
}

/// Says which pairs have one reply twice: nothing can be learned from them.
pub fn alike(cx: &Context, pairs: &[Pair]) {
    let same = pairs.iter().filter(|p| p.chosen.sample.ids == p.rejected.sample.ids);
    let names: Vec<&str> = same.map(|p| p.chosen.sample.name.as_str()).collect();
    if names.is_empty() {
        return;
    }
    let shown = names.iter().take(5).copied().collect::<Vec<_>>().join(", ");
    let more = if names.len() > 5 { ", …" } else { "" };
    cx.say(&format!(
        "{} pairs have the same reply twice once they are encoded, and teach nothing: {shown}{more}",
        names.len()
    ));
}
