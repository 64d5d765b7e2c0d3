//! Values to the canonical JSON of a node's arguments, guided by the parameter's type; artifacts become slots.

use serde_json::{Map, Value as Json, json};

use super::evaluator::{Eval, mismatch};
use super::graph::Input;
use super::val::{Grid, Val};
use crate::base::{Diagnostic, Span, codes};
use crate::spec::{Catalogue, RowExpr, Value};
use crate::syntax::ast::{RowPart, TypeArg, TypeExpr, TypeExprKind};

/// What lowering collects besides the JSON.
#[derive(Default)]
pub(super) struct Lowered {
    /// Artifacts by slot.
    pub inputs: Vec<Input>,
    /// Secrets named by the arguments.
    pub secrets: Vec<String>,
}

/// Lowers a value to a parameter's type; without a type, as the value suggests.
pub(super) fn lower(
    catalogue: &Catalogue,
    val: &Val,
    ty: Option<&TypeExpr>,
    slot: &str,
    span: Span,
    out: &mut Lowered,
) -> Eval<Json> {
    let mut to = Lowering { catalogue, span, out };
    to.any(val, ty, slot)
}

struct Lowering<'a> {
    catalogue: &'a Catalogue,
    span: Span,
    out: &'a mut Lowered,
}

impl Lowering<'_> {
    fn any(&mut self, val: &Val, ty: Option<&TypeExpr>, slot: &str) -> Eval<Json> {
        match val {
            Val::Artifact(a) => {
                let input = Input { slot: slot.to_owned(), node: a.node, field: a.field.clone() };
                self.out.inputs.push(input);
                return Ok(json!({ "$input": slot }));
            }
            Val::Metric(_) => {
                let d = Diagnostic::new(
                    codes::E0601,
                    self.span,
                    "an argument cannot depend on a value known only after running",
                    "known only after running",
                );
                return Err(Box::new(d.help("use `expect`, or make it a `param`")));
            }
            Val::Value(Value::Secret(name)) => {
                if !self.out.secrets.contains(name) {
                    self.out.secrets.push(name.clone());
                }
                return Ok(json!({ "secret": name }));
            }
            Val::Value(Value::None) => return Ok(Json::Null),
            Val::Schema(s) => return Ok(s.to_json()),
            Val::Grid(grid) => return self.grid(grid, slot),
            Val::Suite(fields) => return self.record(fields, None, slot),
            Val::Verb { op, args } => return self.verb(op, args, slot),
            _ => {}
        }
        let Some(ty) = ty else { return self.untyped(val, slot) };
        match &ty.kind {
            TypeExprKind::Optional(inner) => self.any(val, Some(inner), slot),
            TypeExprKind::Union(members) => self.union(val, members, slot),
            TypeExprKind::Enum(_) => self.untyped(val, slot),
            TypeExprKind::Tuple(types) => match val {
                Val::Tuple(items) | Val::List(items) => {
                    let one = |(i, v): (usize, &Val)| self.any(v, types.get(i), &format!("{slot}[{i}]"));
                    Ok(Json::Array(items.iter().enumerate().map(one).collect::<Result<_, _>>()?))
                }
                _ => self.untyped(val, slot),
            },
            TypeExprKind::List(inner) => match val {
                Val::List(items) | Val::Tuple(items) => self.list(items, Some(inner), slot),
                _ => self.untyped(val, slot),
            },
            TypeExprKind::Row(row) => match val {
                Val::Record(fields) => {
                    let of = |name: &str| {
                        row.parts.iter().find_map(|p| match p {
                            RowPart::Field { name: n, ty, .. } if n.text == name => Some(ty),
                            _ => None,
                        })
                    };
                    self.record(fields, Some(&of), slot)
                }
                _ => self.untyped(val, slot),
            },
            TypeExprKind::Named { name, args } => {
                let inner = args.first().and_then(|a| match a {
                    TypeArg::Type(t) => Some(t),
                    TypeArg::Word(_) => None,
                });
                self.named(val, &name.text, inner, slot)
            }
        }
    }

    fn named(&mut self, val: &Val, name: &str, inner: Option<&TypeExpr>, slot: &str) -> Eval<Json> {
        match name {
            "Col" | "Field" => match val {
                Val::Row(RowExpr::Col(c)) => Ok(json!(c)),
                other => Err(self.wanted("a column, such as `.output`", other)),
            },
            "Cols" => {
                let items = match val {
                    Val::List(items) => items.as_slice(),
                    one => std::slice::from_ref(one),
                };
                let column = |v: &Val| match v {
                    Val::Row(RowExpr::Col(c)) => Ok(json!(c)),
                    other => Err(self.wanted("a list of columns, such as `[.output]`", other)),
                };
                Ok(Json::Array(items.iter().map(column).collect::<Result<_, _>>()?))
            }
            "Where" | "Expr" => {
                let row = val.row().ok_or_else(|| self.wanted("a row expression", val))?;
                serde_json::to_value(row).map_err(|e| mismatch(self.span, e.to_string()))
            }
            "Range" | "Keep" => match val {
                Val::Range(a, b) => {
                    let mut end = |v: &Option<Box<Val>>| match v {
                        Some(v) => self.any(v, inner, slot),
                        None => Ok(Json::Null),
                    };
                    let (from, to) = (end(a)?, end(b)?);
                    Ok(json!({ "from": from, "to": to }))
                }
                Val::Value(Value::Top(n)) => Ok(json!({ "top": n })),
                other => Err(self.wanted("a range", other)),
            },
            "Float" => match val {
                Val::Value(Value::Int(i)) => Ok(json!(*i as f64)),
                _ => self.untyped(val, slot),
            },
            // Texts that name an artifact would only be found out by the operator, much later.
            "Dataset" | "Model" | "Classifier" | "Benchmark" | "Score" | "Table" | "Report" => {
                Err(self.wanted(&format!("a {name}"), val))
            }
            _ => self.untyped(val, slot),
        }
    }

    /// A quantity is tagged with its unit; anything else takes the member that it fits.
    fn union(&mut self, val: &Val, members: &[TypeExpr], slot: &str) -> Eval<Json> {
        if let Val::Value(v @ Value::Quantity(..)) = val {
            return Ok(v.to_tagged_json());
        }
        fn bare(ty: &TypeExpr) -> &TypeExprKind {
            if let TypeExprKind::Optional(inner) = &ty.kind { &inner.kind } else { &ty.kind }
        }
        let fits = |ty: &TypeExpr| match (bare(ty), val) {
            (TypeExprKind::List(_), Val::List(_)) | (TypeExprKind::Row(_), Val::Record(_)) => true,
            (TypeExprKind::Named { name, .. }, v) => match v {
                Val::Range(..) => name.text == "Range" || name.text == "Keep",
                Val::Value(Value::Int(_)) => name.text == "Int",
                Val::Value(Value::Float(_)) => name.text == "Float",
                Val::Row(_) => matches!(name.text.as_str(), "Where" | "Expr" | "Col" | "Field"),
                Val::List(_) => name.text == "Cols",
                _ => false,
            },
            _ => false,
        };
        let member = members.iter().find(|t| fits(t)).or_else(|| {
            let float = |t: &&TypeExpr| matches!(&t.kind, TypeExprKind::Named { name, .. } if name.text == "Float");
            members.iter().find(float).filter(|_| matches!(val, Val::Value(Value::Int(_))))
        });
        match member {
            Some(ty) => self.any(val, Some(ty), slot),
            None => self.untyped(val, slot),
        }
    }

    fn untyped(&mut self, val: &Val, slot: &str) -> Eval<Json> {
        match val {
            Val::List(items) | Val::Tuple(items) => self.list(items, None, slot),
            Val::Record(fields) => self.record(fields, None, slot),
            Val::Row(e) => serde_json::to_value(e).map_err(|e| mismatch(self.span, e.to_string())),
            Val::Range(a, b) => {
                let mut end = |v: &Option<Box<Val>>| match v {
                    Some(v) => self.any(v, None, slot),
                    None => Ok(Json::Null),
                };
                let (from, to) = (end(a)?, end(b)?);
                Ok(json!({ "from": from, "to": to }))
            }
            Val::Value(v) => Ok(v.to_json()),
            other => self.any(other, None, slot),
        }
    }

    fn list(&mut self, items: &[Val], ty: Option<&TypeExpr>, slot: &str) -> Eval<Json> {
        let items = items.iter().enumerate().map(|(i, v)| self.any(v, ty, &format!("{slot}[{i}]")));
        Ok(Json::Array(items.collect::<Result<_, _>>()?))
    }

    fn record<'t>(
        &mut self,
        fields: &[(String, Val)],
        of: Option<&dyn Fn(&str) -> Option<&'t TypeExpr>>,
        slot: &str,
    ) -> Eval<Json> {
        let mut map = Map::new();
        for (name, v) in fields {
            let json = self.any(v, of.and_then(|of| of(name)), &format!("{slot}.{name}"))?;
            map.insert(name.clone(), json);
        }
        Ok(Json::Object(map))
    }

    fn verb(&mut self, op: &str, args: &[(String, Val)], slot: &str) -> Eval<Json> {
        let signature = self.catalogue.get(op).map(|o| &o.signature);
        let mut map = Map::new();
        for (name, v) in args {
            let ty = signature.and_then(|s| s.params.iter().find(|p| p.name.text == *name)).map(|p| &p.ty);
            map.insert(name.clone(), self.any(v, ty, &format!("{slot}.{name}"))?);
        }
        Ok(json!({ "verb": op, "args": map }))
    }

    /// A grid as an argument: axes, labels, and each cell under its labels joined by `|`.
    fn grid(&mut self, grid: &Grid, slot: &str) -> Eval<Json> {
        let mut cells = Map::new();
        for (labels, v) in &grid.cells {
            let key = labels.join("|");
            let json = self.any(v, None, &format!("{slot}.cells.{key}"))?;
            cells.insert(key, json);
        }
        Ok(json!({ "axes": grid.axes, "labels": labels(grid), "cells": cells }))
    }

    fn wanted(&self, what: &str, found: &Val) -> Box<Diagnostic> {
        mismatch(self.span, format!("expected {what}, found {}", found.describe()))
    }
}

/// The labels of each axis by its name.
pub(super) fn labels(grid: &Grid) -> Json {
    Json::Object(grid.axes.iter().cloned().zip(grid.labels.iter().map(|l| json!(l))).collect())
}
