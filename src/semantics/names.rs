//! Names: what an unknown one may have meant, and which are never read.

use std::collections::BTreeSet;

use super::check::{Checker, Cx};
use super::declared::{duplicate, hides_import, hides_prelude};
use super::infer::Misfit;
use super::misdeclared::Kind;
use super::modules::ImportTarget;
use crate::base::codes::{E0201, W0201};
use crate::base::{Diagnostic, Span, phrase};
use crate::spec::{Type, foreign, prelude};
use crate::syntax::ast::{Expr, ExprKind, Function, ImportFrom, ItemKind, Name, ParamDecl, RecordField, StrPart};

/// The literals of other languages.
pub(super) fn their_literal(name: &str) -> Option<&'static str> {
    Some(match name {
        "True" | "TRUE" | "yes" => "true",
        "False" | "FALSE" | "no" => "false",
        "None" | "null" | "nil" | "NULL" | "Null" | "undefined" => "none",
        _ => return None,
    })
}

/// Says whether a place takes any text.
fn takes_text(ty: &Type) -> bool {
    match ty {
        Type::Str | Type::Prompt => true,
        Type::Optional(t) => takes_text(t),
        _ => false,
    }
}

/// Says whether a word is a variant of the enum that a place takes.
fn is_variant(ty: &Type, name: &str) -> bool {
    match ty {
        Type::Enum(variants) => variants.iter().any(|v| v == name),
        Type::Optional(t) => is_variant(t, name),
        _ => false,
    }
}

impl<'a> Checker<'a> {
    /// Reports parameters and locals that hide the prelude's functions or an import, or that are declared twice.
    pub(super) fn local_names(&mut self, module: usize, locals: &[&Name]) {
        for (i, name) in locals.iter().enumerate() {
            hides_prelude(name, false, &mut self.problems);
            if self.names[module].imports.contains_key(name.text.as_str()) {
                let import = self.names[module].places[name.text.as_str()];
                self.report(hides_import(name, import));
            }
            if let Some(first) = locals[..i].iter().find(|n| n.text == name.text) {
                self.report(duplicate(name, first.span, "rename one of them"));
            }
        }
    }

    /// Reports an unknown name with the nearest of the right kind, unless the item that declares it did not parse.
    pub(super) fn unknown_name(&mut self, name: &str, span: Span, called: bool, cx: &Cx) {
        let want = self.wanted.take();
        if self.names[cx.module].missing.contains(name) {
            return;
        }
        let d = Diagnostic::new(E0201, span, format!("there is no `{name}` here"), "unknown name");
        let column = cx.row.as_ref().is_some_and(|row| self.solver.row(row).get(name).is_some());
        let operator = self.catalogue.operators.iter().find(|op| op.name.rsplit('.').next() == Some(name));
        let module = self.catalogue.operators.iter().any(|op| op.name.split('.').next() == Some(name));
        let d = if want.as_ref().is_some_and(|want| is_variant(want, name)) {
            d.help(format!("a variant stands between quotes: `\"{name}\"`")).fix(span, format!("\"{name}\""))
        } else if column {
            let at = Span { end: span.start, ..span };
            d.help(format!("a column of the row is written with a point: `.{name}`")).fix(at, ".")
        } else if module && self.refused_import(name, cx.module) {
            return; // the import that should have brought it was refused
        } else if module {
            if !self.unimported.insert((cx.module, name.to_owned())) {
                return; // one import mends all
            }
            let d = d.help(format!("import it first: `import std.{name}`"));
            match self.last_of_std(cx.module) {
                Some(at) => d.fix(at, format!(", {name}")),
                None => d,
            }
        } else if called
            && cx.row.is_none()
            && let Some(op) = operator
        {
            let d = d.help(format!("an operator is called by its full name: `{}(…)`", op.name));
            let imported = op.name.split('.').next().is_some_and(|m| self.names[cx.module].imports.contains_key(m));
            if imported { d.fix(span, op.name.clone()) } else { d }
        } else if cx.row.is_some()
            && matches!(name, "row" | "sample" | "example" | "item" | "it" | "x" | "r" | "d" | "df" | "self")
        {
            d.help("columns are read by their name alone, with a point: `.output`")
        } else if let Some(literal) = their_literal(name) {
            d.help(format!("write `{literal}`")).fix(span, literal)
        } else if let Some(near) =
            self.meant_before(name, cx.module).or_else(|| self.near_value(name, called, want.as_ref(), cx))
        {
            self.mark(cx.module, &near);
            if !cx.locals.iter().any(|(local, _)| *local == near) {
                self.guess(Kind::Value(cx.module), name, &near, span);
            }
            let place = self.names[cx.module].places.get(near.as_str()).copied();
            let d = d.help(format!("did you mean `{near}`?")).fix(span, near);
            if let Some(place) = place { d.also(place, "declared here") } else { d }
        } else if let Some(d) = self.elsewhere(name, span, cx.module) {
            d
        } else if let Some(hint) = foreign::ours(foreign::MODULES, name) {
            d.help(hint)
        } else if called && cx.row.is_none() && matches!(name, "len" | "length" | "size" | "nrows") {
            d.help("the number of rows is `rows.rows`, of a list `.len`: a property behind the value")
        } else if called {
            match (prelude::method_named(foreign::ours(foreign::METHODS, name).unwrap_or(name)), cx.row.is_some()) {
                (Some(method), true) => {
                    let after = if method.args.is_some() { "(…)" } else { "" };
                    d.help(format!("it stands behind the value: `.column.{}{after}`", method.name))
                }
                _ => match foreign::ours(foreign::OPERATORS, name) {
                    Some(hint) => d.help(hint),
                    None => d.help("functions are declared with `fn`, operators come with `import std.{…}`"),
                },
            }
        } else if !called && want.as_ref().is_some_and(takes_text) {
            let d =
                d.help(format!("a text stands between quotes: `\"{name}\"`; a value is declared, `let {name} = …`"));
            d.fix(span, format!("\"{name}\""))
        } else if self.is_std_file(name) {
            d.help(format!("import it first: `import std.eval.embodied17 as {name}`"))
        } else if name.strip_prefix('e').is_some_and(|d| !d.is_empty() && d.bytes().all(|b| b.is_ascii_digit())) {
            d.help(format!("a number with an exponent is written `1e-{}`, the sign behind the `e`", &name[1..]))
        } else {
            let param = format!("or `param {name}: Type = …` if the command line should set it");
            d.help(format!("declare it: `let {name} = …`, {param}"))
        };
        self.report(d);
    }

