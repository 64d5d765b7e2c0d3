//! Names: what a file declares, and what it may not declare twice or hide.

use std::collections::{BTreeMap, BTreeSet};

use super::modules::{ImportTarget, Module};
use crate::base::codes::{E0202, E0203};
use crate::base::{Diagnostic, Problems, Span};
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
    /// Names that cannot be judged: the item that declares them did not parse, or two of them collide.
    pub(super) missing: BTreeSet<&'a str>,
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
    let missing = module.file.missing.iter().map(String::as_str).collect();
    let mut names = Names { missing, ..Names::default() };
    let mut seen: BTreeMap<(&str, &str), Span> = BTreeMap::new();
    for import in &module.imports {
        let name = &import.name;
        if let Some(&first) = seen.get(&("value", name.text.as_str())) {
            problems.push(duplicate(name, first, "import one of them under another name: `a as b`"));
            names.imports.insert(&name.text, &ImportTarget::Missing);
            continue;
        }
        seen.insert(("value", &name.text), name.span);
        hides_prelude(name, true, problems);
        names.imports.insert(&name.text, &import.target);
        names.places.insert(&name.text, name.span);
    }
    let mut recipe: Option<Span> = None;
    for item in &module.file.items {
        if let ItemKind::Recipe { .. } = item.kind
            && let Some(first) = recipe.replace(item.span)
        {
            let problem = Diagnostic::new(E0202, item.span, "a file has one `recipe`", "a second one");
            problems.push(problem.also(first, "the first one").help("delete one of them"));
        }
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

/// Finds a schema in the files that a file imports; returns how it is written there, and where it is declared.
pub(super) fn schema_elsewhere(names: &[Names], module: usize, name: &str) -> Option<(String, Span)> {
    names[module].imports.iter().find_map(|(file, target)| {
        let ImportTarget::Module(id) = target else { return None };
        names[*id].schemas.get(name)?;
        Some((format!("{file}.{name}"), names[*id].places.get(name).copied()?))
    })
}

/// E0202 for a name that is declared again.
pub(super) fn duplicate(name: &Name, first: Span, help: &str) -> Diagnostic {
    Diagnostic::new(E0202, name.span, format!("`{}` is declared twice", name.text), "declared again here")
        .also(first, "first declared here")
        .help(help)
}

/// E0203 for a name that hides an import.
pub(super) fn hides_import(name: &Name, import: Span) -> Diagnostic {
    Diagnostic::new(E0203, name.span, format!("`{}` hides an import", name.text), "hides it here")
        .also(import, "imported here")
        .help(format!("choose another name, or import the module as something else: `{} as …`", name.text))
}

/// Reports a name that hides a function of the prelude or, if `methods`, a row method.
pub(super) fn hides_prelude(name: &Name, methods: bool, problems: &mut Problems) {
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
