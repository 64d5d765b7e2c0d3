//! The fixes that diagnostics carry, as changes that an editor offers.

use super::snapshot::Snapshot;
use crate::base::{Diagnostic, Edit, Span};

/// A change that mends a problem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fix<'a> {
    /// What it does, in a few words.
    pub title: String,
    /// The change.
    pub edit: &'a Edit,
    /// What it mends.
    pub problem: &'a Diagnostic,
}

/// Returns the fixes of the problems that touch a range of a module.
pub fn fixes(snapshot: &Snapshot, module: usize, start: usize, end: usize) -> Vec<Fix<'_>> {
    let source = snapshot.program.modules[module].file.source;
    let near = |span: Span| span.source == source && span.start as usize <= end && start <= span.end as usize;
    let with_fix = snapshot.problems.iter().filter_map(|problem| Some((problem, problem.fix.as_ref()?)));
    with_fix
        .filter(|(problem, edit)| edit.span.source == source && (near(problem.primary.span) || near(edit.span)))
        .map(|(problem, edit)| Fix { title: title(snapshot.slice(edit.span), &edit.text), edit, problem })
        .collect()
}

fn title(old: &str, new: &str) -> String {
    let (shown_old, shown_new) = (shown(old), shown(new));
    match (old.trim().is_empty(), new.trim().is_empty()) {
        (false, false) => format!("Replace {shown_old} with {shown_new}"),
        (true, false) => format!("Insert {shown_new}"),
        (false, true) => format!("Remove {shown_old}"),
        (true, true) if new.contains('\n') => "Put it on a line of its own".to_owned(),
        (true, true) => "Remove the blanks".to_owned(),
    }
}

fn shown(text: &str) -> String {
    format!("`{}`", text.trim().replace('\n', " "))
}
