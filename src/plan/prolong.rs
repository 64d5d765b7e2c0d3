//! What a longer training shares with a shorter one: how many of its steps do not depend on how many there are, and the key of the state after them.
//!
//! Arguments are those of `train.sft`, `train.dpo` and `train.reward` in canonical form.

use serde_json::{Map, Value as Json};

use super::graph::Node;
use super::key::{ExplainWriter, HashWriter, KeyWriter, Reads, walk};
use crate::base::Digest;

/// The option of `with` that asks for the state to be kept.
pub const KEEP: &str = "keep_state";
/// The arguments that say where a training ends, and how.
pub const ENDS: &[&str] = &["epochs", "max_steps", "cooldown"];

/// The first bytes of every key of a state.
const STATE: &str = "rbpipe/state/v1";

/// Returns the optimizer steps of `epochs` passes of so many steps each, the last one rounded up.
pub fn steps(epochs: f64, per_epoch: u64) -> u64 {
    (epochs * per_epoch as f64).ceil() as u64
}

/// Returns how many steps a part of a run of `total` steps has, rounded up.
pub fn part(ratio: f64, total: u64) -> u64 {
    (total as f64 * ratio).ceil() as u64
}

/// Returns the optimizer steps of a training whose epochs have so many.
pub fn total(args: &Json, per_epoch: u64) -> u64 {
    let all = steps(args["epochs"].as_f64().unwrap_or(1.0), per_epoch);
    all.min(given(&args["max_steps"]).unwrap_or(u64::MAX))
}

/// Says why no longer training can go on from a state of this one; nothing where one can.
pub fn hindrance(args: &Json) -> Option<String> {
    let schedule = args["schedule"].as_str().unwrap_or("cosine");
    if !matches!(schedule, "constant" | "wsd") {
        return Some(format!(
            "with `schedule: \"{schedule}\"` the rate of each step depends on the number of all steps"
        ));
    }
    if args["warmup"]["ratio"].as_f64().is_some_and(|part| part > 0.0) {
        return Some(
            "`warmup` is a part of all steps here, so the rates of the first ones depend on their number".into(),
        );
    }
    if args["best"] == true && !args["evaluate"]["duration"].is_null() {
        return Some("`best` chooses among evaluations that a clock sets off".into());
    }
    None
}

/// Returns after how many of a training's `total` steps its state is that of every longer one; 0 if never.
///
/// With `constant` all of them; with `wsd` those up to and with the first step of the decline, which still has the full rate.
pub fn shared(args: &Json, total: u64) -> u64 {
    if hindrance(args).is_some() {
        return 0;
    }
    if args["schedule"] == "constant" {
        return total;
    }
    let cooldown = &args["cooldown"];
    let decline = given(cooldown).or_else(|| Some(part(cooldown["ratio"].as_f64()?, total))).unwrap_or(0);
    (total + 1).saturating_sub(decline).min(total)
}

/// A training without its end: what it has in common with longer and shorter ones.
pub struct Prefix {
    node: Node,
    reads: Reads,
}

impl Prefix {
    /// Returns the prefix of a training; nothing for other nodes and for trainings that hang on their end, see [`hindrance`].
    pub fn of(node: &Node, reads: &Reads) -> Option<Self> {
        if !node.trains() || hindrance(&node.args).is_some() {
            return None;
        }
        let mut node = node.clone();
        if let Json::Object(args) = &mut node.args {
            args.retain(|name, _| !ENDS.contains(&name.as_str()));
        }
        Some(Self { node, reads: reads.clone() })
    }

    /// Returns the key that all states of trainings of this beginning share.
    pub fn key(&self) -> Digest {
        let mut hash = HashWriter::new(STATE);
        walk(&self.node, &self.reads, &mut hash);
        hash.finish()
    }

    /// Returns the key of the state after so many steps.
    pub fn state(&self, step: u64) -> Digest {
        let mut hash = HashWriter::new(STATE);
        walk(&self.node, &self.reads, &mut hash);
        hash.int("step", i64::try_from(step).unwrap_or(i64::MAX));
        hash.finish()
    }

    /// Returns the fields that [`Self::state`] hashes.
    pub fn preimage(&self, step: u64) -> Map<String, Json> {
        let mut explain = ExplainWriter::default();
        walk(&self.node, &self.reads, &mut explain);
        explain.int("step", i64::try_from(step).unwrap_or(i64::MAX));
        explain.fields
    }
}

/// A number of steps, given as such.
fn given(value: &Json) -> Option<u64> {
    value["steps"].as_u64().or_else(|| value.as_u64())
}
