//! What evaluating a program carries along: names, scopes, and what they refer to. How each kind of expression is evaluated stands in the files about it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::{Map, Value as Json};

use super::faults::Faults;
use super::graph::Graph;
use super::type_text::{prelude_schema, type_text};
use super::val::{Schema, Val};
use crate::base::{Diagnostic, Problems, SourceMap, Span, World, codes, world};
use crate::semantics::modules::{ImportTarget, Program};
use crate::spec::Catalogue;
use crate::syntax::ast::{Function, Item, ItemKind, RowPart};

/// The result of evaluating one expression.
pub(super) type Eval<T> = Result<T, Box<Diagnostic>>;

/// What the command line adds to a recipe.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// `--profile`
    pub profile: Option<String>,
    /// `-p name=value`
    pub params: Vec<(String, String)>,
    /// `-w name=value`
    pub with: Vec<(String, String)>,
}

/// The binding that is being evaluated: gives nodes their names and their `with`.
pub(super) struct Frame {
    /// What its nodes are called after.
    pub prefix: String,
    /// Options of its `with`.
    pub with: Map<String, Json>,
    /// Functions being inlined.
    pub inside: Vec<String>,
}

/// Where an expression is evaluated.
#[derive(Clone)]
pub(super) struct Env {
    /// The module whose names are visible; [`BUILTIN`] in signatures.
    pub module: usize,
    /// Parameters, `let`s of blocks, axes of sweeps.
    pub locals: Option<Rc<Local>>,
}

/// The module number of built-in signatures.
pub(super) const BUILTIN: usize = usize::MAX;

/// A local name; the innermost comes first.
pub(super) struct Local {
    name: String,
    val: Val,
    outer: Option<Rc<Local>>,
}

impl Env {
    pub(super) fn module(module: usize) -> Self {
        Self { module, locals: None }
    }

    pub(super) fn with(&self, name: &str, val: Val) -> Self {
        let local = Local { name: name.to_owned(), val, outer: self.locals.clone() };
        Self { module: self.module, locals: Some(Rc::new(local)) }
    }

    pub(super) fn local(&self, name: &str) -> Option<&Val> {
        let mut at = self.locals.as_deref();
        while let Some(local) = at {
            if local.name == name {
                return Some(&local.val);
            }
            at = local.outer.as_deref();
        }
        None
    }
}

/// What a name refers to that is no local.
pub(super) enum Target<'a> {
    /// An item of a module.
    Item(usize, &'a Item),
    /// A module of recipes.
    Module(usize),
    /// A module of operators.
    Operators(String),
}

/// A function with the module it stands in.
pub(super) struct Found<'a> {
    pub module: usize,
    pub function: &'a Function,
}

/// Evaluates a program, lazily. Its methods are spread over the files of this folder by subject.
pub(super) struct Evaluator<'a> {
    pub program: &'a Program,
    /// The items of each module by name.
    pub items: Vec<BTreeMap<&'a str, &'a Item>>,
    pub catalogue: &'a Catalogue,
    pub sources: &'a SourceMap,
    pub world: &'a dyn World,
    pub graph: Graph,
    pub problems: Problems,
    pub overrides: BTreeMap<String, (Val, Span)>,
    pub forced_with: Map<String, Json>,
    pub memo: BTreeMap<(usize, String), Val>,
    /// Names that are being evaluated, the outermost first.
    pub active: Vec<(usize, String)>,
    pub frames: Vec<Frame>,
    /// Expressions around the one that is being evaluated.
    pub depth: u32,
    pub faults: Faults,
}

