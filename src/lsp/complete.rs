//! What can be written at the cursor: operators, names, arguments, columns, variants, units, types.

use std::path::Path;

use super::hover;
use super::names::{self, Kind, Target};
use super::repair::{self, MARK, Repaired, TYPE_MARK};
use super::snapshot::Snapshot;
use super::text;
use super::walk;
use super::words;
use crate::base::Span;
use crate::base::world::OverlayWorld;
use crate::semantics::{self, ImportTarget, ParseCache, modules};
use crate::spec::{Catalogue, Class, Row, Type, page, prelude, units};
use crate::syntax::ITEM_WORDS;
use crate::syntax::ast::{
    Arg, Expr, ExprKind, ImportFrom, Item, ItemKind, RecordField, TypeArg, TypeExpr, TypeExprKind, With,
};

/// What a proposal is, for its picture in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Sort {
    Keyword,
    Module,
    Function,
    Method,
    Variable,
    Argument,
    Column,
    Variant,
    Unit,
    Type,
}

/// One proposal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// What is shown and looked for.
    pub label: String,
    /// What is written; a call ends in `()`, and the cursor goes between.
    pub insert: String,
    /// What it is.
    pub sort: Sort,
    /// Its type or signature, short.
    pub detail: String,
    /// Its documentation, Markdown; empty for none.
    pub doc: String,
}

/// The proposals at a cursor, and the bytes that one of them replaces.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Proposals {
    /// First byte, one past the last.
    pub typed: (usize, usize),
    /// In the order in which they are shown.
    pub list: Vec<Proposal>,
}

/// Returns what can be written at a byte of the text that `world` has at `path`.
pub fn complete(
    world: &OverlayWorld,
    catalogue: &Catalogue,
    path: &Path,
    cursor: usize,
    cache: &ParseCache,
) -> Proposals {
    let Some(text) = world.texts.get(path) else { return Proposals::default() };
    let line = text[..cursor].rfind('\n').map_or(0, |at| at + 1);
    let (from, to) = text::word(text, cursor);
    if from == line {
        return Proposals { typed: (from, to), list: ITEM_WORDS.iter().map(|word| keyword(word)).collect() };
    }
    let meant = repair::repair(text, cursor).and_then(|repaired| {
        let mut world = world.clone();
        world.texts.insert(path.to_owned(), repaired.text.as_str().into());
        let snapshot = Snapshot::new(&world, catalogue, path, &mut cache.clone(), None);
        let list = Place { snapshot: &snapshot, catalogue, repaired: &repaired }.proposals()?;
        Some(Proposals { typed: repaired.typed, list })
    });
    meant.filter(|found| !found.list.is_empty()).unwrap_or_else(|| Proposals {
        typed: (from, to),
        list: words::going_on(text, cursor).into_iter().map(keyword).collect(),
    })
}

struct Place<'a> {
    snapshot: &'a Snapshot,
    catalogue: &'a Catalogue,
    repaired: &'a Repaired,
}

impl<'a> Place<'a> {
    fn proposals(&self) -> Option<Vec<Proposal>> {
        let at = self.repaired.at;
        let item = walk::item_at(&self.snapshot.program.modules[0].file, at)?;
        if let ItemKind::Import(import) = &item.kind {
            return Some(self.imports(&import.from));
        }
        let path = walk::path(item, at);
        let inner = path.last().copied();
        if self.repaired.in_number {
            return Some(self.units(inner?));
        }
        if self.repaired.in_string {
            return Some(self.in_string(item, inner));
        }
        if let Some(ty) = type_at(item, at) {
            return named_mark(ty).then(|| self.types());
        }
        if let Some(list) = self.options(item) {
            return Some(list);
        }
        let inner = inner?;
        match &inner.kind {
            ExprKind::Col(_) => Some(columns(&self.snapshot.facts.columns(inner.span)?)),
            ExprKind::Field(base, name) if name.text == MARK => {
                let piped = path.len() > 1 && steps(&path, inner);
                Some(self.members(base, piped))
            }
            ExprKind::Record(fields) if punned(fields) => {
                let mut list = self.fields(&path, inner);
                list.extend(self.values(item, inner.span));
                Some(list)
            }
            ExprKind::Ident(name) if name == MARK => {
                if path.len() > 1 && steps(&path, inner) {
                    return Some(self.callables(item));
                }
                let mut list = Vec::new();
                if let Some((call, piped)) = argument_of(&path, inner) {
                    list.extend(self.arguments(call));
                    if piped || has_positional(call, inner) {
                        return Some(list);
                    }
                }
                if let Some(want) = self.snapshot.facts.wanted(inner.span) {
                    if let Type::Schema(_) = want {
                        list.extend(self.schemas(0));
                    }
                    let quoted =
                        hover::variants(&want).into_iter().map(|v| proposal(&format!("\"{v}\""), Sort::Variant, ""));
                    list.extend(quoted);
                    if let (true, Some(row)) = (by_row(&want), self.snapshot.facts.columns(inner.span)) {
                        list.extend(columns(&row).into_iter().map(|p| Proposal {
                            label: format!(".{}", p.label),
                            insert: format!(".{}", p.insert),
                            ..p
                        }));
                    }
                }
                list.extend(self.values(item, inner.span));
                Some(list)
            }
            _ => None,
        }
    }

