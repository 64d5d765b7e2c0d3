//! What a node will make, by the node and the field of its result.

use std::sync::Arc;

use petgraph::graph::NodeIndex;

/// Names a node of a [`Graph`](super::graph::Graph).
pub type NodeId = NodeIndex<u32>;

/// Something that a node makes, known by the node and the field of its result.
#[derive(Clone, Debug, PartialEq)]
pub struct Artifact {
    /// The node.
    pub node: NodeId,
    /// The field of a record result; empty for the only result.
    pub field: String,
    /// The type's name: `Dataset`, `Model`, `Score`, …
    pub kind: String,
    /// Columns of a dataset, in order, where they are known.
    pub columns: Option<Arc<Vec<String>>>,
}
