//! What is to be said of the thing at the cursor: its type, its documentation, what a number means.

use super::names::{Kind, Target};
use super::snapshot::Snapshot;
use super::walk;
use crate::base::Span;
use crate::semantics::ImportTarget;
use crate::spec::catalogue::Operator;
use crate::spec::{Catalogue, Dim, Type, page, prelude, units};
use crate::syntax::ast::{Expr, ExprKind, Item, ItemKind, ParamDecl, RowPart, RowType, TypeExprKind};

/// A text in Markdown about a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hover {
    /// The place.
    pub span: Span,
    /// The text.
    pub text: String,
}

/// Returns what is to be said of the byte of a module.
pub fn hover(snapshot: &Snapshot, catalogue: &Catalogue, module: usize, offset: usize) -> Option<Hover> {
    if let Some(name) = snapshot.name_at(module, offset)
        && let Some(text) = of_name(snapshot, catalogue, module, name.span, &name.target)
    {
        return Some(Hover { span: name.span, text });
    }
    let item = walk::item_at(&snapshot.program.modules[module].file, offset)?;
    let inner = walk::path(item, offset).pop()?;
    Some(Hover { span: inner.span, text: of_value(snapshot, inner)? })
}

/// Returns the documentation of a name, where it stands for something.
pub fn of_name(snapshot: &Snapshot, catalogue: &Catalogue, module: usize, at: Span, target: &Target) -> Option<String> {
    match target {
        Target::Declared(id, span, kind) => declared(snapshot, catalogue, *id, *span, *kind),
        Target::File(id) => Some(file(snapshot, *id)),
        Target::Operators(name) => Some(operators(catalogue, name)),
        Target::Operator(name) => catalogue.get(name).map(operator),
        Target::Argument(name, argument) => match catalogue.get(name) {
            Some(op) => argument_of(op, argument),
            None => function(name),
        },
        Target::Prelude(name) => function(name),
        Target::With(name) => {
            let (_, ty) = prelude::WITH.iter().find(|(n, _)| n == name)?;
            let note = "An option of `with`: it says how to run and never changes a result.";
            Some(format!("{}\n\n{note}", code(&format!("{name}: {ty}"))))
        }
        Target::Method(name) => {
            let method = prelude::method_named(name)?;
            let ty = value_type(snapshot, module, at).map_or(String::new(), |ty| format!(": {ty}"));
            Some(format!("{}\n\n{}", code(&format!(".{name}{ty}")), method.doc))
        }
        Target::Column => {
            let ty = value_type(snapshot, module, at)?;
            Some(code(&format!("{}: {ty}", snapshot.slice(at))))
        }
        Target::Type(name) => type_word(name),
    }
}

/// Returns the type of the smallest expression that ends with this name, or of the value of the field that it names.
fn value_type(snapshot: &Snapshot, module: usize, at: Span) -> Option<Type> {
    let item = walk::item_at(&snapshot.program.modules[module].file, at.end as usize)?;
    let path = walk::path(item, at.start as usize + 1);
    let inner = path.iter().rev().find(|e| e.span.end == at.end && e.span.start <= at.start);
    if let Some(ty) = inner.and_then(|e| snapshot.facts.type_of(e.span)) {
        return Some(ty);
    }
    let record = path.last()?;
    let ExprKind::Record(fields) = &record.kind else { return None };
    fields.iter().find_map(|f| match f {
        crate::syntax::ast::RecordField::Named(name, e) if name.span == at => snapshot.facts.type_of(e.span),
        _ => None,
    })
}

fn of_value(snapshot: &Snapshot, e: &Expr) -> Option<String> {
    let ty = snapshot.facts.type_of(e.span);
    match &e.kind {
        ExprKind::Number(parts, _) => number(snapshot.slice(e.span), parts),
        ExprKind::Str(_) => {
            let variants = snapshot.facts.wanted(e.span).map(|want| variants(&want)).unwrap_or_default();
            if variants.is_empty() {
                return ty.map(|ty| code(&ty.to_string()));
            }
            Some(code(&format!("enum {{ {} }}", variants.join(", "))))
        }
        _ => ty.map(|ty| code(&ty.to_string())),
    }
}

