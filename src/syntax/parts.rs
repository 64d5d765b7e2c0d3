//! The parts of an item, of an expression, of a written type and of a parameter.

use super::ast::{Arg, Binding, Expr, ExprKind, ItemKind, ParamDecl, RecordField, RowPart, RowType};
use super::ast::{TypeArg, TypeExpr, TypeExprKind, With};
use crate::base::Span;

impl Expr {
    /// Gives the expression and all that stand in it, outermost first.
    pub fn walk<'a>(&'a self, see: &mut dyn FnMut(&'a Expr)) {
        see(self);
        children(self, &mut |part| part.walk(see));
    }
}

impl Arg {
    /// Returns the expression of an argument, however it is given.
    pub fn value(&self) -> &Expr {
        match self {
            Arg::Positional(e) | Arg::Named(_, e) | Arg::Spread(e, _) => e,
        }
    }
}

impl ParamDecl {
    /// Returns the expressions of a declared parameter: the range that it takes, its default.
    pub fn parts(&self) -> impl Iterator<Item = &Expr> {
        self.within.iter().chain(&self.default)
    }

    /// Returns the place of its last part.
    pub fn end(&self) -> Span {
        self.parts().last().map_or(self.ty.span, |e| e.span)
    }
}

/// Gives the parts of an expression that are expressions, in order.
pub fn children<'a>(e: &'a Expr, see: &mut dyn FnMut(&'a Expr)) {
    match &e.kind {
        ExprKind::Field(base, _) => see(base),
        ExprKind::Index(a, b) => [a, b].into_iter().for_each(|e| see(e)),
        ExprKind::Call { callee, args, .. } => {
            see(callee);
            args.iter().for_each(|arg| see(arg.value()));
        }
        ExprKind::Pipe { left: a, call: b, .. } | ExprKind::Binary { left: a, right: b, .. } => {
            [a, b].into_iter().for_each(|e| see(e));
        }
        ExprKind::Unary { value, .. } => see(value),
        ExprKind::Range(a, b) => a.iter().chain(b).for_each(|e| see(e)),
        ExprKind::If { cond, then, other } => [cond, then, other].into_iter().for_each(|e| see(e)),
        ExprKind::Sweep { axes, filter, body } => {
            axes.iter().for_each(|axis| see(&axis.over));
            filter.iter().for_each(|e| see(e));
            see(body);
        }
        ExprKind::Record(fields) => record(fields, see),
        ExprKind::List(items) | ExprKind::Tuple(items) => items.iter().for_each(see),
        ExprKind::Paren(inner) => see(inner),
        ExprKind::Number(..)
        | ExprKind::Str(_)
        | ExprKind::Bool(_)
        | ExprKind::None
        | ExprKind::Ident(_)
        | ExprKind::TypeName(_)
        | ExprKind::Col(_) => {}
    }
}

/// Gives the expressions of the fields of a record, in order.
pub fn record<'a>(fields: &'a [RecordField], see: &mut dyn FnMut(&'a Expr)) {
    for field in fields {
        if let RecordField::Named(_, e) | RecordField::Spread(e, _) = field {
            see(e);
        }
    }
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
fn row_types<'a>(row: &'a RowType, see: &mut dyn FnMut(&'a TypeExpr)) {
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
