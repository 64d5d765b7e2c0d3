//! What every name of a file stands for: declarations, their uses, and what comes from the language itself.

use std::collections::BTreeMap;

use super::walk;
use crate::base::Span;
use crate::semantics::{ImportTarget, Program};
use crate::spec::{Catalogue, prelude};
use crate::syntax::ast::{
    Arg, Binding, Expr, ExprKind, ImportFrom, ItemKind, Name, ParamDecl, RecordField, RowPart, RowType, StrLit,
    StrPart, TypeExpr, TypeExprKind, With,
};

/// What kind of thing a file declares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Kind {
    Param,
    Secret,
    Fn,
    Op,
    Let,
    Stage,
    Schema,
    Field,
    Output,
    Profile,
    Import,
    /// A parameter of a function.
    Argument,
    /// A `let` in a function, or an axis of a sweep.
    Local,
}

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Declared in a file of the program: the module's index, the place of the name, its kind.
    Declared(usize, Span, Kind),
    /// A file of the program, by the text of an import.
    File(usize),
    /// A module of built-in operators.
    Operators(String),
    /// A built-in operator.
    Operator(String),
    /// An argument of a built-in operator.
    Argument(String, String),
    /// A function of the prelude.
    Prelude(String),
    /// An option of `with`.
    With(String),
    /// A column of the current row, or a field of a value.
    Column,
    /// A method or property of a value.
    Method(String),
    /// A type or schema of the language.
    Type(String),
}

/// One name in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// Where.
    pub span: Span,
    /// What it stands for.
    pub target: Target,
    /// It declares the name.
    pub declares: bool,
    /// It is short for `name: name` (a record's field), or for `name as name` (an import).
    pub short: bool,
}

/// Returns the names of each module that stand for something, in the order of the text.
pub fn resolve(program: &Program, catalogue: &Catalogue) -> Vec<Vec<Use>> {
    let scopes: Vec<Scope> = (0..program.modules.len()).map(|id| Scope::of(program, id)).collect();
    let modules = program.modules.iter();
    modules
        .map(|module| {
            let (module, file) = (module.id, &module.file);
            let mut walker =
                Walker { program, catalogue, scopes: &scopes, module, locals: Vec::new(), out: Vec::new() };
            for (at, item) in file.items.iter().enumerate() {
                walker.item(at, &item.kind);
            }
            walker.out.sort_by_key(|u| (u.span, !u.declares));
            walker.out.dedup_by_key(|u| u.span);
            walker.out
        })
        .collect()
}

/// The names that a file declares at its top; the first of two wins, as in the checker.
struct Scope<'a> {
    values: BTreeMap<&'a str, Target>,
    schemas: BTreeMap<&'a str, Target>,
    imports: BTreeMap<&'a str, (Span, &'a ImportTarget)>,
}

impl<'a> Scope<'a> {
    fn of(program: &'a Program, id: usize) -> Self {
        let module = &program.modules[id];
        let mut scope = Self { values: BTreeMap::new(), schemas: BTreeMap::new(), imports: BTreeMap::new() };
        for import in &module.imports {
            scope.imports.entry(&import.name.text).or_insert((import.name.span, &import.target));
        }
        for item in &module.file.items {
            let Some((name, kind)) = declared(&item.kind) else { continue };
            let target = Target::Declared(id, name.span, kind);
            match kind {
                Kind::Schema => scope.schemas.entry(&name.text).or_insert(target),
                Kind::Output | Kind::Profile => continue,
                _ => scope.values.entry(&name.text).or_insert(target),
            };
        }
        scope
    }
}

