//! What the loaders share: their arguments, files, media folder and bad rows.

use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::base::OpError;
use crate::base::world::OsWorld;
use crate::data::formats::load::{self, Bad, BadRow, Feed, RawRow};
use crate::data::formats::{lines::Reader, paths};
use crate::data::pictures::media::{Media, Members};
use crate::data::schema::Columns;
use crate::data::table::Table;
use crate::engine::node::context::{Fate, QUARANTINED};
use crate::engine::storage::dataset::Writer;
use crate::engine::{Context, Output, Outputs};
use crate::ops::rows::pooled;
use crate::plan::hub;
use crate::spec::Type;

/// The arguments that all loaders take.
#[derive(Deserialize)]
pub struct Args {
    /// A file or a glob, relative to the recipe.
    pub path: String,
    /// The columns to read.
    #[serde(rename = "as")]
    pub schema: Columns,
    /// A folder or zip, relative to the recipe.
    #[serde(default)]
    pub media: Option<String>,
    /// What happens to bad rows.
    pub bad: Bad,
}

/// Reads the rows of all files that the arguments name, each whole with `read(file, name)`, and makes a dataset of them.
pub fn load(
    cx: &mut Context,
    args: &Args,
    mut read: impl FnMut(&Path, &str) -> Result<Vec<RawRow>, OpError> + Send,
) -> Result<Outputs, OpError> {
    load_with(cx, args, |path, name, feed| feed(read(path, name)?, Members::new()))
}

/// As [`load`], with a change of what was read that is not the file's to make, such as one that needs the pictures.
pub fn load_changed(
    cx: &mut Context,
    args: &Args,
    change: impl FnMut(Table) -> Result<Table, OpError> + Send,
    mut read: impl FnMut(&Path, &str) -> Result<Vec<RawRow>, OpError> + Send,
) -> Result<Outputs, OpError> {
    let (files, media) = named(cx, args)?;
    load_through(cx, args, &files, media, change, |path, name, feed| feed(read(path, name)?, Members::new()))
}

/// As [`load`], for files that `read` feeds some rows at a time: no more of them is in memory.
pub fn load_with(
    cx: &mut Context,
    args: &Args,
    read: impl FnMut(&Path, &str, &mut Feed<'_>) -> Result<(), OpError> + Send,
) -> Result<Outputs, OpError> {
    let (files, media) = named(cx, args)?;
    load_files(cx, args, &files, media, read)
}

/// As [`load_with`], for files that are known already.
pub fn load_files(
    cx: &mut Context,
    args: &Args,
    files: &[PathBuf],
    media: Media,
    read: impl FnMut(&Path, &str, &mut Feed<'_>) -> Result<(), OpError> + Send,
) -> Result<Outputs, OpError> {
    load_through(cx, args, files, media, Ok, read)
}

fn load_through(
    cx: &mut Context,
    args: &Args,
    files: &[PathBuf],
    media: Media,
    mut change: impl FnMut(Table) -> Result<Table, OpError> + Send,
    mut read: impl FnMut(&Path, &str, &mut Feed<'_>) -> Result<(), OpError> + Send,
) -> Result<Outputs, OpError> {
    let schema = args.schema.types()?;
    let mut writer = Writer::new(cx.store);
    let (total, bad) = pooled(cx.threads, || -> Result<_, OpError> {
        let (mut total, mut bad) = (0, Vec::new());
        let mut loaded = Members::new();
        for file in files {
            read(file, &paths::name(&cx.folder, file), &mut |rows, within| {
                total += rows.len();
                let keys: Vec<String> = within.keys().cloned().collect();
                loaded.extend(within);
                let (table, unfit) = load::table_with(rows, &schema, &media, cx.store, Bad::Skip, &mut loaded)?;
                keys.iter().for_each(|key| {
                    loaded.remove(key);
                });
                bad.extend(unfit);
                writer.push(change(table)?)
            })?;
        }
        Ok((total, bad))
    })??;
    written(cx, args, &schema, writer, bad, total)
}

/// Ends a dataset of which `total` rows were read, and tells of the bad ones.
fn written(
    cx: &mut Context,
    args: &Args,
    schema: &[(String, Type)],
    mut writer: Writer<'_>,
    bad: Vec<BadRow>,
    total: usize,
) -> Result<Outputs, OpError> {
    if args.bad == Bad::Fail {
        load::none_bad(&bad, total)?;
    }
    if total == bad.len() {
        let nowhere = Media::Folder(cx.folder.clone());
        writer.push(load::table(Vec::new(), schema, &nowhere, cx.store, Bad::Skip)?.0)?;
    }
    tell(cx, args.bad, bad, total);
    Ok(vec![(String::new(), Output::Artifact(writer.finish()?))])
}

/// Finds the files that the arguments name, and opens the place of their pictures.
fn named(cx: &Context, args: &Args) -> Result<(Vec<PathBuf>, Media), OpError> {
    let of_hub = args.path.strip_prefix("hf:");
    let files = match of_hub {
        Some(name) => paths::files(&cx.folder, &hub::rows(&OsWorld, name).to_string_lossy())?,
        None => paths::files(&cx.folder, &args.path)?,
    };
    let media = match &args.media {
        Some(media) if of_hub.is_some() => files[0].with_file_name(media),
        Some(media) => cx.folder.join(media),
        None => files[0].parent().unwrap_or(&cx.folder).to_owned(),
    };
    Ok((files, Media::open(&media)?))
}

/// Reads files of JSON lines as [`load`] does, but keeps no more than a few chunks of rows in memory.
pub fn lines(cx: &mut Context, args: &Args) -> Result<Outputs, OpError> {
    let (files, media) = named(cx, args)?;
    let schema = args.schema.types()?;
    let mut writer = Writer::new(cx.store);
    let (total, bad) = pooled(cx.threads, || -> Result<_, OpError> {
        let mut sink = |table| writer.push(table);
        let mut reader = Reader::new(&schema, &media, cx.store, &mut sink);
        for file in &files {
            reader.file(file, &paths::name(&cx.folder, file))?;
        }
        reader.finish()
    })??;
    written(cx, args, &schema, writer, bad, total)
}

fn tell(cx: &mut Context, policy: Bad, bad: Vec<BadRow>, total: usize) {
    let (what, counted) = match policy {
        Bad::Quarantine => (QUARANTINED, "quarantined"),
        _ => ("dropped", "skipped"),
    };
    cx.counts.insert("read".into(), total as u64);
    cx.counts.insert("kept".into(), (total - bad.len()) as u64);
    cx.counts.insert(counted.into(), bad.len() as u64);
    cx.fates.extend(bad.into_iter().map(|b| Fate { row: b.place, what: what.into(), why: b.reason }));
}
