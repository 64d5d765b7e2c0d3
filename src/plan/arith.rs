//! Operators on values: quantities with their dimensions, row expressions, and numbers known only after running.

use super::evaluator::{self, Eval};
use super::metric::Metric;
use super::val::Val;
use crate::base::{Diagnostic, Span, codes, phrase};
use crate::spec::{Dim, RowExpr, Value};
use crate::syntax::ast::BinaryOp;

/// How keys and row expressions spell an operator.
pub fn spelling(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Or => "or",
        BinaryOp::And => "and",
        BinaryOp::Eq => "==",
        BinaryOp::Ne => "!=",
        BinaryOp::Lt => "<",
        BinaryOp::Le => "<=",
        BinaryOp::Gt => ">",
        BinaryOp::Ge => ">=",
        BinaryOp::In => "in",
        BinaryOp::NotIn => "not_in",
        BinaryOp::Coalesce => "??",
        BinaryOp::Add => "+",
        BinaryOp::Sub => "-",
        BinaryOp::Mul => "*",
        BinaryOp::Div => "/",
    }
}

/// Applies a binary operator; row expressions and metrics grow a tree, constants fold.
pub fn binary(op: BinaryOp, a: &Val, b: &Val, span: Span) -> Result<Val, Box<Diagnostic>> {
    let word = spelling(op);
    if a.has_row() || b.has_row() {
        let (Some(x), Some(y)) = (a.row(), b.row()) else {
            let other = if a.has_row() { b } else { a };
            let message = format!("{} cannot stand in a row expression", other.describe());
            return Err(mismatch(span, message, "computed for each row"));
        };
        return Ok(Val::Row(RowExpr::Binary(word.into(), Box::new(x), Box::new(y))));
    }
    if let (Some(x), Some(y)) = (a.constant(), b.constant()) {
        return fold(op, &x, &y, span).map(of_value);
    }
    if op == BinaryOp::Coalesce {
        return Ok(if matches!(a, Val::Value(Value::None)) { b.clone() } else { a.clone() });
    }
    // `none` may be compared with anything that may be absent; what is here is there.
    for (x, y) in [(a, b), (b, a)] {
        if matches!(x, Val::Value(Value::None)) && matches!(op, BinaryOp::Eq | BinaryOp::Ne) && y.metric().is_none() {
            return Ok(Val::bool(op == BinaryOp::Ne));
        }
    }
    match (a.metric(), b.metric()) {
        (Some(x), Some(y)) => Ok(Val::Metric(Metric::Binary(word.into(), Box::new(x), Box::new(y)))),
        _ => Err(mismatch(
            span,
            format!("`{}` takes numbers, not {} and {}", word.replace('_', " "), a.describe(), b.describe()),
            "these do not fit",
        )),
    }
}

/// Applies `-` or `not`.
pub fn unary(not: bool, a: &Val, span: Span) -> Result<Val, Box<Diagnostic>> {
    let word = if not { "not" } else { "-" };
    Ok(match a {
        Val::Value(Value::Bool(x)) if not => Val::bool(!x),
        Val::Value(Value::Int(x)) if !not => Val::Value(Value::Int(-x)),
        Val::Value(Value::Float(x)) if !not => Val::Value(Value::Float(-x)),
        Val::Value(Value::Quantity(d, x)) if !not => Val::Value(Value::Quantity(*d, -x)),
        Val::Row(e) => Val::Row(RowExpr::Unary(word.into(), Box::new(e.clone()))),
        other => match other.metric() {
            Some(m) if !matches!(m, Metric::Const(_)) => Val::Metric(Metric::Unary(word.into(), Box::new(m))),
            _ => return Err(mismatch(span, format!("`{word}` cannot be applied to {}", a.describe()), "here")),
        },
    })
}

/// Turns a plain value into the evaluator's form, in which lists and records are open.
pub fn of_value(value: Value) -> Val {
    match value {
        Value::Range(a, b) => Val::Range(a.map(|v| Box::new(of_value(*v))), b.map(|v| Box::new(of_value(*v)))),
        Value::List(items) => Val::List(items.into_iter().map(of_value).collect()),
        Value::Tuple(items) => Val::Tuple(items.into_iter().map(of_value).collect()),
        Value::Record(fields) => Val::Record(fields.into_iter().map(|(k, v)| (k, of_value(v))).collect()),
        other => Val::Value(other),
    }
}

