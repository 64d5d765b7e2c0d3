//! The values of params: default, then profile, then `-p name=value`.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::arith;
use super::evaluator::{Eval, Options};
use super::quantity;
use super::val::Val;
use crate::base::{Diagnostic, Problems, SourceMap, Span, codes, phrase};
use crate::semantics::modules::Program;
use crate::spec::{Value, prelude};
use crate::syntax::ast::{Expr, ExprKind, ItemKind, Name, RecordField, TypeExpr, TypeExprKind, UnaryOp, With};

/// What replaces the defaults.
pub(super) struct Overrides<'a> {
    /// By param.
    pub values: BTreeMap<String, (Val, Span)>,
    /// The profile's `with`.
    pub with: Option<&'a With>,
}

/// Reads the profile and the `-p` options. Problems: E0215 for unknown names, E0304 for what is no constant.
pub(super) fn overrides<'a>(
    program: &'a Program,
    sources: &mut SourceMap,
    options: &Options,
    problems: &mut Problems,
) -> Overrides<'a> {
    let file = &program.modules[0].file;
    let mut out = Overrides { values: BTreeMap::new(), with: None };
    let params: Vec<(&Name, &TypeExpr)> = file
        .items
        .iter()
        .filter_map(|item| match &item.kind {
            ItemKind::Param { name, ty, .. } => Some((name, ty)),
            _ => None,
        })
        .collect();
    let find = |name: &str| params.iter().find(|(n, _)| n.text == name);
    let unknown = |name: &str, span: Span| {
        let d = Diagnostic::new(codes::E0215, span, format!("unknown param `{name}`"), "not a param of this recipe");
        let names: Vec<&str> = params.iter().map(|(n, _)| n.text.as_str()).collect();
        match phrase::nearest(name, names.iter().copied()) {
            Some(near) => d.help(format!("did you mean `{near}`?")),
            None if names.is_empty() => d.help("this recipe has no params"),
            None => d.help(format!("it has {}", phrase::quoted(&names))),
        }
    };
    if let Some(wanted) = &options.profile {
        let profiles = file.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Profile { name, fields, with } => Some((name, fields, with)),
            _ => None,
        });
        let all: Vec<_> = profiles.collect();
        match all.iter().find(|(n, ..)| n.text == *wanted) {
            Some((_, fields, with)) => {
                out.with = with.as_ref();
                for field in fields.iter() {
                    let RecordField::Named(name, e) = field else { continue };
                    match (find(&name.text), constant(e)) {
                        (None, _) => problems.push(unknown(&name.text, name.span)),
                        (_, None) => {
                            problems.push(Diagnostic::new(
                                codes::E0304,
                                e.span,
                                "a profile sets constants",
                                "not a constant",
                            ));
                        }
                        (Some(_), Some(v)) => {
                            out.values.insert(name.text.clone(), (v, e.span));
                        }
                    }
                }
            }
            None => {
                let id = sources.add("--profile", None, wanted.as_str());
                let span = Span::new(id, 0, wanted.len());
                let names: Vec<&str> = all.iter().map(|(n, ..)| n.text.as_str()).collect();
                let message = format!("unknown profile `{wanted}`");
                let d = Diagnostic::new(codes::E0215, span, message, "not in this recipe");
                problems.push(match phrase::nearest(wanted, names.iter().copied()) {
                    Some(near) => d.help(format!("did you mean `{near}`?")),
                    None if names.is_empty() => d.help("this recipe has no profiles"),
                    None => d.help(format!("it has {}", phrase::quoted(&names))),
                });
            }
        }
    }
    for (name, text) in &options.params {
        let id = sources.add(format!("-p {name}"), None, text.as_str());
        let span = Span::new(id, 0, text.len());
        let Some((_, ty)) = find(name) else {
            problems.push(unknown(name, span));
            continue;
        };
        let word = is_text(ty).then(|| Val::str(text.trim()));
        let (val, wrong) = match crate::syntax::parse_expr(id, text) {
            // A shell has eaten the quotes of `-p scale="h200"`.
            Ok(Expr { kind: ExprKind::Ident(_), .. }) if word.is_some() => (word, None),
            Ok(e) => (constant(&e).or(word), None),
            Err(wrong) => (word, Some(wrong)),
        };
        match (val, wrong) {
            (Some(val), _) => {
                out.values.insert(name.clone(), (val, span));
            }
            (None, Some(wrong)) => problems.extend(wrong),
            (None, None) => problems.push(
                Diagnostic::new(codes::E0304, span, format!("`{text}` is no constant"), "not a value")
                    .help(format!("write it as in a recipe: `-p {name}=500rows`, `-p {name}=2e-5`, `-p {name}=true`")),
            ),
        }
    }
    out
}