    /// Says whether an import that most likely should have brought a module was refused.
    fn refused_import(&self, name: &str, module: usize) -> bool {
        let names = &self.names[module];
        let refused = names.imports.iter().filter(|(_, target)| matches!(target, ImportTarget::Missing));
        names.missing.contains("std") || phrase::nearest(name, refused.map(|(n, _)| *n)).is_some()
    }

    /// What an unknown name was taken for where it stood before: what is misspelt at its declaration is of one name wherever it is read.
    fn meant_before(&self, name: &str, module: usize) -> Option<String> {
        let mut before = self.guesses.iter().filter(|g| g.kind == Kind::Value(module));
        before.find(|g| g.said == name).map(|g| g.near.clone())
    }

    /// Says whether a name is that of a value or function here.
    pub(super) fn is_name(&self, name: &str, cx: &Cx) -> bool {
        cx.locals.iter().any(|(n, _)| n == name) || self.names[cx.module].values.contains_key(name)
    }

    /// The nearest name that could stand here: a value or function as asked for, of the type that its place takes.
    fn near_value(&mut self, name: &str, called: bool, want: Option<&Type>, cx: &Cx) -> Option<String> {
        let names = &self.names[cx.module];
        let is_function = |item: &ItemKind| matches!(item, ItemKind::Fn(_) | ItemKind::Op(_));
        let mut known: Vec<(String, Option<Type>)> = Vec::new();
        if !called {
            known.extend(cx.locals.iter().rev().map(|(n, ty)| (n.clone(), Some(ty.clone()))));
        }
        // What is being worked out cannot be made of itself.
        let open = |n: &str| self.open.iter().any(|(m, o, _)| *m == cx.module && o == n);
        for (n, _) in names.values.iter().filter(|(n, item)| is_function(item) == called && !open(n)) {
            let ty = match self.lets.get(&(cx.module, (*n).to_owned())) {
                Some(super::check::Progress::Done(ty)) => Some(ty.clone()),
                _ => None,
            };
            known.push(((*n).to_owned(), ty));
        }
        if called || want.is_none() {
            known.extend(names.imports.keys().map(|n| ((*n).to_owned(), None)));
        }
        let fitting: Vec<String> = known
            .into_iter()
            .filter(|(_, ty)| match (ty, want) {
                (Some(ty), Some(want)) => self.could_fit(ty, want),
                _ => true,
            })
            .map(|(n, _)| n)
            .collect();
        phrase::nearest(name, fitting.iter().map(String::as_str)).map(str::to_owned)
    }

