//! Whether a node must run: the one decision that `plan` and `run` share.

use std::collections::{BTreeMap, BTreeSet};

use super::files::FileIndex;
use super::identity::{Identity, Results, given, identify, inputs, recorded};
use super::passing::Passing;
use super::record;
use super::remote::Offer;
use super::store::Store;
use super::verify;
use crate::base::Digest;
use crate::plan::explain;
use crate::plan::graph::Input;
use crate::plan::select::Selection;
use crate::plan::{Graph, Node, NodeId};

/// What would become of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forecast {
    /// Its result is recorded.
    Hit,
    /// It runs.
    Run,
    /// It runs if something upstream gives other bytes than before.
    Maybe,
}

impl Forecast {
    /// As people and scripts read it.
    pub fn word(self) -> &'static str {
        match self {
            Forecast::Hit => "hit",
            Forecast::Run => "run",
            Forecast::Maybe => "maybe",
        }
    }
}

/// What would become of a node, and why.
#[derive(Clone, Debug)]
pub struct Line {
    /// The node.
    pub node: NodeId,
    /// What would become of it.
    pub forecast: Forecast,
    /// In words.
    pub why: String,
    /// Its action key, where that is known.
    pub identity: Option<Identity>,
    /// Seconds that it took last time, or that one like it took ([`super::past::fill`]).
    pub seconds: Option<f64>,
    /// What took them, where it was another node: the same operator with arguments of the same shape.
    pub like: Option<String>,
    /// Bytes that it made last time.
    pub bytes: Option<u64>,
    /// Bytes that are to be fetched, where the result is in a remote.
    pub fetch: Option<u64>,
    /// The keys of the records that a hit rests on: that of its result with that of what was decided of its rows, or the latter alone.
    pub rests_on: Vec<Digest>,
}

/// What would be executed by a forecast, gates aside.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Nodes that run.
    pub run: usize,
    /// Nodes that perhaps run.
    pub maybe: usize,
    /// Those among both of which nobody knows how long they take.
    pub untimed: usize,
    /// Seconds of what runs, as far as they are known.
    pub seconds: f64,
    /// Seconds of what perhaps runs, as far as they are known.
    pub seconds_maybe: f64,
}

impl Tally {
    /// Adds the lines of a forecast up.
    pub fn of(graph: &Graph, lines: &[Line]) -> Self {
        let mut all = Self::default();
        for line in lines.iter().filter(|l| l.forecast != Forecast::Hit && graph.node(l.node).gate.is_none()) {
            let (nodes, seconds) = match line.forecast {
                Forecast::Run => (&mut all.run, &mut all.seconds),
                _ => (&mut all.maybe, &mut all.seconds_maybe),
            };
            *nodes += 1;
            match line.seconds {
                Some(known) => *seconds += known,
                None => all.untimed += 1,
            }
        }
        all
    }
}

fn offered(key: &Digest, offer: &Offer) -> String {
    let by = match (&offer.signed_by, &offer.entry.host) {
        (Some(name), Some(host)) => format!(" from {name}@{host}"),
        (Some(name), None) => format!(" from {name}"),
        (None, Some(host)) => format!(" from {host}"),
        (None, None) => String::new(),
    };
    format!("{} in the remote{by}, made {}", key.short(), offer.entry.record.made)
}

/// Says whether what a node decides of its rows is recorded.
pub(super) fn passes(node: &Node, identity: &Identity, results: &BTreeMap<NodeId, Results>, store: &Store) -> bool {
    let passing = Passing::of(node, identity, &given(node, results));
    passing.is_some_and(|passing| passing.is_known(store))
}

/// Bytes of a result in a remote that are not here.
fn to_fetch(store: &Store, offer: &Offer) -> u64 {
    offer.entry.blobs.iter().filter(|blob| !store.holds(**blob)).map(|blob| blob.bytes).sum()
}

/// Looks a result up that is not in the store: what a remote has under a key.
pub type Elsewhere<'a> = &'a dyn Fn(Digest) -> Option<Offer>;

/// Forecasts a run. Also returns the results that are recorded.
pub fn forecast(
    graph: &Graph,
    selection: &Selection,
    store: &Store,
    files: &FileIndex,
    last: &BTreeMap<String, Digest>,
) -> (Vec<Line>, BTreeMap<NodeId, Results>) {
    forecast_with(graph, selection, store, files, last, &|_| None)
}

/// Forecasts what is left of a run that has some results already.
pub fn forecast_rest(
    graph: &Graph,
    selection: &Selection,
    store: &Store,
    files: &FileIndex,
    last: &BTreeMap<String, Digest>,
    there: &BTreeMap<NodeId, Results>,
) -> Vec<Line> {
    forecast_from(graph, selection, store, files, last, &|_| None, there).0
}

/// As [`forecast`]; what `elsewhere` has counts as there.
pub fn forecast_with(
    graph: &Graph,
    selection: &Selection,
    store: &Store,
    files: &FileIndex,
    last: &BTreeMap<String, Digest>,
    elsewhere: Elsewhere,
) -> (Vec<Line>, BTreeMap<NodeId, Results>) {
    forecast_from(graph, selection, store, files, last, elsewhere, &BTreeMap::new())
}

