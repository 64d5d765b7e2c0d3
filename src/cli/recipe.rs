//! What every command that takes a recipe does first: load, check, evaluate, and open the store.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;

use super::args::RecipeArgs;
use super::packages::{self, Pinning};
use super::{Exit, render};
use crate::base::codes::E0901;
use crate::base::world::{self, World};
use crate::base::{Diagnostic, Problems, SourceMap, phrase};
use crate::engine::inputs::needed;
use crate::engine::run::forecast::Forecaster;
use crate::engine::run::site::Site;
use crate::engine::storage::files::FileIndex;
use crate::engine::storage::journal;
use crate::engine::{Builtin, Store, lock};
use crate::ops;
use crate::plan::select::{self, Selection};
use crate::plan::{self, PathArg, Planned};
use crate::semantics;
use crate::spec::observed::Columns;
use crate::spec::{Catalogue, Row, Type, prelude};

/// The recipe's own file among those of a program.
const MAIN: usize = 0;

/// A recipe, compiled.
pub(super) struct Compiled {
    /// The recipe's path.
    pub path: PathBuf,
    /// All texts.
    pub sources: SourceMap,
    /// The graph.
    pub planned: Planned,
    /// The types of the names of its main file.
    types: BTreeMap<String, Type>,
    /// What this site has, and what it adds to the recipe.
    pub site: Site,
}

/// Compiles a recipe; prints what is wrong with it. Packages come as the lock pins them.
pub(super) fn compile(args: &RecipeArgs) -> Result<Compiled, Exit> {
    compile_pinning(args, Pinning::Held)
}

/// As [`compile`], with packages that the lock does not pin.
pub(super) fn compile_pinning(args: &RecipeArgs, pinning: Pinning<'_>) -> Result<Compiled, Exit> {
    compile_in(&world::OsWorld, args, pinning)
}

/// As [`compile`], also tells which files were read for it, those of packages left out.
pub(super) fn compile_seeing(args: &RecipeArgs) -> Result<(Compiled, Vec<PathBuf>), Exit> {
    let seeing = Seeing::default();
    let compiled = compile_in(&seeing, args, Pinning::Held)?;
    let read = seeing.0.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    let own = read.into_iter().filter(|path| compiled.planned.graph.package_of(path).is_none()).collect();
    Ok((compiled, own))
}

/// The outside world, with a memory of what was read.
#[derive(Default)]
struct Seeing(Mutex<BTreeSet<PathBuf>>);

impl World for Seeing {
    fn read(&self, path: &Path) -> io::Result<String> {
        let text = world::OsWorld.read(path)?;
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner).insert(path.to_path_buf());
        Ok(text)
    }

    fn bytes(&self, path: &Path, from: u64, len: u64) -> io::Result<Vec<u8>> {
        world::OsWorld.bytes(path, from, len)
    }

    fn exists(&self, path: &Path) -> bool {
        world::OsWorld.exists(path)
    }

    fn env(&self, name: &str) -> Option<String> {
        world::OsWorld.env(name)
    }

    fn list(&self, folder: &Path) -> Vec<String> {
        world::OsWorld.list(folder)
    }
}

fn compile_in(world: &dyn World, args: &RecipeArgs, pinning: Pinning<'_>) -> Result<Compiled, Exit> {
    let mut sources = SourceMap::default();
    let catalogue = ops::catalogue();
    let (planned, types, mut problems) = evaluate(world, args, &catalogue, &mut sources, pinning);
    let (site, more) = Site::read(&world::OsWorld, &mut sources);
    problems.extend(more);
    let bad = problems.has_errors();
    let problems = problems.sorted();
    render::print_human(&sources, &problems);
    match planned {
        // A package that is not as the lock says.
        _ if problems.iter().any(|d| d.code == E0901) => Err(Exit::Refused),
        Some(mut planned) if !bad => {
            let operators = operators();
            let accepts = |op: &str, option: &str| {
                let named = || operators.get(op).is_some_and(|o| o.spec.options().any(|own| own == option));
                prelude::WITH_COMMON.contains(&option) || named()
            };
            site.apply(&mut planned.graph, &accepts);
            Ok(Compiled { path: args.recipe.clone(), sources, planned, types, site })
        }
        _ => Err(Exit::Recipe),
    }
}