/// Reads the `-w` options; a bare word is a text.
pub(super) fn with_options(
    sources: &mut SourceMap,
    options: &Options,
    problems: &mut Problems,
) -> serde_json::Map<String, serde_json::Value> {
    let mut out = serde_json::Map::new();
    for (name, text) in &options.with {
        let id = sources.add(format!("-w {name}"), None, text.as_str());
        if !prelude::WITH.iter().any(|(n, _)| n == name) {
            let names = prelude::WITH.iter().map(|(n, _)| *n);
            let span = Span::new(id, 0, text.len());
            let d = Diagnostic::new(codes::E0216, span, format!("`with` has no option `{name}`"), "not an option");
            problems.push(match phrase::nearest(name, names) {
                Some(near) => d.help(format!("did you mean `{near}`?")),
                None => d.help("the reference of the language lists them"),
            });
            continue;
        }
        let val = crate::syntax::parse_expr(id, text).ok().and_then(|e| constant(&e)).unwrap_or_else(|| Val::str(text));
        if let Some(value) = val.constant() {
            out.insert(name.clone(), tagged_if_steps(name, &value));
        }
    }
    out
}

fn is_text(ty: &TypeExpr) -> bool {
    match &ty.kind {
        TypeExprKind::Enum(_) => true,
        TypeExprKind::Optional(t) => is_text(t),
        TypeExprKind::Named { name, .. } => name.text == "Str",
        _ => false,
    }
}

/// Evaluates an expression of literals alone.
pub fn constant(e: &Expr) -> Option<Val> {
    Some(match &e.kind {
        ExprKind::Number(parts, whole) => Val::Value(quantity::number(parts, *whole)?),
        ExprKind::Str(lit) => Val::str(lit.plain()?),
        ExprKind::Bool(b) => Val::bool(*b),
        ExprKind::None => Val::Value(Value::None),
        ExprKind::Paren(inner) => constant(inner)?,
        ExprKind::Unary { op: UnaryOp::Neg, value } => arith::unary(false, &constant(value)?, e.span).ok()?,
        ExprKind::Binary { op, left, right, .. } => {
            arith::binary(*op, &constant(left)?, &constant(right)?, e.span).ok()?
        }
        ExprKind::Range(a, b) => {
            let end = |e: &Option<Box<Expr>>| match e {
                Some(e) => constant(e).map(|v| Some(Box::new(v))),
                None => Some(None),
            };
            Val::Range(end(a)?, end(b)?)
        }
        ExprKind::List(items) => Val::List(items.iter().map(constant).collect::<Option<_>>()?),
        ExprKind::Record(fields) => Val::Record(
            fields
                .iter()
                .map(|f| match f {
                    RecordField::Named(n, e) => Some((n.text.clone(), constant(e)?)),
                    _ => None,
                })
                .collect::<Option<_>>()?,
        ),
        _ => return None,
    })
}

