//! Expressions over one row, as normalised trees: the same meaning is the same tree.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

use super::prelude;

/// An expression over one row. Quantities are in base units.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[allow(missing_docs)]
pub enum RowExpr {
    /// A column of the row.
    Col(String),
    /// A constant: null, bool, number, string, list or object.
    Lit(Json),
    /// A field of a record value.
    Field(Box<RowExpr>, String),
    Index(Box<RowExpr>, Box<RowExpr>),
    /// A method or property of the prelude on its receiver: `.len`, `.trim()`, `.matches(r"…")`; or, with `recv` a literal null,
    /// a row function of an operator module such as `media.frames`.
    Call {
        name: String,
        recv: Box<RowExpr>,
        args: Vec<(Option<String>, RowExpr)>,
    },
    /// `or and == != < <= > >= in not_in ?? + - * /`
    Binary(String, Box<RowExpr>, Box<RowExpr>),
    /// `- not`
    Unary(String, Box<RowExpr>),
    If(Box<RowExpr>, Box<RowExpr>, Box<RowExpr>),
    List(Vec<RowExpr>),
    Record(Vec<(String, RowExpr)>),
    /// Both ends included.
    Range(Option<Box<RowExpr>>, Option<Box<RowExpr>>),
}

impl RowExpr {
    /// Returns the columns that the expression reads, sorted, each once.
    pub fn columns(&self) -> Vec<String> {
        let mut out = Vec::new();
        self.walk(&mut |e| {
            if let RowExpr::Col(name) = e {
                out.push(name.clone());
            }
        });
        out.sort();
        out.dedup();
        out
    }

    fn walk(&self, f: &mut impl FnMut(&RowExpr)) {
        f(self);
        match self {
            RowExpr::Col(_) | RowExpr::Lit(_) => {}
            RowExpr::Field(e, _) | RowExpr::Unary(_, e) => e.walk(f),
            RowExpr::Index(a, b) | RowExpr::Binary(_, a, b) => {
                a.walk(f);
                b.walk(f);
            }
            RowExpr::Call { recv, args, .. } => {
                recv.walk(f);
                args.iter().for_each(|(_, a)| a.walk(f));
            }
            RowExpr::If(a, b, c) => {
                a.walk(f);
                b.walk(f);
                c.walk(f);
            }
            RowExpr::List(items) => items.iter().for_each(|e| e.walk(f)),
            RowExpr::Record(fields) => fields.iter().for_each(|(_, e)| e.walk(f)),
            RowExpr::Range(a, b) => {
                a.iter().for_each(|e| e.walk(f));
                b.iter().for_each(|e| e.walk(f));
            }
        }
    }
}

/// Writes an expression as in the language, for messages.
pub fn show(expr: &RowExpr) -> String {
    let list = |items: &[RowExpr]| items.iter().map(show).collect::<Vec<_>>().join(", ");
    match expr {
        RowExpr::Col(name) => format!(".{name}"),
        RowExpr::Lit(serde_json::Value::Null) => "none".into(),
        RowExpr::Lit(value) => value.to_string(),
        RowExpr::Field(of, name) => format!("{}.{name}", show(of)),
        RowExpr::Index(of, at) => format!("{}[{}]", show(of), show(at)),
        RowExpr::Call { name, recv, args } => {
            let args: Vec<String> =
                args.iter().map(|(n, a)| n.as_ref().map_or_else(|| show(a), |n| format!("{n}: {}", show(a)))).collect();
            let recv =
                if matches!(**recv, RowExpr::Lit(serde_json::Value::Null)) { String::new() } else { show(recv) + "." };
            match prelude::method_named(name) {
                Some(method) if method.args.is_none() => format!("{recv}{name}"),
                _ => format!("{recv}{name}({})", args.join(", ")),
            }
        }
        RowExpr::Binary(op, a, b) => format!("{} {} {}", operand(a), op.replace('_', " "), operand(b)),
        RowExpr::Unary(op, value) if op == "-" => format!("-{}", operand(value)),
        RowExpr::Unary(op, value) => format!("{op} {}", operand(value)),
        RowExpr::If(a, b, c) => format!("if {} then {} else {}", show(a), show(b), show(c)),
        RowExpr::List(items) => format!("[{}]", list(items)),
        RowExpr::Record(fields) => {
            format!("{{ {} }}", fields.iter().map(|(k, v)| format!("{k}: {}", show(v))).collect::<Vec<_>>().join(", "))
        }
        RowExpr::Range(a, b) => {
            let end = |e: &Option<Box<RowExpr>>| e.as_ref().map_or_else(String::new, |e| show(e));
            format!("{}..{}", end(a), end(b))
        }
    }
}

fn operand(expr: &RowExpr) -> String {
    match expr {
        RowExpr::Binary(..) | RowExpr::If(..) => format!("({})", show(expr)),
        _ => show(expr),
    }
}
