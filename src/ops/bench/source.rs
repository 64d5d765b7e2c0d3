//! `bench.json`, `bench.tsv`, `bench.dir`, `bench.hf`: the rows of a benchmark as its authors published them.
//!
//! Nobody declares a schema here, so the types of columns follow from the values; a column of mixed types becomes text. Texts
//! that name a picture which is there are read and kept in the metadata, so that `bench.sample` can use them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use arrow::datatypes::{DataType, Field, Fields};
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::archive::{self, facts};
use crate::base::OpError;
use crate::base::world::OsWorld;
use crate::data::arrow_type::{list_of, unify};
use crate::data::cell::{self, Cell};
use crate::data::formats::load::{self, RawRow};
use crate::data::formats::{jsonl, packed, paths};
use crate::data::table::Table;
use crate::engine::node::context::Output;
use crate::engine::storage::dataset;
use crate::engine::{Builtin, Context, Outputs};
use crate::plan::hub;
use crate::spec::{Columns, Effect, Hub, OpSpec};

const FROM_FILE: OpSpec = OpSpec { effect: Effect::Source, columns: Columns::FromFile, ..OpSpec::BASE };

/// Rows of a JSON file.
pub static JSON: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads a benchmark's rows from JSON lines or a JSON array.
op bench.json(
  ## A file or a glob; `hf:OWNER/NAME/FILE` lies below `RBPIPE_HF_MIRROR` or in the hub's local cache.
  path: Str,
  ## Where paths of pictures start: a folder, a zip or several. Default: the folder of the file.
  media: Str? = none,
  ## How many rows there must be.
  rows: Rows? = none,
  ## A word on the licence, for the report.
  licence_note: Str? = none,
) -> Dataset[{ ..any }]"#,
        hub: Hub::Rows("path"),
        ..FROM_FILE
    },
    run: Some(run_json),
};

/// Rows of a table with tabs, pictures in a column as base64.
pub static TSV: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads a benchmark's rows from a file with tabs and a header line; pictures lie in one column as base64.
op bench.tsv(path: Str, image_column: Str = "image", media: Str? = none, rows: Rows? = none) -> Dataset[{ ..any }]"#,
        ..FROM_FILE
    },
    run: Some(run_tsv),
};

/// All JSON files of a folder.
pub static DIR: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads a benchmark's rows from all `.jsonl` and `.json` files of a folder, in sorted order; pictures lie in that folder.
op bench.dir(path: Str, rows: Rows? = none) -> Dataset[{ ..any }]"#,
        ..FROM_FILE
    },
    run: Some(run_dir),
};

/// A repository of the hub, from a local mirror.
pub static HF: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads one split of a Hugging Face dataset from the folder `REPO` below `RBPIPE_HF_MIRROR` or from the hub's local cache, as the hub keeps
## it: Parquet (`data/SPLIT-00000-of-00001.parquet`, `CONFIG/SPLIT-….parquet`) with pictures inside, or `SPLIT.jsonl` with media beside it.
op bench.hf(
  ## `owner/name`
  repo: Str,
  ## `*` reads every configuration.
  config: Str = "default",
  ## One split, or several.
  split: Str | [Str] = "test",
  rows: Rows? = none,
  ## Zips with the media, `*.zip`; a mirror that has them unpacked is read as it is.
  media: Str? = none,
) -> Dataset[{ ..any }]"#,
        hub: Hub::Rows("repo"),
        ..FROM_FILE
    },
    run: Some(run_hf),
};

#[derive(Deserialize)]
struct Args {
    path: String,
    #[serde(default)]
    media: Option<String>,
    #[serde(default)]
    rows: Option<u64>,
    #[serde(default = "image")]
    image_column: String,
}

fn image() -> String {
    "image".into()
}

fn run_json(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let of_hub = args.path.strip_prefix("hf:");
    let files = match of_hub {
        Some(name) => {
            jsonl::files(&cx.folder, &hub::rows(&OsWorld, name).to_string_lossy()).map_err(|_| absent(name))?
        }
        None => jsonl::files(&cx.folder, &args.path)?,
    };
    // Media of the hub lie beside the file, others start where the recipe stands.
    let beside = files[0].parent().unwrap_or(&cx.folder).to_owned();
    match args.media.as_deref() {
        Some(media) if of_hub.is_none() => read(cx, &files, &cx.folder.clone(), Some(media), args.rows),
        media => read(cx, &files, &beside, media, args.rows),
    }
}

fn run_dir(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let files = jsonl::files(&cx.folder, &format!("{}/*.{{json,jsonl}}", args.path.trim_end_matches('/')))?;
    let media = cx.folder.join(&args.path);
    read(cx, &files, &media, None, args.rows)
}

