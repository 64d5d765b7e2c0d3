//! Row expressions over a table: typed once against its columns, then evaluated for all rows in parallel.

use std::borrow::Cow;
use std::cmp::Ordering;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef};
use arrow::datatypes::{DataType, Field, Fields};
use rayon::prelude::*;
use regex::Regex;

use super::arrow_type::{self, list_of, unify};
use super::cell::{self, Cell, type_of};
use super::rowmethods::{self, Method};
use super::table::Table;
use crate::base::OpError;
use crate::spec::RowExpr;
use crate::spec::rowexpr::show;

/// A row expression bound to the columns of one table.
///
/// Inside `.any(…)`, `.all(…)` and `.count(…)` a column name means the element's field if the element has one of that name, `.it` the element itself.
/// A value that is absent (`none`) may be compared with `==`, tested with `in` and replaced with `??`; anything else done to it is an error that names the row.
pub struct Program {
    root: Node,
    ty: DataType,
    shown: String,
}

/// What a node says of one row: its value, or why there is none.
type Said<'a> = Result<Cell<'a>, String>;

enum Node {
    Column(ArrayRef),
    It,
    ItField(String),
    Const(Cell<'static>),
    Field(Box<Node>, String),
    Index(Box<Node>, Box<Node>),
    Method { method: Method, recv: Box<Node>, args: Vec<Node>, shown: String },
    Matches(Box<Node>, Regex, String),
    Quantified { kind: Quantifier, recv: Box<Node>, test: Box<Node>, shown: String },
    Not(Box<Node>),
    Negate(Box<Node>),
    And(Box<Node>, Box<Node>),
    Or(Box<Node>, Box<Node>),
    Compare(Comparison, Box<Node>, Box<Node>),
    In { negated: bool, value: Box<Node>, of: Box<Node> },
    Coalesce(Box<Node>, Box<Node>),
    Arithmetic(char, Box<Node>, Box<Node>),
    If(Box<Node>, Box<Node>, Box<Node>),
    List(Vec<Node>),
    Record(Vec<(String, Node)>),
    Range(Option<Box<Node>>, Option<Box<Node>>),
}

#[derive(Clone, Copy)]
enum Quantifier {
    Any,
    All,
    Count,
}

#[derive(Clone, Copy)]
enum Comparison {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

impl Program {
    /// Binds an expression to the columns of a table.
    ///
    /// # Errors
    /// `E0301` for a column that is not there, `E0304` where types do not fit, `E0612` for an unknown method or a bad regular expression.
    pub fn new(expr: &RowExpr, table: &Table) -> Result<Self, OpError> {
        let mut binder = Binder { table, element: None };
        let (root, ty) = binder.bind(expr)?;
        Ok(Self { root, ty, shown: show(expr) })
    }

    /// Returns the type of the result; `Utf8` where it is always `none`.
    pub fn data_type(&self) -> DataType {
        if self.ty == DataType::Null { DataType::Utf8 } else { self.ty.clone() }
    }

    /// Evaluates one row.
    pub fn cell(&self, row: usize) -> Said<'_> {
        self.root.eval(row, None)
    }

    /// Evaluates all rows.
    pub fn cells(&self, table: &Table) -> Result<Vec<Cell<'_>>, OpError> {
        let said: Vec<Said<'_>> =
            (0..table.rows()).into_par_iter().with_min_len(256).map(|row| self.cell(row)).collect();
        said.into_iter().enumerate().map(|(row, cell)| cell.map_err(|why| self.failed(table, row, &why))).collect()
    }

    /// Evaluates all rows to a column.
    pub fn column(&self, table: &Table) -> Result<ArrayRef, OpError> {
        let cells = self.cells(table)?;
        cell::column(&cells, &self.data_type()).map_err(|misfit| self.failed(table, misfit.row, &misfit.message))
    }

    /// Evaluates all rows to a condition.
    pub fn mask(&self, table: &Table) -> Result<Vec<bool>, OpError> {
        let said: Vec<Result<bool, String>> =
            (0..table.rows()).into_par_iter().with_min_len(256).map(|row| truth(self.cell(row)?)).collect();
        said.into_iter().enumerate().map(|(row, cell)| cell.map_err(|why| self.failed(table, row, &why))).collect()
    }

