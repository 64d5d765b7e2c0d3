//! At which executor a node runs, and what it needs there.

use serde_json::Value as Json;

use crate::engine::capacity::Needs;
use crate::engine::executors::{Executors, LOCAL};
use crate::plan::{Node, columns};
use crate::spec::{Effect, user_op};

/// Returns the executor that a node asks for. Sources read files of this machine, and a choice of columns or the join around a user's operator, which
/// the language itself inserts, is done before it could be sent: they stay.
pub fn asked(node: &Node) -> &str {
    let inserted = node.op == columns::SELECT || node.op == user_op::JOIN;
    let stays = node.effect == Effect::Source || inserted || node.gate.is_some();
    named(node).filter(|_| !stays).unwrap_or(LOCAL)
}

/// Returns where a node runs: where it asks to, unless its secrets cannot be brought there.
pub fn of<'n>(node: &'n Node, executors: &Executors) -> &'n str {
    let asked = asked(node);
    let takes = node.secrets.is_empty() || executors.get(asked).is_none_or(|e| e.takes_secrets());
    if takes { asked } else { LOCAL }
}

/// Returns what a node needs where it runs. What it asks of another place means nothing here.
pub fn needs(node: &Node, executors: &Executors) -> Needs {
    let at_home = named(node).is_none_or(|name| name == of(node, executors));
    if at_home { Needs::of(&node.with) } else { Needs::default() }
}

fn named(node: &Node) -> Option<&str> {
    node.with.get("executor").and_then(Json::as_str)
}
