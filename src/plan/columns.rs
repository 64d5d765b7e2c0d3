//! Which columns a dataset has, as far as that is known before running, and the projection at a function's border.

use super::evaluator::{BUILTIN, Eval, Evaluator};
use super::given::Bound;
use super::val::Val;
use crate::base::Span;
use crate::spec::catalogue::Operator;
use crate::spec::{Columns, RowExpr, Value};
use crate::syntax::ast::{Function, ParamDecl, RowPart, TypeArg, TypeExpr, TypeExprKind};

/// The operator that projects a result to the columns that its function promises.
pub const SELECT: &str = "data.select";

/// A dataset type as written: named columns and perhaps a row variable.
struct RowShape {
    fields: Vec<String>,
    tail: Option<String>,
    /// Written as a schema's name.
    schema: bool,
}

/// Returns the type's name: `Dataset`, `Model`, …
pub(super) fn kind(ty: &TypeExpr) -> String {
    match &ty.kind {
        TypeExprKind::Named { name, .. } => name.text.clone(),
        TypeExprKind::Optional(inner) => kind(inner),
        _ => String::new(),
    }
}

/// Returns the fields of an operator's result: one nameless, or those of a record.
pub(super) fn fields(result: &TypeExpr) -> Vec<(String, TypeExpr)> {
    match &result.kind {
        TypeExprKind::Row(row) => row
            .parts
            .iter()
            .filter_map(|p| match p {
                RowPart::Field { name, ty, .. } => Some((name.text.clone(), ty.clone())),
                RowPart::Tail(_) => None,
            })
            .collect(),
        _ => vec![(String::new(), result.clone())],
    }
}

fn shape(ev: &Evaluator, module: usize, ty: &TypeExpr) -> Option<RowShape> {
    let TypeExprKind::Named { name, args } = &ty.kind else { return None };
    if name.text != "Dataset" {
        return None;
    }
    match args.first()? {
        TypeArg::Word(w) => Some(RowShape { fields: Vec::new(), tail: Some(w.text.clone()), schema: false }),
        TypeArg::Type(t) => match &t.kind {
            TypeExprKind::Row(row) => {
                let mut out = RowShape { fields: Vec::new(), tail: None, schema: false };
                for part in &row.parts {
                    match part {
                        RowPart::Field { name, .. } => out.fields.push(name.text.clone()),
                        RowPart::Tail(n) if n.is_schema() => {
                            let columns = ev.schema_columns(module, &n.text, 0)?;
                            out.fields.extend(columns.into_iter().map(|(n, _)| n));
                        }
                        RowPart::Tail(n) => out.tail = Some(n.text.clone()),
                    }
                }
                Some(out)
            }
            TypeExprKind::Named { name, .. } => {
                let columns = ev.schema_columns(module, &name.text, 0)?;
                Some(RowShape { fields: columns.into_iter().map(|(n, _)| n).collect(), tail: None, schema: true })
            }
            _ => None,
        },
    }
}

fn known(val: &Val) -> Option<Vec<String>> {
    match val {
        Val::Artifact(a) => a.columns.as_ref().map(|c| c.to_vec()),
        _ => None,
    }
}

/// Returns the columns of the datasets in a value, those that all share.
fn shared(val: &Val) -> Option<Vec<String>> {
    let mut found = Vec::new();
    val.artifacts(&mut found);
    let mut all = found.iter().filter(|a| a.kind == "Dataset").map(|a| a.columns.clone());
    let mut out = all.next()??.to_vec();
    for other in all {
        let other = other?;
        out.retain(|c| other.contains(c));
    }
    Some(out)
}

