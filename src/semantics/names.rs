//! Names: what a file declares, what it may not declare twice or hide, and what an unknown name may have meant.

use std::collections::BTreeMap;

use super::check::{Checker, Cx};
use super::modules::{ImportTarget, Module};
use crate::base::codes::{E0201, E0202, E0203, W0201};
use crate::base::{Diagnostic, Problems, Span, phrase};
use crate::spec::prelude;
use crate::syntax::ast::{ItemKind, Name};

/// The names of one file.
#[derive(Default)]
pub(super) struct Names<'a> {
    /// Params, secrets, functions, operators, lets and stages.
    pub(super) values: BTreeMap<&'a str, &'a ItemKind>,
    /// Schemas.
    pub(super) schemas: BTreeMap<&'a str, &'a ItemKind>,
    /// Imported names.
    pub(super) imports: BTreeMap<&'a str, &'a ImportTarget>,
    /// Where each is declared.
    pub(super) places: BTreeMap<&'a str, Span>,
}

/// Returns the name that an item declares, and in what namespace: values, schemas, outputs and profiles do not meet.
pub(super) fn declared(item: &ItemKind) -> Option<(&Name, &'static str)> {
    Some(match item {
        ItemKind::Param { name, .. } | ItemKind::Secret { name, .. } => (name, "value"),
        ItemKind::Fn(f) => (&f.name, "value"),
        ItemKind::Op(op) => (&op.name, "value"),
        ItemKind::Let(b) | ItemKind::Stage(b) => (&b.name, "value"),
        ItemKind::Schema { name, .. } => (name, "schema"),
        ItemKind::Output { name, .. } => (name, "output"),
        ItemKind::Profile { name, .. } => (name, "profile"),
        ItemKind::Recipe { .. } | ItemKind::Import(_) | ItemKind::Expect { .. } | ItemKind::Warn { .. } => return None,
    })
}

/// Collects the names of a file and reports those declared twice (E0202) or hiding something (E0203).
pub(super) fn collect<'a>(module: &'a Module, problems: &mut Problems) -> Names<'a> {
    let mut names = Names::default();
    let mut seen: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    for import in &module.imports {
        let name = &import.name;
        if let Some(&first) = seen.get(&("value", name.text.as_str())) {
            problems.push(duplicate(name, first, "import one of them under another name: `a as b`"));
            continue;
        }
        seen.insert(("value", &name.text), name.span);
        hides_prelude(name, true, problems);
        names.imports.insert(&name.text, &import.target);
        names.places.insert(&name.text, name.span);
    }
    for item in &module.file.items {
        let Some((name, space)) = declared(&item.kind) else { continue };
        if space == "value" {
            hides_prelude(name, true, problems);
            if names.imports.contains_key(name.text.as_str()) {
                problems.push(hides_import(name, names.places[name.text.as_str()]));
                continue;
            }
        }
        if let Some(&first) = seen.get(&(space, name.text.as_str())) {
            problems.push(duplicate(name, first, "rename one of them; a name has one value in a file"));
            continue;
        }
        seen.insert((space, &name.text), name.span);
        match space {
            "value" => {
                names.values.insert(&name.text, &item.kind);
                names.places.insert(&name.text, name.span);
            }
            "schema" => {
                names.schemas.insert(&name.text, &item.kind);
                names.places.insert(&name.text, name.span);
            }
            _ => {}
        }
    }
    names
}

fn duplicate(name: &Name, first: Span, help: &str) -> Diagnostic {
    Diagnostic::new(E0202, name.span, format!("`{}` is declared twice", name.text), "declared again here")
        .also(first, "first declared here")
        .help(help)
}

fn hides_import(name: &Name, import: Span) -> Diagnostic {
    Diagnostic::new(E0203, name.span, format!("`{}` hides an import", name.text), "hides it here")
        .also(import, "imported here")
        .help(format!("choose another name, or import the module as something else: `{} as …`", name.text))
}

