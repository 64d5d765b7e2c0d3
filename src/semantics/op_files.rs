//! Files that a user's `op` needs and that are not there: known from the text and a look at the folder.

use std::path::Path;

use crate::base::codes::E0501;
use crate::base::{Diagnostic, Problems, Span, World};
use crate::spec::user_op;
use crate::syntax::ast::{ExprKind, File, ItemKind, StrLit, UserOp};

/// Reports each file of the operators in `file` that is missing from its `folder`. Patterns are looked at when the graph is made.
pub(super) fn absent(world: &dyn World, folder: &Path, file: &File) -> Problems {
    let mut problems = Problems::default();
    for item in &file.items {
        if let ItemKind::Op(op) = &item.kind {
            of(world, folder, op, &mut problems);
        }
    }
    problems
}

fn of(world: &dyn World, folder: &Path, op: &UserOp, problems: &mut Problems) {
    let name = &op.name.text;
    let mut named: Vec<(String, Span)> = listed(op);
    let declared = op.files.is_some();
    named.extend(op.env.as_ref().and_then(|e| Some((e.plain()?, e.span))));
    for (path, span) in &named {
        if !is_beside(path) {
            let message = format!("`{path}` does not lie beside the recipe or below");
            problems.push(Diagnostic::new(E0501, *span, message, format!("a file of `{name}`")).help(
                "an `op` sees copies of its files in a folder of its own: move the file into the recipe's folder",
            ));
        } else if !user_op::is_pattern(path) && !world.exists(&folder.join(path)) {
            let message = format!("`{}` is not there", folder.join(path).display());
            problems.push(
                Diagnostic::new(E0501, *span, message, format!("a file of `{name}`"))
                    .help("paths start from the folder of the file they stand in"),
            );
        }
    }
    let Some((command, span)) = op.runs.as_ref().and_then(|r: &StrLit| Some((r.plain()?, r.span))) else { return };
    let patterns = named.iter().any(|(path, _)| user_op::is_pattern(path) || !path.contains('.'));
    for word in user_op::words(&command).unwrap_or_default().iter().filter(|w| user_op::is_script(w)) {
        let path = word.trim_start_matches("./");
        let listed = patterns || named.iter().any(|(n, _)| n.trim_start_matches("./") == path);
        let there = world.exists(&folder.join(path));
        let (message, help) = match (declared, there) {
            (true, _) if listed => continue,
            (true, true) => (
                format!("`{path}` is not among the files that `{name}` sees"),
                format!("add it: `files [\"{path}\", …]`"),
            ),
            (false, true) => continue,
            (_, false) => (
                format!("`{}` is not there", folder.join(path).display()),
                "paths start from the folder of the file they stand in".to_owned(),
            ),
        };
        problems.push(Diagnostic::new(E0501, span, message, format!("the command of `{name}`")).help(help));
    }
}

/// The names in `files [...]` that are plain texts.
fn listed(op: &UserOp) -> Vec<(String, Span)> {
    let Some(ExprKind::List(items)) = op.files.as_ref().map(|f| &f.kind) else { return Vec::new() };
    let text = |kind: &ExprKind| match kind {
        ExprKind::Str(text) => text.plain(),
        _ => None,
    };
    items.iter().filter_map(|item| Some((text(&item.kind)?, item.span))).collect()
}

/// Says whether a path stays in the folder it starts from.
fn is_beside(path: &str) -> bool {
    use std::path::Component;
    Path::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        && !path.starts_with("@root")
}