/// Returns the variants of the enums that a place asks for.
pub fn variants(want: &Type) -> Vec<String> {
    match want {
        Type::Enum(variants) => variants.clone(),
        Type::Optional(t) | Type::List(t) | Type::RowFn(t) | Type::Metric(t) => variants(t),
        Type::Union(ts) => ts.iter().flat_map(variants).collect(),
        _ => Vec::new(),
    }
}

fn number(written: &str, parts: &[(f64, Option<String>)]) -> Option<String> {
    let (dim, value) = units::number(parts).ok()?;
    let Some(dim) = dim else {
        return Some(code(if written.contains(['.', 'e']) { "Float" } else { "Int" }));
    };
    let base = match dim {
        Dim::Duration => format!("{value} seconds"),
        Dim::Bytes => format!("{value} bytes"),
        Dim::Ratio => format!("{value} as a share"),
        Dim::Points => format!("{value}, a difference of shares"),
        Dim::Tokens => format!("{value} tokens"),
        Dim::Steps => format!("{value} steps of the optimizer"),
        Dim::Rows => format!("{value} rows"),
        Dim::Pixels => format!("{value} pixels"),
        Dim::Angle => format!("{value} degrees"),
        Dim::Rate => format!("{value} bytes per second"),
    };
    Some(format!("{}\n\n{base}", code(&format!("{written}: {dim:?}"))))
}

fn type_word(name: &str) -> Option<String> {
    if let Some((_, row)) = prelude::SCHEMAS.iter().find(|(n, _)| *n == name) {
        return Some(code(&format!("schema {name} {row}")));
    }
    let dims = [
        Dim::Duration,
        Dim::Bytes,
        Dim::Ratio,
        Dim::Tokens,
        Dim::Steps,
        Dim::Rows,
        Dim::Pixels,
        Dim::Angle,
        Dim::Points,
    ];
    let dim = dims.into_iter().find(|d| format!("{d:?}") == name)?;
    let of_dim = units::names().filter(|u| units::to_base(1.0, u).is_some_and(|(d, _)| d == dim));
    let units: Vec<String> = of_dim.map(|u| format!("`{u}`")).collect();
    Some(format!("{}\n\nA number with a unit: {}.", code(name), units.join(", ")))
}

fn declared(snapshot: &Snapshot, catalogue: &Catalogue, id: usize, span: Span, kind: Kind) -> Option<String> {
    let module = &snapshot.program.modules[id];
    if kind == Kind::Import {
        let import = module.imports.iter().find(|i| i.name.span == span)?;
        return match &import.target {
            ImportTarget::Operators(name) => Some(operators(catalogue, name)),
            ImportTarget::Module(to) => Some(file(snapshot, *to)),
            ImportTarget::Missing => None,
        };
    }
    let item = walk::item_at(&module.file, span.start as usize)?;
    let name = snapshot.slice(span);
    let doc = item.doc.as_deref();
    let typed = |word: &str| {
        let ty = snapshot.checked.bindings.get(&(id, name.to_owned())).map(Type::to_string);
        code(&format!("{word} {name}: {}", ty.unwrap_or_else(|| "_".to_owned())))
    };
    Some(match kind {
        Kind::Let => with_doc(&typed("let"), doc),
        Kind::Stage => with_doc(&typed("stage"), doc),
        Kind::Fn | Kind::Op => with_doc(&code(signature(snapshot, item)), doc),
        Kind::Param | Kind::Secret | Kind::Schema | Kind::Profile => with_doc(&code(snapshot.slice(item.span)), doc),
        Kind::Output => {
            let ItemKind::Output { value, .. } = &item.kind else { return None };
            let ty = snapshot.facts.type_of(value.span).map_or("_".to_owned(), |ty| ty.to_string());
            with_doc(&code(&format!("output {name}: {ty}")), doc)
        }
        Kind::Field => {
            let (doc, written) = field(item, span)?;
            with_doc(&code(&format!("{name}: {}", snapshot.slice(written))), doc)
        }
        Kind::Argument => {
            let param = params(item).iter().find(|p| p.name.span == span)?;
            with_doc(&code(snapshot.slice(span.to(param.end()))), param.doc.as_deref())
        }
        Kind::Local => {
            let ty = snapshot.facts.type_of(span).map_or("_".to_owned(), |ty| ty.to_string());
            code(&format!("{name}: {ty}"))
        }
        Kind::Import => return None,
    })
}

