//! Operators between values: dimensions, scores, comparison, logic.

use super::check::{Checker, Cx, Site};
use super::misfits::{self, Fallback as _};
use super::numbers;
use crate::base::codes::{E0120, E0121, E0122, E0304, E0308};
use crate::base::{Diagnostic, Span};
use crate::spec::{Dim, Type};
use crate::syntax::ast::{BinaryOp, Expr, ExprKind, UnaryOp};

/// A number's kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Num {
    Int,
    Float,
    Dim(Dim),
}

/// An operand: its kind, and whether it is known only after running.
enum Operand {
    Num(Num, bool),
    Text,
    Unknown,
    Other,
}

impl Checker<'_> {
    pub(super) fn binary(&mut self, op: BinaryOp, at: Span, left: &Expr, right: &Expr, cx: &Cx) -> Type {
        use BinaryOp as B;
        for (one, other) in [(left, right), (right, left)] {
            if let (ExprKind::Ident(name), ExprKind::Col(column)) = (&one.kind, &other.kind)
                && *name == column.text
            {
                self.compared.insert(one.span);
            }
        }
        match op {
            B::And | B::Or => {
                let (a, b) = (self.truth(left, cx), self.truth(right, &cx.after(left, op == B::And)));
                if a || b { Type::Metric(Box::new(Type::Bool)) } else { Type::Bool }
            }
            B::Coalesce => {
                let a = self.infer(left, cx);
                let b = self.infer(right, cx);
                let a = match self.solver.resolve(&a) {
                    Type::Optional(inner) => *inner,
                    Type::None => b.clone(),
                    other => other,
                };
                match self.solver.join(&a, &b) {
                    Some(ty) => ty,
                    None => {
                        let (x, y) = (self.show(&a), self.show(&b));
                        self.report(
                            Diagnostic::new(
                                E0304,
                                right.span,
                                format!("`??` gives {x} or {y}; both must have one type"),
                                y,
                            )
                            .also(left.span, x.clone())
                            .help(format!("give a fallback of type {x}")),
                        );
                        Type::Error
                    }
                }
            }
            B::In | B::NotIn => self.membership(left, right, cx),
            B::Eq | B::Ne => self.equality(left, right, cx),
            B::Lt | B::Le | B::Gt | B::Ge => self.order(at, left, right, cx),
            B::Add | B::Sub | B::Mul | B::Div => self.arithmetic(op, at, left, right, cx),
        }
    }

    pub(super) fn unary(&mut self, op: UnaryOp, value: &Expr, cx: &Cx) -> Type {
        match op {
            UnaryOp::Not => {
                if self.truth(value, cx) {
                    Type::Metric(Box::new(Type::Bool))
                } else {
                    Type::Bool
                }
            }
            UnaryOp::Neg => {
                let ty = self.infer(value, cx);
                match self.operand(&ty) {
                    Operand::Num(..) | Operand::Unknown => ty,
                    Operand::Text | Operand::Other => {
                        self.no_number(value, &ty);
                        Type::Error
                    }
                }
            }
        }
    }

    /// Checks a truth value; returns whether it is known only after running.
    fn truth(&mut self, e: &Expr, cx: &Cx) -> bool {
        let ty = self.infer(e, cx);
        match self.solver.resolve(&ty) {
            Type::Bool | Type::Error | Type::Json | Type::Var(_) => false,
            Type::Metric(inner) if *inner == Type::Bool => true,
            Type::Optional(inner) if *inner == Type::Bool => {
                self.absent_operand(e, &ty);
                false
            }
            other => {
                let shown = self.show(&other);
                self.report(
                    Diagnostic::new(
                        E0304,
                        e.span,
                        format!("`and`, `or` and `not` take truth values; this is {shown}"),
                        shown,
                    )
                    .help("compare it: `… == …`, `… > …`, `… != none`"),
                );
                false
            }
        }
    }

    fn operand(&self, ty: &Type) -> Operand {
        match self.solver.resolve(ty) {
            Type::Int => Operand::Num(Num::Int, false),
            Type::Float => Operand::Num(Num::Float, false),
            Type::Dim(d) => Operand::Num(Num::Dim(d), false),
            Type::Score => Operand::Num(Num::Dim(Dim::Ratio), true),
            Type::Loss => Operand::Num(Num::Float, true),
            Type::Metric(inner) => match self.operand(&inner) {
                Operand::Num(n, _) => Operand::Num(n, true),
                other => other,
            },
            Type::Str | Type::Text(_) | Type::Enum(_) | Type::Prompt => Operand::Text,
            Type::Error | Type::Json | Type::Var(_) => Operand::Unknown,
            Type::Field(inner) | Type::RowFn(inner) => self.operand(&inner),
            _ => Operand::Other,
        }
    }

    fn absent_operand(&mut self, e: &Expr, ty: &Type) {
        let ty = self.solver.resolve(ty);
        let value = misfits::fallback(&ty).unwrap_or("…");
        let (name, ask) = match &e.kind {
            ExprKind::Col(name) => {
                (format!(".{}", name.text), format!(", or ask before: `.{} != none and …`", name.text))
            }
            _ => ("…".to_owned(), String::new()),
        };
        self.report(
            Diagnostic::new(E0308, e.span, "this may be absent, and the operator needs a value", "may be absent")
                .help(format!("say what stands for an absent value, `({name} ?? {value})`{ask}"))
                .fallback(e, &ty),
        );
    }

    fn no_number(&mut self, e: &Expr, ty: &Type) {
        match self.solver.resolve(ty) {
            Type::Optional(_) | Type::None => self.absent_operand(e, ty),
            Type::Secret => {
                let d = Diagnostic::new(crate::base::codes::E0702, e.span, "a Secret cannot become text", "a secret")
                    .help("pass it only to a parameter of type Secret, such as `key:`");
                self.report(d);
            }
            other => {
                let shown = self.show(&other);
                let d = Diagnostic::new(
                    E0304,
                    e.span,
                    format!("this operator takes numbers or texts; this is {shown}"),
                    shown,
                );
                self.report(match other {
                    Type::Dataset(_) => d.help("count its rows: `.rows`"),
                    Type::Record(row) if !row.fields.is_empty() => {
                        let parts: Vec<String> = row.fields.iter().take(3).map(|(n, _)| format!(".{n}")).collect();
                        d.help(format!("take one of its fields: {}", crate::base::phrase::quoted(&parts)))
                    }
                    Type::Grid(..) => d.help("take one number of it: `.at(…)`, `.mean(…)`"),
                    _ => d.help("give a number or a text"),
                });
            }
        }
    }

    fn arithmetic(&mut self, op: BinaryOp, at: Span, left: &Expr, right: &Expr, cx: &Cx) -> Type {
        let (a, b) = (self.infer(left, cx), self.infer(right, cx));
        if op == BinaryOp::Add && self.both_rows(&a, &b) {
            let d =
                Diagnostic::new(E0304, at, "datasets are not added", "between two datasets").also(left.span, "rows");
            self.report(d.also(right.span, "rows").help("put one behind the other: `data.concat(a: …, b: …)`"));
            return Type::Error;
        }
        let (x, y) = (self.operand(&a), self.operand(&b));
        let (x, y) = match (x, y) {
            (Operand::Other, _) => {
                self.no_number(left, &a);
                return Type::Error;
            }
            (_, Operand::Other) => {
                self.no_number(right, &b);
                return Type::Error;
            }
            (Operand::Text, Operand::Text | Operand::Unknown) | (Operand::Unknown, Operand::Text)
                if op == BinaryOp::Add =>
            {
                return Type::Str;
            }
            (Operand::Unknown, _) | (_, Operand::Unknown) => return Type::Error,
            (Operand::Num(x, m), Operand::Num(y, n)) => ((x, m), (y, n)),
            _ => {
                let (one, other) = (self.show(&a), self.show(&b));
                let what = format!("{one} and {other} do not go together here");
                let d = Diagnostic::new(E0304, right.span, what, other).also(left.span, one);
                self.report(
                    d.help("texts are joined with texts, `+` only; a number in a text is written `\"{name}\"`"),
                );
                return Type::Error;
            }
        };
        let ((x, m), (y, n)) = (x, y);
        let metric = m || n;
        let result = match op {
            BinaryOp::Add | BinaryOp::Sub => sum(op, x, y),
            BinaryOp::Mul => product(x, y),
            _ => quotient(x, y),
        };
        if op == BinaryOp::Div && x == Num::Int && y == Num::Int {
            self.exact(at, left, right);
        } else if op == BinaryOp::Div && numbers::literal(right) == Some(0.0) {
            let d = Diagnostic::new(E0122, right.span, "nothing can be divided by 0", "this is 0");
            self.report(d.help("divide by something else"));
        }
        match result {
            Some(num) => {
                let ty = match num {
                    Num::Int => Type::Int,
                    Num::Float => Type::Float,
                    Num::Dim(d) => Type::Dim(d),
                };
                if metric { Type::Metric(Box::new(ty)) } else { ty }
            }
            None => {
                self.dimensions_differ(at, left, right, x, y, &a, &b, matches!(op, BinaryOp::Add | BinaryOp::Sub));
                Type::Error
            }
        }
    }

    /// E0120 where a plain literal lacks its unit, else E0121.
    #[allow(clippy::too_many_arguments)] // two operands, each with its parts
    fn dimensions_differ(
        &mut self,
        at: Span,
        left: &Expr,
        right: &Expr,
        x: Num,
        y: Num,
        a: &Type,
        b: &Type,
        additive: bool,
    ) {
        let (one, other) = (self.show(a), self.show(b));
        for (e, plain, dim) in [(right, y, x), (left, x, y)] {
            if let (Some(value), Num::Int | Num::Float, Num::Dim(dim)) = (numbers::literal(e), plain, dim) {
                let ways = numbers::with_units(value, dim);
                let shown = if plain == Num::Int { "Int" } else { "Float" };
                let d = Diagnostic::new(E0120, e.span, format!("expected {dim:?}, found a plain {shown}"), "no unit");
                self.report(match ways.as_slice() {
                    [one] => d.help(format!("write `{one}`")).fix(e.span, one.clone()),
                    many => {
                        let many: Vec<String> = many.iter().map(|w| format!("`{w}`")).collect();
                        d.help(format!("did you mean {}?", many.join(" or ")))
                    }
                });
                return;
            }
        }
        if let (Num::Dim(Dim::Ratio), e, Num::Int | Num::Float) | (Num::Int | Num::Float, e, Num::Dim(Dim::Ratio)) =
            (x, if x == Num::Dim(Dim::Ratio) { left } else { right }, y)
            && additive
            && let ExprKind::Number(parts, _) = &e.kind
            && let [(share, Some(_))] = parts.as_slice()
        {
            let written = format!("{:?}", share / 100.0);
            let d = Diagnostic::new(
                E0121,
                at,
                format!("{one} and {other} are of different dimensions"),
                "mixes dimensions",
            );
            let d = d.also(left.span, one).also(right.span, other);
            self.report(
                d.help(format!("a share of a plain number is a plain number: write `{written}`")).fix(e.span, written),
            );
            return;
        }
        // `drop <= 5%`: the number stays, its unit is another one.
        for (e, own, others) in [(right, y, x), (left, x, y)] {
            if let (ExprKind::Number(parts, _), Num::Dim(Dim::Ratio), Num::Dim(Dim::Points)) = (&e.kind, own, others)
                && let [(share, Some(_))] = parts.as_slice()
                && additive
            {
                let written = format!("{share}pt");
                let message = format!("{one} and {other} are of different dimensions");
                let d = Diagnostic::new(E0121, at, message, "mixes dimensions").also(left.span, one);
                let d = d.also(right.span, other).help(format!("a difference of ratios is Points: write `{written}`"));
                self.report(d.fix(e.span, written));
                return;
            }
        }
        let help = match (x, y) {
            (Num::Dim(Dim::Ratio), Num::Dim(dim)) | (Num::Dim(dim), Num::Dim(Dim::Ratio))
                if additive && !matches!(dim, Dim::Points | Dim::Ratio) =>
            {
                "a share is one of something: multiply it, `… >= 50% * all.rows`".to_owned()
            }
            (Num::Dim(Dim::Ratio), Num::Dim(Dim::Points)) | (Num::Dim(Dim::Points), Num::Dim(Dim::Ratio)) => {
                "a difference of ratios is Points (`5pt`); compare it with Points".to_owned()
            }
            _ if additive => {
                "bring both to one dimension: a quantity divided by one of its own is a plain number".to_owned()
            }
            _ => "multiply and divide a quantity by plain numbers or ratios, or divide it by one of its own dimension"
                .to_owned(),
        };
        self.report(
            Diagnostic::new(E0121, at, format!("{one} and {other} are of different dimensions"), "mixes dimensions")
                .also(left.span, one)
                .also(right.span, other)
                .help(help),
        );
    }

    /// E0122 for literals; others are worked out when the graph is made.
    fn exact(&mut self, at: Span, left: &Expr, right: &Expr) {
        if let (Some(a), Some(b)) = (numbers::literal(left), numbers::literal(right))
            && (b == 0.0 || (a / b).fract() != 0.0)
        {
            let d =
                Diagnostic::new(E0122, left.span.to(right.span), format!("{a} / {b} is no whole number"), "not exact")
                    .also(at, "between Ints");
            self.report(if b == 0.0 {
                d.help("divide by something else")
            } else {
                d.help(format!("write `{a:.1} / {b}` for a Float"))
            });
        }
    }

    fn both_rows(&self, a: &Type, b: &Type) -> bool {
        matches!((self.solver.resolve(a), self.solver.resolve(b)), (Type::Dataset(_), Type::Dataset(_)))
    }

    fn order(&mut self, at: Span, left: &Expr, right: &Expr, cx: &Cx) -> Type {
        let a = self.infer(left, cx);
        if matches!(self.solver.resolve(&a), Type::Dataset(_) | Type::Model(_)) && self.calls_operator(right, cx) {
            let d = Diagnostic::new(E0304, at, "rows and models are piped with `|>`", "compares");
            self.report(d.help("write `|>`").fix(at, "|>"));
            return Type::Error;
        }
        if matches!(self.solver.resolve(&a), Type::Dataset(_) | Type::Model(_) | Type::Report | Type::Table)
            && let ExprKind::Str(_) = &right.kind
        {
            let d = Diagnostic::new(E0304, at, "a value is published with `to`", "compares");
            self.report(d.help("write `output name = value to \"path\"`").fix(at, "to"));
            return Type::Error;
        }
        let b = self.infer(right, cx);
        let metric = |m: bool| if m { Type::Metric(Box::new(Type::Bool)) } else { Type::Bool };
        match (self.operand(&a), self.operand(&b)) {
            (Operand::Other, _) => {
                self.no_number(left, &a);
                Type::Error
            }
            (_, Operand::Other) => {
                self.no_number(right, &b);
                Type::Error
            }
            (Operand::Num(x, m), Operand::Num(y, n)) => {
                let plain = |n| matches!(n, Num::Int | Num::Float);
                if x != y && !(plain(x) && plain(y)) {
                    self.dimensions_differ(at, left, right, x, y, &a, &b, true);
                    return Type::Error;
                }
                metric(m || n)
            }
            (Operand::Text, Operand::Text) => Type::Bool,
            (Operand::Unknown, Operand::Num(_, m)) | (Operand::Num(_, m), Operand::Unknown) => metric(m),
            (Operand::Unknown, _) | (_, Operand::Unknown) => Type::Bool,
            _ => {
                let (one, other) = (self.show(&a), self.show(&b));
                let d = Diagnostic::new(E0304, right.span, format!("{one} cannot be compared with {other}"), other);
                let d = d.also(left.span, one);
                let quoted = [left, right].into_iter().find_map(|e| Some((e, self.quoted_column(e, cx)?)));
                self.report(match quoted {
                    Some((e, column)) => {
                        d.help(format!("a column is written without quotes: `{column}`")).fix(e.span, column)
                    }
                    None => d.help("compare numbers with numbers and texts with texts"),
                });
                Type::Error
            }
        }
    }

    /// A text that names a column of the row: `".score"`.
    fn quoted_column(&self, e: &Expr, cx: &Cx) -> Option<String> {
        let ExprKind::Str(text) = &e.kind else { return None };
        let text = text.plain()?;
        let name = text.strip_prefix('.').unwrap_or(&text);
        let row = self.solver.row(cx.row.as_ref()?);
        row.get(name).map(|_| format!(".{name}"))
    }

    fn equality(&mut self, left: &Expr, right: &Expr, cx: &Cx) -> Type {
        let a = self.infer(left, cx);
        let texts = matches!(self.solver.resolve(&a), Type::Enum(_) | Type::Str | Type::Text(_));
        let variants = texts && matches!(right.kind, ExprKind::Ident(_));
        self.wanted = variants.then(|| self.solver.resolve(&a));
        let b = self.infer(right, cx);
        self.wanted = None;
        let (a, b) = (self.solver.resolve(&a), self.solver.resolve(&b));
        let metric = matches!(a, Type::Metric(_) | Type::Score | Type::Loss)
            || matches!(b, Type::Metric(_) | Type::Score | Type::Loss);
        let result = if metric { Type::Metric(Box::new(Type::Bool)) } else { Type::Bool };
        for (literal, ty, other) in [(right, &b, &a), (left, &a, &b)] {
            let inner = match other {
                Type::Optional(inner) => inner,
                other => other,
            };
            if let (Type::Text(texts), Type::Enum(variants)) = (ty, inner) {
                self.wants(literal.span, inner);
                if let Some(bad) = texts.iter().find(|t| !variants.contains(t)) {
                    let site = Site::new(self.show(inner), None);
                    let d =
                        misfits::variant(literal.span, bad, variants, &site, matches!(literal.kind, ExprKind::Str(_)));
                    self.report(d);
                    return Type::Error;
                }
                return result;
            }
        }
        if a == Type::Secret || b == Type::Secret {
            let e = if a == Type::Secret { left } else { right };
            self.no_number(e, &Type::Secret);
            return Type::Error;
        }
        if let (Operand::Num(x, _), Operand::Num(y, _)) = (self.operand(&a), self.operand(&b)) {
            let plain = |n| matches!(n, Num::Int | Num::Float);
            if x != y && !(plain(x) && plain(y)) {
                self.dimensions_differ(left.span.to(right.span), left, right, x, y, &a, &b, true);
                return Type::Error;
            }
            return result;
        }
        if self.solver.join(&a, &b).is_none() {
            let (one, other) = (self.show(&a), self.show(&b));
            self.report(
                Diagnostic::new(E0304, right.span, format!("{one} and {other} are never equal"), other)
                    .also(left.span, one)
                    .help("compare values of one type"),
            );
            return Type::Error;
        }
        result
    }

    fn membership(&mut self, left: &Expr, right: &Expr, cx: &Cx) -> Type {
        let a = self.infer(left, cx);
        let a = self.solver.resolve(&a);
        let site = Site::new("the right side of `in`", None);
        if let Type::Optional(_) = a {
            self.absent_operand(left, &a);
            self.infer(right, cx);
            return Type::Error;
        }
        let element = match &a {
            Type::Metric(inner) => (**inner).clone(),
            Type::Score => Type::Dim(Dim::Ratio),
            Type::Loss => Type::Float,
            Type::Int => Type::Float,
            Type::Text(_) => Type::Str,
            other => other.clone(),
        };
        match &right.kind {
            ExprKind::Range(..) => {
                self.expect(right, &Type::Range(Box::new(element)), cx, &site);
            }
            ExprKind::List(_) => {
                self.expect(right, &Type::List(Box::new(element)), cx, &site);
            }
            _ => {
                let b = self.infer(right, cx);
                match self.solver.resolve(&b) {
                    Type::Range(t) | Type::List(t) => {
                        if self.solver.join(&element, &t).is_none() {
                            let (one, other) = (self.show(&a), self.show(&b));
                            self.report(
                                Diagnostic::new(E0304, right.span, format!("{one} is never in {other}"), other)
                                    .also(left.span, one)
                                    .help("give a range or list of the same type"),
                            );
                        }
                    }
                    Type::Error | Type::Json | Type::Var(_) => {}
                    other => {
                        let shown = self.show(&other);
                        let d = Diagnostic::new(
                            E0304,
                            right.span,
                            format!("`in` looks into a range or list; this is {shown}"),
                            shown,
                        );
                        if let ExprKind::Tuple(items) = &right.kind
                            && items.iter().all(|e| matches!(e.kind, ExprKind::Str(_) | ExprKind::Number(..)))
                        {
                            let shown: Option<Vec<String>> = items.iter().map(written_literal).collect();
                            let written = shown.map(|all| format!("[{}]", all.join(", ")));
                            let d = d.help("values to look among are a list, in square brackets: `in [\"a\", \"b\"]`");
                            self.report(match written {
                                Some(written) => d.fix(right.span, written),
                                None => d,
                            });
                            return Type::Bool;
                        }
                        self.report(
                            d.help("write `in 1..32` or `in [\"a\", \"b\"]`; for a part of a text use `.contains(…)`"),
                        );
                    }
                }
            }
        }
        if matches!(a, Type::Metric(_) | Type::Score | Type::Loss) {
            Type::Metric(Box::new(Type::Bool))
        } else {
            Type::Bool
        }
    }
}