/// Checks a param's value against its type and range.
pub(super) fn check(name: &Name, ty: &TypeExpr, within: Option<&Value>, val: Val, span: Span) -> Eval<Val> {
    let val = fit(name, ty, val, span)?;
    if let (Some(range), Some(v)) = (within, val.constant())
        && v != Value::None
        && !arith::contains(range, &v, span)?
    {
        let bounds = match range {
            Value::Range(a, b) => {
                let end = |v: &Option<Box<Value>>| v.as_ref().map_or(String::new(), |v| quantity::print(v));
                format!("{}..{}", end(a), end(b))
            }
            other => quantity::print(other),
        };
        let message = format!("param `{}` is {}, outside {bounds}", name.text, quantity::print(&v));
        return Err(Box::new(
            Diagnostic::new(codes::E0214, span, message, "out of range").help(format!("give a value in {bounds}")),
        ));
    }
    Ok(val)
}

fn fit(name: &Name, ty: &TypeExpr, val: Val, span: Span) -> Eval<Val> {
    let wrong = |want: &str| {
        let code = if matches!(val, Val::Value(Value::Int(_) | Value::Float(_))) && want != "Bool" && want != "Str" {
            codes::E0120
        } else {
            codes::E0304
        };
        let message = format!("param `{}` is a {want}, found {}", name.text, val.describe());
        let example = match want {
            "Rows" => "500rows",
            "Tokens" => "512tok",
            "Steps" => "80steps",
            "Ratio" => "95%",
            "Pixels" => "1_024px",
            "Angle" => "30deg",
            "Points" => "2pt",
            "Duration" => "30m",
            "Bytes" => "4GiB",
            "Bool" => "true",
            "Float" => "0.5",
            "Int" => "4",
            _ => "\"text\"",
        };
        Box::new(Diagnostic::new(code, span, message, "does not fit").help(format!("write it as `{example}`")))
    };
    match &ty.kind {
        TypeExprKind::Optional(inner) => match val {
            Val::Value(Value::None) => Ok(val),
            other => fit(name, inner, other, span),
        },
        TypeExprKind::Enum(variants) => {
            let names: Vec<&str> = variants.iter().map(|n| n.text.as_str()).collect();
            match &val {
                Val::Value(Value::Str(s)) if names.contains(&s.as_str()) => Ok(val),
                Val::Value(Value::Str(s)) => {
                    let message = format!("`{s}` is no variant of param `{}`", name.text);
                    let d = Diagnostic::new(codes::E0213, span, message, "not a variant");
                    Err(Box::new(match phrase::nearest(s, names.iter().copied()) {
                        Some(near) => d.help(format!("did you mean `{near}`?")),
                        None => d.help(format!("it takes {}", phrase::quoted(&names))),
                    }))
                }
                _ => Err(wrong("Str")),
            }
        }
        TypeExprKind::Named { name: t, .. } => match (t.text.as_str(), &val) {
            ("Float", Val::Value(Value::Int(i))) => Ok(Val::Value(Value::Float(*i as f64))),
            ("Float", Val::Value(Value::Float(_)))
            | ("Int", Val::Value(Value::Int(_)))
            | ("Bool", Val::Value(Value::Bool(_)))
            | ("Str", Val::Value(Value::Str(_))) => Ok(val),
            (
                dim @ ("Rows" | "Tokens" | "Steps" | "Ratio" | "Pixels" | "Angle" | "Points" | "Duration" | "Bytes"),
                v,
            ) => match v {
                Val::Value(Value::Quantity(d, _)) if format!("{d:?}") == dim => Ok(val),
                _ => Err(wrong(dim)),
            },
            (want @ ("Float" | "Int" | "Bool" | "Str"), _) => Err(wrong(want)),
            _ => Ok(val),
        },
        _ => Ok(val),
    }
}

/// Options whose type is a union of units are tagged with the unit, as such arguments are.
pub fn tagged_if_steps(name: &str, value: &Value) -> Json {
    if name == "checkpoint" { value.to_tagged_json() } else { value.to_json() }
}
