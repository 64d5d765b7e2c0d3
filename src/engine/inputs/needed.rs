//! What must be there before anything starts: the files that selected sources read, and the secrets that selected nodes use.

use std::collections::{BTreeMap, BTreeSet};

use crate::base::{Diagnostic, OpError, Problems, Span, codes};
use crate::engine::storage::files;
use crate::plan::select::Selection;
use crate::plan::{Graph, PathArg, Repository, hub};
use crate::spec::user_op;

/// Something that a selected source reads and that is not there.
#[derive(Clone, Debug, PartialEq)]
pub struct Absent {
    /// What it is, in words: a path, a model, a dataset.
    pub what: String,
    /// The argument and the operator that ask for it.
    pub asked: String,
    /// Where it is named first.
    pub span: Span,
    /// The next step.
    pub help: String,
}

/// Returns what selected sources read and what is not there, each once, in the order of the texts.
pub fn absent(graph: &Graph, selection: &Selection) -> Vec<Absent> {
    let mut out: Vec<Absent> = Vec::new();
    let args = || selection.nodes.iter().flat_map(|&id| graph.node(id).paths.iter().map(move |arg| (id, arg)));
    let gone: Vec<_> = args().filter(|(_, arg)| !files::is_there(arg)).collect();
    for &(id, arg) in &gone {
        // A folder of pictures is not worth a word of its own when a file in it is missing too.
        if arg.media && gone.iter().any(|(_, other)| !other.media && other.path.starts_with(&arg.path)) {
            continue;
        }
        let found =
            Absent { what: describe(arg), asked: asked(arg, &graph.node(id).op), span: arg.span, help: next_step(arg) };
        match out.iter_mut().find(|a| a.what == found.what) {
            Some(first) if found.span < first.span => *first = found,
            Some(_) => {}
            None => out.push(found),
        }
    }
    out.sort_by(|a, b| (a.span, &a.what).cmp(&(b.span, &b.what)));
    out
}

fn asked(arg: &PathArg, op: &str) -> String {
    match arg.arg.starts_with(user_op::FILES) {
        true => "one of the files of an `op`".to_owned(),
        false => format!("`{}` of `{op}`", arg.arg),
    }
}

fn describe(arg: &PathArg) -> String {
    match &arg.repository {
        Some(Repository { name, revision: Some(revision) }) => format!("model `{name}` ({revision})"),
        Some(Repository { name, revision: None }) => format!("dataset `{name}`"),
        None => format!("`{}`", arg.path.display()),
    }
}

fn next_step(arg: &PathArg) -> String {
    let place = arg.path.display();
    match &arg.repository {
        Some(Repository { name, revision: Some(_) }) => {
            format!(
                "looked for {place}: fetch it once with `hf download {name}`, or point $HF_HOME at the cache that has it; \
                 a folder of your own is written `./{name}`"
            )
        }
        Some(_) => format!(
            "looked for {place}: fetch it once with `hf download --repo-type dataset`, or set {} to a folder that has it as OWNER/NAME",
            hub::MIRROR
        ),
        None => "paths start from the folder of the file they stand in; `@root/…` from the repository".to_owned(),
    }
}

/// Reports everything that selected sources read and that is not there (E0501), one problem for each place.
pub fn missing(graph: &Graph, selection: &Selection) -> Problems {
    let mut problems = Problems::default();
    for same in absent(graph, selection).chunk_by(|a, b| a.span == b.span) {
        let names: Vec<&str> = same.iter().map(|a| a.what.as_str()).collect();
        let message = match names.as_slice() {
            [one] => format!("{one} is not there"),
            [first @ .., last] => format!("{} and {last} are not there", first.join(", ")),
            [] => continue,
        };
        problems.push(Diagnostic::new(codes::E0501, same[0].span, message, &same[0].asked).help(&same[0].help));
    }
    problems
}

/// Reports each secret of selected nodes that is not there, without running any command for it.
pub fn absent_secrets(
    graph: &Graph,
    selection: &Selection,
    declared: &BTreeMap<String, (String, String, Span)>,
) -> Vec<Absent> {
    let wanted: BTreeSet<&String> = selection.nodes.iter().flat_map(|&id| &graph.node(id).secrets).collect();
    let look = |name: &String| {
        let (from, what, span) = declared.get(name).filter(|(from, ..)| from == "env" || from == "file")?;
        let why = read(from, what).err()?;
        let help = why.help.unwrap_or_default();
        Some(Absent { what: format!("secret `{name}`"), asked: why.message, span: *span, help })
    };
    wanted.into_iter().filter_map(look).collect()
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
