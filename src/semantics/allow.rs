//! `# allow CODE: reason`: silences a lint for the item below it, and says when there is nothing left to silence.

use crate::base::codes::{self, W0510};
use crate::base::{Diagnostic, Problems, Severity};
use crate::syntax::ast::File;

/// Which stage raised the problems at hand; an `allow` for a code of another stage is left alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Reading the text.
    Parse,
    /// Names and types.
    Check,
    /// What only a plan can know: rows, steps, memory. Raised by later rooms.
    Plan,
}

/// Drops the warnings that an `allow` in `file` accepts, and adds W0510 for those that no longer accept anything.
///
/// Errors cannot be allowed. An `allow` without a reason silences nothing.
pub fn apply(file: &File, problems: Problems, stage: Stage) -> Problems {
    let mut out = Problems::default();
    let mut used: Vec<crate::base::Span> = Vec::new();
    for d in problems.sorted() {
        let allow = file.items.iter().filter(|item| item.span.covers(d.primary.span)).find_map(|item| {
            item.allows.iter().find(|a| a.code.eq_ignore_ascii_case(d.code.0) && !a.reason.trim().is_empty())
        });
        match allow {
            Some(allow) if d.severity == Severity::Warning => used.push(allow.span),
            _ => out.push(d),
        }
    }
    for allow in file.items.iter().flat_map(|item| &item.allows) {
        if stage_of(&allow.code) != stage || used.contains(&allow.span) {
            continue;
        }
        let (message, help) = if codes::lookup(&allow.code).is_none() {
            (format!("`{}` is no code", allow.code), "write it as it is printed: `# allow W0501: reason`".to_owned())
        } else if allow.code.starts_with(['E', 'e']) {
            (format!("{} is an error and cannot be allowed", allow.code), "mend what it reports".to_owned())
        } else if allow.reason.trim().is_empty() {
            (
                format!("`# allow {}` gives no reason", allow.code),
                format!("say why on the same line, one code a line: `# allow {}: reason`", allow.code),
            )
        } else {
            (format!("{} no longer fires here", allow.code), "delete this comment".to_owned())
        };
        out.push(Diagnostic::new(W0510, allow.span, message, "silences nothing").help(help));
    }
    out
}

fn stage_of(code: &str) -> Stage {
    match code.to_ascii_uppercase().as_str() {
        "W0101" | "W0102" => Stage::Parse,
        "W0301" | "W0403" => Stage::Check,
        c if c.starts_with("W03") || c.starts_with("W04") || c.starts_with("W05") || c.starts_with('P') => Stage::Plan,
        _ => Stage::Check,
    }
}
