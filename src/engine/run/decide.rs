//! Whether a node must run: what [`super::forecast`] says of it, and what `plan` and `run` share.

use crate::base::Digest;
use crate::engine::storage::identity::Identity;
use crate::engine::storage::record::Record;
use crate::plan::{Graph, NodeId};

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
    /// Where a training begins that does not begin anew: steps that are done, and all steps.
    pub continues: Option<(u64, u64)>,
    /// Bytes that it made last time.
    pub bytes: Option<u64>,
    /// Bytes that are to be fetched, where the result is in a remote.
    pub fetch: Option<u64>,
    /// The keys of the records that a hit rests on: that of its result with that of what was decided of its rows, or the latter alone.
    pub rests_on: Vec<Digest>,
}

impl Line {
    /// A node that runs, with what its last run was like.
    pub(super) fn new(node: NodeId, previous: Option<&Record>) -> Self {
        Self {
            node,
            forecast: Forecast::Run,
            why: String::new(),
            identity: None,
            // What a training took that went on from a state says little of one that does not.
            seconds: previous.filter(|record| record.began.is_none()).map(|record| record.seconds),
            like: None,
            continues: None,
            bytes: previous.map(|record| record.bytes),
            fetch: None,
            rests_on: Vec::new(),
        }
    }

    /// Makes it a hit, of this record.
    pub(super) fn hit(&mut self, record: &Record, why: String) {
        self.forecast = Forecast::Hit;
        self.why = why;
        self.seconds = Some(record.seconds);
        self.bytes = Some(record.bytes);
        self.rests_on = record.rests_on();
    }
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
