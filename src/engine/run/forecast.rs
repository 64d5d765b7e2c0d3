//! Forecasts a run: what would become of each node, in an order in which inputs come first.

use std::collections::{BTreeMap, BTreeSet};

use super::decide::{Forecast, Line};
use super::passing::Passing;
use super::prolong;
use crate::base::Digest;
use crate::engine::remote::Offer;
use crate::engine::storage::files::FileIndex;
use crate::engine::storage::identity::{Identity, Results, given, identify, inputs, recorded};
use crate::engine::storage::record::{self, Record};
use crate::engine::storage::store::Store;
use crate::engine::storage::verify;
use crate::plan::explain;
use crate::plan::graph::Input;
use crate::plan::select::Selection;
use crate::plan::{Graph, Node, NodeId};

/// Looks a result up that is not in the store: what a remote has under a key.
pub type Elsewhere<'a> = &'a dyn Fn(Digest) -> Option<Offer>;

/// What a forecast is made of.
pub struct Forecaster<'a> {
    /// The graph.
    pub graph: &'a Graph,
    /// What of it would run.
    pub selection: &'a Selection,
    /// Where results are looked up.
    pub store: &'a Store,
    /// Digests of files.
    pub files: &'a FileIndex,
    /// The last key of each node, by its name: what took long, and what changed since.
    pub last: BTreeMap<String, Digest>,
    /// What it has counts as there.
    pub elsewhere: Elsewhere<'a>,
}

impl Forecaster<'_> {
    /// Forecasts a run. Also returns the results that are there, by node.
    pub fn all(&self) -> (Vec<Line>, BTreeMap<NodeId, Results>) {
        self.from(&BTreeMap::new())
    }

    /// Forecasts what is left of a run that has some results already.
    pub fn rest(&self, there: &BTreeMap<NodeId, Results>) -> Vec<Line> {
        self.from(there).0
    }

    fn from(&self, there: &BTreeMap<NodeId, Results>) -> (Vec<Line>, BTreeMap<NodeId, Results>) {
        let left = |id: &NodeId| self.selection.nodes.contains(id) && !there.contains_key(id);
        let order: Vec<NodeId> = self.graph.order().into_iter().filter(left).collect();
        let read = order.iter().flat_map(|id| &self.graph.node(*id).inputs);
        let mut walk = Walk {
            of: self,
            lines: Vec::with_capacity(order.len()),
            states: there.keys().map(|id| (*id, Forecast::Hit)).collect(),
            results: read.filter_map(|i| Some((i.node, there.get(&i.node)?.clone()))).collect(),
            passed: BTreeSet::new(),
        };
        for id in order {
            let line = walk.line(id);
            walk.states.insert(id, line.forecast);
            walk.lines.push(line);
        }
        (walk.lines, walk.results)
    }
}

/// A forecast on its way through the graph.
struct Walk<'a> {
    of: &'a Forecaster<'a>,
    lines: Vec<Line>,
    states: BTreeMap<NodeId, Forecast>,
    results: BTreeMap<NodeId, Results>,
    /// What is put together when it runs: nobody knows its bytes before.
    passed: BTreeSet<NodeId>,
}

impl Walk<'_> {
    fn line(&mut self, id: NodeId) -> Line {
        let Forecaster { graph, store, files, last, .. } = self.of;
        let node = graph.node(id);
        let previous = last.get(&node.name).and_then(|key| record::read(store, *key));
        let mut line = Line::new(id, previous.as_ref());
        let unknown = |i: &&Input| self.states.get(&i.node) != Some(&Forecast::Hit) || self.passed.contains(&i.node);
        if let Some(upstream) = node.inputs.iter().find(unknown) {
            self.waits(node, upstream.node, previous.is_some(), &mut line);
        } else if node.gate.is_some() {
            line.forecast = Forecast::Hit;
            line.why = "asked each time".into();
            self.results.insert(id, Results::new());
        } else {
            let key = |of: NodeId| self.lines.iter().find(|l| l.node == of)?.identity.as_ref().map(|i| i.key);
            match identify(graph, id, inputs(node, &self.results), files, store, &key) {
                Ok(identity) => {
                    self.look(node, &identity, previous.as_ref(), &mut line);
                    line.identity = Some(identity);
                }
                Err(e) => line.why = e.to_string(),
            }
        }
        line
    }

    /// Tells of a node whose inputs are not known before the run.
    fn waits(&self, node: &Node, upstream: NodeId, ran_before: bool, line: &mut Line) {
        let state = self.states.get(&upstream);
        let name = &self.of.graph.node(upstream).name;
        // What runs may give the same bytes again: then this is a hit.
        let perhaps = ran_before || node.gate.is_some() || self.passed.contains(&upstream);
        line.forecast = if perhaps { Forecast::Maybe } else { Forecast::Run };
        line.why = match line.forecast {
            Forecast::Maybe if matches!(state, Some(Forecast::Run) | None) => format!("if `{name}` gives other bytes"),
            _ => format!("reads `{name}`"),
        };
    }

    /// Looks for the result of a node whose key is known: here, then elsewhere.
    fn look(&mut self, node: &Node, identity: &Identity, previous: Option<&Record>, line: &mut Line) {
        let store = self.of.store;
        if let Some((record, found)) = recorded(store, identity.key) {
            line.hit(&record, format!("{} made {}", identity.key.short(), record.made));
            self.results.insert(line.node, found);
            return;
        }
        if !node.history.is_empty() && self.lines.iter().any(|l| l.fetch.is_some()) {
            // Its key tells how rows came about, which only the records themselves say.
            line.forecast = Forecast::Maybe;
            line.why = "reads what is only in the remote so far".into();
            return;
        }
        let passing = Passing::of(node, identity, &given(node, &self.results));
        if let Some(known) = passing.as_ref().filter(|passing| passing.is_known(store)) {
            self.passes(line, known.key, "");
        } else if let Some(offer) = (self.of.elsewhere)(identity.key) {
            line.hit(&offer.entry.record, offered(&offer));
            line.fetch = Some(offer.entry.bytes_lacking(store));
            self.results.insert(line.node, offer.results);
        } else if let Some(offer) = passing.and_then(|passing| (self.of.elsewhere)(passing.key)) {
            self.passes(line, offer.entry.record.key, " in the remote");
            line.fetch = Some(offer.entry.bytes_lacking(store));
        } else {
            line.why = match (verify::why_spoilt(store, identity.key), previous) {
                (Some(spoilt), _) => spoilt,
                (None, Some(before)) => explain::why(&before.preimage, &identity.preimage(node)),
                (None, None) => "no result is recorded".into(),
            };
            prolong::forecast(store, node, identity, previous, line);
        }
    }

    /// Tells of a node of which there is what it decided of its rows.
    fn passes(&mut self, line: &mut Line, decided: Digest, place: &str) {
        line.forecast = Forecast::Hit;
        line.why = format!("its rows are decided{place}; other columns changed, and pass");
        line.rests_on.push(decided);
        self.passed.insert(line.node);
    }
}

fn offered(offer: &Offer) -> String {
    let by = match (&offer.signed_by, &offer.entry.host) {
        (Some(name), Some(host)) => format!(" from {name}@{host}"),
        (Some(name), None) => format!(" from {name}"),
        (None, Some(host)) => format!(" from {host}"),
        (None, None) => String::new(),
    };
    let record = &offer.entry.record;
    format!("{} in the remote{by}, made {}", record.key.short(), record.made)
}
