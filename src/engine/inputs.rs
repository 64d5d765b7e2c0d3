//! What must be there before anything starts: the files that selected sources read, and the secrets that selected nodes use.

use std::collections::BTreeMap;

use super::files;
use crate::base::{Diagnostic, OpError, Problems, Span, codes};
use crate::plan::Graph;
use crate::plan::select::Selection;

/// Reports every file of a selected source that is not there (E0501).
pub fn missing(graph: &Graph, selection: &Selection) -> Problems {
    let mut problems = Problems::default();
    for &id in &selection.nodes {
        let node = graph.node(id);
        for arg in node.paths.iter().filter(|arg| !files::is_there(arg)) {
            let message = format!("`{}` is not there", arg.path.display());
            problems.push(
                Diagnostic::new(codes::E0501, arg.span, message, format!("`{}` of `{}`", arg.arg, node.op))
                    .help("paths start from the folder of the file they stand in; `@root/…` from the repository"),
            );
        }
    }
    problems
}

/// Looks the secrets up that selected nodes use. Problems: E0701 for one that is not there.
pub fn secrets(
    graph: &Graph,
    selection: &Selection,
    declared: &BTreeMap<String, (String, String, Span)>,
) -> (BTreeMap<String, String>, Problems) {
    let mut found = BTreeMap::new();
    let mut problems = Problems::default();
    for name in selection.nodes.iter().flat_map(|&id| &graph.node(id).secrets) {
        let Some((from, what, span)) = declared.get(name) else { continue };
        match read(from, what) {
            Ok(text) => {
                found.insert(name.clone(), text);
            }
            Err(why) => problems.push(
                Diagnostic::new(
                    codes::E0701,
                    *span,
                    format!("secret `{name}` is missing: {}", why.message),
                    "needed by this run",
                )
                .help(why.help.unwrap_or_default()),
            ),
        }
    }
    (found, problems)
}

fn read(from: &str, what: &str) -> Result<String, OpError> {
    let text = match from {
        "env" => std::env::var(what)
            .map_err(|_| OpError::new("E0701", format!("`{what}` is not set")).help(format!("export {what}=…")))?,
        "file" => std::fs::read_to_string(what)
            .map_err(|e| OpError::new("E0701", format!("cannot read `{what}`: {e}")).help("write the secret there"))?,
        _ => {
            let out = std::process::Command::new("sh").args(["-c", what]).output()?;
            if !out.status.success() {
                return Err(OpError::new("E0701", format!("`{what}` failed")).help("run it by hand to see why"));
            }
            String::from_utf8_lossy(&out.stdout).into_owned()
        }
    };
    let text = text.trim().to_owned();
    if text.is_empty() { Err(OpError::new("E0701", format!("`{what}` is empty"))) } else { Ok(text) }
}
