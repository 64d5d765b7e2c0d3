//! The parts of an expression and of a parameter.

use super::ast::{Arg, Expr, ExprKind, ParamDecl, RecordField};
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
