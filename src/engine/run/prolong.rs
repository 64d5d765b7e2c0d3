//! A training that begins where a shorter one ended: which state of those that are kept it can begin from, and how its own is kept.

use std::collections::BTreeMap;

use super::decide::Line;
use crate::base::{Digest, OpError};
use crate::engine::artifact::Artifact;
use crate::engine::storage::identity::{self, Identity, Results};
use crate::engine::storage::record::{self, Came, Record};
use crate::engine::storage::recorded::KEPT_STATE;
use crate::engine::storage::states;
use crate::engine::storage::store::Store;
use crate::plan::prolong::{self, ENDS, KEEP, Prefix};
use crate::plan::{Node, explain};

/// The slot in which a training is given the state that it begins from, and the field in which it gives its own.
pub const STATE: &str = "$state";
/// The count by which a training tells that it began from a state: after which step.
pub const BEGUN: &str = "begun after step";

/// A state that a training can begin from.
pub struct Start {
    /// Its key.
    pub key: Digest,
    /// Its description: `meta` has `step`, `per_epoch` and `seconds`.
    pub state: Artifact,
    /// Optimizer steps that are done.
    pub step: u64,
    /// Optimizer steps of the training that begins from it.
    pub total: u64,
}

/// Returns the state with most steps that a training can begin from.
pub(super) fn longest(store: &Store, node: &Node, identity: &Identity) -> Option<Start> {
    find(store, node, &Prefix::of(node, &identity.reads)?, identity::recorded)
}

/// As [`longest`], for a run that goes on to use it.
pub(super) fn claimed(store: &Store, node: &Node, identity: &Identity) -> Option<Start> {
    find(store, node, &Prefix::of(node, &identity.reads)?, identity::claimed)
}

/// Looks a record up with what it names.
type Lookup = fn(&Store, Digest) -> Option<(Record, Results)>;

fn find(store: &Store, node: &Node, prefix: &Prefix, lookup: Lookup) -> Option<Start> {
    states::kept(store, prefix.key()).into_iter().find_map(|(step, key)| {
        let (_, state) = lookup(store, key)?.1.remove(KEPT_STATE)?;
        let total = prolong::total(&node.args, state.meta["per_epoch"].as_u64()?);
        let usable = step < total && step <= prolong::shared(&node.args, total);
        usable.then_some(Start { key, state, step, total })
    })
}

/// Tells of a training that runs from where it begins, or why it begins anew although nothing but its end changed.
pub(super) fn forecast(store: &Store, node: &Node, identity: &Identity, previous: Option<&Record>, line: &mut Line) {
    if !node.trains() {
        return;
    }
    if let Some(start) = longest(store, node, identity) {
        line.why += &format!("; continues from step {} of {}", start.step, start.total);
        line.continues = Some((start.step, start.total));
        let seconds = start.state.meta["seconds"].as_f64();
        line.seconds = seconds.map(|s| s / start.step as f64 * (start.total - start.step) as f64).or(line.seconds);
    } else if let Some(before) = previous
        && let changes = explain::diff(&before.preimage, &identity.preimage(node))
        && !changes.is_empty()
        && changes.iter().all(|c| c.field.strip_prefix("arg.").is_some_and(|name| ENDS.contains(&name)))
    {
        line.why += &format!("; begins anew: {}", why_anew(store, node, identity));
    }
}

fn why_anew(store: &Store, node: &Node, identity: &Identity) -> String {
    let Some(prefix) = Prefix::of(node, &identity.reads) else {
        return prolong::hindrance(&node.args).unwrap_or_default();
    };
    let there = |(step, key): (u64, Digest)| {
        let state = identity::recorded(store, key)?.1.remove(KEPT_STATE)?.1;
        Some((step, prolong::total(&node.args, state.meta["per_epoch"].as_u64()?)))
    };
    match states::kept(store, prefix.key()).into_iter().rev().find_map(there) {
        None => format!("no state of a shorter one is kept (`with {{ {KEEP}: true }}` keeps it)"),
        Some((step, total)) if step >= total => format!("the kept state is after step {step}, and it has {total}"),
        Some((step, total)) => {
            let shared = prolong::shared(&node.args, total);
            format!("the kept state is after step {step}, and its rates are its own after step {shared}")
        }
    }
}

/// Keeps the state of a training for longer ones, before the training itself is recorded. Returns its key.
///
/// # Errors
/// The store cannot be written.
pub(super) fn keep(store: &Store, node: &Node, identity: &Identity, mut state: Artifact) -> Result<Digest, OpError> {
    let lacks = || OpError::new("E0612", "a state came that no longer training can begin from");
    let prefix = Prefix::of(node, &identity.reads).ok_or_else(lacks)?;
    let step = state.meta["step"].as_u64().ok_or_else(lacks)?;
    let key = prefix.state(step);
    state.meta.sort_all_objects();
    let results = BTreeMap::from([(KEPT_STATE.to_owned(), (store.put_artifact(&state)?, state))]);
    // What it took is told by the record of its training.
    let name = format!("{} after step {step}", node.name);
    let record = record::make(store, (key, prefix.preimage(step)), &name, &results, Came::default())?;
    states::note(store, prefix.key(), step, key)?;
    // It holds a log with clock times, so the same state of another training has other bytes: the first one stays.
    record::publish(store, &record)?;
    Ok(key)
}
