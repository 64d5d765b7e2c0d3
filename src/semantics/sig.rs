//! What is called, and the arguments that a call gives it.

use std::rc::Rc;

use super::written::Home;
use crate::base::Span;
use crate::spec::Type;
use crate::spec::catalogue::Operator;
use crate::syntax::ast::{Expr, ExprKind, Function, ParamDecl, TypeExpr, UserOp};

/// What a call calls.
pub(super) struct Sig<'a> {
    /// As messages name it.
    pub(super) name: String,
    pub(super) params: &'a [ParamDecl],
    pub(super) result: &'a TypeExpr,
    pub(super) home: Home,
    pub(super) kind: Kind<'a>,
    /// Its declaration, if the user wrote it.
    pub(super) decl: Option<Span>,
}

/// By whom it was declared.
pub(super) enum Kind<'a> {
    Operator(&'a Operator),
    Fn(usize, &'a Function),
    UserOp(&'a UserOp),
    Prelude,
}

/// A value for a parameter.
#[derive(Clone)]
pub(super) enum Given<'e> {
    /// Written out.
    Expr(&'e Expr),
    /// A field of a spread record: its type, and the expression that it has there (or the spread itself, if that cannot be told).
    Spread(Type, Rc<Expr>),
}

impl Bound<'_> {
    /// Says whether `where` was given.
    pub(super) fn has_filter(&self) -> bool {
        self.filter.is_some() || self.slots.iter().skip(1).any(Option::is_some)
    }
}

/// The arguments of a call, sorted to its parameters.
#[derive(Default)]
pub(super) struct Bound<'e> {
    pub(super) slots: Vec<Option<Given<'e>>>,
    /// Of the parameter that takes all further names.
    pub(super) rest: Vec<(&'e str, Span, Given<'e>)>,
    pub(super) filter: Option<Given<'e>>,
    pub(super) seed: Option<Given<'e>>,
    /// What happens to single bad rows of a user's operator.
    pub(super) bad: Option<Given<'e>>,
    /// Something of unknown type was spread: nothing is missing for sure.
    pub(super) open: bool,
}

impl Given<'_> {
    /// Stands for a value that was given in a way that has been reported.
    pub(super) fn lost(span: Span) -> Self {
        Given::Spread(Type::Error, Rc::new(Expr { kind: ExprKind::None, span }))
    }
}

/// Says whether a parameter of this type speaks of the current row.
pub(super) fn rowwise(ty: &Type) -> bool {
    match ty {
        Type::RowFn(_) | Type::Field(_) => true,
        Type::Optional(t) | Type::List(t) => rowwise(t),
        Type::Union(ts) | Type::Tuple(ts) => ts.iter().any(rowwise),
        Type::Record(row) => row.fields.iter().any(|(_, t)| rowwise(t)),
        _ => false,
    }
}

/// Says whether a type is a dataset, or one of several.
pub(super) fn dataset_in(ty: &Type) -> bool {
    match ty {
        Type::Dataset(_) => true,
        Type::Optional(t) => dataset_in(t),
        Type::Union(ts) => !ts.is_empty() && ts.iter().all(dataset_in),
        _ => false,
    }
}
