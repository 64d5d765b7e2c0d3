//! Parsed pairs to the typed tree: expressions.

use std::iter::Peekable;

use super::ast::{Arg, Axis, BinaryOp, Expr, ExprKind, RecordField, UnaryOp};
use super::grammar::{Pair, Rule};
use super::literals;
use super::lower::{Lower, kids};
use crate::base::{Diagnostic, Span, codes};

/// Longest chain of operators, calls or pipe steps on one level: beyond it the tree would be too deep to walk.
const MAX_CHAIN: usize = 500;

/// How tightly operators bind: `or`, then `and`, comparisons, `..`, then `??`, sums and products.
const LOOSEST: u8 = 0;
const COMPARISON: u8 = 2;
const RANGE: u8 = 3;

impl Lower<'_> {
    pub(super) fn only_expr(&mut self, one_expr: Pair) -> Expr {
        let pair = kids(one_expr).next().expect("an expression");
        self.expr(pair)
    }

    pub(super) fn expr(&mut self, pair: Pair) -> Expr {
        let mut parts = kids(pair).peekable();
        let mut left = self.operation(&mut parts, LOOSEST);
        let mut length = 0;
        while let Some(op) = parts.next_if(|p| p.as_rule() == Rule::pipe_op) {
            length += 1;
            let op = self.span(&op);
            if self.too_long(length, op) {
                break;
            }
            let call = self.step(parts.next().expect("a step behind each pipe"));
            let span = left.span.to(call.span);
            left = Expr { kind: ExprKind::Pipe { left: Box::new(left), call: Box::new(call), op }, span };
        }
        left
    }

    fn step(&mut self, pair: Pair) -> Expr {
        let mut parts = kids(pair);
        let (Some(path), Some(call)) = (parts.next(), parts.next()) else {
            unreachable!("a step is a path and a call")
        };
        let mut words = path.into_inner().map(|p| self.name(&p)).collect::<Vec<_>>().into_iter();
        let first = words.next().expect("a path has a first word");
        let head = Expr { span: first.span, kind: ExprKind::Ident(first.text) };
        let callee = words.fold(head, |base, field| {
            let span = base.span.to(field.span);
            Expr { kind: ExprKind::Field(Box::new(base), field), span }
        });
        self.call(callee, call)
    }

    /// Reads operands and operators that bind at least as tightly as `loosest`; pest has seen to it that each stands where it may.
    fn operation<'p>(&mut self, parts: &mut Peekable<impl Iterator<Item = Pair<'p>>>, loosest: u8) -> Expr {
        let mut left = self.operand(parts);
        let mut length = 0;
        while let Some((op, binds)) = parts.peek().and_then(operator).filter(|(_, binds)| *binds >= loosest) {
            let op_span = self.span(&parts.next().expect("it was seen"));
            length += 1;
            if self.too_long(length, op_span) {
                break;
            }
            let Some(op) = op else {
                left = self.range(parts, Some(left), op_span);
                continue;
            };
            let right = self.operation(parts, binds + 1);
            let span = left.span.to(right.span);
            left = Expr { kind: ExprKind::Binary { op, op_span, left: Box::new(left), right: Box::new(right) }, span };
        }
        left
    }

    /// Reads a value with what stands before it: `not`, `..` or minus signs.
    fn operand<'p>(&mut self, parts: &mut Peekable<impl Iterator<Item = Pair<'p>>>) -> Expr {
        match parts.peek().map(Pair::as_rule) {
            Some(Rule::kw_not) => self.unary(parts, Rule::kw_not),
            Some(Rule::minus) => self.unary(parts, Rule::minus),
            Some(Rule::dotdot) => {
                let dots = self.span(&parts.next().expect("it was seen"));
                self.range(parts, None, dots)
            }
            _ => self.postfix(parts),
        }
    }

    fn unary<'p>(&mut self, parts: &mut Peekable<impl Iterator<Item = Pair<'p>>>, sign: Rule) -> Expr {
        let mut marks = Vec::new();
        while let Some(mark) = parts.next_if(|p| p.as_rule() == sign) {
            marks.push(self.span(&mark));
        }
        let (op, mut value) = match sign {
            Rule::kw_not => (UnaryOp::Not, self.operation(parts, COMPARISON)),
            _ => (UnaryOp::Neg, self.postfix(parts)),
        };
        if let Some(&at) = marks.get(MAX_CHAIN) {
            self.too_long(marks.len(), at);
            marks.truncate(1);
        }
        for at in marks.into_iter().rev() {
            let span = at.to(value.span);
            value = Expr { kind: ExprKind::Unary { op, value: Box::new(value) }, span };
        }
        value
    }

    /// Reads what follows the dots of a range, if anything does.
    fn range<'p>(
        &mut self,
        parts: &mut Peekable<impl Iterator<Item = Pair<'p>>>,
        from: Option<Expr>,
        dots: Span,
    ) -> Expr {
        let more = parts.peek().is_some_and(|p| matches!(p.as_rule(), Rule::minus | Rule::primary));
        let to = more.then(|| self.operation(parts, RANGE + 1));
        let start = from.as_ref().map_or(dots, |e| e.span);
        let span = start.to(to.as_ref().map_or(dots, |e| e.span));
        Expr { kind: ExprKind::Range(from.map(Box::new), to.map(Box::new)), span }
    }

    /// Reads a value and the calls, fields and indices behind it.
    fn postfix<'p>(&mut self, parts: &mut Peekable<impl Iterator<Item = Pair<'p>>>) -> Expr {
        let first = parts.next().and_then(|primary| kids(primary).next()).expect("a value starts with `primary`");
        let mut value = self.primary(first);
        let mut length = 0;
        while let Some(part) = parts.next_if(|p| matches!(p.as_rule(), Rule::call | Rule::field | Rule::index)) {
            let at = self.span(&part);
            if self.too_long(length, at) {
                break;
            }
            length += 1;
            let span = value.span.to(at);
            value = match part.as_rule() {
                Rule::call => self.call(value, part),
                Rule::field => {
                    let name = self.name(&part.into_inner().next().expect("a field name"));
                    Expr { kind: ExprKind::Field(Box::new(value), name), span }
                }
                _ => {
                    let index = self.expr(kids(part).next().expect("an index"));
                    Expr { kind: ExprKind::Index(Box::new(value), Box::new(index)), span }
                }
            };
        }
        value
    }

    fn call(&mut self, callee: Expr, call: Pair) -> Expr {
        let args_span = self.span(&call);
        let args = kids(call).filter_map(|arg| self.arg(kids(arg).next()?)).collect();
        let span = callee.span.to(args_span);
        Expr { kind: ExprKind::Call { callee: Box::new(callee), args, args_span }, span }
    }

    fn arg(&mut self, pair: Pair) -> Option<Arg> {
        Some(match pair.as_rule() {
            Rule::spread => {
                let (value, span) = self.spread(pair);
                Arg::Spread(value, span)
            }
            Rule::named => {
                let mut parts = kids(pair);
                let name = self.name(&parts.next()?);
                Arg::Named(name, self.expr(parts.next()?))
            }
            _ => {
                let value = self.expr(pair);
                if matches!(value.kind, ExprKind::Range(Some(_), None)) {
                    let problem = Diagnostic::new(
                        codes::E0107,
                        value.span,
                        "a range without an end cannot stand as a bare argument",
                        "which argument?",
                    );
                    self.problems.push(problem.help("name the argument, as in `keep: 4.0..`"));
                }
                Arg::Positional(value)
            }
        })
    }

    fn spread(&mut self, pair: Pair) -> (Expr, Span) {
        let span = self.span(&pair);
        let value = self.postfix(&mut kids(pair).skip_while(|p| p.as_rule() == Rule::dotdot).peekable());
        use ExprKind as K;
        if matches!(value.kind, K::Col(_)) && value.span.start == span.start + 2 {
            let dots = Span { end: span.start + 3, ..span };
            let problem = Diagnostic::new(codes::E0107, dots, "a record is spread with two dots", "three dots");
            self.problems.push(problem.help("write `..`").fix(dots, ".."));
            if let K::Col(name) = value.kind {
                return (Expr { span: name.span, kind: K::Ident(name.text) }, span);
            }
            return (value, span);
        }
        if matches!(value.kind, K::Number(..) | K::Str(_) | K::Bool(_) | K::None | K::List(_) | K::Tuple(_)) {
            let problem = Diagnostic::new(
                codes::E0107,
                span,
                "`..` at the start of an argument spreads a record",
                "this is no record",
            );
            self.problems.push(problem.help("a range needs the argument's name before it, as in `keep: ..30deg`"));
        }
        (value, span)
    }

    pub(super) fn list(&mut self, pair: Pair) -> Expr {
        let span = self.span(&pair);
        Expr { kind: ExprKind::List(kids(pair).map(|p| self.expr(p)).collect()), span }
    }

    pub(super) fn record_fields(&mut self, pair: Pair) -> Vec<RecordField> {
        kids(pair)
            .filter_map(|rfield| {
                let mut parts = kids(rfield);
                let first = parts.next()?;
                if first.as_rule() == Rule::spread {
                    let (value, span) = self.spread(first);
                    return Some(RecordField::Spread(value, span));
                }
                let name = self.name(&first);
                Some(match parts.next() {
                    Some(value) => RecordField::Named(name, self.expr(value)),
                    None => RecordField::Pun(name),
                })
            })
            .collect()
    }

    fn primary(&mut self, pair: Pair) -> Expr {
        let span = self.span(&pair);
        let kind = match pair.as_rule() {
            Rule::number => literals::number(pair.as_str(), span, self.problems),
            Rule::tname => ExprKind::TypeName(pair.as_str().to_owned()),
            Rule::ident => ExprKind::Ident(pair.as_str().to_owned()),
            Rule::string => ExprKind::Str(self.string(&pair)),
            Rule::kw_true => ExprKind::Bool(true),
            Rule::kw_false => ExprKind::Bool(false),
            Rule::kw_none => ExprKind::None,
            Rule::rowref => ExprKind::Col(self.name(&pair.into_inner().next().expect("a column name"))),
            Rule::record => ExprKind::Record(self.record_fields(pair)),
            Rule::list => return self.list(pair),
            Rule::cond => self.cond(pair),
            Rule::sweep => self.sweep(pair),
            _ => {
                let mut values: Vec<Expr> = kids(pair).map(|p| self.expr(p)).collect();
                match values.len() {
                    1 => ExprKind::Paren(Box::new(values.remove(0))),
                    _ => ExprKind::Tuple(values),
                }
            }
        };
        Expr { kind, span }
    }

    fn cond(&mut self, pair: Pair) -> ExprKind {
        let mut parts = kids(pair).map(|p| self.expr(p));
        let (Some(cond), Some(then), Some(other)) = (parts.next(), parts.next(), parts.next()) else {
            unreachable!("`if` has three parts")
        };
        drop(parts);
        if let (ExprKind::Pipe { op, .. }, false) = (&other.kind, matches!(then.kind, ExprKind::Pipe { .. })) {
            self.problems.push(
                Diagnostic::new(
                    codes::W0101,
                    *op,
                    "only the `else` branch goes through this pipe",
                    "pipes the `else` branch alone",
                )
                .also(then.span, "this branch is not piped")
                .help("put the `else` branch in parentheses if that is meant, the whole `if` if not"),
            );
        }
        ExprKind::If { cond: Box::new(cond), then: Box::new(then), other: Box::new(other) }
    }

    fn sweep(&mut self, pair: Pair) -> ExprKind {
        let (mut axes, mut filter, mut body, mut filtered) = (Vec::new(), None, None, false);
        for part in kids(pair) {
            match part.as_rule() {
                Rule::axis => axes.extend(self.axis(part)),
                Rule::kw_where => filtered = true,
                _ if std::mem::take(&mut filtered) => filter = Some(Box::new(self.expr(part))),
                _ => body = Some(Box::new(self.expr(part))),
            }
        }
        ExprKind::Sweep { axes, filter, body: body.expect("`sweep` has a body") }
    }

    fn axis(&mut self, pair: Pair) -> Option<Axis> {
        let (mut names, mut over) = (Vec::new(), None);
        for part in kids(pair) {
            match part.as_rule() {
                Rule::ident => names.push(self.name(&part)),
                Rule::kw_in => {}
                _ => over = Some(self.expr(part)),
            }
        }
        Some(Axis { names, over: over? })
    }

    fn too_long(&mut self, length: usize, at: Span) -> bool {
        let too_long = length > MAX_CHAIN;
        if too_long {
            let message = format!("more than {MAX_CHAIN} operators in one chain");
            self.problems.push(
                Diagnostic::new(codes::E0109, at, message, "one too many")
                    .help("give a part of it a name with `let`, or use a list"),
            );
        }
        too_long
    }
}