/// Returns the parameters of a function or operator.
pub fn params(item: &Item) -> &[ParamDecl] {
    match &item.kind {
        ItemKind::Fn(f) => &f.params,
        ItemKind::Op(op) => &op.params,
        _ => &[],
    }
}

/// Returns the text of a function or operator up to its result.
pub fn signature<'a>(snapshot: &'a Snapshot, item: &Item) -> &'a str {
    match &item.kind {
        ItemKind::Fn(f) => snapshot.slice(Span { end: f.result.span.end, ..item.span }),
        ItemKind::Op(op) => snapshot.slice(Span { end: op.result.span.end, ..item.span }),
        _ => snapshot.slice(item.span),
    }
}

fn field(item: &Item, at: Span) -> Option<(Option<&str>, Span)> {
    fn in_row(row: &RowType, at: Span) -> Option<(Option<&str>, Span)> {
        row.parts.iter().find_map(|part| match part {
            RowPart::Field { doc, name, ty } if name.span == at => Some((doc.as_deref(), ty.span)),
            RowPart::Field { ty, .. } => in_type(ty, at),
            RowPart::Tail(_) => None,
        })
    }
    fn in_type(ty: &crate::syntax::ast::TypeExpr, at: Span) -> Option<(Option<&str>, Span)> {
        if let TypeExprKind::Row(row) = &ty.kind {
            return in_row(row, at);
        }
        let mut found = None;
        walk::type_parts(ty, &mut |part| found = found.or_else(|| in_type(part, at)));
        found
    }
    if let ItemKind::Schema { row, .. } = &item.kind {
        return in_row(row, at);
    }
    let mut found = None;
    walk::types(&item.kind, &mut |ty| found = found.or_else(|| in_type(ty, at)));
    found
}

fn file(snapshot: &Snapshot, id: usize) -> String {
    let module = &snapshot.program.modules[id];
    let path = module.path.display();
    match &module.file.doc {
        Some(doc) => format!("`{path}`\n\n{doc}"),
        None => format!("`{path}`"),
    }
}

fn operators(catalogue: &Catalogue, name: &str) -> String {
    let prefix = format!("{name}.");
    let names: Vec<String> = catalogue
        .operators
        .iter()
        .filter_map(|op| op.name.strip_prefix(&prefix))
        .map(|short| format!("`{short}`"))
        .collect();
    format!("{}\n\nOperators: {}.", code(&format!("import std.{name}")), names.join(", "))
}

/// Returns the page of an operator without its title.
pub fn operator(op: &Operator) -> String {
    let text = page::operator(op);
    text.split_once("\n\n").map_or(text.clone(), |(_, rest)| rest.to_owned()).trim_end().to_owned()
}

fn argument_of(op: &Operator, argument: &str) -> Option<String> {
    let note = format!("Argument of `{}`.", op.name);
    let params = &op.signature.params;
    let param = params.iter().find(|p| !p.rest && p.name.text == argument);
    let text = match param.or_else(|| params.iter().find(|p| p.rest)) {
        Some(param) => with_doc(&code(&written(op, param)), param.doc.as_deref()),
        None if argument == "where" => {
            format!("{}\n\nRows for which it is false pass by untouched.", code("where: Where = true"))
        }
        None if argument == "seed" => {
            format!("{}\n\nWhat random numbers start from; by default the recipe's `param seed`.", code("seed: Int"))
        }
        None => return None,
    };
    Some(format!("{text}\n\n{note}"))
}

/// Returns a parameter of a built-in operator as its signature writes it.
pub fn written(op: &Operator, param: &ParamDecl) -> String {
    let rest = if param.rest { ".." } else { "" };
    let text =
        op.spec.signature.get(param.name.span.start as usize..param.end().end as usize).unwrap_or(&param.name.text);
    format!("{rest}{text}")
}

fn function(name: &str) -> Option<String> {
    let text = prelude::FUNCTIONS.iter().find(|t| t.contains(&format!("op {name}(")))?;
    let (doc, signature) = text.split_once('\n')?;
    Some(with_doc(&code(signature), Some(doc.trim_start_matches("## "))))
}

fn with_doc(text: &str, doc: Option<&str>) -> String {
    doc.map_or(text.to_owned(), |doc| format!("{text}\n\n{doc}"))
}

fn code(text: &str) -> String {
    format!("```rb2\n{text}\n```")
}