fn mismatch(span: Span, message: String, label: &str) -> Box<Diagnostic> {
    Box::new(Diagnostic::new(codes::E0304, span, message, label).help("change the value here, or what it is made of"))
}

fn fold(op: BinaryOp, a: &Value, b: &Value, span: Span) -> Result<Value, Box<Diagnostic>> {
    let bool = |x: &Value| match x {
        Value::Bool(b) => Ok(*b),
        other => Err(mismatch(
            span,
            format!("`{}` takes Bools, not {}", spelling(op), super::quantity::print(other)),
            "here",
        )),
    };
    Ok(match op {
        BinaryOp::Or => Value::Bool(bool(a)? || bool(b)?),
        BinaryOp::And => Value::Bool(bool(a)? && bool(b)?),
        BinaryOp::Eq => Value::Bool(equal(a, b)),
        BinaryOp::Ne => Value::Bool(!equal(a, b)),
        BinaryOp::Coalesce => if *a == Value::None { b } else { a }.clone(),
        BinaryOp::In | BinaryOp::NotIn => Value::Bool(contains(b, a, span)? == (op == BinaryOp::In)),
        BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge => {
            let order = compare(a, b).ok_or_else(|| dimensions(op, a, b, span))?;
            Value::Bool(match op {
                BinaryOp::Lt => order.is_lt(),
                BinaryOp::Le => order.is_le(),
                BinaryOp::Gt => order.is_gt(),
                _ => order.is_ge(),
            })
        }
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div => return arithmetic(op, a, b, span),
    })
}

fn dimensions(op: BinaryOp, a: &Value, b: &Value, span: Span) -> Box<Diagnostic> {
    let (x, y) = (super::quantity::print(a), super::quantity::print(b));
    let message = format!("`{x} {} {y}`: the dimensions differ", spelling(op));
    Box::new(
        Diagnostic::new(codes::E0121, span, message, "these cannot be combined")
            .help("give both the same unit; a number times a quantity is fine"),
    )
}

fn number(v: &Value) -> Option<f64> {
    match v {
        Value::Int(i) => Some(*i as f64),
        Value::Float(f) => Some(*f),
        _ => None,
    }
}

fn equal(a: &Value, b: &Value) -> bool {
    match (number(a), number(b)) {
        (Some(x), Some(y)) => x == y,
        _ => a == b,
    }
}

fn compare(a: &Value, b: &Value) -> Option<std::cmp::Ordering> {
    match (a, b) {
        (Value::Quantity(d, x), Value::Quantity(e, y)) if d == e => x.partial_cmp(y),
        (Value::Str(x), Value::Str(y)) => Some(x.cmp(y)),
        _ => number(a)?.partial_cmp(&number(b)?),
    }
}

/// Says whether a range or list contains a value.
pub fn contains(of: &Value, x: &Value, span: Span) -> Result<bool, Box<Diagnostic>> {
    match of {
        Value::List(items) => Ok(items.iter().any(|i| equal(i, x))),
        Value::Range(from, to) => {
            let above = match from {
                Some(f) => compare(f, x).ok_or_else(|| dimensions(BinaryOp::In, x, f, span))?.is_le(),
                None => true,
            };
            let below = match to {
                Some(t) => compare(x, t).ok_or_else(|| dimensions(BinaryOp::In, x, t, span))?.is_le(),
                None => true,
            };
            Ok(above && below)
        }
        _ => Err(mismatch(span, "`in` takes a range or a list".into(), "here")),
    }
}

/// Counted dimensions round down: there is no half row.
fn quantity(dim: Dim, x: f64) -> Value {
    let counted = matches!(dim, Dim::Rows | Dim::Tokens | Dim::Steps | Dim::Pixels | Dim::Bytes);
    // 60% of 500 rows is 300, though 0.6 × 500 may come out a hair below.
    Value::Quantity(dim, if counted { (x + 1e-9 * x.abs().max(1.0)).floor() } else { x })
}