fn run_hf(cx: &mut Context) -> Result<Outputs, OpError> {
    #[derive(Deserialize)]
    struct Split {
        repo: String,
        config: String,
        split: Json,
        rows: Option<u64>,
        #[serde(default)]
        media: Option<String>,
    }
    let args: Split = cx.args()?;
    let root = hub::dataset(&OsWorld, &args.repo, None);
    let splits: Vec<String> = match &args.split {
        Json::Array(all) => all.iter().filter_map(|s| s.as_str().map(str::to_owned)).collect(),
        one => one.as_str().map(str::to_owned).into_iter().collect(),
    };
    let mut files = Vec::new();
    for split in &splits {
        let patterns = layouts(&root, &args.config, split);
        let found = patterns.iter().find_map(|pattern| jsonl::files(&root, pattern).ok());
        let looked = || {
            let e = absent(&args.repo);
            OpError { message: format!("{}: looked for {}", e.message, patterns.join(", ")), ..e }
        };
        files.extend(found.ok_or_else(looked)?);
    }
    // What was unpacked already needs no zip.
    let zips = args.media.as_deref().filter(|m| jsonl::files(&root, m).is_ok());
    let unpacked = args.media.is_some() && zips.is_none();
    read_all(cx, &files, &root, zips, unpacked, args.rows)
}

/// The files that a split may lie in, as the hub and its converters name them.
fn layouts(root: &Path, config: &str, split: &str) -> Vec<String> {
    let folders: Vec<String> = match config {
        "*" => vec!["*/".to_owned()],
        "default" => vec![String::new(), "data/".to_owned(), "default/".to_owned()],
        config if root.join(config).is_dir() => vec![format!("{config}/")],
        config => vec![format!("{config}_"), String::new(), "data/".to_owned()],
    };
    let names = ["{}-*.parquet", "{}.parquet", "{}_*.parquet", "{}/*.parquet", "{}.jsonl", "{}.json"];
    let all =
        folders.iter().flat_map(|folder| names.iter().map(move |n| format!("{folder}{}", n.replace("{}", split))));
    all.collect()
}

fn run_tsv(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let mut rows = Vec::new();
    let mut pictures = Map::new();
    for file in jsonl::files(&cx.folder, &args.path)? {
        let bytes = packed::read(&file)?;
        let name = paths::name(&cx.folder, &file);
        let mut reader = csv::ReaderBuilder::new().delimiter(b'\t').from_reader(bytes.as_slice());
        let bad = |e: csv::Error| OpError::new("E0610", format!("{name}: {e}"));
        let header = reader.headers().map_err(bad)?.clone();
        for (line, record) in reader.records().enumerate() {
            let record = record.map_err(bad)?;
            let mut row = Map::new();
            for (key, value) in header.iter().zip(record.iter()) {
                let value = if key == args.image_column && value.len() > 64 {
                    let found = super::row::base64(value, cx.store)
                        .map_err(|why| OpError::new("E0610", format!("{name}:{}: the picture {why}", line + 2)))?;
                    let path = format!("{}.picture", found.digest);
                    pictures.insert(path.clone(), facts(&found));
                    path
                } else {
                    value.to_owned()
                };
                row.insert(key.to_owned(), Json::String(value));
            }
            rows.push(RawRow { place: format!("{name}:{}", line + 2), value: Ok(Json::Object(row)) });
        }
    }
    finish(cx, rows, pictures, args.rows)
}

fn absent(repo: &str) -> OpError {
    let help = "fetch it once with `hf download --repo-type dataset`, or set RBPIPE_HF_MIRROR to a folder that has it as `OWNER/NAME/…`";
    OpError::new("E0501", format!("`{repo}` is not on this machine, and nothing is fetched from the hub")).help(help)
}

fn read(
    cx: &mut Context,
    files: &[PathBuf],
    folder: &Path,
    media: Option<&str>,
    expected: Option<u64>,
) -> Result<Outputs, OpError> {
    read_all(cx, files, folder, media, false, expected)
}

/// Reads rows and their media; `unpacked`: all media below the folder count, not only those that rows name.
fn read_all(
    cx: &mut Context,
    files: &[PathBuf],
    folder: &Path,
    media: Option<&str>,
    unpacked: bool,
    expected: Option<u64>,
) -> Result<Outputs, OpError> {
    let mut rows = Vec::new();
    let mut pictures = Map::new();
    for file in files {
        let name = paths::name(&cx.folder, file);
        if file.extension().is_some_and(|e| e == "parquet") {
            rows.extend(super::parquet::rows(file, &name, cx.store, &mut pictures)?);
        } else {
            rows.extend(load::collected(|feed| jsonl::feed(file, &name, feed))?);
        }
    }
    let mut names = if unpacked { archive::below(folder)? } else { BTreeSet::new() };
    for row in &rows {
        if let Ok(value) = &row.value {
            collect(value, &mut names);
        }
    }
    let (found, unused) = archive::load(folder, media, &names, cx.store)?;
    pictures.extend(found);
    cx.counts.insert("pictures".into(), pictures.len() as u64);
    cx.counts.insert("names without a picture".into(), unused);
    finish(cx, rows, pictures, expected)
}