    fn failed(&self, table: &Table, row: usize, why: &str) -> OpError {
        OpError::new("E0612", format!("{}: `{}`: {why}", table.place(row), self.shown))
    }
}

impl Node {
    fn eval<'a>(&'a self, row: usize, it: Option<&Cell<'a>>) -> Said<'a> {
        Ok(match self {
            Node::Column(array) => Cell::read(array.as_ref(), row),
            Node::It => it.cloned().unwrap_or(Cell::None),
            Node::ItField(name) => it.and_then(|i| i.field(name)).cloned().unwrap_or(Cell::None),
            Node::Const(cell) => cell.clone(),
            Node::Field(of, name) => {
                let of = of.eval(row, it)?;
                of.field(name).cloned().ok_or_else(|| format!("{} has no field `{name}`", of.kind()))?
            }
            Node::Index(of, at) => index(of.eval(row, it)?, &at.eval(row, it)?)?,
            Node::Method { method, recv, args, shown } => {
                let recv = recv.eval(row, it)?;
                let args = args.iter().map(|a| a.eval(row, it)).collect::<Result<Vec<_>, _>>()?;
                rowmethods::call(*method, recv, args).map_err(|why| format!("`{shown}`: {why}"))?
            }
            Node::Matches(recv, regex, shown) => match recv.eval(row, it)? {
                Cell::Str(text) => Cell::Bool(regex.is_match(&text)),
                other => return Err(format!("`{shown}`: expected Str, found {}", other.kind())),
            },
            Node::Quantified { kind, recv, test, shown } => {
                let items = match recv.eval(row, it)? {
                    Cell::List(items) => items,
                    other => return Err(format!("`{shown}`: expected a list, found {}", other.kind())),
                };
                let mut hits = 0;
                for item in &items {
                    hits += i64::from(truth(test.eval(row, Some(item))?)?);
                }
                match kind {
                    Quantifier::Any => Cell::Bool(hits > 0),
                    Quantifier::All => Cell::Bool(hits == items.len() as i64),
                    Quantifier::Count => Cell::Int(hits),
                }
            }
            Node::Not(value) => Cell::Bool(!truth(value.eval(row, it)?)?),
            Node::Negate(value) => match value.eval(row, it)? {
                Cell::Int(i) => Cell::Int(i.checked_neg().ok_or("the number is too large")?),
                Cell::Float(f) => Cell::Float(-f),
                other => return Err(format!("`-` expects a number, found {}", other.kind())),
            },
            Node::And(a, b) => Cell::Bool(truth(a.eval(row, it)?)? && truth(b.eval(row, it)?)?),
            Node::Or(a, b) => Cell::Bool(truth(a.eval(row, it)?)? || truth(b.eval(row, it)?)?),
            Node::Compare(op, a, b) => Cell::Bool(compare(*op, &a.eval(row, it)?, &b.eval(row, it)?)?),
            Node::In { negated, value, of } => {
                Cell::Bool(contains(&of.eval(row, it)?, &value.eval(row, it)?)? != *negated)
            }
            Node::Coalesce(a, b) => match a.eval(row, it)? {
                Cell::None => b.eval(row, it)?,
                value => value,
            },
            Node::Arithmetic(op, a, b) => arithmetic(*op, a.eval(row, it)?, b.eval(row, it)?)?,
            Node::If(cond, then, other) => {
                if truth(cond.eval(row, it)?)? {
                    then.eval(row, it)?
                } else {
                    other.eval(row, it)?
                }
            }
            Node::List(items) => Cell::List(items.iter().map(|i| i.eval(row, it)).collect::<Result<_, _>>()?),
            Node::Record(fields) => Cell::Record(
                fields
                    .iter()
                    .map(|(k, v)| Ok((Cow::Borrowed(k.as_str()), v.eval(row, it)?)))
                    .collect::<Result<_, String>>()?,
            ),
            Node::Range(a, b) => {
                let end = |n: &'a Option<Box<Node>>| n.as_ref().map_or(Ok(Cell::None), |n| n.eval(row, it));
                Cell::Range(Box::new((end(a)?, end(b)?)))
            }
        })
    }
}

fn truth(cell: Cell<'_>) -> Result<bool, String> {
    match cell {
        Cell::Bool(b) => Ok(b),
        other => Err(format!("expected Bool, found {}", other.kind())),
    }
}