    // ---- imports

    fn imports(&self, from: &ImportFrom) -> Vec<Proposal> {
        let ImportFrom::Path(path) = from else { return Vec::new() };
        let stem: Vec<&str> = path.iter().map(|n| n.text.as_str()).take_while(|t| *t != MARK).collect();
        if stem.is_empty() {
            return vec![proposal("std", Sort::Module, "the standard library")];
        }
        let below = format!("{}/", stem.join("/"));
        let mut list: Vec<Proposal> = Vec::new();
        if stem == ["std"] {
            for name in page::modules(self.catalogue) {
                list.push(proposal(name, Sort::Module, "operators"));
            }
        }
        for (path, _) in modules::std_files() {
            let Some(rest) = path.strip_prefix(&below) else { continue };
            let name = rest.split(['/', '.']).next().unwrap_or_default();
            if !list.iter().any(|p| p.label == name) {
                list.push(proposal(name, Sort::Module, "recipes of the library"));
            }
        }
        list
    }

    // ---- literals

    fn units(&self, number: &Expr) -> Vec<Proposal> {
        let wanted = self.snapshot.facts.wanted(number.span);
        let fits = |unit: &str| match (&wanted, units::to_base(1.0, unit)) {
            (Some(want), Some((dim, _))) => {
                let mut dims = Vec::new();
                dimensions(want, &mut dims);
                dims.is_empty() && unknown(want) || dims.contains(&dim)
            }
            _ => true,
        };
        let list = units::names().filter(|unit| fits(unit));
        list.map(|unit| {
            let dim = units::to_base(1.0, unit).map_or(String::new(), |(dim, _)| format!("{dim:?}"));
            proposal(unit, Sort::Unit, &dim)
        })
        .collect()
    }

    /// `string` is none in the texts of an `output`, `expect` or `warn`.
    fn in_string(&self, item: &Item, string: Option<&Expr>) -> Vec<Proposal> {
        let from = self.repaired.typed.0;
        if self.repaired.text[..from].ends_with('{') {
            let mut list = self.values(item, string.map_or(item.span, |s| s.span));
            list.retain(|p| p.sort == Sort::Variable);
            let slots = prelude::SLOTS.iter().map(|slot| proposal(slot, Sort::Variable, "a slot of prompts"));
            list.extend(slots);
            return list;
        }
        let wanted = string.and_then(|s| self.snapshot.facts.wanted(s.span));
        let variants = wanted.map(|want| hover::variants(&want)).unwrap_or_default();
        variants.iter().map(|v| proposal(v, Sort::Variant, "")).collect()
    }

    fn types(&self) -> Vec<Proposal> {
        let own = self.snapshot.program.modules[0].file.items.iter().filter_map(|item| match &item.kind {
            ItemKind::Schema { name, .. } => Some(proposal(&name.text, Sort::Type, "schema")),
            _ => None,
        });
        let given = semantics::TYPE_NAMES.iter().map(|name| proposal(name, Sort::Type, ""));
        let schemas = prelude::SCHEMAS.iter().map(|(name, row)| proposal(name, Sort::Type, row));
        own.chain(given).chain(schemas).chain([keyword("enum")]).collect()
    }

    // ---- records

    /// Fields of a `with` or of a profile.
    fn options(&self, item: &Item) -> Option<Vec<Proposal>> {
        let with = match &item.kind {
            ItemKind::Let(b) | ItemKind::Stage(b) => b.with.as_ref(),
            ItemKind::Profile { with, fields, .. } => {
                if punned(fields) {
                    return Some(self.params(fields));
                }
                with.as_ref()
            }
            _ => None,
        };
        match with? {
            With::Record { fields, .. } if punned(fields) => {
                let given = given_fields(fields);
                let options = prelude::WITH.iter().filter(|(name, _)| !given.contains(name));
                Some(options.map(|(name, ty)| named(name, ty, "")).collect())
            }
            With::Name(name) if name.text == MARK => Some(self.values(item, name.span)),
            _ => None,
        }
    }

