//! Paths as texts: those that can lead nowhere, and files that another loader reads.

use super::check::Checker;
use crate::base::Diagnostic;
use crate::base::codes::E0501;
use crate::syntax::ast::{Expr, ExprKind, StrLit};

/// Ends of names that say how a file is written, and the loader of such files.
const LOADERS: &[(&str, &[&str])] = &[
    ("data.jsonl", &["json", "jsonl", "ndjson"]),
    ("data.csv", &["csv", "tsv"]),
    ("data.parquet", &["parquet"]),
    ("data.arrow", &["arrow", "feather"]),
    ("data.webdataset", &["tar"]),
];

impl Checker<'_> {
    /// E0501 for a path that can lead nowhere, or to a file that `callee` does not read.
    pub(super) fn input_path(&mut self, value: &Expr, callee: &str) {
        let ExprKind::Str(text) = &value.kind else { return };
        let Some(path) = text.plain() else { return };
        if let Some(d) = other_loader(value, &path, callee) {
            self.report(d);
            return;
        }
        let (message, help) = if path.trim().is_empty() {
            ("an empty path leads nowhere", "give the path of a file, relative to the folder of the recipe")
        } else if let Some(unreplaced) = shell(&path) {
            unreplaced
        } else if path.contains("://") {
            (
                "an input is a file, not an address",
                "download it first, and give its path; datasets of the hub are read with `bench.hf`",
            )
        } else if path.contains('\\') && !path.contains('/') {
            ("the parts of a path are joined with `/`", "write `/` for each `\\`")
        } else if path.chars().any(char::is_control) {
            (
                "this path holds a control character",
                "a backslash starts an escape: `\\t` is a tab, `\\r` a carriage return; join the parts with `/`",
            )
        } else {
            return;
        };
        self.report(Diagnostic::new(E0501, value.span, message, "not a path").help(help));
    }

    /// E0501 for the name of a model or dataset of the hub that is none.
    pub(super) fn hub_name(&mut self, value: &Expr, callee: &str) {
        let ExprKind::Str(text) = &value.kind else { return };
        let Some(name) = text.plain() else { return };
        let bare = name.split_once("://").map(|(_, rest)| rest.trim_end_matches('/'));
        let d = |message: &str, label: &str| Diagnostic::new(E0501, value.span, message, label);
        let parts = |rest: &str| rest.split('/').skip(1).map(str::to_owned).collect::<Vec<_>>();
        let problem = match (bare.map(parts), name.split_once('@')) {
            (Some(parts), _) => {
                let d = d("a repository of the hub is named by its owner and name", "an address");
                match parts.as_slice() {
                    [kind, owner, repo, ..] if kind == "datasets" => {
                        d.help(format!("write `\"{owner}/{repo}\"`")).fix(value.span, format!("\"{owner}/{repo}\""))
                    }
                    [owner, repo, ..] => {
                        d.help(format!("write `\"{owner}/{repo}\"`")).fix(value.span, format!("\"{owner}/{repo}\""))
                    }
                    _ => d.help("write `\"owner/name\"`; a folder starts with a point: `\"./models/base\"`"),
                }
            }
            (None, Some((repo, revision))) if !revision.is_empty() && !name.starts_with(['.', '/']) => {
                let written = format!("\"{repo}\", revision: \"{revision}\"");
                let d = d("the revision of a repository is an argument", "a name and a revision");
                d.help(format!("write `{callee}({written})`")).fix(value.span, written)
            }
            _ => return,
        };
        self.report(problem);
    }

    /// E0501 for a part of a dataset as `datasets` writes it, `train[:10%]`.
    pub(super) fn split_name(&mut self, value: &Expr) {
        let ExprKind::Str(text) = &value.kind else { return };
        let Some((part, slice)) =
            text.plain().and_then(|t| t.split_once('[').map(|(a, b)| (a.to_owned(), b.to_owned())))
        else {
            return;
        };
        let share = slice.trim_end_matches(']').trim_start_matches(':');
        let n = if share.ends_with('%') { share } else { "1_000rows" };
        let d = Diagnostic::new(E0501, value.span, "a split is named as a whole", "a slice of one");
        let help = format!("write `\"{part}\"`, and take some of its rows behind it: `|> data.sample(n: {n})`");
        self.report(d.help(help).fix(value.span, format!("\"{part}\"")));
    }

    /// E0501 for the path of an output that only a shell would understand.
    pub(super) fn output_path(&mut self, to: &StrLit) {
        if let Some((message, help)) = to.plain().and_then(|path| shell(&path)) {
            self.report(Diagnostic::new(E0501, to.span, message, "not a path").help(help));
        }
    }
}

/// What a shell replaces in a path and a recipe does not: message and help.
fn shell(path: &str) -> Option<(&'static str, &'static str)> {
    if path.starts_with('~') {
        return Some((
            "`~` is not replaced by the home folder",
            "give a path relative to the recipe, or an absolute one",
        ));
    }
    if path.contains("$(") {
        return Some((
            "no command is run for a path",
            "write the path out, or make the part that changes a param, `param run: Str`, and write `{run}`",
        ));
    }
    let named = |after: &str| after.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    path.split('$').skip(1).any(named).then_some((
        "the environment is not read by a recipe",
        "give a path relative to the recipe, or make the folder a param, `param root: Str`, and write `{root}/…`",
    ))
}

fn other_loader(value: &Expr, path: &str, callee: &str) -> Option<Diagnostic> {
    let (_, own) = LOADERS.iter().find(|(loader, _)| *loader == callee)?;
    let name = path.rsplit('/').next()?.to_ascii_lowercase();
    let packed = [".gz", ".zst", ".bz2", ".xz"].iter().find_map(|end| name.strip_suffix(end));
    let (stem, end) = packed.unwrap_or(&name).rsplit_once('.')?;
    let (loader, _) = LOADERS.iter().find(|(_, ends)| !own.contains(&end) && ends.contains(&end))?;
    (!stem.is_empty()).then(|| {
        let d = Diagnostic::new(E0501, value.span, format!("`{callee}` does not read `.{end}` files"), "another kind");
        d.help(format!("write `{loader}(\"{path}\", …)`"))
    })
}