    /// Says whether a value of a type might stand where another is asked for, without settling what is still open.
    fn could_fit(&mut self, have: &Type, want: &Type) -> bool {
        !matches!(self.solver.could(have, want), Err(Misfit::Type | Misfit::Missing(_)))
    }

    /// A name that exists, but not as a value of this place: an output, a profile, a name inside of a function, a schema.
    fn elsewhere(&self, name: &str, span: Span, module: usize) -> Option<Diagnostic> {
        let d = Diagnostic::new(E0201, span, format!("there is no `{name}` here"), "unknown name");
        let names = &self.names[module];
        if let Some(schema) = names.schemas.keys().find(|s| s.eq_ignore_ascii_case(&name.replace('_', ""))) {
            return Some(d.help(format!("did you mean `{schema}`?")).fix(span, *schema));
        }
        for item in &self.program.modules[module].file.items {
            match &item.kind {
                ItemKind::Output { name: n, .. } if n.text == name => {
                    let d = d.also(n.span, "an output, which is no value");
                    return Some(d.help(format!(
                        "name the value first, `let {name}_rows = …`, and use that name here and in the `output`"
                    )));
                }
                ItemKind::Profile { name: n, .. } if n.text == name => {
                    return Some(d.also(n.span, "a profile, which is no value").help(
                        "a profile sets params when it is chosen with `--profile`; read the param by its own name",
                    ));
                }
                ItemKind::Fn(f) => {
                    let inner = f.params.iter().map(|p| &p.name).chain(f.locals.iter().map(|l| &l.name));
                    if let Some(inner) = inner.into_iter().find(|n| n.text == name) {
                        return Some(d.also(inner.span, format!("known only inside of `{}`", f.name.text)).help(
                            format!("let `{}` return it, or declare it outside: `let {name} = …`", f.name.text),
                        ));
                    }
                }
                _ => {}
            }
        }
        None
    }

    /// Behind the last name of an `import std.{…}`.
    fn last_of_std(&self, module: usize) -> Option<Span> {
        self.program.modules[module].file.items.iter().find_map(|item| {
            let ItemKind::Import(import) = &item.kind else { return None };
            let ImportFrom::Path(path) = &import.from else { return None };
            let (last, alias) = import.names.as_ref()?.last()?;
            let end = alias.as_ref().unwrap_or(last).span.end;
            (path.len() == 1 && path[0].text == "std").then_some(Span { start: end, end, ..last.span })
        })
    }

    fn is_std_file(&self, name: &str) -> bool {
        // The name of the file, or its first letter and its number.
        matches!(name, "embodied17" | "e17")
    }

    /// Reports lets, params, schemas and imports that nothing reads. Of a file with items that did not parse nothing is said: they may
    /// read anything.
    pub(super) fn unused(&mut self) {
        if self.program.modules.iter().any(|m| m.file.flawed) {
            return;
        }
        for module in self.program.modules.iter().filter(|m| m.folder.is_some()) {
            for import in &module.imports {
                let name = &import.name;
                if import.target != ImportTarget::Missing && !self.is_used(module.id, name) {
                    self.never_read(name, "import", "delete it");
                }
            }
            for item in &module.file.items {
                if let ItemKind::Fn(f) = &item.kind {
                    self.unused_inside(f);
                }
            }
        }
        let root = &self.program.modules[0];
        let gates = |i: &&crate::syntax::ast::Item| {
            matches!(i.kind, ItemKind::Output { .. } | ItemKind::Expect { .. } | ItemKind::Warn { .. })
        };
        let lost = root.imports.iter().any(|i| i.target == ImportTarget::Missing);
        if !root.file.items.iter().any(|i| gates(&i)) || lost {
            return; // a library: its values are for others
        }
        for item in &root.file.items {
            let (name, what, help) = match &item.kind {
                ItemKind::Let(b) => (&b.name, "value", "delete it, or use it in an `output` or `expect`"),
                ItemKind::Param { name, .. } => (name, "param", "delete it, or use it"),
                ItemKind::Fn(f) => (&f.name, "function", "delete it, or call it"),
                ItemKind::Op(op) => (&op.name, "operator", "delete it, or call it"),
                ItemKind::Schema { name, .. } => (name, "schema", "delete it, or read rows with `as: …`"),
                ItemKind::Secret { name, .. } => {
                    (name, "secret", "delete it, or pass it to a parameter of type Secret")
                }
                _ => continue,
            };
            let read = match item.kind {
                ItemKind::Schema { .. } => self.read_schemas.contains(&(0, name.text.clone())),
                _ => self.is_used(0, name),
            };
            let misnamed =
                prelude::FUNCTION_NAMES.contains(&name.text.as_str()) || prelude::method_named(&name.text).is_some();
            if !read && !misnamed {
                self.never_read(name, what, help);
            }
        }
    }