fn forecast_from(
    graph: &Graph,
    selection: &Selection,
    store: &Store,
    files: &FileIndex,
    last: &BTreeMap<String, Digest>,
    elsewhere: Elsewhere,
    there: &BTreeMap<NodeId, Results>,
) -> (Vec<Line>, BTreeMap<NodeId, Results>) {
    let mut lines: Vec<Line> = Vec::new();
    let mut states: BTreeMap<NodeId, Forecast> = there.keys().map(|id| (*id, Forecast::Hit)).collect();
    let left = |id: &NodeId| selection.nodes.contains(id) && !states.contains_key(id);
    let order: Vec<NodeId> = graph.order().into_iter().filter(left).collect();
    let read = order.iter().flat_map(|id| &graph.node(*id).inputs);
    let mut results: BTreeMap<NodeId, Results> =
        read.filter_map(|i| Some((i.node, there.get(&i.node)?.clone()))).collect();
    // What is put together when it runs: nobody knows its bytes before.
    let mut passed = BTreeSet::new();
    for id in order {
        let node = graph.node(id);
        let unknown = |i: &&Input| states.get(&i.node) != Some(&Forecast::Hit) || passed.contains(&i.node);
        let waits = node.inputs.iter().find(unknown).map(|i| i.node);
        let previous = last.get(&node.name).and_then(|key| record::read(store, *key));
        let (seconds, bytes) = (previous.as_ref().map(|r| r.seconds), previous.as_ref().map(|r| r.bytes));
        let why = String::new();
        let (forecast, rests_on) = (Forecast::Run, Vec::new());
        let mut line =
            Line { node: id, forecast, why, identity: None, seconds, like: None, bytes, fetch: None, rests_on };
        if let Some(upstream) = waits {
            let changed = states.get(&upstream) == Some(&Forecast::Run) || states.get(&upstream).is_none();
            let name = &graph.node(upstream).name;
            // What runs may give the same bytes again: then this is a hit.
            let perhaps = previous.is_some() || node.gate.is_some() || passed.contains(&upstream);
            line.forecast = if perhaps { Forecast::Maybe } else { Forecast::Run };
            line.why = match line.forecast {
                Forecast::Maybe if changed => format!("if `{name}` gives other bytes"),
                _ => format!("reads `{name}`"),
            };
        } else if node.gate.is_some() {
            line.forecast = Forecast::Hit;
            line.why = "asked each time".into();
            results.insert(id, Results::new());
        } else {
            let key = |of: NodeId| lines.iter().find(|l| l.node == of)?.identity.as_ref().map(|i| i.key);
            match identify(graph, id, inputs(node, &results), files, store, &key) {
                Ok(identity) => {
                    match recorded(store, identity.key) {
                        Some((record, found)) => {
                            line.forecast = Forecast::Hit;
                            line.why = format!("{} made {}", identity.key.short(), record.made);
                            line.seconds = Some(record.seconds);
                            line.bytes = Some(record.bytes);
                            line.rests_on = record.rests_on();
                            results.insert(id, found);
                        }
                        None if !node.history.is_empty() && lines.iter().any(|l| l.fetch.is_some()) => {
                            // Its key tells how rows came about, which only the records themselves say.
                            line.forecast = Forecast::Maybe;
                            line.why = "reads what is only in the remote so far".into();
                        }
                        None => {
                            let passing = Passing::of(node, &identity, &given(node, &results));
                            let pass = "other columns changed, and pass";
                            if let Some(known) = passing.as_ref().filter(|passing| passing.is_known(store)) {
                                line.forecast = Forecast::Hit;
                                line.why = format!("its rows are decided; {pass}");
                                line.rests_on.push(known.key);
                                passed.insert(id);
                            } else if let Some(offer) = elsewhere(identity.key) {
                                let record = &offer.entry.record;
                                line.forecast = Forecast::Hit;
                                line.why = offered(&identity.key, &offer);
                                line.seconds = Some(record.seconds);
                                line.bytes = Some(record.bytes);
                                line.fetch = Some(to_fetch(store, &offer));
                                line.rests_on = record.rests_on();
                                results.insert(id, offer.results);
                            } else if let Some(offer) = passing.and_then(|passing| elsewhere(passing.key)) {
                                line.forecast = Forecast::Hit;
                                line.why = format!("its rows are decided in the remote; {pass}");
                                line.fetch = Some(to_fetch(store, &offer));
                                line.rests_on.push(offer.entry.record.key);
                                passed.insert(id);
                            } else {
                                let spoilt = verify::why_spoilt(store, identity.key);
                                line.why = match &previous {
                                    _ if spoilt.is_some() => spoilt.unwrap_or_default(),
                                    Some(r) => explain::why(&r.preimage, &identity.preimage(node)),
                                    None => "no result is recorded".into(),
                                };
                            }
                        }
                    }
                    line.identity = Some(identity);
                }
                Err(e) => line.why = e.to_string(),
            }
        }
        states.insert(id, line.forecast);
        lines.push(line);
    }
    (lines, results)
}
