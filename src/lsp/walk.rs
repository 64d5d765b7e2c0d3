//! Ways through the syntax tree: the parts of an item, the parts of an expression, and what stands at a byte.

use crate::base::Span;
use crate::syntax::ast::{Binding, Expr, File, Item, ItemKind, ParamDecl, RowPart, RowType, TypeArg};
use crate::syntax::ast::{TypeExpr, TypeExprKind, With};
pub use crate::syntax::children;
use crate::syntax::record;

/// Says whether a byte lies in a span or right after it.
pub fn touches(span: Span, offset: usize) -> bool {
    span.start as usize <= offset && offset <= span.end as usize
}

/// Returns the item at a byte.
pub fn item_at(file: &File, offset: usize) -> Option<&Item> {
    file.items.iter().find(|item| touches(item.span, offset))
}

/// Returns the expressions around a byte, the outermost first.
pub fn path(item: &Item, offset: usize) -> Vec<&Expr> {
    let mut found = Vec::new();
    let mut next = None;
    expressions(&item.kind, &mut |e| {
        if touches(e.span, offset) {
            next = Some(e);
        }
    });
    while let Some(e) = next.take() {
        found.push(e);
        children(e, &mut |part| {
            // Of two that touch the byte, the one that ends there is meant: the cursor stands behind what was typed.
            let better = next.is_none_or(|known: &Expr| (known.span.end as usize) < offset);
            if touches(part.span, offset) && better {
                next = Some(part);
            }
        });
    }
    found
}

/// Gives the outermost expressions of an item.
pub fn expressions<'a>(item: &'a ItemKind, see: &mut dyn FnMut(&'a Expr)) {
    match item {
        ItemKind::Param { within, default, .. } => within.iter().chain(default).for_each(see),
        ItemKind::Fn(f) => {
            f.params.iter().flat_map(ParamDecl::parts).for_each(&mut *see);
            f.locals.iter().for_each(|local| binding(local, see));
            see(&f.body);
        }
        ItemKind::Op(op) => op.params.iter().flat_map(ParamDecl::parts).chain(&op.files).for_each(see),
        ItemKind::Let(b) | ItemKind::Stage(b) => binding(b, see),
        ItemKind::Expect { cond, .. } | ItemKind::Warn { cond, .. } => see(cond),
        ItemKind::Output { value, .. } => see(value),
        ItemKind::Profile { fields, with, .. } => {
            record(fields, see);
            with_parts(with.as_ref(), see);
        }
        ItemKind::Recipe { .. } | ItemKind::Import(_) | ItemKind::Secret { .. } | ItemKind::Schema { .. } => {}
    }
}

fn binding<'a>(b: &'a Binding, see: &mut dyn FnMut(&'a Expr)) {
    see(&b.value);
    with_parts(b.with.as_ref(), see);
}

fn with_parts<'a>(with: Option<&'a With>, see: &mut dyn FnMut(&'a Expr)) {
    if let Some(With::Record { fields, .. }) = with {
        record(fields, see);
    }
}

/// Gives the written types of an item.
pub fn types<'a>(item: &'a ItemKind, see: &mut dyn FnMut(&'a TypeExpr)) {
    match item {
        ItemKind::Param { ty, .. } => see(ty),
        ItemKind::Fn(f) => {
            f.params.iter().for_each(|p| see(&p.ty));
            see(&f.result);
            f.locals.iter().filter_map(|l| l.ty.as_ref()).for_each(see);
        }
        ItemKind::Op(op) => {
            op.params.iter().for_each(|p| see(&p.ty));
            see(&op.result);
        }
        ItemKind::Let(b) | ItemKind::Stage(b) => b.ty.iter().for_each(see),
        ItemKind::Schema { row, .. } => row_types(row, see),
        _ => {}
    }
}

/// Gives the types of the fields of a row.
pub fn row_types<'a>(row: &'a RowType, see: &mut dyn FnMut(&'a TypeExpr)) {
    for part in &row.parts {
        if let RowPart::Field { ty, .. } = part {
            see(ty);
        }
    }
}

/// Gives the parts of a written type that are types.
pub fn type_parts<'a>(ty: &'a TypeExpr, see: &mut dyn FnMut(&'a TypeExpr)) {
    match &ty.kind {
        TypeExprKind::Union(parts) | TypeExprKind::Tuple(parts) => parts.iter().for_each(see),
        TypeExprKind::Optional(inner) | TypeExprKind::List(inner) => see(inner),
        TypeExprKind::Row(row) => row_types(row, see),
        TypeExprKind::Named { args, .. } => {
            for arg in args {
                if let TypeArg::Type(ty) = arg {
                    see(ty);
                }
            }
        }
        TypeExprKind::Enum(_) => {}
    }
}