fn index<'a>(of: Cell<'a>, at: &Cell<'_>) -> Said<'a> {
    match (of, at) {
        (Cell::List(mut items), Cell::Int(i)) => match usize::try_from(*i) {
            Ok(i) if i < items.len() => Ok(items.swap_remove(i)),
            _ => Err(format!("index {i} is outside a list of {}", items.len())),
        },
        (of, Cell::Str(name)) => of.field(name).cloned().ok_or_else(|| format!("{} has no field `{name}`", of.kind())),
        (of, at) => Err(format!("{} cannot be indexed by {}", of.kind(), at.kind())),
    }
}

fn compare(op: Comparison, a: &Cell<'_>, b: &Cell<'_>) -> Result<bool, String> {
    let ordered = |test: fn(Ordering) -> bool| match (a, b) {
        (Cell::None, _) | (_, Cell::None) => {
            Err("`none` has no order; test with `== none` or replace with `??`".to_owned())
        }
        // A float that is no number compares with nothing.
        _ if a.as_f64().is_some() && b.as_f64().is_some() => Ok(a.order(b).is_some_and(test)),
        _ => a.order(b).map(test).ok_or_else(|| format!("{} and {} have no order", a.kind(), b.kind())),
    };
    match op {
        Comparison::Eq => Ok(a == b),
        Comparison::Ne => Ok(a != b),
        Comparison::Lt => ordered(Ordering::is_lt),
        Comparison::Le => ordered(Ordering::is_le),
        Comparison::Gt => ordered(Ordering::is_gt),
        Comparison::Ge => ordered(Ordering::is_ge),
    }
}

fn contains(of: &Cell<'_>, value: &Cell<'_>) -> Result<bool, String> {
    match (of, value) {
        (Cell::Range(ends), value) => {
            let from = matches!(ends.0, Cell::None) || compare(Comparison::Ge, value, &ends.0)?;
            Ok(from && (matches!(ends.1, Cell::None) || compare(Comparison::Le, value, &ends.1)?))
        }
        (Cell::List(items), value) => Ok(items.contains(value)),
        (Cell::Str(text), Cell::Str(part)) => Ok(text.contains(part.as_ref())),
        (Cell::Record(_), Cell::Str(key)) => Ok(of.field(key).is_some()),
        (of, value) => Err(format!("`in` cannot look for {} in {}", value.kind(), of.kind())),
    }
}

fn arithmetic<'a>(op: char, a: Cell<'a>, b: Cell<'a>) -> Said<'a> {
    let overflow = || "the result is too large for an Int".to_owned();
    match (op, a, b) {
        ('+', Cell::Str(a), Cell::Str(b)) => Ok(Cell::Str(a + b)),
        ('+', Cell::List(mut a), Cell::List(b)) => {
            a.extend(b);
            Ok(Cell::List(a))
        }
        ('+', Cell::Int(a), Cell::Int(b)) => a.checked_add(b).map(Cell::Int).ok_or_else(overflow),
        ('-', Cell::Int(a), Cell::Int(b)) => a.checked_sub(b).map(Cell::Int).ok_or_else(overflow),
        ('*', Cell::Int(a), Cell::Int(b)) => a.checked_mul(b).map(Cell::Int).ok_or_else(overflow),
        ('/', Cell::Int(_), Cell::Int(0)) => Err("division by zero".to_owned()),
        ('/', Cell::Int(a), Cell::Int(b)) => match a.checked_rem(b) {
            Some(0) => Ok(Cell::Int(a / b)),
            _ => Err(format!("{a} / {b} is not exact; write {a}.0 / {b}")),
        },
        (op, a, b) => match (a.as_f64(), b.as_f64()) {
            (Some(x), Some(y)) => Ok(Cell::Float(match op {
                '+' => x + y,
                '-' => x - y,
                '*' => x * y,
                _ => x / y,
            })),
            _ => Err(format!("`{op}` cannot take {} and {}", a.kind(), b.kind())),
        },
    }
}

/// Turns trees into nodes and finds their types.
struct Binder<'t> {
    table: &'t Table,
    /// The type of the element inside `.any(…)` and its like.
    element: Option<DataType>,
}

type Bound = Result<(Node, DataType), OpError>;

