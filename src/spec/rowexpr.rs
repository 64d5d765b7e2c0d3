//! Expressions over one row, as normalised trees: the same meaning is the same tree.

use serde::{Deserialize, Serialize};
use serde_json::Value as Json;

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