/// Which operator a pair is, and how tightly it binds. `None` in the place of the operator: the dots of a range.
fn operator(pair: &Pair) -> Option<(Option<BinaryOp>, u8)> {
    let (op, binds) = match (pair.as_rule(), pair.as_str()) {
        (Rule::junction, "or") => (BinaryOp::Or, LOOSEST),
        (Rule::junction, _) => (BinaryOp::And, LOOSEST + 1),
        (Rule::not_in, _) => (BinaryOp::NotIn, COMPARISON),
        (Rule::kw_in, _) => (BinaryOp::In, COMPARISON),
        (Rule::cmp, "==") => (BinaryOp::Eq, COMPARISON),
        (Rule::cmp, "!=") => (BinaryOp::Ne, COMPARISON),
        (Rule::cmp, "<=") => (BinaryOp::Le, COMPARISON),
        (Rule::cmp, ">=") => (BinaryOp::Ge, COMPARISON),
        (Rule::cmp, "<") => (BinaryOp::Lt, COMPARISON),
        (Rule::cmp, _) => (BinaryOp::Gt, COMPARISON),
        (Rule::dotdot, _) => return Some((None, RANGE)),
        (Rule::arith, "??") => (BinaryOp::Coalesce, RANGE + 1),
        (Rule::arith, "+") => (BinaryOp::Add, RANGE + 2),
        (Rule::arith, "-") => (BinaryOp::Sub, RANGE + 2),
        (Rule::arith, "*") => (BinaryOp::Mul, RANGE + 3),
        (Rule::arith, _) => (BinaryOp::Div, RANGE + 3),
        _ => return None,
    };
    Some((Some(op), binds))
}
