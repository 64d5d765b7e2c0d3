//! Columns that may be absent: where a test against `none` has shown that one is there, and tests that other languages write.

use super::check::{Checker, Cx};
use super::names::their_literal;
use crate::base::Diagnostic;
use crate::base::codes::E0201;
use crate::spec::{Row, Type};
use crate::syntax::ast::{BinaryOp, Expr, ExprKind, Name, UnaryOp};

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

impl Checker<'_> {
    /// Reports `exists .input`: a word of another language, a blank, and a column of the row.
    pub(super) fn asked_by_a_word(&mut self, base: &Expr, name: &Name, cx: &Cx) -> bool {
        let (ExprKind::Ident(word) | ExprKind::TypeName(word)) = &base.kind else { return false };
        let asks = matches!(word.to_ascii_lowercase().as_str(), "exists" | "exist" | "defined" | "isset" | "present");
        let Some(row) = cx.row.as_ref().filter(|_| asks && !self.is_name(word, cx)) else { return false };
        let Some(ty) = self.solver.row(row).get(&name.text).cloned() else { return false };
        let d = Diagnostic::new(E0201, base.span, format!("there is no `{word}` here"), "no word of the language");
        let (whole, written) = (base.span.to(name.span), format!(".{} != none", name.text));
        let d = match self.solver.resolve(&ty) {
            Type::Optional(_) => d.help(format!("what may be absent is compared: `{written}`")).fix(whole, written),
            _ => d.help(format!("`.{}` is there in every row; what is empty is compared: `.{0} != \"\"`", name.text)),
        };
        self.report(d);
        true
    }
}