impl Binder<'_> {
    fn bind(&mut self, expr: &RowExpr) -> Bound {
        Ok(match expr {
            RowExpr::Col(name) => return self.column(name),
            RowExpr::Lit(value) => {
                let cell = Cell::of_json(value);
                let ty = type_of(&cell);
                (Node::Const(cell), ty)
            }
            RowExpr::Field(of, name) => {
                let (of, ty) = self.bind(of)?;
                let ty = field_type(&ty, name)
                    .ok_or_else(|| mistyped(expr, &format!("{} has no field `{name}`", arrow_type::text(&ty))))?;
                (Node::Field(Box::new(of), name.clone()), ty)
            }
            RowExpr::Index(of, at) => {
                let ((of, ty), (at, _)) = (self.bind(of)?, self.bind(at)?);
                let ty = match (&ty, &at) {
                    (DataType::List(item), _) => item.data_type().clone(),
                    (_, Node::Const(Cell::Str(name))) => field_type(&ty, name)
                        .ok_or_else(|| mistyped(expr, &format!("{} has no field `{name}`", arrow_type::text(&ty))))?,
                    _ => return Err(mistyped(expr, &format!("{} cannot be indexed", arrow_type::text(&ty)))),
                };
                (Node::Index(Box::new(of), Box::new(at)), ty)
            }
            RowExpr::Call { name, recv, args } => return self.call(expr, name, recv, args),
            RowExpr::Binary(op, a, b) => return self.binary(expr, op, a, b),
            RowExpr::Unary(op, value) => {
                let (value, ty) = self.bind(value)?;
                match op.as_str() {
                    "not" => (Node::Not(Box::new(value)), DataType::Boolean),
                    "-" => (Node::Negate(Box::new(value)), ty),
                    _ => return Err(mistyped(expr, &format!("unknown operator `{op}`"))),
                }
            }
            RowExpr::If(cond, then, other) => {
                let ((cond, _), (then, a), (other, b)) = (self.bind(cond)?, self.bind(then)?, self.bind(other)?);
                let ty = unify(&a, &b).ok_or_else(|| differ(expr, &a, &b))?;
                (Node::If(Box::new(cond), Box::new(then), Box::new(other)), ty)
            }
            RowExpr::List(items) => {
                let mut ty = DataType::Null;
                let mut nodes = Vec::new();
                for item in items {
                    let (node, item) = self.bind(item)?;
                    ty = unify(&ty, &item).ok_or_else(|| differ(expr, &ty, &item))?;
                    nodes.push(node);
                }
                (Node::List(nodes), list_of(ty))
            }
            RowExpr::Record(fields) => {
                let mut nodes = Vec::new();
                let mut types = Vec::new();
                for (name, value) in fields {
                    let (node, ty) = self.bind(value)?;
                    nodes.push((name.clone(), node));
                    types.push(Field::new(name, ty, true));
                }
                (Node::Record(nodes), DataType::Struct(Fields::from(types)))
            }
            RowExpr::Range(a, b) => {
                let mut end = |e: &Option<Box<RowExpr>>| -> Result<_, OpError> {
                    Ok(match e {
                        Some(e) => Some(Box::new(self.bind(e)?.0)),
                        None => None,
                    })
                };
                (Node::Range(end(a)?, end(b)?), DataType::Null)
            }
        })
    }

    fn column(&self, name: &str) -> Bound {
        if let Some(element) = &self.element {
            if name == "it" {
                return Ok((Node::It, element.clone()));
            }
            if let Some(ty) = field_type(element, name) {
                return Ok((Node::ItField(name.to_owned()), ty));
            }
        }
        let array = self.table.column(name)?;
        Ok((Node::Column(Arc::clone(array)), array.data_type().clone()))
    }

    fn call(&mut self, expr: &RowExpr, name: &str, recv: &RowExpr, args: &[(Option<String>, RowExpr)]) -> Bound {
        let shown = show(expr);
        if matches!(recv, RowExpr::Lit(serde_json::Value::Null)) {
            return Err(OpError::new("E0612", format!("`{shown}`: `{name}` is only understood by `bench.sample`")));
        }
        let (recv, recv_ty) = self.bind(recv)?;
        let recv = Box::new(recv);
        if let (DataType::List(item), [(_, test)]) = (&recv_ty, args) {
            let kind = match name {
                "any" => Some(Quantifier::Any),
                "all" => Some(Quantifier::All),
                "count" => Some(Quantifier::Count),
                _ => None,
            };
            if let Some(kind) = kind {
                let outer = self.element.replace(item.data_type().clone());
                let test = self.bind(test);
                self.element = outer;
                let ty = if matches!(kind, Quantifier::Count) { DataType::Int64 } else { DataType::Boolean };
                return Ok((Node::Quantified { kind, recv, test: Box::new(test?.0), shown }, ty));
            }
        }
        if name == "matches" {
            let [(_, RowExpr::Lit(serde_json::Value::String(pattern)))] = args else {
                return Err(mistyped(expr, "`.matches` takes one regular expression, r\"…\""));
            };
            let regex = Regex::new(pattern).map_err(|e| mistyped(expr, &e.to_string()))?;
            return Ok((Node::Matches(recv, regex, shown), DataType::Boolean));
        }
        let method = Method::named(name)
            .ok_or_else(|| OpError::new("E0612", format!("`{shown}`: there is no row method `.{name}`")))?;
        let mut nodes = Vec::new();
        let mut types = Vec::new();
        for (_, arg) in args {
            let (node, ty) = self.bind(arg)?;
            nodes.push(node);
            types.push(ty);
        }
        if nodes.len() != method.arity() {
            return Err(mistyped(
                expr,
                &format!("`.{name}` takes {} argument(s), found {}", method.arity(), nodes.len()),
            ));
        }
        let ty = method.result(&recv_ty, types.first(), nodes.first().and_then(constant));
        Ok((Node::Method { method, recv, args: nodes, shown }, ty))
    }

    fn binary(&mut self, expr: &RowExpr, op: &str, a: &RowExpr, b: &RowExpr) -> Bound {
        let ((a, at), (b, bt)) = (self.bind(a)?, self.bind(b)?);
        let (a, b) = (Box::new(a), Box::new(b));
        let comparison = |c| Ok((c, DataType::Boolean));
        let (op, ty) = match op {
            "and" => return Ok((Node::And(a, b), DataType::Boolean)),
            "or" => return Ok((Node::Or(a, b), DataType::Boolean)),
            "in" | "not_in" => return Ok((Node::In { negated: op == "not_in", value: a, of: b }, DataType::Boolean)),
            "??" => {
                let ty = unify(&at, &bt).ok_or_else(|| differ(expr, &at, &bt))?;
                return Ok((Node::Coalesce(a, b), ty));
            }
            "+" | "-" | "*" | "/" => {
                let ty = match (&at, &bt) {
                    (DataType::Utf8 | DataType::List(_), _) if op == "+" => unify(&at, &bt),
                    (DataType::Int64, DataType::Int64) => Some(DataType::Int64),
                    (DataType::Int64 | DataType::Float64, DataType::Int64 | DataType::Float64) => {
                        Some(DataType::Float64)
                    }
                    _ => None,
                };
                let ty = ty.ok_or_else(|| differ(expr, &at, &bt))?;
                return Ok((Node::Arithmetic(op.chars().next().unwrap_or('+'), a, b), ty));
            }
            "==" => comparison(Comparison::Eq),
            "!=" => comparison(Comparison::Ne),
            "<" => comparison(Comparison::Lt),
            "<=" => comparison(Comparison::Le),
            ">" => comparison(Comparison::Gt),
            ">=" => comparison(Comparison::Ge),
            _ => Err(mistyped(expr, &format!("unknown operator `{op}`"))),
        }?;
        Ok((Node::Compare(op, a, b), ty))
    }
}

fn constant(node: &Node) -> Option<&Cell<'static>> {
    match node {
        Node::Const(cell) => Some(cell),
        _ => None,
    }
}

fn mistyped(expr: &RowExpr, why: &str) -> OpError {
    OpError::new("E0304", format!("`{}`: {why}", show(expr)))
}

fn differ(expr: &RowExpr, a: &DataType, b: &DataType) -> OpError {
    mistyped(expr, &format!("{} and {} do not go together", arrow_type::text(a), arrow_type::text(b)))
}

fn field_type(ty: &DataType, name: &str) -> Option<DataType> {
    match ty {
        DataType::Struct(fields) => fields.iter().find(|f| f.name() == name).map(|f| f.data_type().clone()),
        _ => None,
    }
}