    /// Says what is wrong with `file.Schema` where there is none; returns false for a name without a file.
    pub(super) fn unknown_of_file(&mut self, name: &str, span: Span, module: usize) -> bool {
        let Some((file, schema)) = name.split_once('.') else { return false };
        self.mark(module, file);
        let names = &self.names[module];
        if names.missing.contains(file) {
            return true;
        }
        let d = match names.imports.get(file) {
            Some(ImportTarget::Missing) => return true,
            Some(ImportTarget::Module(id)) if self.names[*id].missing.contains(schema) => return true,
            Some(ImportTarget::Module(id)) => {
                let known: Vec<&str> = self.names[*id].schemas.keys().copied().collect();
                let d = Diagnostic::new(E0201, span, format!("`{file}` has no schema `{schema}`"), "unknown schema");
                match phrase::nearest(schema, known.iter().copied()) {
                    Some(near) => d.help(format!("did you mean `{file}.{near}`?")).fix(span, format!("{file}.{near}")),
                    None if known.is_empty() => {
                        d.help("that file declares none; declare it here: `schema Row { id: Str, … }`")
                    }
                    None => d.help(format!("it has {}", phrase::quoted(&known))),
                }
            }
            Some(ImportTarget::Operators(operators)) => {
                Diagnostic::new(E0201, span, format!("`{operators}` has operators, no schemas"), "unknown schema")
                    .help(format!("declare it here: `schema {schema} {{ id: Str, … }}`, and write `{schema}`"))
            }
            None => {
                let files = names.imports.iter().filter(|(_, target)| matches!(target, ImportTarget::Module(_)));
                let d = Diagnostic::new(E0201, span, format!("no file is imported as `{file}`"), "unknown file");
                match phrase::nearest(file, files.map(|(name, _)| *name)) {
                    Some(near) => {
                        d.help(format!("did you mean `{near}.{schema}`?")).fix(span, format!("{near}.{schema}"))
                    }
                    None => d.help(format!("import it: `import \"./{file}.rb2\" as {file}`")),
                }
            }
        };
        self.report(d);
        true
    }

    fn is_used(&self, module: usize, name: &Name) -> bool {
        self.used.contains(&(module, name.text.clone()))
    }

    fn unused_inside(&mut self, f: &Function) {
        let mut read = BTreeSet::new();
        reads(&f.body, &mut read);
        f.locals.iter().for_each(|l| reads(&l.value, &mut read));
        f.params.iter().flat_map(ParamDecl::parts).for_each(|e| reads(e, &mut read));
        for local in f.locals.iter().filter(|l| !read.contains(l.name.text.as_str())) {
            self.never_read(&local.name, "value", "delete it, or use it in the result");
        }
        for param in f.params.iter().filter(|p| !read.contains(p.name.text.as_str())) {
            self.never_read(&param.name, "parameter", "delete it, or use it in the body");
        }
    }

    fn never_read(&mut self, name: &Name, what: &str, help: &str) {
        if !name.text.starts_with('_') {
            let message = format!("the {what} `{}` is not used", name.text);
            self.problems.push(Diagnostic::new(W0201, name.span, message, "never read").help(help));
        }
    }
}

/// Adds every name that an expression reads.
fn reads<'e>(e: &'e Expr, out: &mut BTreeSet<&'e str>) {
    e.walk(&mut |e| match &e.kind {
        ExprKind::Ident(name) => {
            out.insert(name);
        }
        ExprKind::Str(text) => out.extend(text.parts.iter().filter_map(|p| match p {
            StrPart::Name(name) => Some(name.text.as_str()),
            StrPart::Text(_) => None,
        })),
        ExprKind::Record(fields) => out.extend(fields.iter().filter_map(|f| match f {
            RecordField::Pun(name) => Some(name.text.as_str()),
            _ => None,
        })),
        _ => {}
    });
}
