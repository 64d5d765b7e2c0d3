//! Comments attached to what stands below them: docs and lint suppressions.

use super::ast::{Allow, Comment};
use crate::base::Span;

/// What the comment lines right above a node say.
#[derive(Default)]
pub(super) struct Above {
    /// `##` lines, joined.
    pub(super) doc: Option<String>,
    /// `# allow CODE: reason` lines, top to bottom.
    pub(super) allows: Vec<Allow>,
}

/// Reads the unbroken run of comment lines that ends on the line above `start`.
pub(super) fn above(text: &str, comments: &[Comment], start: usize) -> Above {
    let mut docs = Vec::new();
    let mut out = Above::default();
    let mut below = start;
    let before = comments.partition_point(|c| c.span.end as usize <= start);
    for comment in comments[..before].iter().rev() {
        let (from, to) = (comment.span.start as usize, comment.span.end as usize);
        let gap = &text[to..below];
        let own_line = text[..from].rsplit('\n').next().is_none_or(|head| head.trim().is_empty());
        if !own_line || !gap.trim().is_empty() || gap.matches('\n').count() != 1 || comment.text.starts_with("#!") {
            break;
        }
        if let Some(line) = comment.text.strip_prefix("##") {
            docs.push(line.strip_prefix(' ').unwrap_or(line).trim_end());
        } else if let Some(allow) = allow(&comment.text, comment.span) {
            out.allows.push(allow);
        }
        below = from;
    }
    docs.reverse();
    out.allows.reverse();
    out.doc = (!docs.is_empty()).then(|| docs.join("\n"));
    out
}

/// Joins the `#!` lines at the top of a file; a shebang line is not part of them.
pub(super) fn file_doc(text: &str, comments: &[Comment]) -> Option<String> {
    let mut lines = Vec::new();
    let mut end = 0;
    for comment in comments {
        let gap = text.get(end..comment.span.start as usize).unwrap_or_default();
        let Some(line) = comment.text.strip_prefix("#!") else { break };
        if !gap.trim_start_matches('\u{feff}').trim().is_empty() {
            break;
        }
        end = comment.span.end as usize;
        if comment.span.start == 0 && line.starts_with('/') {
            continue;
        }
        lines.push(line.strip_prefix(' ').unwrap_or(line).trim_end());
    }
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn allow(text: &str, span: Span) -> Option<Allow> {
    let rest = text.strip_prefix('#')?.trim_start().strip_prefix("allow ")?;
    let (code, reason) = rest.split_once(':').unwrap_or((rest, ""));
    // `# allow W0501, W0505: …` and `# allow W0501 because …` are meant as one, and are none.
    let first = code.split([' ', ',']).find(|w| !w.is_empty())?;
    let reason = if first == code.trim() { reason.trim() } else { "" };
    let digits = first.get(1..).is_some_and(|d| d.len() == 4 && d.bytes().all(|b| b.is_ascii_digit()));
    let looks_like_code = first.starts_with(|c: char| c.is_ascii_alphabetic()) && (digits || first.len() == 5);
    let upper = first.starts_with(|c: char| c.is_ascii_uppercase()) || digits;
    // The name of a lint, as other tools have it.
    let named = first == code.trim()
        && !first.contains("::")
        && matches!(first, "unused" | "all" | "warnings" | "lint" | "lints")
        || first.contains("unused_")
        || first.contains("unused-");
    (looks_like_code && upper || named).then(|| Allow { code: first.to_owned(), reason: reason.to_owned(), span })
}