/// Returns the columns of an operator's result, where they are known.
pub(super) fn of_result(ev: &Evaluator, op: &Operator, args: &[Bound], result: &TypeExpr) -> Option<Vec<String>> {
    if kind(result) != "Dataset" {
        return None;
    }
    let arg = |name: &str| args.iter().find(|b| b.name == name).map(|b| &b.val);
    let input = || args.iter().find_map(|b| known(&b.val));
    let named = |name: &str| match arg(name) {
        Some(Val::List(items)) => Some(items.iter().filter_map(column).collect::<Vec<_>>()),
        Some(one) => column(one).map(|c| vec![c]),
        None => None,
    };
    // Further named arguments, as `data.derive(d, new: …)` takes them.
    let rest = || {
        let p = op.signature.params.iter().find(|p| p.rest)?;
        match arg(&p.name.text)? {
            Val::Record(fields) => Some(fields.as_slice()),
            _ => None,
        }
    };
    match op.spec.columns {
        Columns::Signature => by_signature(ev, op, args, result),
        Columns::FromFile => None,
        Columns::FromSchema => args.iter().find_map(|b| match &b.val {
            Val::Schema(s) => Some(s.columns.iter().map(|(n, _)| n.clone()).collect()),
            _ => None,
        }),
        Columns::Select => named("columns"),
        Columns::Drop => {
            let gone = named("columns")?;
            let mut out = input()?;
            out.retain(|c| !gone.contains(c));
            Some(out)
        }
        Columns::Rename => {
            let mut out = input()?;
            for (new, old) in rest()? {
                let old = column(old)?;
                out.iter_mut().filter(|c| **c == old).for_each(|c| c.clone_from(new));
            }
            Some(out)
        }
        Columns::Derive => {
            let mut out = input()?;
            rest()?.iter().for_each(|(new, _)| push(&mut out, new));
            Some(out)
        }
        Columns::Concat => {
            let p = op.signature.params.iter().find(|p| p.rest)?;
            let mut out = shared(arg(&p.name.text)?)?;
            if let Some(Val::Value(Value::Str(label))) = arg("label") {
                push(&mut out, label);
            }
            Some(out)
        }
        Columns::Shared => {
            let of = Val::List(args.iter().map(|b| b.val.clone()).collect());
            shared(&of)
        }
        Columns::AddNamed(name) => {
            let mut out = by_signature(ev, op, args, result).or_else(input)?;
            // In the signature `into` stands for the name that the argument gives.
            out.retain(|c| c != "into");
            if let Some(Val::Value(Value::Str(column))) = arg(name) {
                push(&mut out, column);
            }
            Some(out)
        }
        Columns::Only(param, columns) => {
            let mut out = by_signature(ev, op, args, result)?;
            if !matches!(arg(param), Some(Val::Value(Value::Bool(true)))) {
                out.retain(|c| !columns.contains(&c.as_str()));
            }
            Some(out)
        }
        Columns::Classify => {
            let mut out = input()?;
            let classifier = args.iter().find_map(|b| match &b.val {
                Val::Artifact(a) if a.kind == "Classifier" => Some(a.node),
                _ => None,
            })?;
            let column = ev.graph.node(classifier).args.get("column")?.as_str()?;
            push(&mut out, column);
            push(&mut out, &format!("{column}_p"));
            Some(out)
        }
    }
}

fn by_signature(ev: &Evaluator, op: &Operator, args: &[Bound], result: &TypeExpr) -> Option<Vec<String>> {
    let shape_of = |ty: &TypeExpr| shape(ev, BUILTIN, ty);
    let result = shape_of(result)?;
    let Some(tail) = &result.tail else { return Some(result.fields) };
    for p in &op.signature.params {
        let Some(param) = shape_of(&p.ty) else { continue };
        if param.tail.as_ref() != Some(tail) {
            continue;
        }
        let val = &args.iter().find(|b| b.name == p.name.text)?.val;
        let mut out = if p.rest { shared(val)? } else { known(val)? };
        out.retain(|c| !param.fields.contains(c) || result.fields.contains(c));
        result.fields.iter().for_each(|c| push(&mut out, c));
        return Some(out);
    }
    None
}

/// Projects a function's result to the columns that its result type names: helper columns end at the function's border.
pub(super) fn project(
    ev: &mut Evaluator,
    val: Val,
    f: &Function,
    module: usize,
    bound: &[(&ParamDecl, Val)],
    span: Span,
) -> Eval<Val> {
    let (Some(have), Some(result)) = (known(&val), shape(ev, module, &f.result)) else { return Ok(val) };
    let mut wanted = result.fields.clone();
    let mut tails = Vec::new();
    for (p, arg) in bound {
        if let Some(s) = shape(ev, module, &p.ty) {
            let rest = known(arg).map(|c| c.into_iter().filter(|c| !s.fields.contains(c)).collect::<Vec<_>>());
            if s.schema || s.tail.is_some() {
                tails.push((s.tail, rest));
            }
        }
    }
    match &result.tail {
        // A written row variable stands for the rest of the parameter that has it.
        Some(tail) => {
            let rest = tails.into_iter().find(|(t, _)| t.as_ref() == Some(tail)).and_then(|(_, rest)| rest);
            let Some(rest) = rest else { return Ok(val) };
            rest.iter().for_each(|c| push(&mut wanted, c));
        }
        // A schema's name is open with the rest of the only open parameter.
        None if result.schema && tails.len() == 1 => {
            let Some(rest) = tails.into_iter().next().and_then(|(_, rest)| rest) else { return Ok(val) };
            rest.iter().for_each(|c| push(&mut wanted, c));
        }
        None => {}
    }
    if have.iter().all(|c| wanted.contains(c)) || ev.catalogue.get(SELECT).is_none() {
        return Ok(val);
    }
    let columns = wanted.into_iter().filter(|c| have.contains(c)).map(|c| Val::Row(RowExpr::Col(c))).collect();
    ev.insert(SELECT, val, vec![("columns", Val::List(columns))], span)
}

fn column(val: &Val) -> Option<String> {
    match val {
        Val::Row(RowExpr::Col(c)) => Some(c.clone()),
        _ => None,
    }
}

fn push(columns: &mut Vec<String>, name: &str) {
    if !columns.iter().any(|c| c == name) {
        columns.push(name.to_owned());
    }
}