impl<'a> Evaluator<'a> {
    /// Finds what a module's name refers to, locals aside.
    pub(super) fn target(&self, module: usize, name: &str) -> Option<Target<'a>> {
        if let Some((file, name)) = name.split_once('.') {
            // `file.Schema`, the only name with a dot.
            let Target::Module(id) = imported(self.program, module, file)? else { return None };
            return self.items.get(id)?.get(name).map(|item| Target::Item(id, item));
        }
        match self.items.get(module).and_then(|items| items.get(name)) {
            Some(item) => Some(Target::Item(module, item)),
            None => imported(self.program, module, name),
        }
    }

    /// Says whether a local name hides others.
    pub(super) fn is_local(&self, env: &Env, name: &str) -> bool {
        env.local(name).is_some()
    }

    /// Resolves a path of a module to where it lies.
    pub(super) fn resolve(&self, module: usize, path: &str) -> PathBuf {
        match path.strip_prefix("@root/") {
            Some(rest) => {
                let root = self.program.modules.get(module).map(|m| m.root.clone()).unwrap_or_default();
                if root.as_os_str().is_empty() { PathBuf::from(".").join(rest) } else { root.join(rest) }
            }
            None => world::normal(&self.folder(module).join(path)),
        }
    }

    /// Returns the folder that a module's relative paths start from.
    pub(super) fn folder(&self, module: usize) -> PathBuf {
        let folder = self.program.modules.get(module).and_then(|m| m.folder.clone()).unwrap_or_default();
        // A recipe named without a folder stands in the working directory, which has no empty name.
        if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder }
    }

    /// Returns a schema's columns.
    pub(super) fn schema(&self, module: usize, name: &str, span: Span) -> Eval<Val> {
        match self.schema_columns(module, name, 0) {
            Some(columns) => Ok(Val::Schema(Schema { columns })),
            None => Err(Box::new(
                Diagnostic::new(codes::E0201, span, format!("unknown schema `{name}`"), "not defined")
                    .help("declare it with `schema`"),
            )),
        }
    }

    /// Returns a schema's columns and types, tails included.
    pub(super) fn schema_columns(&self, module: usize, name: &str, depth: u32) -> Option<Vec<(String, String)>> {
        let target = self.target(module, name);
        let Some(Target::Item(home, Item { kind: ItemKind::Schema { row, .. }, .. })) = target else {
            return prelude_schema(name);
        };
        let mut out = Vec::new();
        for part in &row.parts {
            match part {
                RowPart::Field { name, ty, .. } => out.push((name.text.clone(), type_text(ty))),
                RowPart::Tail(tail) if depth < 16 => {
                    out.extend(self.schema_columns(home, &tail.text, depth + 1).unwrap_or_default());
                }
                RowPart::Tail(_) => {}
            }
        }
        Some(out)
    }
}

/// Finds what a name of a module refers to that is no item of it.
pub(super) fn imported<'a>(program: &'a Program, module: usize, name: &str) -> Option<Target<'a>> {
    let m = program.modules.get(module)?;
    match &m.imports.iter().find(|i| i.name.text == name)?.target {
        ImportTarget::Operators(module) => Some(Target::Operators(module.clone())),
        ImportTarget::Module(id) => Some(Target::Module(*id)),
        ImportTarget::Missing => None,
    }
}

/// Returns the name that an item introduces.
pub(super) fn item_name(item: &Item) -> Option<&str> {
    Some(match &item.kind {
        ItemKind::Param { name, .. } | ItemKind::Secret { name, .. } | ItemKind::Schema { name, .. } => &name.text,
        ItemKind::Fn(f) => &f.name.text,
        ItemKind::Op(op) => &op.name.text,
        ItemKind::Let(b) | ItemKind::Stage(b) => &b.name.text,
        _ => return None,
    })
}

/// Replaces or appends a field.
pub(super) fn set(fields: &mut Vec<(String, Val)>, name: &str, val: Val) {
    match fields.iter_mut().find(|(n, _)| n == name) {
        Some(slot) => slot.1 = val,
        None => fields.push((name.to_owned(), val)),
    }
}

/// E0304 where a value is of a kind that its place does not take.
pub(super) fn mismatch(span: Span, message: impl Into<String>) -> Box<Diagnostic> {
    Box::new(
        Diagnostic::new(codes::E0304, span, message.into(), "here")
            .help("change the value here, or what it is made of"),
    )
}
