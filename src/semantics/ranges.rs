//! Ranges, and what stands in brackets behind a value.

use super::check::{Checker, Cx, Site};
use crate::base::codes::{E0101, E0121, E0304};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::Type;
use crate::syntax::ast::{Expr, ExprKind};

impl Checker<'_> {
    /// The type of a range: that of its ends.
    pub(super) fn range(&mut self, from: Option<&Expr>, to: Option<&Expr>, span: Span, cx: &Cx) -> Type {
        if let (None, Some(to)) = (from, to)
            && self.is_column(to, cx)
        {
            let point = Span { end: span.start + 1, ..span };
            let d = Diagnostic::new(E0101, point, "a column is written with one point", "one too many");
            self.report(d.help("remove it").fix(point, ""));
            return Type::Error;
        }
        self.range_is_empty(from, to, span);
        let mut element: Option<Type> = None;
        for end in [from, to].into_iter().flatten() {
            let ty = self.infer(end, cx);
            let ty = self.solver.resolve(&ty);
            if matches!(ty, Type::Error) {
                return Type::Error;
            }
            if let (Type::Record(_), Some(from), Some(to)) = (&ty, from, to)
                && std::ptr::eq(end, to)
            {
                let gap = Span { start: from.span.end, end: from.span.end, ..span };
                let d = Diagnostic::new(
                    E0101,
                    gap,
                    "a comma is missing before a record that is spread",
                    "expected `,` here",
                );
                self.report(d.help("write `, ..`: with nothing between them, two dots make a range").fix(gap, ","));
                return Type::Error;
            }
            element = Some(match element {
                None => ty,
                Some(first) => match self.solver.join(&first, &ty) {
                    Some(joined) => joined,
                    None => {
                        let (a, b) = (self.show(&first), self.show(&ty));
                        self.report(
                            Diagnostic::new(
                                E0121,
                                span,
                                format!("the ends of this range differ: {a} and {b}"),
                                "two dimensions",
                            )
                            .help("give both ends the same unit, as in `500rows..200_000rows`"),
                        );
                        Type::Error
                    }
                },
            });
        }
        Type::Range(Box::new(element.unwrap_or(Type::Error)))
    }

    /// Says whether an expression begins with the name of a column of the row that is no value.
    fn is_column(&self, e: &Expr, cx: &Cx) -> bool {
        match &e.kind {
            ExprKind::Field(base, _) | ExprKind::Index(base, _) | ExprKind::Binary { left: base, .. } => {
                self.is_column(base, cx)
            }
            ExprKind::Call { callee, .. } => self.is_column(callee, cx),
            ExprKind::Ident(name) => {
                !self.is_name(name, cx) && cx.row.as_ref().is_some_and(|row| self.solver.row(row).get(name).is_some())
            }
            _ => false,
        }
    }

    /// The type of `base[index]`.
    pub(super) fn index(&mut self, base: &Expr, index: &Expr, cx: &Cx) -> Type {
        let ty = self.infer(base, cx);
        if let Type::Dataset(_) = self.solver.resolve(&ty) {
            if let (Some(row), ExprKind::Str(text)) = (&cx.row, &index.kind)
                && let Some(name) = text.plain().filter(|n| self.solver.row(row).get(n).is_some())
            {
                let whole = base.span.to(index.span);
                let whole = Span { end: whole.end + 1, ..whole };
                self.of_current_row(whole, &name);
                return Type::Error;
            }
            let d = Diagnostic::new(E0304, base.span, "rows are not picked with an index", "a dataset");
            self.report(match index.kind {
                ExprKind::Binary { .. } | ExprKind::Unary { .. } | ExprKind::Bool(_) => {
                    d.help("keep the rows for which it holds: `… |> filter.rule(where: …)`")
                }
                ExprKind::Str(_) | ExprKind::List(_) => d.help("keep some columns: `… |> data.select(columns: [.id])`"),
                _ => d.help("choose rows: `… |> data.top(by: .score, n: 5rows)`, `… |> data.sample(n: 5rows)`"),
            });
            return Type::Error;
        }
        let at = self.infer(index, cx);
        match self.solver.resolve(&ty) {
            Type::List(element) => {
                if let Err(misfit) = self.solver.fits(&at, &Type::Int) {
                    self.misfit(index, &at, &Type::Int, misfit, &Site::new("the index of a list", None), cx);
                }
                *element
            }
            Type::Tuple(items) => match &index.kind {
                ExprKind::Number(parts, true) => {
                    let at = parts.first().map_or(0, |p| p.0 as usize);
                    if at >= items.len() {
                        let message = format!("this tuple has {}, counted from 0", phrase::count(items.len(), "value"));
                        let d = Diagnostic::new(E0304, index.span, message, "beyond its end");
                        self.report(d.help(format!("the last one is `[{}]`", items.len().saturating_sub(1))));
                    }
                    items.get(at).cloned().unwrap_or(Type::Error)
                }
                _ => Type::Error,
            },
            Type::Error | Type::Json | Type::Var(_) => Type::Error,
            other => {
                let shown = self.show(&other);
                let message = format!("only lists and tuples have an index; this is {shown}");
                let d = Diagnostic::new(E0304, base.span, message, "no list");
                let text = match &index.kind {
                    ExprKind::Str(text) => text.plain(),
                    _ => None,
                };
                let rest = Span { start: base.span.end, end: index.span.end + 1, ..index.span };
                self.report(match (&other, text) {
                    (Type::Record(row), Some(name)) if row.get(&name).is_some() => {
                        d.help(format!("fields are read with a point: `.{name}`")).fix(rest, format!(".{name}"))
                    }
                    (Type::Grid(axes, _), text) => {
                        let axis = axes.first().map_or("x", |a| a.name.as_str());
                        let label = text.unwrap_or_else(|| "label".to_owned());
                        d.help(format!("a cell of a grid is read by the names of its axes: `.at({axis}: \"{label}\")`"))
                    }
                    _ => d.help("fields are read with a point: `.name`"),
                });
                Type::Error
            }
        }
    }
}