fn evaluate(
    world: &dyn World,
    args: &RecipeArgs,
    catalogue: &Catalogue,
    sources: &mut SourceMap,
    pinning: Pinning<'_>,
) -> (Option<Planned>, BTreeMap<String, Type>, Problems) {
    let (program, mut problems) = packages::load(world, catalogue, sources, &args.recipe, pinning);
    if problems.has_errors() {
        return (None, BTreeMap::new(), problems);
    }
    let choice = &args.choice;
    let settings = semantics::Settings { profile: choice.profile.clone(), params: choice.params.clone() };
    let (checked, more) = semantics::check(&program, catalogue, &settings);
    problems.extend(more);
    let main = checked.bindings.into_iter().filter(|((module, _), _)| *module == MAIN);
    let types = main.map(|((_, name), ty)| (name, ty)).collect();
    if problems.has_errors() {
        return (None, types, problems);
    }
    let options =
        plan::Options { profile: choice.profile.clone(), params: choice.params.clone(), with: choice.with.clone() };
    let (mut planned, more) = plan::evaluate(&program, catalogue, sources, world, &options);
    problems.extend(more);
    if let Some(planned) = &mut planned {
        let known = Locked::of(&args.recipe);
        planned.graph.servers = known.lock.as_ref().map(lock::Lock::servers).unwrap_or_default();
        // What a lint looks at, the config of a model for one, is no text of the recipe: who counts those must not see it.
        let told = plan::lints::lint(&program, catalogue, &planned.graph, sources, &world::OsWorld, &known);
        // Who may write the lock anew must not be stopped by what it said of rows that have changed since; loaders look at the rows themselves.
        let stale = |d: &Diagnostic| matches!(pinning, Pinning::New(_)) && plan::lints::LOCKED.contains(&d.code);
        told.sorted().into_iter().filter(|d| !stale(d)).for_each(|d| problems.push(d));
    }
    (planned, types, problems)
}

/// What the lock of a recipe knows of its files; nothing where there is none, or one that cannot be read.
pub(super) struct Locked {
    lock: Option<lock::Lock>,
    recipe: PathBuf,
}

impl Locked {
    /// Reads the lock of a recipe.
    pub(super) fn of(recipe: &Path) -> Self {
        Self { lock: lock::read(recipe).ok().flatten(), recipe: recipe.to_owned() }
    }
}

impl plan::lints::Known for Locked {
    fn rows(&self, file: &PathArg) -> Option<u64> {
        self.lock.as_ref()?.rows(file, &self.recipe)
    }

    fn columns(&self, file: &PathArg) -> Option<&Columns> {
        self.lock.as_ref()?.columns(file, &self.recipe)
    }

    fn words(&self, file: &PathArg) -> BTreeMap<String, u64> {
        self.lock.as_ref().map(|lock| lock.words(file, &self.recipe)).unwrap_or_default()
    }
}

impl Compiled {
    /// Names and texts of the files that its author wrote.
    pub(super) fn own_files(&self) -> impl Iterator<Item = (&str, &str)> {
        let own = self.sources.all().filter(|file| !file.name.starts_with("std/"));
        own.map(|file| (file.name.as_str(), &*file.text))
    }

    /// Returns the columns that a dataset of the main file has as the recipe types them: by its name, `rows` or `parts.train`.
    pub(super) fn columns_of(&self, name: &str) -> Option<&Row> {
        let mut parts = name.split('.');
        let mut ty = self.types.get(parts.next()?)?;
        for part in parts {
            let Type::Record(fields) = ty else { return None };
            ty = fields.get(part)?;
        }
        match ty {
            Type::Dataset(row) => Some(row),
            _ => None,
        }
    }

    /// Selects nodes; prints which name is not there.
    pub(super) fn select(&self, to: &[String]) -> Result<Selection, Exit> {
        select::select(&self.planned.graph, to).map_err(|name| {
            let names = select::names(&self.planned.graph);
            match phrase::nearest(&name, names.iter().map(String::as_str)) {
                Some(near) => eprintln!("error: nothing is called `{name}` here; did you mean `{near}`?"),
                None => eprintln!("error: nothing is called `{name}` here; `rbpipe graph` lists the names"),
            }
            Exit::Usage
        })
    }

    /// Selects all that its outputs need; prints which inputs are not there, without which no key can be told.
    pub(super) fn ready(&self) -> Result<Selection, Exit> {
        let selection = self.select(&[])?;
        self.refuse(needed::missing(&self.planned.graph, &selection))?;
        Ok(selection)
    }

    /// Prints why it cannot run here, where there is a reason.
    pub(super) fn refuse(&self, problems: Problems) -> Result<(), Exit> {
        if problems.is_empty() {
            return Ok(());
        }
        render::print_human(&self.sources, &problems.sorted());
        Err(Exit::Recipe)
    }

    /// Returns what forecasts a run of it on this machine alone.
    pub(super) fn forecaster<'a>(
        &'a self,
        selection: &'a Selection,
        store: &'a Store,
        files: &'a FileIndex,
    ) -> Forecaster<'a> {
        let (graph, last) = (&self.planned.graph, self.last_keys(store));
        Forecaster { graph, selection, store, files, last, elsewhere: &|_| None }
    }

    /// Returns the last key of each node.
    fn last_keys(&self, store: &Store) -> BTreeMap<String, crate::base::Digest> {
        let nodes = self.planned.graph.dag.node_weights().filter(|node| node.gate.is_none());
        journal::last_keys(store, &self.path, &nodes.map(|node| node.name.as_str()).collect())
    }
}

/// Returns all operators by name.
pub(super) fn operators() -> BTreeMap<String, &'static Builtin> {
    let catalogue = ops::catalogue();
    let named = catalogue.operators.iter().map(|o| o.name.clone()).zip(ops::BUILTINS.iter().copied());
    named.chain(ops::INSERTED.iter().map(|(name, op)| ((*name).to_owned(), *op))).collect()
}
