//! What an editor asks of a checked program: the type of every expression, what its place asks for, the columns at hand.

use std::collections::BTreeMap;

use super::infer::Solver;
use crate::base::Span;
use crate::spec::{Row, Type};
use crate::syntax::ast::{Expr, ExprKind};

/// What checking saw at each place. Types are resolved when they are asked for.
#[derive(Debug, Default)]
pub struct Facts {
    pub(super) solver: Solver,
    pub(super) types: BTreeMap<Span, Type>,
    pub(super) wants: BTreeMap<Span, Type>,
    pub(super) rows: BTreeMap<Span, Row>,
}

impl Facts {
    /// Returns the type of the expression, parameter or local name at exactly this place; none if nothing is known of it.
    pub fn type_of(&self, span: Span) -> Option<Type> {
        let ty = self.solver.resolve(self.types.get(&span)?);
        (!matches!(ty, Type::Error | Type::Var(_))).then_some(ty)
    }

    /// Returns the type that the place of an expression asks for.
    pub fn wanted(&self, span: Span) -> Option<Type> {
        self.wants.get(&span).map(|ty| self.solver.resolve(ty))
    }

    /// Returns the columns of the row that `.name` speaks of at a name or column; none outside of row functions.
    pub fn columns(&self, span: Span) -> Option<Row> {
        self.rows.get(&span).map(|row| self.solver.row(row))
    }

    /// Notes the row that an expression may speak of, where a name or column stands: there somebody may be typing.
    pub(super) fn saw_row(&mut self, e: &Expr, row: Option<&Row>) {
        if let (ExprKind::Ident(_) | ExprKind::Col(_), Some(row)) = (&e.kind, row) {
            self.rows.entry(e.span).or_insert_with(|| row.clone());
        }
    }

    pub(super) fn saw(&mut self, span: Span, ty: &Type) {
        self.types.insert(span, ty.clone());
    }
}
