//! What running and re-scoring share: sending prompts, and keeping scores.

use std::collections::BTreeSet;

use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::engine::node::context::Output;
use crate::engine::{Context, Outputs};
use crate::eval::coords::{Coords, Space};
use crate::eval::prompt::prompt;
use crate::eval::score::{Scores, save as save_scores};
use crate::eval::scored::Answer;
use crate::eval::{Benchmark, Declaration, Decoding, Generate, Prompt, Reply};

/// Prompts sent at once, between two looks at whether the run is being stopped; the model batches them further by length.
pub const CHUNK: usize = 256;
const MAX_TOKENS: u32 = 128;

/// Returns how a model writes coordinates, by its metadata; fractions where it says nothing.
pub fn coords(meta: &Json, pixels: (u64, u64)) -> Coords {
    let space = serde_json::from_value(meta["coord_space"].clone()).unwrap_or(Space::Auto);
    let yx = meta["coord_order"].as_str() == Some("yx");
    Coords { space, yx, pixels }
}

/// Returns the longest reply in tokens and the stop texts: the run's, else the benchmark's, else 128 and none.
pub fn decoding_of(declare: &Declaration, asked: Option<u32>) -> (u32, Vec<String>) {
    let own = declare.generate["max_tokens"].as_u64().map(|n| n as u32);
    let stop = declare.generate["stop"].as_array().into_iter().flatten().filter_map(|s| s.as_str().map(str::to_owned));
    (asked.or(own).unwrap_or(MAX_TOKENS), stop.collect())
}

/// Returns what is asked: the first questions of a benchmark in each rotation, each `epochs` times; an item's place and which repeat.
///
/// # Errors
/// E0302 when a question shows more pictures than `max_images`.
pub fn wanted(
    bench: &Benchmark,
    questions: usize,
    epochs: u32,
    max_images: usize,
) -> Result<Vec<(usize, u32)>, OpError> {
    let crowded: Vec<&str> =
        bench.items.iter().filter(|i| i.images.len() > max_images).map(|i| i.id.as_str()).collect();
    if !crowded.is_empty() {
        let first = crowded.iter().take(3).copied().collect::<Vec<_>>().join(", ");
        return Err(OpError::new(
            "E0302",
            format!("{} items show more than {max_images} pictures: {first}", crowded.len()),
        )
        .help("raise `max_images:`"));
    }
    let mut wanted: Vec<(usize, u32)> = Vec::new();
    let mut seen: BTreeSet<&str> = BTreeSet::new();
    for (i, item) in bench.items.iter().enumerate() {
        if seen.len() >= questions && !seen.contains(item.id.as_str()) {
            break;
        }
        seen.insert(&item.id);
        wanted.extend((0..epochs.max(1)).map(|epoch| (i, epoch)));
    }
    Ok(wanted)
}

/// Asks a model the first questions of a benchmark, each `epochs` times.
///
/// # Errors
/// As [`wanted`].
#[allow(clippy::too_many_arguments)] // all parts of one call, named
pub fn ask(
    cx: &Context,
    bench: &Benchmark,
    model: &mut dyn Generate,
    decoding: &Decoding,
    coords: &Coords,
    questions: usize,
    epochs: u32,
    max_images: usize,
) -> Result<Vec<Answer>, OpError> {
    let wanted = wanted(bench, questions, epochs, max_images)?;
    let mut answers = Vec::with_capacity(wanted.len());
    for chunk in wanted.chunks(CHUNK) {
        let prompts: Vec<Prompt> =
            chunk.iter().map(|(i, _)| prompt(&bench.items[*i], &bench.declare, coords)).collect::<Result<_, _>>()?;
        let first_epoch = chunk.first().map_or(0, |c| u64::from(c.1));
        let drawn =
            Decoding { seed: decoding.seed.wrapping_add(answers.len() as u64 + first_epoch), ..decoding.clone() };
        let replies = replies(cx, model, &prompts, &drawn)?;
        for (((item, epoch), prompt), reply) in chunk.iter().zip(&prompts).zip(replies) {
            answers.push(Answer { item: *item, epoch: *epoch, prompt: prompt.show(), reply, sent: Vec::new() });
        }
        cx.progress(answers.len() as u64, wanted.len() as u64, "replies");
    }
    Ok(answers)
}

/// Returns a model's replies to some prompts, [`CHUNK`] at most, in order.
///
/// # Errors
/// Class `preempted` when the run is being stopped; E0612 when the model does not answer every prompt.
pub fn replies(
    cx: &Context,
    model: &mut dyn Generate,
    prompts: &[Prompt],
    decoding: &Decoding,
) -> Result<Vec<Result<Reply, String>>, OpError> {
    cx.go_on()?;
    let replies = model.generate(prompts, decoding)?;
    if replies.len() != prompts.len() {
        return Err(OpError::new("E0612", format!("{} replies to {} prompts", replies.len(), prompts.len())));
    }
    Ok(replies)
}

/// Keeps scores as the only output, and counts them.
pub fn save(cx: &mut Context, bench: &Benchmark, scores: &Scores, facts: &Json) -> Result<Outputs, OpError> {
    if let Some(mixed) = scores.mixed() {
        cx.say(&mixed);
    }
    let unparsed = scores.rows.iter().filter(|r| r.is_unparsed()).count();
    cx.counts.insert("replies".into(), scores.rows.len() as u64);
    cx.counts.insert("unparsed".into(), unparsed as u64);
    let mut facts = facts.clone();
    if let Some(map) = facts.as_object_mut() {
        map.insert("prompts".into(), json!(crate::base::Digest::of_json(&json!(bench.declare.ask))));
    }
    let artifact = save_scores(cx.store, bench, scores, &facts)?;
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}
