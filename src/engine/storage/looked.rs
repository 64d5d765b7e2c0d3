//! What an operator is given of a dataset: the columns that it looks at.

use std::collections::BTreeMap;

use serde_json::json;

use super::dataset;
use crate::engine::artifact::{Artifact, FileRef, Kind};
use crate::plan::{Look, Node, looks};

/// Returns what a node is given of a dataset: only the columns that it looks at, if its result has no others either.
pub(super) fn given(node: &Node, slot: &str, artifact: &Artifact) -> Option<Artifact> {
    let look = node.looks.iter().find(|look| look.slot == slot && !look.passes)?;
    only(&looks::with_said(look, &node.args), artifact)
}

/// Leaves out what is not looked at; nothing where all is.
pub(crate) fn only(look: &Look, artifact: &Artifact) -> Option<Artifact> {
    let columns = artifact.meta.get("columns").and_then(|c| c.as_array()).filter(|_| artifact.kind == Kind::Dataset)?;
    let facts = artifact.meta.as_object()?;
    if facts.keys().any(|name| name != "columns" && name != "rows") {
        return None;
    }
    let at = |entry: &&serde_json::Value| entry["name"].as_str().is_some_and(|name| look.at(name));
    let kept: Vec<_> = columns.iter().filter(at).cloned().collect();
    if kept.len() == columns.len() {
        return None;
    }
    let file = |entry: &serde_json::Value| {
        let path = dataset::column_path(entry["name"].as_str()?);
        Some((path.clone(), *artifact.files.get(&path)?))
    };
    let files: BTreeMap<String, FileRef> = kept.iter().filter_map(file).collect();
    let mut meta = json!({ "rows": artifact.rows(), "columns": kept });
    if look.others {
        // Whoever takes columns away tells those that are not there.
        let gone = dataset::names(artifact).into_iter().filter(|name| !look.at(name));
        meta[dataset::LEFT_OUT] = gone.collect();
    }
    Some(Artifact { kind: Kind::Dataset, meta, files })
}
