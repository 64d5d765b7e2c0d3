//! Puts outputs where the recipe says, whole or not at all, with a note beside them about where they come from.

use std::collections::BTreeMap;
use std::io::{self, Write as _};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use serde_json::{Value as Json, json};

use super::hub_rows::{self, Form};
use super::{export, json_lines};
use crate::base::{Digest, OpError};
use crate::data::table::Table;
use crate::engine::artifact::{Artifact, BESIDE, Kind};
use crate::engine::crash::step;
use crate::engine::inputs::terms::Flowed;
use crate::engine::machine;
use crate::engine::storage::note::{Note, Written, at, place, sidecar};
use crate::engine::storage::store::{Store, digest_of_file};
use crate::engine::storage::{dataset, held};

/// How names of what is not whole yet begin.
const HALF: &str = ".rbpipe-";
/// What became of an output.
#[derive(Debug, PartialEq)]
pub enum Done {
    /// Written.
    Written,
    /// It was there already.
    Same,
}

/// What is written where: relative path (empty for the target itself) to bytes or to a blob.
enum Piece {
    Bytes(Vec<u8>),
    Blob(Digest),
    /// A dataset as JSON lines, its pictures in a folder of this name.
    Lines(Artifact, String),
    Rows(Table, Form),
}

/// Publishes an artifact by its kind and the target's extension.
///
/// # Errors
/// `E0508` where something lies that this tool did not write; `E0612` where the kind has no such form; class `damaged` where bytes in the store are.
pub fn publish(
    store: &Store,
    artifact: &Artifact,
    target: &Path,
    provenance: Json,
    force: bool,
) -> Result<Done, OpError> {
    let target = std::path::absolute(target)?;
    let target = target.as_path();
    sweep(target.parent().unwrap_or(Path::new(".")));
    let digest = artifact.digest();
    let note = sidecar(target);
    let before: Option<Note> = std::fs::read(&note).ok().and_then(|b| serde_json::from_slice(&b).ok());
    if let Some(before) = &before
        && !before.underway
        && before.artifact == digest
        && before.files.iter().all(|(path, written)| unchanged(&place(target, path), *written))
    {
        // Without this the result may be collected and is made anew; the output stays.
        let _ = held::remember(store, target, &provenance);
        return Ok(Done::Same);
    }
    if target.exists() && before.is_none() && !force {
        let message = format!("`{}` was not written by rbpipe and is left alone", target.display());
        return Err(OpError::new("E0508", message).help("move it away, choose another target, or give `--force`"));
    }
    crate::engine::storage::verify::sound(store, artifact.files.values())?;
    let pieces = pieces(store, artifact, target)?;
    for piece in pieces.values() {
        if let Piece::Blob(digest) = piece {
            crate::engine::storage::verify::sound_blob(store, *digest)?;
        }
    }
    let parent = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|e| at(parent, &e))?;
    let folder = !pieces.contains_key("");
    let temporary = tempfile::Builder::new().prefix(&half()).tempdir_in(parent).map_err(|e| at(parent, &e))?;
    step();
    let staged = temporary.path().join("new");
    for (path, piece) in &pieces {
        let to = if path.starts_with("../") { continue } else { place(&staged, path) };
        write(store, piece, &to).map_err(|e| at(&place(target, path), &e))?;
    }
    // Pictures go beside the file first: what the rows name is there before the rows are.
    for (path, piece) in pieces.iter().filter(|(p, _)| p.starts_with("../")) {
        let to = place(target, path);
        if !matches!(piece, Piece::Blob(d) if digest_of_file(&to).is_ok_and(|found| found == *d)) {
            write(store, piece, &to).map_err(|e| at(&to, &e))?;
        }
    }
    let mut files = BTreeMap::new();
    for path in pieces.keys() {
        let file = place(if path.starts_with("../") { target } else { &staged }, path);
        let metadata = std::fs::metadata(&file).map_err(|e| at(&file, &e))?;
        let digest = digest_of_file(&file).map_err(|e| at(&file, &e))?;
        files.insert(path.clone(), Written { digest, size: metadata.len(), time: metadata.mtime() });
    }
    let mut told = Note { artifact: digest, files, provenance, underway: true };
    told.write(temporary.path(), &note)?;
    if folder && target.is_dir() {
        let old = temporary.path().join("old");
        std::fs::rename(target, &old).map_err(|e| at(target, &e))?;
        step();
    }
    if let Err(e) = std::fs::rename(&staged, target) {
        return Err(at(target, &e));
    }
    step();
    let _ = held::remember(store, target, &told.provenance);
    told.underway = false;
    told.write(temporary.path(), &note)?;
    std::fs::File::open(parent).and_then(|f| f.sync_all()).map_err(|e| at(parent, &e))?;
    step();
    Ok(Done::Written)
}

/// How names of what is not whole yet begin: hidden, with the mark of this process.
fn half() -> String {
    format!("{HALF}{}", machine::mark())
}

/// Removes what processes that are no more have left half beside outputs.
fn sweep(folder: &Path) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_name().to_string_lossy().strip_prefix(HALF).is_some_and(machine::is_gone) {
            let path = entry.path();
            let _ = if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) };
        }
    }
}

fn unchanged(path: &Path, written: Written) -> bool {
    let Ok(metadata) = std::fs::metadata(path) else { return false };
    if metadata.len() != written.size {
        return false;
    }
    metadata.mtime() == written.time || digest_of_file(path).is_ok_and(|d| d == written.digest)
}

