//! The outline of a file: its items, each with what it declares inside.

use super::names::{self, Kind};
use super::snapshot::Snapshot;
use crate::base::Span;
use crate::spec::Type;
use crate::syntax::ast::{ItemKind, Name, RowPart};

/// One entry of the outline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Symbol {
    /// The name, or what stands for one.
    pub name: String,
    /// Its type or kind in a few words.
    pub detail: String,
    /// What it is; none for `recipe`, `expect` and `warn`.
    pub kind: Option<Kind>,
    /// The whole item.
    pub span: Span,
    /// The name alone.
    pub at: Span,
    /// What it holds.
    pub children: Vec<Symbol>,
}

/// Returns the outline of a module; items that do not parse are missing.
pub fn symbols(snapshot: &Snapshot, module: usize) -> Vec<Symbol> {
    let file = &snapshot.program.modules[module].file;
    let mut out = Vec::new();
    for item in &file.items {
        let known = |name: &Name| snapshot.checked.bindings.get(&(module, name.text.clone())).map(Type::to_string);
        if let Some((name, kind)) = names::declared(&item.kind) {
            let mut children = Vec::new();
            let mut add = |name: &Name, end: Span, kind| {
                let detail = snapshot.slice(end).to_owned();
                let span = name.span.to(end);
                let kind = Some(kind);
                children.push(Symbol {
                    name: name.text.clone(),
                    detail,
                    kind,
                    span,
                    at: name.span,
                    children: Vec::new(),
                });
            };
            match &item.kind {
                ItemKind::Schema { row, .. } => row.parts.iter().for_each(|part| {
                    if let RowPart::Field { name, ty, .. } = part {
                        add(name, ty.span, Kind::Field);
                    }
                }),
                ItemKind::Fn(f) => f.params.iter().for_each(|p| add(&p.name, p.ty.span, Kind::Argument)),
                ItemKind::Op(op) => op.params.iter().for_each(|p| add(&p.name, p.ty.span, Kind::Argument)),
                _ => {}
            }
            let detail = known(name).unwrap_or_default();
            out.push(Symbol {
                name: name.text.clone(),
                detail,
                kind: Some(kind),
                span: item.span,
                at: name.span,
                children,
            });
            continue;
        }
        let plain = |name: &str, at: Span| Symbol {
            name: name.to_owned(),
            detail: String::new(),
            kind: None,
            span: item.span,
            at,
            children: Vec::new(),
        };
        match &item.kind {
            ItemKind::Recipe { name, .. } => {
                out.push(plain(&format!("recipe {}", snapshot.slice(name.span)), name.span))
            }
            ItemKind::Expect { cond, .. } => out.push(plain(&line("expect", snapshot.slice(cond.span)), cond.span)),
            ItemKind::Warn { cond, .. } => out.push(plain(&line("warn", snapshot.slice(cond.span)), cond.span)),
            _ => {}
        }
    }
    out
}

fn line(word: &str, text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let short: String = text.chars().take(50).collect();
    let more = if short.len() < text.len() { "…" } else { "" };
    format!("{word} {short}{more}")
}