fn finish(
    cx: &mut Context,
    rows: Vec<RawRow>,
    pictures: Map<String, Json>,
    expected: Option<u64>,
) -> Result<Outputs, OpError> {
    let mut values = Vec::with_capacity(rows.len());
    for row in rows {
        match row.value {
            Ok(Json::Object(fields)) => values.push(fields),
            Ok(_) => return Err(OpError::new("E0610", format!("{}: expected an object", row.place))),
            Err(why) => return Err(OpError::new("E0610", format!("{}: {why}", row.place))),
        }
    }
    if let Some(n) = expected.filter(|n| *n != values.len() as u64) {
        return Err(OpError::new("E0805", format!("the benchmark has {} rows, `rows:` says {n}", values.len()))
            .help("another version of the benchmark? Correct `rows:` only if you mean this one"));
    }
    let table = table(&values)?;
    cx.counts.insert("read".into(), values.len() as u64);
    let mut artifact = dataset::save(cx.store, &table)?;
    artifact.meta["pictures"] = Json::Object(pictures);
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}

/// Collects texts that look like the name of a picture or video.
fn collect(value: &Json, names: &mut BTreeSet<String>) {
    match value {
        Json::String(text) if archive::is_medium(text) => drop(names.insert(text.clone())),
        Json::Array(items) => items.iter().for_each(|i| collect(i, names)),
        Json::Object(fields) => fields.values().for_each(|v| collect(v, names)),
        _ => {}
    }
}

/// Makes a table of objects, columns in order of first appearance.
fn table(rows: &[Map<String, Json>]) -> Result<Table, OpError> {
    let mut names: Vec<&String> = Vec::new();
    for row in rows {
        for name in row.keys() {
            if !names.contains(&name) {
                names.push(name);
            }
        }
    }
    let mut columns = Vec::with_capacity(names.len());
    for name in names {
        let values: Vec<&Json> = rows.iter().map(|r| r.get(name).unwrap_or(&Json::Null)).collect();
        let ty = values.iter().map(|v| type_of(v)).try_fold(DataType::Null, |a, b| unify(&a, &b?));
        let (ty, cells): (DataType, Vec<Cell>) = match ty {
            Some(ty) => {
                (if ty == DataType::Null { ty } else { settle(&ty) }, values.iter().map(|v| Cell::of_json(v)).collect())
            }
            None => (DataType::Utf8, values.iter().map(|v| as_text(v)).collect()),
        };
        let array = cell::column(&cells, &ty)
            .map_err(|m| OpError::new("E0610", format!("column `{name}`, row {}: {}", m.row, m.message)))?;
        columns.push((name.clone(), array));
    }
    Table::new(columns, rows.len())
}

fn as_text(value: &Json) -> Cell<'static> {
    match value {
        Json::Null => Cell::None,
        Json::String(text) => Cell::Str(text.clone().into()),
        other => Cell::Str(other.to_string().into()),
    }
}

/// The type of a value; `None` where its own parts do not agree.
fn type_of(value: &Json) -> Option<DataType> {
    Some(match value {
        Json::Null => DataType::Null,
        Json::Bool(_) => DataType::Boolean,
        Json::Number(n) => {
            if n.is_i64() {
                DataType::Int64
            } else {
                DataType::Float64
            }
        }
        Json::String(_) => DataType::Utf8,
        Json::Array(items) => list_of(items.iter().try_fold(DataType::Null, |a, v| unify(&a, &type_of(v)?))?),
        Json::Object(fields) => {
            let fields: Option<Vec<Field>> =
                fields.iter().map(|(k, v)| Some(Field::new(k, type_of(v)?, true))).collect();
            DataType::Struct(Fields::from(fields?))
        }
    })
}

/// Replaces what was never seen by text; a column without any value keeps no type, so that it fits whatever replaces `none`.
fn settle(ty: &DataType) -> DataType {
    match ty {
        DataType::Null => DataType::Utf8,
        DataType::List(item) => list_of(settle(item.data_type())),
        DataType::Struct(fields) => DataType::Struct(
            fields.iter().map(|f| Field::new(f.name(), settle(f.data_type()), true)).collect::<Vec<_>>().into(),
        ),
        other => other.clone(),
    }
}
