//! Takes over into a lock what a recipe reads now.

use std::collections::BTreeMap;

use super::observed::Observed;
use super::pins::{Lock, Table, VERSION, WITH_SERVERS};
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::storage::identity::Results;
use crate::plan::NodeId;
use crate::spec::observed::Columns;

/// Looks at the rows that a node has read; `pinned` says that they are as they were when they were pinned.
pub type Look<'a> = dyn Fn(NodeId, &Artifact, bool) -> Columns + 'a;

impl Lock {
    /// Takes over what is now, only the entries that `wanted` names; `results` tells rows, `look` what they hold.
    ///
    /// An input that nobody has read successfully is not taken over. One that is as it was is not looked at again.
    pub fn accept(
        &mut self,
        now: &Observed,
        results: &BTreeMap<NodeId, Results>,
        wanted: &dyn Fn(&str) -> bool,
        look: &Look,
    ) {
        for ((table, name), found) in now.pins.iter().filter(|((_, name), _)| wanted(name)) {
            let made = found.nodes.iter().find_map(|id| Some((*id, results.get(id)?)));
            // These are read as they are: nothing has to be made of them.
            let read = made.is_some()
                || matches!(table, Table::Texts | Table::Environments | Table::Packages | Table::Servers);
            let Some(mut pin) = found.pin.clone().filter(|_| read) else { continue };
            for (id, artifact) in made.into_iter().flat_map(|(id, made)| made.values().map(move |(_, a)| (id, a))) {
                if artifact.kind == Kind::Dataset && *table == Table::Sources {
                    pin.rows = artifact.rows();
                    let before = self.sources.get(name).filter(|old| old.digest == pin.digest && old.digest.is_some());
                    let seen = before.filter(|old| !old.columns.is_empty()).map(|old| old.columns.clone());
                    pin.columns = seen.unwrap_or_else(|| look(id, artifact, before.is_some()));
                    // A lock of layout 1 keeps what it says until somebody looks.
                    if let Some(old) = before.filter(|_| pin.columns.is_empty()) {
                        (pin.schema, pin.words) = (old.schema, old.words.clone());
                    }
                } else if artifact.kind == Kind::Model && pin.arguments.is_some() {
                    pin.parts = artifact.files.iter().map(|(name, file)| (name.clone(), file.digest)).collect();
                }
            }
            self.table_mut(*table).insert(name.clone(), pin);
        }
        for (op, &(version, _)) in now.operators.iter().filter(|(op, _)| wanted(op)) {
            self.operators.insert(op.clone(), version);
        }
        if !self.servers.is_empty() {
            self.version = WITH_SERVERS;
        } else if self.sources.values().any(|pin| !pin.columns.is_empty()) {
            self.version = VERSION;
        }
    }
}
