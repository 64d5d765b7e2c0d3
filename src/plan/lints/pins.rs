//! What a training depends on and nobody has pinned.

use std::collections::BTreeMap;

use super::Facts;
use crate::base::codes::{W0530, W0531};
use crate::base::{Diagnostic, Problems, Span};
use crate::semantics::modules::Program;
use crate::syntax::ast::ItemKind;

/// Interpreters whose version stands in their name.
const INTERPRETERS: &[&str] = &["python", "ruby", "perl", "node", "php", "lua"];

/// Looks at the recipe's head and at the programs of its own operators.
pub(super) fn lint(program: &Program, facts: &Facts, found: &mut Problems) {
    let trains = facts.graph.dag.node_indices().any(|id| facts.graph.node(id).trains());
    for item in program.modules[0].file.items.iter().filter(|_| trains) {
        if let ItemKind::Recipe { requires: None, .. } = &item.kind {
            let message = "this recipe trains a model and does not say with which versions of rbpipe";
            let d = Diagnostic::new(W0530, item.span, message, "any version may run it");
            let version = env!("CARGO_PKG_VERSION");
            found.push(d.help(format!("add the oldest that is known to work: `requires \">={version}\"`")));
        }
    }
    let mut seen: BTreeMap<&str, (String, Span)> = BTreeMap::new();
    for item in program.modules.iter().flat_map(|m| &m.file.items) {
        let ItemKind::Op(op) = &item.kind else { continue };
        let Some((text, span)) = op.runs.as_ref().and_then(|r| Some((r.plain()?, r.span))) else { continue };
        let program =
            text.split_whitespace().next().unwrap_or_default().rsplit('/').next().unwrap_or_default().to_owned();
        let Some(name) = INTERPRETERS.iter().find(|name| program.starts_with(**name)) else { continue };
        let version = &program[name.len()..];
        if !version.contains('.') {
            continue;
        }
        match seen.get(name) {
            Some((other, at)) if *other != version => {
                let message = format!("one operator runs {name}{other}, this one {program}");
                let d = Diagnostic::new(W0531, span, message, "another version").also(*at, "the other one");
                found.push(d.help("run both with one version, and pin it: `env \"requirements.lock\"`"));
            }
            Some(_) => {}
            None => {
                seen.insert(name, (version.to_owned(), span));
            }
        }
    }
}
