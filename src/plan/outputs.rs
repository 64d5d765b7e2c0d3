//! Where outputs go: two to one place, over an input, or in a form that their kind does not have.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use globset::GlobMatcher;

use super::graph::Graph;
use super::val::Val;
use crate::base::codes::{E0202, E0304, E0508};
use crate::base::{Diagnostic, Problems, Span};
use crate::semantics::modules::Program;
use crate::syntax::ast::ItemKind;

struct Target<'a> {
    name: &'a str,
    path: &'a Path,
    value: &'a Val,
    span: Span,
}

/// What a recipe reads, and where it says so first.
struct Reading<'a> {
    files: Files<'a>,
    span: Span,
}

enum Files<'a> {
    Path(&'a Path),
    /// A pattern, if it is one, and the folder before its first wildcard.
    Glob(Option<GlobMatcher>, PathBuf),
}

/// Reports outputs that would get in each other's way or overwrite what they are made of.
pub(super) fn check(program: &Program, graph: &Graph, folder: &Path, problems: &mut Problems) {
    let mut spans: BTreeMap<&str, Span> = BTreeMap::new();
    for item in &program.modules[0].file.items {
        if let ItemKind::Output { name, to: Some(to), .. } = &item.kind {
            spans.entry(&name.text).or_insert(to.span);
        }
    }
    let targets: Vec<Target> = graph
        .outputs
        .iter()
        .filter_map(|output| {
            let span = *spans.get(output.name.as_str())?;
            Some(Target { name: &output.name, path: output.to.as_deref()?, value: &output.value, span })
        })
        .collect();
    let readings = readings(graph);
    for (i, target) in targets.iter().enumerate() {
        if let Some(problem) = place(target, folder).or_else(|| form(target)).or_else(|| taken(target, &targets[..i])) {
            problems.push(problem);
        } else if let Some(problem) = input(target, &readings) {
            problems.push(problem);
        }
    }
}

fn place(target: &Target, folder: &Path) -> Option<Diagnostic> {
    let inside = folder.starts_with(target.path);
    inside.then(|| {
        let message = format!("the output `{}` would replace the folder of the recipe", target.name);
        Diagnostic::new(E0304, target.span, message, "not below it")
            .help(format!("give a path of its own: `to \"out/{}\"`", target.name))
    })
}

/// What a kind is written as, by extension.
fn form(target: &Target) -> Option<Diagnostic> {
    let Val::Artifact(artifact) = target.value else { return None };
    let extension = target.path.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let (fits, help) = match artifact.kind.as_str() {
        "Dataset" => (
            matches!(extension.as_str(), "" | "jsonl" | "parquet" | "arrow"),
            "rows are written to `.jsonl`, `.parquet`, `.arrow`, or a folder of Parquet files",
        ),
        "Model" => (
            !matches!(extension.as_str(), "safetensors" | "bin" | "pt" | "pth" | "gguf" | "onnx" | "json" | "jsonl"),
            "a model is a folder in the Hugging Face layout: `to \"out/model\"`",
        ),
        "Score" | "Metric" => (matches!(extension.as_str(), "" | "json"), "a number is written to `.json`"),
        "Table" => (
            matches!(extension.as_str(), "" | "md" | "csv" | "json" | "html" | "tex"),
            "a table is written to `.md`, `.csv`, `.json`, `.html` or `.tex`",
        ),
        "Report" => (
            matches!(extension.as_str(), "" | "html" | "json" | "svg"),
            "a report is written to `.html`, a chart to `.svg`",
        ),
        _ => return None,
    };
    (!fits).then(|| {
        let message = format!("a {} cannot be written to a `.{extension}` file", artifact.kind);
        Diagnostic::new(E0304, target.span, message, "of another form").help(help)
    })
}

fn taken(target: &Target, before: &[Target]) -> Option<Diagnostic> {
    let first = before.iter().find(|t| t.path.starts_with(target.path) || target.path.starts_with(t.path))?;
    let message = if first.path == target.path {
        format!("the outputs `{}` and `{}` are written to one path", first.name, target.name)
    } else if target.path.starts_with(first.path) {
        format!("the output `{}` lies inside of the output `{}`", target.name, first.name)
    } else {
        format!("the output `{}` lies inside of the output `{}`", first.name, target.name)
    };
    Some(
        Diagnostic::new(E0202, target.span, message, "the same place")
            .also(first.span, "taken here")
            .help("an output is replaced as a whole; give each a path of its own"),
    )
}

/// Returns what the recipe reads, each path or glob once, where it is read first.
fn readings(graph: &Graph) -> Vec<Reading<'_>> {
    let mut seen = BTreeSet::new();
    let paths = graph.dag.node_indices().flat_map(|id| &graph.node(id).paths);
    paths
        .filter(|arg| !arg.media && arg.repository.is_none() && seen.insert(&arg.path))
        .map(|arg| Reading { files: Files::of(&arg.path), span: arg.span })
        .collect()
}

fn input(target: &Target, readings: &[Reading]) -> Option<Diagnostic> {
    let hit = readings.iter().find(|reading| reading.files.covers(target.path))?;
    let message = format!("the output `{}` would be written over what the recipe reads", target.name);
    Some(
        Diagnostic::new(E0508, target.span, message, "an input")
            .also(hit.span, "read here")
            .help(format!("write it elsewhere: `to \"out/{}.jsonl\"`", target.name)),
    )
}

impl<'a> Files<'a> {
    fn of(path: &'a Path) -> Self {
        let text = path.to_string_lossy();
        if text.contains(['*', '?', '{']) {
            return Self::Glob(globset::Glob::new(&text).ok().map(|glob| glob.compile_matcher()), fixed(&text));
        }
        Self::Path(path)
    }

    /// Says whether an output would replace any of it: a path that is it or holds it, or that a glob finds.
    fn covers(&self, output: &Path) -> bool {
        match self {
            Self::Path(path) => path.starts_with(output),
            Self::Glob(glob, fixed) => {
                glob.as_ref().is_some_and(|glob| glob.is_match(output)) || fixed.starts_with(output)
            }
        }
    }
}

/// The part of a glob before its first wildcard.
fn fixed(glob: &str) -> PathBuf {
    let end = glob.find(['*', '?', '{']).unwrap_or(glob.len());
    Path::new(&glob[..end]).parent().map_or_else(PathBuf::new, Path::to_path_buf)
}
