//! Sweeps: what each axis runs over, its labels, and the grid that comes out.

use super::check::{Checker, Cx};
use crate::base::codes::{E0202, E0304, E0601, E0603};
use crate::base::{Diagnostic, Span};
use crate::spec::{GridAxis, Type};
use crate::syntax::ast::{Axis, Expr};

impl Checker<'_> {
    /// `sweep m in zoo, b in suite where … { … }`
    pub(super) fn sweep(&mut self, axes: &[Axis], filter: Option<&Expr>, body: &Expr, cx: &Cx) -> Type {
        let mut inner = cx.clone();
        let mut grid: Vec<GridAxis> = Vec::new();
        for axis in axes {
            let over = self.infer(&axis.over, &inner);
            let (element, labels) = self.elements(&over, axis.over.span);
            let names: Vec<_> = axis.names.iter().collect();
            self.local_names(cx.module, &names);
            let types = match (axis.names.len(), self.solver.resolve(&element)) {
                (1, one) => vec![one],
                (n, Type::Tuple(types)) if types.len() == n => types,
                (n, Type::Error | Type::Var(_)) => vec![Type::Error; n],
                (n, other) => {
                    let shown = self.show(&other);
                    self.report(
                        Diagnostic::new(
                            E0304,
                            axis.over.span,
                            format!("{n} names run over tuples of {n}; the elements are {shown}"),
                            shown,
                        )
                        .help("write the values that belong together as tuples: `(lr, beta) in [(1e-5, 0.1), (2e-5, 0.3)]`"),
                    );
                    vec![Type::Error; n]
                }
            };
            let labels = if axis.names.len() == 1 { labels } else { None };
            for (name, ty) in axis.names.iter().zip(types) {
                if grid.iter().any(|a| a.name == name.text) {
                    let d =
                        Diagnostic::new(E0202, name.span, format!("two axes are named `{}`", name.text), "again here");
                    self.report(d.help("rename one of them"));
                }
                self.saw(name.span, &ty);
                inner.locals.push((name.text.clone(), ty));
                grid.push(GridAxis { name: name.text.clone(), labels: labels.clone() });
            }
        }
        if let Some(filter) = filter {
            self.condition(filter, &inner);
        }
        let cell = self.infer(body, &inner);
        Type::Grid(grid, Box::new(cell))
    }

    fn late_axis(&self, span: Span) -> Diagnostic {
        let message = "the graph cannot depend on a value known only after running";
        Diagnostic::new(E0601, span, message, "known only after running").help("run over values that the recipe states")
    }

    /// The type of the elements of an axis, and their labels where the text tells them.
    fn elements(&mut self, over: &Type, span: Span) -> (Type, Option<Vec<String>>) {
        let problem = match self.solver.resolve(over) {
            Type::Error | Type::Var(_) => return (Type::Error, None),
            Type::Suite => return (Type::Benchmark, None),
            Type::Record(row) => {
                if row.fields.iter().any(|(_, ty)| matches!(self.solver.resolve(ty), Type::Error)) {
                    return (Type::Error, None); // the name of a label may be what is wrong
                }
                let labels = row.fields.iter().map(|(n, _)| n.clone()).collect();
                let mut element = Type::Var(self.solver.free());
                for (name, ty) in &row.fields {
                    match self.solver.join(&element, ty) {
                        Some(joined) => element = joined,
                        None => {
                            let (one, other) = (self.show(&element), self.show(ty));
                            self.report(
                                Diagnostic::new(
                                    E0304,
                                    span,
                                    format!(
                                        "all fields of an axis have one type; `{name}` is {other}, others are {one}"
                                    ),
                                    format!("`{name}` is {other}"),
                                )
                                .help("leave it out, or run two sweeps"),
                            );
                            return (Type::Error, Some(labels));
                        }
                    }
                }
                return (element, Some(labels));
            }
            Type::List(element) => match self.solver.resolve(&element) {
                Type::Text(texts) => return (Type::Str, Some(texts)),
                scalar @ (Type::Int
                | Type::Float
                | Type::Bool
                | Type::Str
                | Type::Enum(_)
                | Type::Dim(_)
                | Type::Tuple(_)
                | Type::Benchmark
                | Type::Error
                | Type::Var(_)) => return (scalar, None),
                Type::Metric(_) | Type::Score | Type::Loss => self.late_axis(span),
                other => {
                    let shown = self.show(&other);
                    Diagnostic::new(E0603, span, format!("an axis of {shown} has no labels"), "elements without names")
                        .help("use a record, its keys are the labels: `sweep m in { base, tuned } { … }`")
                }
            },
            Type::Metric(_) | Type::Score | Type::Loss => self.late_axis(span),
            other => {
                let shown = self.show(&other);
                Diagnostic::new(E0603, span, format!("a sweep cannot run over {shown}"), shown)
                    .help("run over a record, a suite or a list: `sweep x in { a, b } { … }`, `sweep lr in [1e-5, 2e-5] { … }`")
            }
        };
        self.report(problem);
        (Type::Error, None)
    }
}
