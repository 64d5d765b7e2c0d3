//! `rbpipe export`: where the outputs of a recipe come from, in formats that others read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use super::args::{ExportArgs, Provenance};
use super::bundle::{below_one_folder, plain, read_by_nodes};
use super::{Exit, recipe, say, store};
use crate::base::{Digest, phrase};
use crate::engine::lock;
use crate::engine::outputs::publish;
use crate::engine::provenance::{self, About, Story, openlineage, ro_crate, spdx};
use crate::engine::storage::note;
use crate::engine::storage::store::digest_of_file;

const CRATE: &str = "ro-crate-metadata.json";

/// Runs the command.
pub(super) fn run(args: &ExportArgs) -> Exit {
    export(args).unwrap_or_else(|exit| exit)
}

fn export(args: &ExportArgs) -> Result<Exit, Exit> {
    let (compiled, read) = recipe::compile_seeing(&args.recipe)?;
    let selection = compiled.ready()?;
    let (store, files) = store::open()?;
    let graph = &compiled.planned.graph;
    let forecast = compiled.forecaster(&selection, &store, &files).all();
    store::keep_index(&files, &store);
    let failed = |e: io::Error| {
        eprintln!("error: cannot write `{}`: {e}", args.out.display());
        Exit::Refused
    };
    let mut texts: BTreeSet<PathBuf> = read.into_iter().collect();
    texts.extend(Some(lock::path(&compiled.path)).filter(|lock| lock.is_file()));
    texts.extend(read_by_nodes(graph, &selection, &files, false)?.0);
    let mut wanted = texts.clone();
    let targets = graph.outputs.iter().filter_map(|output| output.to.as_deref());
    wanted.extend(targets.flat_map(|to| note::published(to).unwrap_or_default()).map(|(path, ..)| path));
    let (recipe, names) = below_one_folder(&compiled.path, &wanted);
    let by_path: BTreeMap<&PathBuf, &String> = names.iter().map(|(name, path)| (path, name)).collect();
    let home = compiled.path.parent().unwrap_or(Path::new(""));
    let stem = compiled.path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
    // A folder is named by what lies in it.
    let output = |path: &Path| -> String {
        let path = plain(path);
        let inner = || names.iter().find_map(|(name, p)| Some((name, p.strip_prefix(&path).ok()?)));
        let folder = || {
            let (name, rest) = inner()?;
            Some(name.strip_suffix(&*rest.to_string_lossy())?.trim_end_matches('/').to_owned())
        };
        by_path.get(&path).map(|name| (*name).clone()).or_else(folder).unwrap_or_default()
    };
    let source = |path: &Path| lock::below(path, home).unwrap_or_else(|_| path.display().to_string());
    let about = About {
        recipe: recipe.clone(),
        title: compiled.planned.name.clone().unwrap_or(stem),
        params: compiled.planned.params.clone(),
        source: &source,
        output: &output,
    };
    let story = provenance::tell(graph, &forecast, &store, &files, about).map_err(failed)?;
    if story.steps.is_empty() {
        eprintln!("error: no result of this recipe is on record; `rbpipe run {}` makes them", compiled.path.display());
        return Err(Exit::Refused);
    }
    match args.format {
        Provenance::RoCrate => {
            let texts: BTreeSet<PathBuf> = texts.iter().map(|path| plain(path)).collect();
            write_crate(&args.out, &story, &recipe, &names, &texts).map_err(failed)?;
        }
        Provenance::Spdx => {
            write(&args.out, &pretty(&spdx::document(&story))).map_err(failed)?;
        }
        Provenance::Openlineage => {
            let events = openlineage::events(&story);
            let lines: String = events.iter().map(|event| format!("{event}\n")).collect();
            write(&args.out, lines.as_bytes()).map_err(failed)?;
        }
    }
    println!(
        "wrote {}: {}, {}, {}",
        args.out.display(),
        phrase::count(story.sources.len(), "source"),
        phrase::count(story.steps.len(), "step"),
        phrase::count(story.outputs.len(), "output")
    );
    if story.absent > 0 {
        say(&format!("{} have no result here; `rbpipe run` makes them", phrase::count(story.absent, "node")));
    }
    Ok(Exit::Done)
}

fn pretty(json: &serde_json::Value) -> Vec<u8> {
    let mut text = serde_json::to_vec_pretty(json).unwrap_or_default();
    text.push(b'\n');
    text
}

fn write(path: &Path, bytes: &[u8]) -> io::Result<()> {
    publish::write_whole(path, &mut |file| file.write_all(bytes))
}

/// Fills a folder: the texts, the outputs, and the metadata last, so that a folder with metadata is whole.
fn write_crate(
    folder: &Path,
    story: &Story,
    recipe: &str,
    names: &BTreeMap<String, PathBuf>,
    texts: &BTreeSet<PathBuf>,
) -> io::Result<()> {
    let there = std::fs::read_dir(folder).is_ok_and(|mut entries| entries.next().is_some());
    if there && !folder.join(CRATE).is_file() {
        return Err(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "it is not empty and no crate; choose another folder",
        ));
    }
    match std::fs::remove_dir_all(folder) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let mut kept: Vec<(String, u64, Digest)> = Vec::new();
    for (name, path) in names {
        let target = folder.join(name);
        let copy = |file: &mut std::fs::File| io::copy(&mut std::fs::File::open(path)?, file).map(drop);
        publish::write_whole(&target, &mut { copy })?;
        if texts.contains(path) {
            kept.push((name.clone(), target.metadata()?.len(), digest_of_file(&target)?));
        }
    }
    kept.sort_by_key(|(name, ..)| (name != recipe, name.clone()));
    write(&folder.join(CRATE), &pretty(&ro_crate::metadata(story, &kept)))
}