/// Returns the name that an item declares.
pub fn declared(item: &ItemKind) -> Option<(&Name, Kind)> {
    Some(match item {
        ItemKind::Param { name, .. } => (name, Kind::Param),
        ItemKind::Secret { name, .. } => (name, Kind::Secret),
        ItemKind::Fn(f) => (&f.name, Kind::Fn),
        ItemKind::Op(op) => (&op.name, Kind::Op),
        ItemKind::Let(b) => (&b.name, Kind::Let),
        ItemKind::Stage(b) => (&b.name, Kind::Stage),
        ItemKind::Schema { name, .. } => (name, Kind::Schema),
        ItemKind::Output { name, .. } => (name, Kind::Output),
        ItemKind::Profile { name, .. } => (name, Kind::Profile),
        ItemKind::Recipe { .. } | ItemKind::Import(_) | ItemKind::Expect { .. } | ItemKind::Warn { .. } => return None,
    })
}

struct Walker<'a> {
    program: &'a Program,
    catalogue: &'a Catalogue,
    scopes: &'a [Scope<'a>],
    module: usize,
    /// Parameters, local `let`s and axes in scope, innermost last.
    locals: Vec<(&'a str, Target)>,
    out: Vec<Use>,
}

impl<'a> Walker<'a> {
    fn push(&mut self, span: Span, target: Target) {
        self.out.push(Use { span, target, declares: false, short: false });
    }

    fn declare(&mut self, name: &Name, kind: Kind) -> Target {
        let target = Target::Declared(self.module, name.span, kind);
        self.out.push(Use { span: name.span, target: target.clone(), declares: true, short: false });
        target
    }

    fn local(&mut self, name: &'a Name, kind: Kind) {
        let target = self.declare(name, kind);
        self.locals.push((&name.text, target));
    }

    fn item(&mut self, at: usize, item: &'a ItemKind) {
        if let Some((name, kind)) = declared(item) {
            self.declare(name, kind);
        }
        walk::types(item, &mut |ty| self.ty(ty));
        match item {
            ItemKind::Import(import) => self.import(at, &import.from),
            ItemKind::Schema { row, .. } => self.fields(row),
            ItemKind::Fn(f) => {
                f.params.iter().flat_map(ParamDecl::parts).for_each(|e| self.expr(e));
                f.params.iter().for_each(|p| self.local(&p.name, Kind::Argument));
                for local in &f.locals {
                    self.binding(local);
                    self.local(&local.name, Kind::Local);
                }
                self.expr(&f.body);
                self.locals.clear();
            }
            ItemKind::Op(op) => {
                op.params.iter().for_each(|p| {
                    self.declare(&p.name, Kind::Argument);
                });
                walk::expressions(item, &mut |e| self.expr(e));
            }
            ItemKind::Let(b) | ItemKind::Stage(b) => self.binding(b),
            ItemKind::Profile { fields, with, .. } => {
                for field in fields {
                    match field {
                        RecordField::Named(name, e) => {
                            self.param(name, false);
                            self.expr(e);
                        }
                        RecordField::Pun(name) => self.param(name, true),
                        RecordField::Spread(e, _) => self.expr(e),
                    }
                }
                self.with(with.as_ref());
            }
            _ => walk::expressions(item, &mut |e| self.expr(e)),
        }
        match item {
            ItemKind::Expect { message, .. } | ItemKind::Warn { message, .. } => {
                message.iter().for_each(|t| self.text(t))
            }
            ItemKind::Output { to, .. } => to.iter().for_each(|t| self.text(t)),
            _ => {}
        }
    }

    fn import(&mut self, at: usize, from: &'a ImportFrom) {
        let module = &self.program.modules[self.module];
        let names = module.imports.iter().filter(|i| i.item == at);
        for import in names {
            let target = Target::Declared(self.module, import.name.span, Kind::Import);
            let ItemKind::Import(written) = &module.file.items[at].kind else { continue };
            let to = self.imported(&import.target);
            // The word that the file is called by, where another name stands for it here.
            let original = match (&written.names, &written.from) {
                (Some(names), _) => names.iter().find(|(n, a)| a.as_ref().unwrap_or(n).span == import.name.span),
                _ => None,
            };
            let original = original.filter(|(_, alias)| alias.is_some()).map(|(name, _)| name.span);
            let short = match (&written.names, &written.alias) {
                (Some(_), _) => original.is_none(),
                (None, alias) => alias.is_none(),
            };
            self.out.push(Use { span: import.name.span, target, declares: true, short });
            let place = match from {
                ImportFrom::File(text) => Some(text.span),
                ImportFrom::Path(_) if written.names.is_some() => original,
                ImportFrom::Path(path) => path.last().map(|n| n.span),
            };
            if let (Some(to), Some(place)) = (to, place.filter(|p| *p != import.name.span)) {
                self.push(place, to);
            }
        }
    }

