//! Loads a recipe, and fetches first what it imports from other repositories and is not here.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{say, store};
use crate::base::codes::{E0209, E0901};
use crate::base::package::{Address, Pin};
use crate::base::world::World;
use crate::base::{Diagnostic, Problems, SourceMap, Span, phrase};
use crate::engine::inputs::packages::{self, Fetched};
use crate::engine::lock;
use crate::semantics::{self, Program};
use crate::spec::Catalogue;

/// What may be fetched.
#[derive(Clone, Copy, Debug)]
pub(super) enum Pinning<'a> {
    /// What the lock pins, nothing else.
    Held,
    /// Also what it does not pin yet, or not as the recipe asks for it, and these packages anew: what came is pinned.
    New(&'a [String]),
}

/// Loads a recipe as [`semantics::load`] does. Packages that have to be fetched are, as far as `pinning` allows.
pub(super) fn load(
    world: &dyn World,
    catalogue: &Catalogue,
    sources: &mut SourceMap,
    recipe: &Path,
    pinning: Pinning<'_>,
) -> (Program, Problems) {
    let (before, mut tried) = (sources.all().count(), BTreeSet::new());
    // A package that came may import another one.
    loop {
        sources.truncate(before);
        let (program, problems) = semantics::load(world, catalogue, sources, recipe);
        let asked: Vec<Asked> = asked(&program, pinning).into_iter().filter(|a| !tried.contains(&a.name())).collect();
        if asked.is_empty() {
            return (program, problems);
        }
        let mut new = BTreeMap::new();
        let mut failures = Vec::new();
        for asked in asked {
            tried.insert(asked.name());
            match packages::fetch(&store::folder(), &asked.address, asked.pin.as_ref()) {
                Ok(fetched) => {
                    tell(&asked, &fetched);
                    new.insert(asked.name(), fetched.pin);
                }
                Err(e) => {
                    let code = if e.drift { E0901 } else { E0209 };
                    failures.push(Diagnostic::new(code, asked.span, e.message, "this package").help(e.help));
                }
            }
        }
        if let Err(message) = pin(recipe, &new) {
            say(&format!("warning: cannot write the lock `{}`: {message}", lock::path(recipe).display()));
            return (program, problems);
        }
        if !failures.is_empty() {
            // What the loader says of them is known better now.
            let told = |d: &Diagnostic| d.code == E0209 && failures.iter().any(|f| f.primary.span == d.primary.span);
            let mut out = Problems::default();
            let others: Vec<Diagnostic> = problems.sorted().into_iter().filter(|d| !told(d)).collect();
            others.into_iter().chain(failures).for_each(|d| out.push(d));
            return (program, out);
        }
    }
}

/// A package to fetch.
struct Asked {
    address: Address,
    pin: Option<Pin>,
    span: Span,
}

impl Asked {
    fn name(&self) -> String {
        self.address.name.clone()
    }
}

/// What is to be fetched for a program: what it lacks, what is damaged, and what is asked for anew.
fn asked(program: &Program, pinning: Pinning<'_>) -> Vec<Asked> {
    let wanted = program.wanted.iter().map(|w| Asked { address: w.address.clone(), pin: w.pin.clone(), span: w.span });
    let here = program.packages.iter().filter_map(|(name, package)| {
        let anew = matches!(pinning, Pinning::New(names) if names.contains(name));
        let pin = (!anew).then(|| package.pin.clone());
        let address = Address::parse(name).ok().filter(|_| anew || !packages::is_whole(&package.folder))?;
        Some(Asked { address, pin, span: package.span })
    });
    let mut out: Vec<Asked> = wanted.chain(here).collect();
    if matches!(pinning, Pinning::Held) {
        out.retain(|asked| asked.pin.is_some());
    }
    // One package may be imported by several files.
    let mut names = BTreeSet::new();
    out.retain(|asked| names.insert(asked.name()));
    out
}

fn tell(asked: &Asked, fetched: &Fetched) {
    let commit = fetched.pin.revision.get(..12).unwrap_or(&fetched.pin.revision);
    let what = match &fetched.pin.version {
        Some(version) => format!("version {version}, commit {commit}"),
        None => format!("commit {commit}"),
    };
    say(&format!("fetched {}: {what}, {}", asked.address.name, phrase::count(fetched.files, "file")));
}

/// Writes pins into the lock of a recipe.
fn pin(recipe: &Path, pins: &BTreeMap<String, Pin>) -> Result<(), String> {
    let old = lock::read(recipe).map_err(|e| e.to_string())?;
    let mut new = old.clone().unwrap_or_default();
    for (name, pin) in pins {
        new.pin_package(name, pin);
    }
    if old.as_ref() == Some(&new) || pins.is_empty() {
        return Ok(());
    }
    lock::write(recipe, &new).map_err(|e| e.to_string())
}