    fn params(&self, fields: &[RecordField]) -> Vec<Proposal> {
        let given = given_fields(fields);
        let items = self.snapshot.program.modules[0].file.items.iter();
        items
            .filter_map(|item| match &item.kind {
                ItemKind::Param { name, ty, .. } if !given.contains(&name.text.as_str()) => {
                    Some(named(&name.text, self.snapshot.slice(ty.span), item.doc.as_deref().unwrap_or_default()))
                }
                _ => None,
            })
            .collect()
    }

    /// The fields that a record's place asks for.
    fn fields(&self, path: &[&Expr], record: &Expr) -> Vec<Proposal> {
        let ExprKind::Record(fields) = &record.kind else { return Vec::new() };
        let given = given_fields(fields);
        let wanted = path.iter().rev().find(|e| e.span == record.span).and_then(|e| self.snapshot.facts.wanted(e.span));
        let rows = wanted.map(|want| records(&want)).unwrap_or_default();
        let fields = rows.iter().flat_map(|row| &row.fields).filter(|(name, _)| !given.contains(&name.as_str()));
        fields.map(|(name, ty)| named(name, &ty.to_string(), "")).collect()
    }

    // ---- names

    fn members(&self, base: &Expr, piped: bool) -> Vec<Proposal> {
        if let ExprKind::Ident(alias) = &base.kind {
            let imports = &self.snapshot.program.modules[0].imports;
            match imports.iter().find(|i| i.name.text == *alias).map(|i| &i.target) {
                Some(ImportTarget::Operators(module)) => return self.operators(module),
                Some(ImportTarget::Module(id)) => {
                    let mut list = self.declared(*id);
                    list.extend(self.schemas(*id));
                    list.retain(|p| !piped || p.sort == Sort::Function);
                    return list;
                }
                Some(ImportTarget::Missing) | None => {}
            }
        }
        let Some(ty) = self.snapshot.facts.type_of(base.span) else { return Vec::new() };
        let members = semantics::members(&ty);
        members
            .into_iter()
            .map(|m| {
                let sort = if m.called { Sort::Method } else { Sort::Column };
                let insert = if m.called { format!("{}()", m.name) } else { name_or_text(&m.name) };
                Proposal { label: m.name, insert, sort, detail: m.detail, doc: m.doc }
            })
            .collect()
    }

    fn operators(&self, module: &str) -> Vec<Proposal> {
        let prefix = format!("{module}.");
        let operators = self.catalogue.operators.iter().filter_map(|op| Some((op, op.name.strip_prefix(&prefix)?)));
        operators
            .map(|(op, short)| Proposal {
                label: short.to_owned(),
                insert: format!("{short}()"),
                sort: Sort::Function,
                detail: page::summary(&op.doc),
                doc: hover::operator(op),
            })
            .collect()
    }

    /// The top-level values of a module.
    fn declared(&self, id: usize) -> Vec<Proposal> {
        let items = &self.snapshot.program.modules[id].file.items;
        let mut list = Vec::new();
        for item in items {
            let Some((name, kind)) = names::declared(&item.kind) else { continue };
            let function = matches!(kind, Kind::Fn | Kind::Op);
            if matches!(kind, Kind::Schema | Kind::Output | Kind::Profile) {
                continue;
            }
            let ty = self.snapshot.checked.bindings.get(&(id, name.text.clone())).map(Type::to_string);
            let detail = if function {
                hover::signature(self.snapshot, item).split_whitespace().collect::<Vec<_>>().join(" ")
            } else {
                ty.unwrap_or_default()
            };
            list.push(Proposal {
                label: name.text.clone(),
                insert: if function { format!("{}()", name.text) } else { name.text.clone() },
                sort: if function { Sort::Function } else { Sort::Variable },
                detail,
                doc: item.doc.clone().unwrap_or_default(),
            });
        }
        list
    }

    /// The schemas that a file declares.
    fn schemas(&self, id: usize) -> impl Iterator<Item = Proposal> {
        self.snapshot.program.modules[id].file.items.iter().filter_map(|item| {
            let (name, _) = names::declared(&item.kind).filter(|(_, kind)| *kind == Kind::Schema)?;
            let (label, doc) = (name.text.clone(), item.doc.clone().unwrap_or_default());
            Some(Proposal { insert: label.clone(), label, sort: Sort::Type, detail: String::new(), doc })
        })
    }

