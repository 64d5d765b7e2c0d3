//! Columns that may be absent: where a test against `none` has shown that one is there.

use super::check::Cx;
use super::names::their_literal;
use crate::spec::{Row, Type};
use crate::syntax::ast::{BinaryOp, Expr, ExprKind, UnaryOp};

/// The columns that are there when `e` is `holds`.
pub(super) fn shown(e: &Expr, holds: bool) -> Vec<String> {
    match &e.kind {
        ExprKind::Paren(inner) => shown(inner, holds),
        ExprKind::Unary { op: UnaryOp::Not, value } => shown(value, !holds),
        ExprKind::Binary { op, left, right, .. } => match (op, holds) {
            (BinaryOp::And, true) | (BinaryOp::Or, false) => [shown(left, holds), shown(right, holds)].concat(),
            (BinaryOp::Ne, true) | (BinaryOp::Eq, false) => match (&left.kind, &right.kind) {
                (ExprKind::Col(name), other) | (other, ExprKind::Col(name)) if is_none(other) => {
                    vec![name.text.clone()]
                }
                _ => Vec::new(),
            },
            _ => Vec::new(),
        },
        _ => Vec::new(),
    }
}

/// `none`, also as other languages write it: that is told where it stands.
fn is_none(e: &ExprKind) -> bool {
    matches!(e, ExprKind::None) || matches!(e, ExprKind::Ident(name) if their_literal(name) == Some("none"))
}

/// Rows of which a condition holds: the columns that it shows to be there are no longer optional; none if it shows nothing.
pub(super) fn kept(mut row: Row, condition: &Expr) -> Option<Row> {
    let there = shown(condition, true);
    let mut changed = false;
    for (name, ty) in &mut row.fields {
        if let Type::Optional(inner) = ty
            && there.contains(name)
        {
            *ty = (**inner).clone();
            changed = true;
        }
    }
    changed.then_some(row)
}

impl Cx {
    /// Where `e` has been found to be `holds`: the right side of `and` and `or`, and the branches of an `if`.
    pub(super) fn after(&self, e: &Expr, holds: bool) -> Self {
        let mut cx = self.clone();
        if cx.row.is_some() {
            cx.there.extend(shown(e, holds));
        }
        cx
    }
}