fn arithmetic(op: BinaryOp, a: &Value, b: &Value, span: Span) -> Result<Value, Box<Diagnostic>> {
    use BinaryOp::{Add, Div, Mul, Sub};
    use Value::{Int, Quantity, Str};
    let plain = |x: f64, y: f64| match op {
        Add => x + y,
        Sub => x - y,
        Mul => x * y,
        _ => x / y,
    };
    Ok(match (op, a, b) {
        (Add, Str(x), Str(y)) => Str(format!("{x}{y}")),
        (Add, Value::List(x), Value::List(y)) => Value::List(x.iter().chain(y).cloned().collect()),
        (Div, Int(x), Int(y)) => {
            if *y == 0 || x % y != 0 {
                let message = format!("`{x} / {y}` is not a whole number");
                let help = format!("write `{x}.0 / {y}` for a Float");
                return Err(Box::new(
                    Diagnostic::new(codes::E0122, span, message, "Int division must be exact").help(help),
                ));
            }
            Int(x / y)
        }
        (_, Int(x), Int(y)) => {
            let exact = match op {
                Add => x.checked_add(*y),
                Sub => x.checked_sub(*y),
                _ => x.checked_mul(*y),
            };
            Int(exact.ok_or_else(|| mismatch(span, "this number is too large for an Int".into(), "overflows"))?)
        }
        (Add | Sub, Quantity(Dim::Ratio, x), Quantity(Dim::Points, y)) => Quantity(Dim::Ratio, plain(*x, *y)),
        (Sub, Quantity(Dim::Ratio, x), Quantity(Dim::Ratio, y)) => Quantity(Dim::Points, x - y),
        (Add | Sub, Quantity(d, x), Quantity(e, y)) if d == e => Quantity(*d, plain(*x, *y)),
        (Div, Quantity(d, x), Quantity(e, y)) if d == e => Value::Float(x / y),
        (Div, Quantity(Dim::Bytes, x), Quantity(Dim::Duration, y)) => Quantity(Dim::Rate, x / y),
        (Mul, Quantity(Dim::Ratio, r), Quantity(d, x)) | (Mul, Quantity(d, x), Quantity(Dim::Ratio, r)) => {
            quantity(*d, r * x)
        }
        (Div, Quantity(d, x), Quantity(Dim::Ratio, r)) => quantity(*d, x / r),
        _ => match (number(a), number(b), a, b) {
            (Some(x), Some(y), ..) => Value::Float(plain(x, y)),
            (Some(n), None, _, Quantity(d, x)) if op == Mul => quantity(*d, n * x),
            (None, Some(n), Quantity(d, x), _) if op == Mul || op == Div => quantity(*d, plain(*x, n)),
            _ => return Err(dimensions(op, a, b, span)),
        },
    })
}

/// Returns an item of a list or a field of a record.
pub(super) fn index(of: &Val, at: &Val, span: Span) -> Eval<Val> {
    if (of.has_row() || at.has_row())
        && let (Some(a), Some(b)) = (of.row(), at.row())
    {
        return Ok(Val::Row(RowExpr::Index(Box::new(a), Box::new(b))));
    }
    match (of, at) {
        (Val::List(items) | Val::Tuple(items), Val::Value(Value::Int(i))) => {
            let n = items.len();
            usize::try_from(*i).ok().and_then(|i| items.get(i)).cloned().ok_or_else(|| {
                evaluator::mismatch(span, format!("index {i} is outside a list of {}", phrase::count(n, "item")))
            })
        }
        (Val::Record(fields) | Val::Suite(fields), Val::Value(Value::Str(key))) => fields
            .iter()
            .find(|(k, _)| k == key)
            .map(|(_, v)| v.clone())
            .ok_or_else(|| evaluator::mismatch(span, format!("this record has no field `{key}`"))),
        _ => Err(evaluator::mismatch(span, format!("{} cannot be indexed with {}", of.describe(), at.describe()))),
    }
}