    /// What can follow `|>`.
    fn callables(&self, item: &Item) -> Vec<Proposal> {
        let mut list = self.values(item, item.span);
        list.retain(|p| matches!(p.sort, Sort::Function | Sort::Module));
        list.retain(|p| !prelude::FUNCTION_NAMES.contains(&p.label.as_str()));
        list
    }

    /// What can stand for a value: locals, the file's own names, imports, functions of the prelude, words.
    fn values(&self, item: &Item, at: Span) -> Vec<Proposal> {
        let mut list = Vec::new();
        let uses = &self.snapshot.uses[0];
        let locals = uses.iter().filter(|u| {
            matches!(u.target, Target::Declared(_, _, Kind::Local | Kind::Argument))
                && u.declares
                && walk::touches(item.span, u.span.start as usize)
                && u.span.start < at.start.max(self.repaired.at as u32)
        });
        for local in locals {
            let ty = self.snapshot.facts.type_of(local.span).map_or(String::new(), |ty| ty.to_string());
            list.push(proposal(self.snapshot.slice(local.span), Sort::Variable, &ty));
        }
        let own = names::declared(&item.kind).map(|(name, _)| name.text.as_str());
        list.extend(self.declared(0).into_iter().filter(|p| Some(p.label.as_str()) != own));
        for import in &self.snapshot.program.modules[0].imports {
            let what = match &import.target {
                ImportTarget::Operators(_) => "operators",
                ImportTarget::Module(_) => "a file",
                ImportTarget::Missing => continue,
            };
            list.push(proposal(&import.name.text, Sort::Module, what));
        }
        for name in prelude::FUNCTION_NAMES {
            let insert = format!("{name}()");
            list.push(Proposal { insert, ..proposal(name, Sort::Function, "a function of the prelude") });
        }
        list.extend(["if", "sweep", "not", "true", "false", "none"].into_iter().map(keyword));
        list
    }

    /// The arguments of a call that are not given yet.
    fn arguments(&self, call: &Expr) -> Vec<Proposal> {
        let ExprKind::Call { callee, args, .. } = &call.kind else { return Vec::new() };
        let given: Vec<&str> = args
            .iter()
            .filter_map(|arg| match arg {
                Arg::Named(name, _) => Some(name.text.as_str()),
                _ => None,
            })
            .collect();
        let target = self.snapshot.name_at(0, callee.span.end as usize).map(|u| &u.target);
        let open = |name: &str| !given.contains(&name);
        match target {
            Some(Target::Operator(name)) => {
                let Some(op) = self.catalogue.get(name) else { return Vec::new() };
                let params = op.signature.params.iter().filter(|p| !p.rest && open(&p.name.text));
                let mut list: Vec<Proposal> = params
                    .map(|p| {
                        named(&p.name.text, &after_colon(&hover::written(op, p)), p.doc.as_deref().unwrap_or_default())
                    })
                    .collect();
                if op.spec.takes_where && open("where") {
                    list.push(named("where", "Where = true", "Rows for which it is false pass by untouched."));
                }
                if op.spec.class == Class::Sampled && open("seed") {
                    list.push(named(
                        "seed",
                        "Int",
                        "What random numbers start from; by default the recipe's `param seed`.",
                    ));
                }
                list
            }
            Some(Target::Declared(id, span, Kind::Fn | Kind::Op)) => {
                let file = &self.snapshot.program.modules[*id].file;
                let Some(item) = walk::item_at(file, span.start as usize) else { return Vec::new() };
                let params = hover::params(item).iter().filter(|p| open(&p.name.text));
                params
                    .map(|p| named(&p.name.text, self.snapshot.slice(p.ty.span), p.doc.as_deref().unwrap_or_default()))
                    .collect()
            }
            _ => Vec::new(),
        }
    }
}

fn proposal(label: &str, sort: Sort, detail: &str) -> Proposal {
    Proposal { label: label.to_owned(), insert: label.to_owned(), sort, detail: detail.to_owned(), doc: String::new() }
}

/// `name: `
fn named(name: &str, ty: &str, doc: &str) -> Proposal {
    let (insert, doc) = (format!("{}: ", name_or_text(name)), doc.to_owned());
    Proposal { insert, doc, ..proposal(name, Sort::Argument, ty) }
}

fn keyword(word: &str) -> Proposal {
    Proposal { insert: format!("{word} "), ..proposal(word, Sort::Keyword, "") }
}

fn after_colon(written: &str) -> String {
    written.split_once(':').map_or(written, |(_, ty)| ty).trim().to_owned()
}