fn hides_prelude(name: &Name, methods: bool, problems: &mut Problems) {
    let function = prelude::FUNCTION_NAMES.contains(&name.text.as_str());
    if function || methods && prelude::method_named(&name.text).is_some() {
        let what = if function { "function" } else { "row method" };
        problems.push(
            Diagnostic::new(
                E0203,
                name.span,
                format!("`{}` is a {what} of the prelude and cannot be declared", name.text),
                "hides the prelude",
            )
            .help(format!("choose another name, such as `my_{}`", name.text)),
        );
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

    /// Reports an unknown name with the nearest of the right kind.
    pub(super) fn unknown_name(&mut self, name: &str, span: Span, called: bool, cx: &Cx) {
        let names = &self.names[cx.module];
        let mut d = Diagnostic::new(E0201, span, format!("there is no `{name}` here"), "unknown name");
        let is_function = |item: &&ItemKind| matches!(item, ItemKind::Fn(_) | ItemKind::Op(_));
        let values: Vec<&str> =
            names.values.iter().filter(|(_, item)| is_function(item) == called).map(|(name, _)| *name).collect();
        let locals = cx.locals.iter().rev().map(|(n, _)| n.as_str()).filter(|_| !called);
        let near = phrase::nearest(name, locals.chain(values.iter().copied()).chain(names.imports.keys().copied()));
        let operator = self.catalogue.operators.iter().find(|op| op.name.rsplit('.').next() == Some(name));
        let module = self.catalogue.operators.iter().any(|op| op.name.split('.').next() == Some(name));
        let column = cx.row.as_ref().is_some_and(|row| self.solver.row(row).get(name).is_some());
        let help = if column {
            format!("a column of the row is written with a point: `.{name}`")
        } else if module {
            format!("import it first: `import std.{{{name}}}`")
        } else if called && let Some(op) = operator {
            format!("an operator is called by its full name: `{}(…)`", op.name)
        } else if let Some(near) = near {
            d = d.fix(span, near);
            format!("did you mean `{near}`?")
        } else if called {
            "functions are declared with `fn`, operators come with `import std.{…}`".to_owned()
        } else if self.is_std_file(name) {
            format!("import it first: `import std.eval.{name} as {name}`")
        } else {
            format!("declare it: `let {name} = …`, or `param {name}: Type = …` if the command line should set it")
        };
        self.report(d.help(help));
    }

    fn is_std_file(&self, name: &str) -> bool {
        name == "embodied17"
    }

    /// Reports lets, params and imports of the recipe that nothing reads.
    pub(super) fn unused(&mut self) {
        let root = &self.program.modules[0];
        let runs = root
            .file
            .items
            .iter()
            .any(|i| matches!(i.kind, ItemKind::Output { .. } | ItemKind::Expect { .. } | ItemKind::Warn { .. }));
        for module in self.program.modules.iter().filter(|m| m.folder.is_some()) {
            for import in &module.imports {
                let name = &import.name;
                if import.target != ImportTarget::Missing && !self.used.contains(&(module.id, name.text.clone())) {
                    self.problems.push(
                        Diagnostic::new(
                            W0201,
                            name.span,
                            format!("the import `{}` is not used", name.text),
                            "never read",
                        )
                        .help("delete it"),
                    );
                }
            }
        }
        if !runs {
            return; // a library: its values are for others
        }
        for item in &root.file.items {
            let (name, what, help) = match &item.kind {
                ItemKind::Let(b) => (&b.name, "value", "delete it, or use it in an `output` or `expect`"),
                ItemKind::Param { name, .. } => (name, "param", "delete it, or use it"),
                ItemKind::Fn(f) => (&f.name, "function", "delete it, or call it"),
                ItemKind::Op(op) => (&op.name, "operator", "delete it, or call it"),
                ItemKind::Secret { name, .. } => {
                    (name, "secret", "delete it, or pass it to a parameter of type Secret")
                }
                _ => continue,
            };
            if !self.used.contains(&(0, name.text.clone())) && !name.text.starts_with('_') {
                let message = format!("the {what} `{}` is not used", name.text);
                self.problems.push(Diagnostic::new(W0201, name.span, message, "never read").help(help));
            }
        }
    }
}
