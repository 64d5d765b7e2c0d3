//! What the rows of an input hold, for who wants to know before anything runs.

use std::path::{Path, PathBuf};

use crate::base::OpError;
use crate::data::formats::observe::Observer;
use crate::data::formats::{files, paths};
use crate::engine::artifact::Artifact;
use crate::engine::storage::dataset::Chunks;
use crate::engine::storage::store::Store;
use crate::plan::Node;
use crate::spec::observed::Columns;

/// Returns the columns of what a source reads: those of its files, also those that its schema does not name; those of its rows where nobody
/// declares a schema. Nothing where a file is none that is known to have rows.
///
/// # Errors
/// As those of the files; `E0503` when a column of the rows is damaged.
pub fn columns(node: &Node, store: &Store, rows: &Artifact) -> Result<Columns, OpError> {
    if node.args.get("as").is_some() {
        return Ok(of_files(node)?.unwrap_or_default());
    }
    let mut observer = Observer::default();
    for chunk in Chunks::open(store, rows)? {
        let chunk = chunk?;
        observer.chunk(chunk.rows(), &chunk.columns());
    }
    Ok(observer.finish())
}

/// Returns the columns of the files that a source with a schema reads; nothing where they have none.
///
/// # Errors
/// As those of the files.
pub fn of_files(node: &Node) -> Result<Option<Columns>, OpError> {
    let mut observer = Observer::default();
    let separator = node.args["separator"].as_str();
    let declared = node.args["as"]["columns"].as_array().into_iter().flatten();
    let declared: Vec<String> = declared.filter_map(|c| Some(c["name"].as_str()?.to_owned())).collect();
    for path in paths_of(node)? {
        if !observer.file(&path, separator, &declared)? {
            return Ok(None);
        }
    }
    Ok(Some(observer.finish()))
}

fn paths_of(node: &Node) -> Result<Vec<PathBuf>, OpError> {
    let mut out = Vec::new();
    for arg in node.paths.iter().filter(|p| !p.media && !p.model) {
        out.extend(match node.args["split"].as_str() {
            Some(split) => files::of_split(&arg.path, node.args["config"].as_str().unwrap_or("default"), split)?,
            None => paths::files(Path::new(""), &arg.path.to_string_lossy())?,
        });
    }
    Ok(out)
}