fn sum(op: BinaryOp, x: Num, y: Num) -> Option<Num> {
    use Dim::{Points, Ratio};
    Some(match (x, y) {
        (Num::Int, Num::Int) => Num::Int,
        (Num::Int | Num::Float, Num::Int | Num::Float) => Num::Float,
        (Num::Dim(Ratio), Num::Dim(Ratio)) if op == BinaryOp::Sub => Num::Dim(Points),
        (Num::Dim(Ratio), Num::Dim(Points)) => Num::Dim(Ratio),
        (Num::Dim(Points), Num::Dim(Ratio)) if op == BinaryOp::Add => Num::Dim(Ratio),
        (Num::Dim(a), Num::Dim(b)) if a == b => Num::Dim(a),
        _ => return None,
    })
}

fn product(x: Num, y: Num) -> Option<Num> {
    Some(match (x, y) {
        (Num::Int, Num::Int) => Num::Int,
        (Num::Int | Num::Float, Num::Int | Num::Float) => Num::Float,
        (Num::Dim(d), Num::Int | Num::Float | Num::Dim(Dim::Ratio)) => Num::Dim(d),
        (Num::Int | Num::Float | Num::Dim(Dim::Ratio), Num::Dim(d)) => Num::Dim(d),
        (Num::Dim(Dim::Rate), Num::Dim(_)) | (Num::Dim(_), Num::Dim(_)) => return None,
    })
}

fn quotient(x: Num, y: Num) -> Option<Num> {
    Some(match (x, y) {
        (Num::Int, Num::Int) => Num::Int,
        (Num::Int | Num::Float, Num::Int | Num::Float | Num::Dim(Dim::Ratio)) => Num::Float,
        (Num::Dim(a), Num::Dim(b)) if a == b => Num::Float,
        (Num::Dim(Dim::Bytes), Num::Dim(Dim::Duration)) => Num::Dim(Dim::Rate),
        (Num::Dim(d), Num::Int | Num::Float | Num::Dim(Dim::Ratio)) => Num::Dim(d),
        _ => return None,
    })
}

/// A literal text or number as it is written.
fn written_literal(e: &Expr) -> Option<String> {
    match &e.kind {
        ExprKind::Str(text) => Some(format!("\"{}\"", text.plain().filter(|t| !t.contains(['"', '\\']))?)),
        _ => super::misfits::number_text(e),
    }
}
