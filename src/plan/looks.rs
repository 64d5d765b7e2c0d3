//! Which columns an operator looks at, and whether the others come out of it as they went in.

use std::collections::BTreeSet;

use serde_json::Value as Json;

use super::columns;
use super::graph::Look;
use crate::spec::catalogue::Operator;
use crate::spec::{Class, Columns, Looks};
use crate::syntax::ast::{RowPart, TypeArg, TypeExpr, TypeExprKind};

/// What people call a row by: it is told of rows that were dropped.
const ID: &str = "id";

/// Returns what an operator looks at, whatever its arguments are.
pub(super) fn of(op: &Operator) -> Vec<Look> {
    let more: &[&str] = match op.spec.looks {
        Looks::All => return Vec::new(),
        Looks::At(more) => more,
        Looks::Rest => &[],
    };
    let mut out = Vec::new();
    for p in op.signature.params.iter().filter(|p| !p.rest && columns::kind(&p.ty) == "Dataset") {
        let Some(declared) = declared(&p.ty) else { return Vec::new() };
        let names = declared.names.into_iter().chain(more.iter().map(|n| (*n).to_owned()));
        let mut look = Look {
            slot: p.name.text.clone(),
            names: names.collect(),
            others: op.spec.looks == Looks::Rest,
            passes: declared.tail.is_some_and(|tail| passes(op, &tail)),
        };
        if look.passes {
            look.names.insert(ID.to_owned());
        }
        out.push(look);
    }
    // Draws are made with the whole row, and what is told of several inputs cannot be put together again.
    let passing = out.iter().filter(|l| l.passes).count();
    if passing > 1
        || (passing == 1 && (op.spec.class == Class::Sampled || columns::fields(&op.signature.result).len() != 1))
    {
        return Vec::new();
    }
    out
}

/// Returns a look with the columns that a node's arguments, in canonical form, speak of.
///
/// A column counts as looked at when its name stands anywhere in an argument: as a column, in an expression, in a prompt. That is more than is read, at times,
/// and never less.
pub fn with_said(look: &Look, args: &Json) -> Look {
    let mut look = look.clone();
    words(args, &mut look.names);
    look
}

/// Says whether the result has the columns that a row variable stands for.
fn passes(op: &Operator, tail: &str) -> bool {
    let kept = match op.spec.columns {
        Columns::Select | Columns::Drop => false,
        _ => true,
    };
    kept && columns::fields(&op.signature.result)
        .iter()
        .any(|(_, ty)| declared(ty).and_then(|d| d.tail).is_some_and(|t| t == tail))
}

/// The columns that a dataset type names, and its row variable.
#[derive(Default)]
struct Declared {
    names: BTreeSet<String>,
    tail: Option<String>,
}

/// Nothing where a type is no dataset, or names a schema.
fn declared(ty: &TypeExpr) -> Option<Declared> {
    fn rows(ty: &TypeExpr, out: &mut Declared) -> Option<()> {
        match &ty.kind {
            TypeExprKind::Row(row) => {
                for part in &row.parts {
                    match part {
                        RowPart::Field { name, .. } => drop(out.names.insert(name.text.clone())),
                        RowPart::Tail(n) if n.is_schema() => return None,
                        RowPart::Tail(n) => out.tail = Some(n.text.clone()),
                    }
                }
                Some(())
            }
            TypeExprKind::Union(members) => members.iter().try_for_each(|m| rows(m, out)),
            _ => None,
        }
    }
    match &ty.kind {
        TypeExprKind::Optional(inner) => declared(inner),
        TypeExprKind::Named { name, args } if name.text == "Dataset" => {
            let TypeArg::Type(inner) = args.first()? else { return None };
            let mut out = Declared::default();
            rows(inner, &mut out).map(|()| out)
        }
        _ => None,
    }
}

/// Collects all that could be the name of a column.
fn words(json: &Json, out: &mut BTreeSet<String>) {
    match json {
        Json::String(text) => {
            let parts = text.split(|c: char| !c.is_alphanumeric() && c != '_');
            out.extend(parts.filter(|w| !w.is_empty()).map(str::to_owned));
        }
        Json::Array(items) => items.iter().for_each(|item| words(item, out)),
        Json::Object(map) => map.iter().for_each(|(name, value)| {
            out.insert(name.clone());
            words(value, out);
        }),
        _ => {}
    }
}