fn columns(row: &Row) -> Vec<Proposal> {
    let columns = row.fields.iter();
    columns
        .map(|(name, ty)| Proposal { insert: name_or_text(name), ..proposal(name, Sort::Column, &ty.to_string()) })
        .collect()
}

/// A column whose name is no identifier is quoted.
fn name_or_text(name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { name.to_owned() } else { format!("\"{name}\"") }
}

fn type_at(item: &Item, at: usize) -> Option<&TypeExpr> {
    let mut found = None;
    walk::types(&item.kind, &mut |ty| {
        if walk::touches(ty.span, at) {
            found = Some(ty);
        }
    });
    let mut inner = found?;
    loop {
        let mut next = None;
        walk::type_parts(inner, &mut |part| {
            if walk::touches(part.span, at) {
                next = Some(part);
            }
        });
        match next {
            Some(part) => inner = part,
            None => return Some(inner),
        }
    }
}

fn named_mark(ty: &TypeExpr) -> bool {
    // Within brackets a lower-case word is a family or a row variable.
    let word = |arg: &TypeArg| matches!(arg, TypeArg::Word(name) if name.text == MARK);
    matches!(&ty.kind, TypeExprKind::Named { name, args } if name.text == TYPE_MARK || args.iter().any(word))
}

fn punned(fields: &[RecordField]) -> bool {
    fields.iter().any(|f| matches!(f, RecordField::Pun(name) if name.text == MARK))
}

fn given_fields(fields: &[RecordField]) -> Vec<&str> {
    fields
        .iter()
        .filter_map(|f| match f {
            RecordField::Named(name, _) | RecordField::Pun(name) => Some(name.text.as_str()),
            RecordField::Spread(..) => None,
        })
        .collect()
}

/// Says whether `inner` is what a pipe feeds: the callee of its step.
fn steps(path: &[&Expr], inner: &Expr) -> bool {
    let outer: Vec<&&Expr> = path.iter().rev().skip(1).collect();
    let called =
        matches!(outer.first().map(|e| &e.kind), Some(ExprKind::Call { callee, .. }) if callee.span == inner.span);
    called && matches!(outer.get(1).map(|e| &e.kind), Some(ExprKind::Pipe { call, .. }) if call.span == outer[0].span)
}

/// Returns the call that `inner` is an argument of, one without a name, and whether something is piped into it.
fn argument_of<'a>(path: &[&'a Expr], inner: &Expr) -> Option<(&'a Expr, bool)> {
    let mut outer = path.iter().rev().skip(1);
    let call = *outer.next()?;
    let ExprKind::Call { args, .. } = &call.kind else { return None };
    let bare = args.iter().any(|arg| matches!(arg, Arg::Positional(e) if e.span == inner.span));
    let piped =
        matches!(outer.next().map(|e| &e.kind), Some(ExprKind::Pipe { call: step, .. }) if step.span == call.span);
    bare.then_some((call, piped))
}

fn has_positional(call: &Expr, inner: &Expr) -> bool {
    let ExprKind::Call { args, .. } = &call.kind else { return false };
    args.iter().any(|arg| matches!(arg, Arg::Positional(e) if e.span != inner.span))
}

fn by_row(want: &Type) -> bool {
    match want {
        Type::RowFn(_) | Type::Field(_) => true,
        Type::Optional(t) | Type::List(t) => by_row(t),
        Type::Union(ts) => ts.iter().any(by_row),
        _ => false,
    }
}

fn records(want: &Type) -> Vec<Row> {
    match want {
        Type::Record(row) => vec![row.clone()],
        Type::Optional(t) | Type::List(t) => records(t),
        Type::Union(ts) => ts.iter().flat_map(records).collect(),
        _ => Vec::new(),
    }
}

fn dimensions(want: &Type, out: &mut Vec<crate::spec::Dim>) {
    match want {
        Type::Dim(dim) => out.push(*dim),
        Type::Optional(t) | Type::List(t) | Type::Range(t) | Type::Metric(t) | Type::RowFn(t) => dimensions(t, out),
        Type::Union(ts) | Type::Tuple(ts) => ts.iter().for_each(|t| dimensions(t, out)),
        _ => {}
    }
}

fn unknown(want: &Type) -> bool {
    match want {
        Type::Error | Type::Var(_) => true,
        Type::Optional(t) | Type::List(t) | Type::Range(t) | Type::Metric(t) | Type::RowFn(t) => unknown(t),
        Type::Union(ts) => ts.iter().any(unknown),
        _ => false,
    }
}
