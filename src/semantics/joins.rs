//! Datasets that are joined, one after another or as the branches of an `if`: which columns all of them have, and which are lost.

use super::check::Checker;
use super::rows::Step;
use super::sig::{Bound, Given};
use crate::base::codes::W0301;
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Row, Type};
use crate::syntax::ast::{Arg, Expr, ExprKind};

/// One of the datasets that are joined.
pub(super) struct Part {
    /// As it is named where they are joined.
    pub(super) name: String,
    pub(super) span: Span,
    pub(super) row: Row,
}

/// Why a column is not in what datasets were joined to.
pub(super) enum Lost {
    /// Those that have it, and those that have not.
    Absent(Vec<String>, Vec<String>),
    /// Its type in one and in another.
    Clash((String, Type), (String, Type)),
}

impl Checker<'_> {
    /// The datasets that a call joins: those given by a name, or in a list.
    pub(super) fn parts(&self, bound: &Bound, have: &[Option<Type>], rest: &[(String, Span, Type)]) -> Vec<Part> {
        let dataset = |name: &str, span: Span, ty: &Type| match self.solver.resolve(ty) {
            Type::Dataset(row) => Some(Part { name: name.to_owned(), span, row }),
            _ => None,
        };
        let mut out: Vec<Part> = rest.iter().filter_map(|(name, span, ty)| dataset(name, *span, ty)).collect();
        for (given, have) in bound.slots.iter().zip(have) {
            if let (Some(Given::Expr(Expr { kind: ExprKind::List(items), .. })), Some(Type::Tuple(types))) =
                (given, have)
            {
                let items = items.iter().zip(types).enumerate();
                out.extend(items.filter_map(|(i, (item, ty))| dataset(&named(item, i), item.span, ty)));
            }
        }
        out
    }

    /// W0301 for what is lost where datasets are joined: pictures that only some have, and columns of different types.
    pub(super) fn join_losses(&mut self, how: &str, parts: &[Part], kept: &Row) {
        let closed: Vec<&Part> = parts.iter().filter(|p| p.row.tail.is_none()).collect();
        for part in &closed {
            let lost = part.row.fields.iter().find(|(column, ty)| shows(ty) && kept.get(column).is_none());
            let Some((column, _)) = lost else { continue };
            let Some(other) = closed.iter().find(|p| p.row.get(column).is_none()) else { continue };
            let (name, without) = (&part.name, &other.name);
            let message = format!("`.{column}` of `{name}` is lost: `{without}` has no such column");
            let d = Diagnostic::new(W0301, other.span, message, format!("no `.{column}`"));
            self.report(d.also(part.span, format!("has `.{column}`")).help(format!(
                "`{how}` keeps the columns that all have; give `{without}` one before, `data.derive({column}: [])`, or drop it from `{name}`, `data.drop(columns: [.{column}])`"
            )));
            break;
        }
        self.clashes(parts, kept);
    }

    /// W0301 for a column that all have, but of types that do not go together.
    pub(super) fn clashes(&mut self, parts: &[Part], kept: &Row) {
        let Some((first, others)) = parts.split_first() else { return };
        for (column, one) in first.row.fields.iter().filter(|(c, _)| kept.get(c).is_none()) {
            for part in others {
                let Some(other) = part.row.get(column) else { continue };
                if self.solver.join(one, other).is_some() {
                    continue;
                }
                let (one, other) = (self.show(one), self.show(other));
                let message =
                    format!("`.{column}` is lost: it is {one} in `{}` and {other} in `{}`", first.name, part.name);
                let d = Diagnostic::new(W0301, part.span, message, format!("`{column}: {other}`"));
                self.report(d.also(first.span, format!("`{column}: {one}`")).help(format!(
                    "only columns of one type are kept: mend the schema, or leave it out of both, `data.drop(columns: [.{column}])`"
                )));
                break;
            }
        }
    }

    /// Looks for clashes between the branches of an `if`.
    pub(super) fn branches_clash(&mut self, ty: &Type, a: &Type, b: &Type, then: &Expr, other: &Expr) {
        if let (Type::Dataset(kept), Type::Dataset(x), Type::Dataset(y)) =
            (self.solver.resolve(ty), self.solver.resolve(a), self.solver.resolve(b))
        {
            let part = |name: &str, e: &Expr, row| Part { name: name.to_owned(), span: e.span, row };
            self.clashes(&[part("then", then, x), part("else", other, y)], &kept);
        }
    }

    /// The arguments of a call that are datasets, by name or in a list.
    pub(super) fn datasets_among(&self, args: &[Arg]) -> Vec<(String, Row)> {
        let mut out = Vec::new();
        for arg in args {
            match (arg, &arg.value().kind) {
                (_, ExprKind::List(items)) => {
                    let rows = items.iter().enumerate();
                    out.extend(rows.filter_map(|(i, item)| Some((named(item, i), self.noted_row(item)?))));
                }
                (Arg::Named(name, e), _) => out.extend(self.noted_row(e).map(|row| (name.text.clone(), row))),
                _ => {}
            }
        }
        out
    }

    /// The columns of an expression as they were inferred.
    pub(super) fn noted_row(&self, e: &Expr) -> Option<Row> {
        match (&e.kind, self.types.get(&e.span).map(|t| self.solver.resolve(t))) {
            (_, Some(Type::Dataset(row))) => Some(row),
            (ExprKind::Paren(inner), _) => self.noted_row(inner),
            _ => None,
        }
    }

    /// The join at which a column was lost, where that was one.
    pub(super) fn lost_in_join<'s>(&mut self, steps: &'s [Step], column: &str) -> Option<(&'s Step, Lost)> {
        let without = steps.iter().take_while(|step| step.after.get(column).is_none());
        without.into_iter().find_map(|step| Some((step, self.lost_by(&step.named, column)?)))
    }

    fn lost_by(&mut self, joined: &[(String, Row)], column: &str) -> Option<Lost> {
        if joined.len() < 2 || joined.iter().any(|(_, row)| row.is_any()) {
            return None;
        }
        let (with, without): (Vec<_>, Vec<_>) = joined.iter().partition(|(_, row)| row.get(column).is_some());
        let (first, others) = with.split_first()?;
        let names = |of: &[&(String, Row)]| of.iter().map(|(name, _)| name.clone()).collect::<Vec<_>>();
        if !without.is_empty() {
            return Some(Lost::Absent(names(&with), names(&without)));
        }
        let one = first.1.get(column)?;
        let other =
            others.iter().find(|(_, row)| row.get(column).is_some_and(|ty| self.solver.join(one, ty).is_none()))?;
        Some(Lost::Clash((first.0.clone(), one.clone()), (other.0.clone(), other.1.get(column)?.clone())))
    }

    /// Says of a missing column in which join it was lost.
    pub(super) fn tell_join(&self, d: Diagnostic, step: &Step, lost: Lost, column: &str) -> Diagnostic {
        match lost {
            Lost::Absent(with, without) => {
                let why =
                    format!("only columns that all have are kept: {} has no `.{column}`", phrase::quoted(&without));
                d.also(step.span, why).help(format!(
                    "`.{column}` of {} is lost there; add it to the other rows before, `data.derive({column}: …)`, or work on it before the `{}`",
                    phrase::quoted(&with), step.name
                ))
            }
            Lost::Clash((a, one), (b, other)) => {
                let (one, other) = (self.show(&one), self.show(&other));
                let why =
                    format!("only columns of one type are kept: `.{column}` is {one} in `{a}` and {other} in `{b}`");
                d.also(step.span, why).help(format!("give `.{column}` one type in all of them, in their schemas"))
            }
        }
    }
}

/// How an element of a list of datasets is called.
fn named(item: &Expr, index: usize) -> String {
    match &item.kind {
        ExprKind::Ident(name) => name.clone(),
        _ => format!("of[{index}]"),
    }
}

/// Says whether a column holds pictures or videos.
fn shows(ty: &Type) -> bool {
    match ty {
        Type::Image | Type::Video => true,
        Type::List(t) => shows(t),
        // What may be absent is no loss.
        _ => false,
    }
}
