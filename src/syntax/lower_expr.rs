//! Parsed pairs to the typed tree: expressions.

use super::ast::{Arg, Axis, BinaryOp, Expr, ExprKind, RecordField, UnaryOp};
use super::grammar::{Pair, Rule};
use super::literals;
use super::lower::{Lower, kids};
use crate::base::{Diagnostic, Span, codes};

/// Longest chain of operators, calls or pipe steps on one level: beyond it the tree would be too deep to walk.
const MAX_CHAIN: usize = 500;

impl Lower<'_> {
    pub(super) fn only_expr(&mut self, one_expr: Pair) -> Expr {
        let pair = kids(one_expr).next().expect("an expression");
        self.expr(pair)
    }

    pub(super) fn expr(&mut self, pair: Pair) -> Expr {
        match pair.as_rule() {
            Rule::expr => {
                let inner = kids(pair).next().expect("`expr` wraps `pipe`");
                self.expr(inner)
            }
            Rule::pipe => self.pipe(pair),
            Rule::expr_or | Rule::expr_and | Rule::expr_cmp | Rule::coalesce | Rule::add | Rule::mul => {
                self.binary(pair)
            }
            Rule::expr_not | Rule::unary => self.unary(pair),
            Rule::range => self.range(pair),
            Rule::postfix => self.postfix(pair),
            Rule::primary => {
                let inner = kids(pair).next().expect("`primary` wraps one rule");
                self.primary(inner)
            }
            other => unreachable!("{other:?} is no expression"),
        }
    }

    fn pipe(&mut self, pair: Pair) -> Expr {
        let mut parts = kids(pair);
        let mut left = self.expr(parts.next().expect("the head of a pipe"));
        let mut length = 0;
        while let (Some(op), Some(step)) = (parts.next(), parts.next()) {
            length += 1;
            let op = self.span(&op);
            if self.too_long(length, op) {
                break;
            }
            let call = self.step(step);
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

    fn binary(&mut self, pair: Pair) -> Expr {
        let mut parts = kids(pair);
        let mut left = self.expr(parts.next().expect("a left operand"));
        let mut length = 0;
        while let (Some(op), Some(operand)) = (parts.next(), parts.next()) {
            length += 1;
            let op_span = self.span(&op);
            if self.too_long(length, op_span) {
                break;
            }
            let op = operator(&op);
            let right = self.expr(operand);
            let span = left.span.to(right.span);
            left = Expr { kind: ExprKind::Binary { op, op_span, left: Box::new(left), right: Box::new(right) }, span };
        }
        left
    }

    fn unary(&mut self, pair: Pair) -> Expr {
        let mut marks = Vec::new();
        let mut value = None;
        for part in kids(pair) {
            match part.as_rule() {
                Rule::kw_not => marks.push((UnaryOp::Not, self.span(&part))),
                Rule::minus => marks.push((UnaryOp::Neg, self.span(&part))),
                _ => value = Some(self.expr(part)),
            }
        }
        let mut value = value.expect("an operand");
        if let Some(&(_, at)) = marks.get(MAX_CHAIN) {
            self.too_long(marks.len(), at);
            marks.truncate(1);
        }
        for (op, at) in marks.into_iter().rev() {
            let span = at.to(value.span);
            value = Expr { kind: ExprKind::Unary { op, value: Box::new(value) }, span };
        }
        value
    }

    fn range(&mut self, pair: Pair) -> Expr {
        let span = self.span(&pair);
        let (mut from, mut to, mut dots) = (None, None, false);
        for part in kids(pair) {
            match part.as_rule() {
                Rule::dotdot => dots = true,
                _ if dots => to = Some(Box::new(self.expr(part))),
                _ => from = Some(Box::new(self.expr(part))),
            }
        }
        match (from, dots) {
            (Some(only), false) => *only,
            (from, _) => Expr { kind: ExprKind::Range(from, to), span },
        }
    }

    fn postfix(&mut self, pair: Pair) -> Expr {
        let mut parts = kids(pair);
        let mut value = self.expr(parts.next().expect("`postfix` starts with `primary`"));
        for (length, part) in parts.enumerate() {
            let at = self.span(&part);
            if self.too_long(length, at) {
                break;
            }
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
        let value = kids(pair).find(|p| p.as_rule() != Rule::dotdot).expect("a value after `..`");
        let value = self.expr(value);
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

fn operator(pair: &Pair) -> BinaryOp {
    match pair.as_rule() {
        Rule::kw_or => BinaryOp::Or,
        Rule::kw_and => BinaryOp::And,
        Rule::not_in => BinaryOp::NotIn,
        Rule::kw_in => BinaryOp::In,
        Rule::coalesce_op => BinaryOp::Coalesce,
        Rule::plus => BinaryOp::Add,
        Rule::minus => BinaryOp::Sub,
        Rule::star => BinaryOp::Mul,
        Rule::slash => BinaryOp::Div,
        _ => match pair.as_str().trim_end() {
            "==" => BinaryOp::Eq,
            "!=" => BinaryOp::Ne,
            "<=" => BinaryOp::Le,
            ">=" => BinaryOp::Ge,
            "<" => BinaryOp::Lt,
            _ => BinaryOp::Gt,
        },
    }
}
