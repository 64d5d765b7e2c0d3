//! Problems of the parser that follow from what is called: of a function that is not there, how its arguments are written is no matter.

use super::declared::declared;
use crate::base::codes::E0101;
use crate::base::{Problems, Span};
use crate::spec::prelude;
use crate::syntax::ast::{Expr, ExprKind, File, ItemKind};

/// Takes out that arguments are given with `=` where what is called is a function of another language.
pub(super) fn left_out(file: &File, problems: Problems) -> Problems {
    if !problems.has_errors() {
        return problems;
    }
    let mut foreign: Vec<Span> = Vec::new();
    let imports = file.items.iter().filter_map(|item| match &item.kind {
        ItemKind::Import(import) => Some(import),
        _ => None,
    });
    let brought: Vec<&str> = imports
        .flat_map(|i| {
            i.alias.iter().chain(i.names.iter().flatten().map(|(name, alias)| alias.as_ref().unwrap_or(name)))
        })
        .map(|name| name.text.as_str())
        .collect();
    let known = |name: &str| {
        file.items.iter().filter_map(|item| declared(&item.kind)).any(|(n, _)| n.text == name)
            || brought.contains(&name)
            || file.missing.iter().any(|m| m == name)
            || prelude::FUNCTION_NAMES.contains(&name)
    };
    let mut look = |e: &Expr| {
        let ExprKind::Call { callee, args_span, .. } = &e.kind else { return };
        let root = match &callee.kind {
            ExprKind::Field(base, _) if matches!(base.kind, ExprKind::TypeName(_)) => base,
            _ => callee,
        };
        if let ExprKind::Ident(name) | ExprKind::TypeName(name) = &root.kind
            && !known(name)
        {
            foreign.push(*args_span);
        }
    };
    for item in &file.items {
        match &item.kind {
            ItemKind::Let(b) | ItemKind::Stage(b) => b.value.walk(&mut look),
            ItemKind::Output { value, .. } => value.walk(&mut look),
            _ => {}
        }
    }
    let mut out = Problems::default();
    for d in problems.sorted() {
        let named = d.code == E0101 && d.fix.as_ref().is_some_and(|fix| fix.text == ":");
        if !(named && foreign.iter().any(|call| call.covers(d.primary.span))) {
            out.push(d);
        }
    }
    out
}