    fn imported(&self, target: &ImportTarget) -> Option<Target> {
        match target {
            ImportTarget::Operators(name) => Some(Target::Operators(name.clone())),
            ImportTarget::Module(id) => Some(Target::File(*id)),
            ImportTarget::Missing => None,
        }
    }

    fn param(&mut self, name: &Name, short: bool) {
        let known = self.scopes[self.module].values.get(name.text.as_str()).cloned();
        if let Some(target @ Target::Declared(_, _, Kind::Param)) = known {
            self.out.push(Use { span: name.span, target, declares: false, short });
        }
    }

    fn binding(&mut self, b: &'a Binding) {
        self.expr(&b.value);
        self.with(b.with.as_ref());
    }

    fn with(&mut self, with: Option<&'a With>) {
        match with {
            Some(With::Name(name)) => self.name(&name.text, name.span, false),
            Some(With::Record { fields, .. }) => {
                for field in fields {
                    match field {
                        RecordField::Named(name, e) => {
                            self.option(name);
                            self.expr(e);
                        }
                        RecordField::Pun(name) => self.name(&name.text, name.span, true),
                        RecordField::Spread(e, _) => self.expr(e),
                    }
                }
            }
            None => {}
        }
    }

    fn option(&mut self, name: &Name) {
        if prelude::WITH.iter().any(|(n, _)| *n == name.text) {
            self.push(name.span, Target::With(name.text.clone()));
        }
    }

    /// Returns what a name stands for where a value can stand.
    fn value(&self, name: &str) -> Option<Target> {
        if let Some((_, target)) = self.locals.iter().rev().find(|(n, _)| *n == name) {
            return Some(target.clone());
        }
        let scope = &self.scopes[self.module];
        let import = || scope.imports.get(name).map(|(span, _)| Target::Declared(self.module, *span, Kind::Import));
        let prelude = || prelude::FUNCTION_NAMES.contains(&name).then(|| Target::Prelude(name.to_owned()));
        scope.values.get(name).cloned().or_else(import).or_else(prelude)
    }

    fn name(&mut self, name: &str, span: Span, short: bool) {
        if let Some(target) = self.value(name) {
            self.out.push(Use { span, target, declares: false, short });
        }
    }

    fn text(&mut self, text: &StrLit) {
        for part in &text.parts {
            if let StrPart::Name(name) = part {
                self.name(&name.text, name.span, false);
            }
        }
    }

    fn schema(&mut self, name: &Name) {
        if let Some((file, schema)) = name.text.split_once('.') {
            // Two names in one word.
            let border = name.span.start + file.len() as u32;
            self.name(file, Span { end: border, ..name.span }, false);
            let there = match self.scopes[self.module].imports.get(file) {
                Some((_, ImportTarget::Module(id))) => self.scopes[*id].schemas.get(schema),
                _ => None,
            };
            let target = there.cloned().unwrap_or_else(|| Target::Type(name.text.clone()));
            self.push(Span { start: border + 1, ..name.span }, target);
            return;
        }
        let target = match self.scopes[self.module].schemas.get(name.text.as_str()) {
            Some(target) => target.clone(),
            None => Target::Type(name.text.clone()),
        };
        self.push(name.span, target);
    }

    fn ty(&mut self, ty: &'a TypeExpr) {
        match &ty.kind {
            TypeExprKind::Named { name, .. } => self.schema(name),
            TypeExprKind::Row(row) => self.fields(row),
            _ => {}
        }
        walk::type_parts(ty, &mut |part| self.ty(part));
    }

