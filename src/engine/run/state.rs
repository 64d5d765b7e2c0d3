//! How far each node is: an explicit state machine with one function that changes it.

use std::collections::{BTreeMap, BTreeSet};

use petgraph::Direction;

use crate::plan::{Graph, NodeId};

/// How far a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeState {
    /// Something that it needs is not there yet.
    Waiting,
    /// Everything that it needs is there; nobody has looked whether its result is recorded.
    Ready,
    /// Its result is not recorded; it waits for a slot.
    Queued,
    /// It is being executed.
    Running,
    /// Its result was recorded before.
    Hit,
    /// It was executed, and its result is there.
    Done,
    /// It was executed, or asked, and failed.
    Failed,
    /// It was being executed when the run was stopped; whatever needs it goes on waiting.
    Stopped,
    /// Something that it needs failed.
    Skipped,
}

impl NodeState {
    /// Says whether a result is there.
    pub fn has_result(self) -> bool {
        matches!(self, NodeState::Hit | NodeState::Done)
    }

    /// Says whether nothing more will happen, and those that need it can go on or never will.
    pub fn is_final(self) -> bool {
        matches!(self, NodeState::Hit | NodeState::Done | NodeState::Failed | NodeState::Skipped)
    }

    fn may_become(self, next: NodeState) -> bool {
        use NodeState::{Done, Failed, Hit, Queued, Ready, Running, Skipped, Stopped, Waiting};
        match self {
            Waiting => matches!(next, Ready | Skipped),
            Ready => matches!(next, Hit | Queued | Done | Failed | Skipped),
            Queued => matches!(next, Running | Skipped),
            Running => matches!(next, Hit | Done | Failed | Stopped | Skipped | Waiting),
            // Its bytes turned out to be damaged.
            Hit | Done => next == Waiting,
            Failed | Stopped | Skipped => false,
        }
    }
}

/// The states of all selected nodes.
pub struct States<'g> {
    graph: &'g Graph,
    states: BTreeMap<NodeId, NodeState>,
    /// Nodes that are ready, in the order of their creation.
    pub ready: BTreeSet<NodeId>,
    /// Why a node was skipped: the node that is to blame.
    pub blame: BTreeMap<NodeId, NodeId>,
}

impl<'g> States<'g> {
    /// Starts with everything waiting; what needs nothing is ready.
    pub fn new(graph: &'g Graph, selected: &BTreeSet<NodeId>) -> Self {
        let states = selected.iter().map(|&id| (id, NodeState::Waiting)).collect();
        let mut out = Self { graph, states, ready: BTreeSet::new(), blame: BTreeMap::new() };
        for &id in selected {
            out.wake(id);
        }
        out
    }

    /// Returns a node's state.
    pub fn get(&self, id: NodeId) -> NodeState {
        self.states.get(&id).copied().unwrap_or(NodeState::Skipped)
    }

    /// Returns all selected nodes with their states.
    pub fn all(&self) -> impl Iterator<Item = (NodeId, NodeState)> + '_ {
        self.states.iter().map(|(&id, &s)| (id, s))
    }

    /// THE transition: changes a node's state and wakes what waited for it. Returns the nodes that are skipped by it.
    pub fn set(&mut self, id: NodeId, next: NodeState) -> Vec<NodeId> {
        let now = self.get(id);
        assert!(now.may_become(next), "{}: {now:?} → {next:?}", self.graph.node(id).name);
        self.states.insert(id, next);
        self.ready.remove(&id);
        if next == NodeState::Ready {
            self.ready.insert(id);
        }
        let mut skipped = Vec::new();
        if next.is_final() {
            let after: Vec<NodeId> = self.graph.dag.neighbors_directed(id, Direction::Outgoing).collect();
            for consumer in after {
                if self.get(consumer) != NodeState::Waiting {
                    continue;
                }
                let stops = !next.has_result() && !self.tolerates(consumer, id);
                if stops {
                    let blame = self.blame.get(&id).copied().unwrap_or(id);
                    self.blame.insert(consumer, blame);
                    skipped.push(consumer);
                    skipped.extend(self.set(consumer, NodeState::Skipped));
                } else {
                    self.wake(consumer);
                }
            }
        }
        skipped
    }

    /// Lets nodes wait again whose result was lost, and those that noticed it.
    pub fn take_back(&mut self, ids: &[NodeId]) {
        for &id in ids {
            self.set(id, NodeState::Waiting);
        }
        for &id in ids {
            self.wake(id);
        }
    }

    /// A table with holes is better than none, where the recipe says `on_error: "keep_going"`; an expectation that failed is
    /// no reason to keep quiet about the rest.
    fn tolerates(&self, consumer: NodeId, failed: NodeId) -> bool {
        let keep_going =
            |n: NodeId| self.graph.node(n).with.get("on_error").and_then(|v| v.as_str()) == Some("keep_going");
        let blame = self.blame.get(&failed).copied().unwrap_or(failed);
        self.graph.node(consumer).takes_holes && (keep_going(failed) || keep_going(blame))
    }

    fn wake(&mut self, id: NodeId) {
        if self.get(id) != NodeState::Waiting {
            return;
        }
        let all = self
            .graph
            .dag
            .neighbors_directed(id, Direction::Incoming)
            .all(|n| !self.states.contains_key(&n) || self.get(n).is_final());
        if all {
            self.set(id, NodeState::Ready);
        }
    }
}
