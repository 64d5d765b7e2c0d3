//! `rbpipe bundle`: recipe, imports, lock and records in one file, with `--with-bytes` also inputs and results.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path, PathBuf};

use super::args::BundleArgs;
use super::{Exit, recipe, share, store};
use crate::base::phrase;
use crate::base::phrase::bytes;
use crate::engine::bundle::{self, Head};
use crate::engine::lock;
use crate::engine::remote::Entry;
use crate::engine::storage::files::FileIndex;
use crate::engine::storage::reach::Reach;
use crate::engine::storage::record;
use crate::engine::storage::signature::Signer;
use crate::plan::Graph;
use crate::plan::select::Selection;
use crate::spec::user_op;

/// Runs the command.
pub(super) fn run(args: &BundleArgs) -> Exit {
    pack(args).unwrap_or_else(|exit| exit)
}

fn pack(args: &BundleArgs) -> Result<Exit, Exit> {
    let (compiled, read) = recipe::compile_seeing(&args.recipe)?;
    let selection = compiled.ready()?;
    let graph = &compiled.planned.graph;
    let (store, index) = store::open()?;
    let mut wanted: BTreeSet<PathBuf> = read.into_iter().collect();
    wanted.extend(Some(lock::path(&compiled.path)).filter(|lock| lock.is_file()));
    let (inputs, outside) = read_by_nodes(graph, &selection, &index, args.with_bytes)?;
    wanted.extend(inputs);
    let (recipe, files) = below_one_folder(&compiled.path, &wanted);
    let (keys, absent) = share::made(&compiled, &selection, &store, &index);
    let mut reach = Reach::new(&store);
    let mut entries = BTreeMap::new();
    for record in keys.into_iter().filter_map(|key| record::claim(&store, key)) {
        if let Some(entry) = Entry::of(&store, &mut reach, &record.0) {
            entries.insert(record.0.key, entry);
        }
    }
    let choice = &args.recipe.choice;
    let head = Head::new(recipe, choice.profile.clone(), choice.params.clone());
    let refused = |e: std::io::Error| {
        eprintln!("error: {e}");
        Exit::Refused
    };
    let signer = Signer::open().map_err(refused)?;
    let from = args.with_bytes.then_some(&store);
    let imported = graph.packages.values().map(|package| package.folder.clone()).collect();
    bundle::write(&args.out, &head, &files, &imported, &entries, from, signer.as_ref()).map_err(|e| {
        eprintln!("error: cannot write `{}`: {e}", args.out.display());
        Exit::Refused
    })?;
    let size = std::fs::metadata(&args.out).map_or(0, |m| m.len());
    let (files, records) = (phrase::count(files.len(), "file"), phrase::count(entries.len(), "record"));
    println!("wrote {} ({}): {files}, {records}", args.out.display(), bytes(size));
    if absent > 0 {
        println!("{} of the recipe have no result here; `rbpipe run` makes them", phrase::count(absent, "node"));
    }
    for path in outside {
        println!("not in it: `{path}`, which the recipe names by an absolute path");
    }
    store::keep_index(&index, &store);
    Ok(Exit::Done)
}

/// Returns the files that nodes read, and what is named by an absolute path and so belongs to this machine alone. `all`: not only the programs of
/// the recipe's own operators, which are a part of it as its text is.
pub(super) fn read_by_nodes(
    graph: &Graph,
    selection: &Selection,
    index: &FileIndex,
    all: bool,
) -> Result<(BTreeSet<PathBuf>, Vec<String>), Exit> {
    let (mut found, mut outside) = (BTreeSet::new(), BTreeSet::new());
    for node in selection.nodes.iter().map(|&id| graph.node(id)) {
        for arg in node.paths.iter().filter(|arg| graph.package_of(&arg.path).is_none()) {
            let program = arg.arg.strip_prefix(user_op::FILES);
            if program.is_none() && !all {
                continue;
            }
            let text = program.or_else(|| node.args.get(&arg.arg)?.as_str()).unwrap_or_default();
            if Path::new(text).is_absolute() {
                outside.insert(arg.path.display().to_string());
                continue;
            }
            found.extend(index.named(arg).map_err(|e| {
                eprintln!("error: cannot read `{}`: {e}", arg.path.display());
                Exit::Recipe
            })?);
        }
    }
    Ok((found, outside.into_iter().collect()))
}

/// Names files by their way from the deepest folder that holds them all, so that relative paths in the recipe still lead there. Returns the
/// recipe's name and all of them.
pub(super) fn below_one_folder(recipe: &Path, wanted: &BTreeSet<PathBuf>) -> (String, BTreeMap<String, PathBuf>) {
    let recipe = plain(recipe);
    let all: BTreeSet<PathBuf> = wanted.iter().map(|path| plain(path)).collect();
    let mut root = recipe.parent().unwrap_or(Path::new("/")).to_path_buf();
    while !all.iter().all(|path| path.starts_with(&root)) && root.pop() {}
    let name = |path: &Path| path.strip_prefix(&root).unwrap_or(path).to_string_lossy().into_owned();
    (name(&recipe), all.iter().map(|path| (name(path), path.clone())).collect())
}

/// An absolute path without `.` and `..`, by its text: links stay what the recipe calls them.
pub(super) fn plain(path: &Path) -> PathBuf {
    let mut out = PathBuf::new();
    for part in std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf()).components() {
        match part {
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir => {}
            other => out.push(other),
        }
    }
    out
}