    fn fields(&mut self, row: &'a RowType) {
        for part in &row.parts {
            match part {
                RowPart::Field { name, .. } => {
                    self.declare(name, Kind::Field);
                }
                RowPart::Tail(name) if name.is_schema() => self.schema(name),
                RowPart::Tail(_) => {}
            }
        }
    }

    fn expr(&mut self, e: &'a Expr) {
        match &e.kind {
            ExprKind::Ident(name) => self.name(name, e.span, false),
            ExprKind::TypeName(name) => self.schema(&Name { text: name.clone(), span: e.span }),
            ExprKind::Col(name) => self.push(name.span, Target::Column),
            ExprKind::Str(text) => self.text(text),
            ExprKind::Field(base, name) => {
                self.expr(base);
                let target = self.member(base, name).unwrap_or_else(|| match prelude::method_named(&name.text) {
                    Some(_) => Target::Method(name.text.clone()),
                    None => Target::Column,
                });
                self.push(name.span, target);
            }
            ExprKind::Call { callee, args, .. } => {
                self.expr(callee);
                let called = self.callee(callee);
                for arg in args {
                    if let Arg::Named(name, _) = arg {
                        self.argument(called.as_ref(), name);
                    }
                    self.expr(arg.value());
                }
            }
            ExprKind::Record(fields) => {
                for field in fields {
                    match field {
                        RecordField::Named(name, e) => {
                            self.push(name.span, Target::Column);
                            self.expr(e);
                        }
                        RecordField::Pun(name) => self.name(&name.text, name.span, true),
                        RecordField::Spread(e, _) => self.expr(e),
                    }
                }
            }
            ExprKind::Sweep { axes, filter, body } => {
                let depth = self.locals.len();
                for axis in axes {
                    self.expr(&axis.over);
                    axis.names.iter().for_each(|name| self.local(name, Kind::Local));
                }
                filter.iter().for_each(|e| self.expr(e));
                self.expr(body);
                self.locals.truncate(depth);
            }
            _ => walk::children(e, &mut |part| self.expr(part)),
        }
    }

    /// What `base.name` stands for when `base` is an import.
    fn member(&self, base: &Expr, name: &Name) -> Option<Target> {
        let ExprKind::Ident(alias) = &base.kind else { return None };
        let Some(Target::Declared(_, _, Kind::Import)) = self.value(alias) else { return None };
        match self.scopes[self.module].imports.get(alias.as_str())?.1 {
            ImportTarget::Operators(module) => {
                let full = format!("{module}.{}", name.text);
                self.catalogue.get(&full).map(|op| Target::Operator(op.name.clone()))
            }
            ImportTarget::Module(id) => self.scopes[*id].values.get(name.text.as_str()).cloned(),
            ImportTarget::Missing => None,
        }
    }

    fn callee(&self, callee: &Expr) -> Option<Target> {
        match &callee.kind {
            ExprKind::Ident(name) => self.value(name),
            ExprKind::Field(base, name) => self.member(base, name),
            _ => None,
        }
    }

    fn argument(&mut self, called: Option<&Target>, name: &Name) {
        let target = match called {
            Some(Target::Operator(op)) => Target::Argument(op.clone(), name.text.clone()),
            Some(Target::Prelude(f)) => Target::Argument(f.clone(), name.text.clone()),
            Some(Target::Declared(module, span, Kind::Fn | Kind::Op)) => {
                let params = self.program.modules[*module].file.items.iter().find_map(|item| match &item.kind {
                    ItemKind::Fn(f) if f.name.span == *span => Some(&f.params),
                    ItemKind::Op(op) if op.name.span == *span => Some(&op.params),
                    _ => None,
                });
                match params.and_then(|p| p.iter().find(|p| p.name.text == name.text)) {
                    Some(p) => Target::Declared(*module, p.name.span, Kind::Argument),
                    None => return,
                }
            }
            _ => return,
        };
        self.push(name.span, target);
    }
}
