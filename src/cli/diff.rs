//! `rbpipe diff A B`: what changes between two recipes or locks, and what that runs anew.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::args::{DiffArgs, RecipeArgs};
use super::recipe::{self, Compiled};
use super::{Exit, store};
use crate::base::{Digest, phrase};
use crate::engine::storage::files::FileIndex;
use crate::plan::diff::{Change, Diff, Side, diff};

/// Runs the command.
pub(super) fn run(args: &DiffArgs) -> Exit {
    let lock = |path: &Path| path.extension().is_some_and(|e| e == "lock");
    let compared = match (lock(&args.a), lock(&args.b)) {
        (true, true) => locks(&args.a, &args.b),
        (false, false) => recipes(args),
        _ => {
            eprintln!("error: a recipe and a lock cannot be compared; give two recipes or two locks");
            Err(Exit::Usage)
        }
    };
    compared.unwrap_or_else(|exit| exit)
}

fn recipes(args: &DiffArgs) -> Result<Exit, Exit> {
    let compile = |path: &Path| recipe::compile(&RecipeArgs { recipe: path.to_owned(), choice: args.choice.clone() });
    let (first, second) = (compile(&args.a)?, compile(&args.b)?);
    let (store, files) = store::open()?;
    let (before, after) = (first.select(&[])?, second.select(&[])?);
    let (reads, reads_now) = (reader(&first, &files), reader(&second, &files));
    let found = diff(
        &Side { graph: &first.planned.graph, selection: &before, files: &reads },
        &Side { graph: &second.planned.graph, selection: &after, files: &reads_now },
    );
    let _ = files.save(&store);
    print(&found);
    Ok(Exit::Done)
}

/// Returns the digests of a source's files; one that is not there counts by its path.
fn reader<'a>(
    compiled: &'a Compiled,
    files: &'a FileIndex,
) -> impl Fn(crate::plan::NodeId) -> BTreeMap<String, Digest> + 'a {
    move |id| {
        let node = compiled.planned.graph.node(id);
        let digest = |arg: &crate::plan::PathArg| {
            files.argument(arg).unwrap_or_else(|_| Digest::of(arg.path.display().to_string().as_bytes()))
        };
        node.paths.iter().map(|arg| (arg.arg.clone(), digest(arg))).collect()
    }
}

fn print(found: &Diff) {
    for (name, op, change) in &found.changes {
        match change {
            Change::Added => println!("+ {name} ({op})"),
            Change::Removed => println!("- {name} ({op})"),
            Change::Changed(said) => println!("~ {name} ({op}): {}", said.join("; ")),
        }
    }
    let same = phrase::count(found.same, "node");
    if found.reruns.is_empty() {
        println!("nothing runs anew; {same} the same");
        return;
    }
    println!("at most {} anew, {same} the same; anew:", phrase::count(found.reruns.len(), "node"));
    for name in &found.reruns {
        println!("  {name}");
    }
}

/// Compares two locks entry by entry.
fn locks(a: &Path, b: &Path) -> Result<Exit, Exit> {
    let (before, after) = (entries(a)?, entries(b)?);
    let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let mut changed = 0;
    for name in names {
        let line = match (before.get(name), after.get(name)) {
            (Some(was), Some(is)) if was == is => continue,
            (Some(was), Some(is)) => format!("~ {name}: {was} -> {is}"),
            (Some(was), None) => format!("- {name}: {was}"),
            (None, is) => format!("+ {name}: {}", is.map_or("", String::as_str)),
        };
        changed += 1;
        println!("{line}");
    }
    if changed == 0 {
        println!("both pin the same");
    }
    Ok(Exit::Done)
}

/// Returns every value of a lock under its dotted name.
fn entries(path: &Path) -> Result<BTreeMap<String, String>, Exit> {
    let shown = path.display();
    let said = |why: String| {
        eprintln!("error: cannot read `{shown}`: {why}");
        Exit::Usage
    };
    let text = std::fs::read_to_string(path).map_err(|e| said(e.to_string()))?;
    let table: toml::Table = text.parse().map_err(|e: toml::de::Error| said(e.message().to_owned()))?;
    let mut found = BTreeMap::new();
    flatten("", &toml::Value::Table(table), &mut found);
    Ok(found)
}

fn flatten(name: &str, value: &toml::Value, found: &mut BTreeMap<String, String>) {
    match value {
        toml::Value::Table(table) => {
            for (key, value) in table {
                let inner = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                flatten(&inner, value, found);
            }
        }
        other => {
            found.insert(name.to_owned(), other.to_string());
        }
    }
}
