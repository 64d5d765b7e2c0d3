//! Everything that a run needs besides the graph, for those who look nodes up, execute them and tell of it.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json};

use super::decide::Line;
use crate::engine::event::{Event, Listener};
use crate::engine::executors::Executors;
use crate::engine::node::context::Builtin;
use crate::engine::remote::Remote;
use crate::engine::stop::Stop;
use crate::engine::storage::files::FileIndex;
use crate::engine::storage::identity::Results;
use crate::engine::storage::store::Store;
use crate::plan::{Node, NodeId};

/// What a run has.
pub struct Setup<'a> {
    /// Where results lie.
    pub store: &'a Store,
    /// Digests of files.
    pub files: &'a FileIndex,
    /// All operators by name.
    pub operators: &'a BTreeMap<String, &'static Builtin>,
    /// Texts of secrets.
    pub secrets: BTreeMap<String, String>,
    /// Who wants to know.
    pub listener: &'a dyn Listener,
    /// Where nodes are executed.
    pub executors: &'a Executors<'a>,
    /// Stop at the first failure.
    pub fail_fast: bool,
    /// Execute nothing.
    pub no_exec: bool,
    /// Where results of others are looked for before a node is executed.
    pub remote: Option<&'a Remote>,
    /// Leave the bytes of a result in the remote until a node that is executed, or an output, reads them.
    pub lazy: bool,
    /// Set when the run is being stopped.
    pub stop: &'a Stop,
    /// What a plan of those nodes says that have no result yet, asked once before the first is executed, so that it stands beside what comes of it.
    pub foresee: Option<Foresee<'a>>,
}

/// Forecasts the rest of a run from the results that are there; nothing where the run must not go on to execute any of it.
pub type Foresee<'a> = &'a (dyn Fn(&BTreeMap<NodeId, Results>) -> Option<Vec<Line>> + Sync);

/// Tells of a node.
pub(super) fn tell(listener: &dyn Listener, node: &Node, key: Option<String>, event: &str, fields: Map<String, Json>) {
    let mut e = Event::new(event);
    e.node = Some(node.name.clone());
    e.op = Some(node.op.clone());
    e.key = key;
    e.fields = fields;
    listener.hear(&e);
}