fn write(store: &Store, piece: &Piece, to: &Path) -> io::Result<()> {
    write_whole(to, &mut |file| match piece {
        Piece::Bytes(bytes) => file.write_all(bytes),
        Piece::Blob(digest) => io::copy(&mut std::fs::File::open(store.path(*digest))?, file).map(drop),
        Piece::Lines(rows, folder) => {
            let full = |e: &OpError| e.code == "E0504";
            json_lines::write(store, rows, folder, file).map_err(|e| match full(&e) {
                true => io::Error::new(io::ErrorKind::StorageFull, e.message),
                false => io::Error::other(e.message),
            })
        }
        Piece::Rows(table, form) => {
            let media = |cell: &export::MediaCell| Ok((Some(store.read(cell.digest)?), cell.file_name()));
            hub_rows::write(table, *form, &media, io::BufWriter::new(file)).map_err(|e| io::Error::other(e.message))
        }
    })
}

/// Writes a file of the user's that is there whole or not at all, and everybody may read; makes the folders above it.
pub fn write_whole(to: &Path, fill: &mut dyn FnMut(&mut std::fs::File) -> io::Result<()>) -> io::Result<()> {
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    // A copy, never a link: a user's edit must not reach the store. Written aside, so that a half file never bears the name.
    let mut file = tempfile::Builder::new().prefix(&half()).tempfile_in(folder)?;
    fill(file.as_file_mut())?;
    step();
    file.as_file().sync_all()?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    file.as_file().set_permissions(mode)?;
    step();
    file.persist(to).map_err(|e| e.error)?;
    step();
    Ok(())
}

fn pieces(store: &Store, artifact: &Artifact, target: &Path) -> Result<BTreeMap<String, Piece>, OpError> {
    let extension = target.extension().map(|e| e.to_string_lossy().to_lowercase()).unwrap_or_default();
    let mut out = BTreeMap::new();
    let none = || {
        let kind = format!("{:?}", artifact.kind).to_lowercase();
        let message = format!("a {kind} cannot be written to `{}`", target.display());
        Err(OpError::new("E0612", message).help(match artifact.kind {
            Kind::Dataset => "a dataset goes to `.jsonl`, `.parquet`, `.arrow`, or a folder",
            Kind::Table => "a table goes to `.md`, `.csv`, `.json`, `.html` or `.tex`",
            Kind::Report => "a report goes to `.html`, a chart to `.svg`",
            Kind::Metric | Kind::Score => "a number goes to `.json`",
            _ => "choose a folder",
        }))
    };
    match (artifact.kind, extension.as_str()) {
        (Kind::Dataset, "jsonl") => {
            let name = target.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default();
            let folder = format!("{name}.media");
            let files = json_lines::media(store, artifact, &folder)?;
            out.insert(String::new(), Piece::Lines(artifact.clone(), folder));
            out.extend(files.into_iter().map(|(path, digest)| (format!("../{path}"), Piece::Blob(digest))));
        }
        (Kind::Dataset, "parquet" | "arrow" | "") => {
            let form = if extension == "arrow" { Form::Arrow } else { Form::Parquet };
            let name = if extension.is_empty() { "part-00000.parquet" } else { "" };
            out.insert(name.into(), Piece::Rows(dataset::load(store, artifact)?, form));
        }
        (Kind::Metric | Kind::Score, "json") => {
            let text = serde_json::to_vec_pretty(&artifact.meta)?;
            out.insert(String::new(), Piece::Bytes(text));
        }
        (Kind::Dataset, _) => return none(),
        (_, "") => {
            out.extend(artifact.files.iter().map(|(path, f)| (path.clone(), Piece::Blob(f.digest))));
            if out.is_empty() {
                return none();
            }
        }
        // Tables and reports carry a file for each form.
        (_, wanted) => {
            let of_form = |p: &&String| Path::new(p.as_str()).extension().is_some_and(|e| e == wanted);
            let main = ["table", "report", "index"].iter().map(|stem| format!("{stem}.{wanted}"));
            let found = main
                .into_iter()
                .find(|p| artifact.files.contains_key(p))
                .or_else(|| artifact.files.keys().filter(of_form).min().cloned());
            match found {
                Some(path) => {
                    // A page names what it needs by a relative path; the names hold digests, so that pages may share the folder.
                    let beside =
                        artifact.files.iter().filter(|(p, _)| path.ends_with(".html") && p.starts_with(BESIDE));
                    out.extend(beside.map(|(p, f)| (format!("../{p}"), Piece::Blob(f.digest))));
                    out.insert(String::new(), Piece::Blob(artifact.files[&path].digest))
                }
                None if wanted == "json" => {
                    out.insert(String::new(), Piece::Bytes(serde_json::to_vec_pretty(&artifact.meta)?))
                }
                None if artifact.kind == Kind::File && artifact.files.len() == 1 => {
                    let file = artifact.files.values().next().map(|f| f.digest);
                    file.and_then(|d| out.insert(String::new(), Piece::Blob(d)))
                }
                // A folder's name may have a dot: `out/v1.2`.
                None if matches!(artifact.kind, Kind::Model) => {
                    out.extend(artifact.files.iter().map(|(path, f)| (path.clone(), Piece::Blob(f.digest))));
                    None
                }
                None => return none(),
            };
        }
    }
    Ok(out)
}

/// Returns what a note says about where an output comes from.
pub fn provenance(
    recipe: &Path,
    output: &str,
    node: &str,
    key: Option<Digest>,
    params: &[(String, String)],
    terms: &Flowed,
) -> Json {
    json!({
        "recipe": recipe.file_name().map(|n| n.to_string_lossy().into_owned()),
        "output": output,
        "node": node,
        "key": key,
        "params": params.iter().cloned().collect::<BTreeMap<_, _>>(),
        "terms": terms,
        "published": crate::engine::event::now(),
        "build": env!("CARGO_PKG_VERSION"),
    })
}
