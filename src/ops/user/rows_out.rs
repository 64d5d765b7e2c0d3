//! Rows on their way to a user's command: JSON lines or an Arrow stream, pictures as files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Fields};
use arrow::ipc::writer::StreamWriter;
use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::args::Format;
use crate::base::OpError;
use crate::data::arrow_type;
use crate::data::cell::{self, Cell};
use crate::data::schema;
use crate::data::table::Table;
use crate::spec::{Type, user_op};

/// Pictures by the path at which the command finds them, each with its digest.
pub(super) type Pictures = BTreeMap<String, String>;
/// Digests of pictures that were made from others, and those of the others.
pub(super) type Origins = BTreeMap<String, String>;

/// Rows that are turned to text together.
const BLOCK: usize = 1 << 10;

/// The input of one process, while it is written.
pub(super) struct Input {
    out: Out,
    media: Media,
}

/// What the rows name.
#[derive(Default)]
pub(super) struct Media {
    pub pictures: Pictures,
    pub origins: Origins,
}

enum Out {
    Jsonl(BufWriter<File>),
    Arrow { path: PathBuf, stream: Option<StreamWriter<BufWriter<File>>> },
}

impl Input {
    /// Begins a file.
    pub(super) fn new(format: Format, to: &Path) -> Result<Self, OpError> {
        let out = match format {
            Format::Jsonl => Out::Jsonl(BufWriter::with_capacity(1 << 20, File::create(to)?)),
            Format::Arrow => Out::Arrow { path: to.to_owned(), stream: None },
        };
        Ok(Self { out, media: Media::default() })
    }

    /// Adds rows of a table, by their places in it: as one JSON object each, or as a batch of an Arrow stream. With `numbered` each tells its number.
    pub(super) fn push(
        &mut self,
        table: &Table,
        types: &[(String, Type)],
        rows: &[usize],
        numbered: bool,
    ) -> Result<(), OpError> {
        match &mut self.out {
            Out::Jsonl(file) => {
                let made: Vec<_> = rows
                    .par_chunks(BLOCK)
                    .map(|rows| lines(table, types, rows, numbered))
                    .collect::<Result<_, OpError>>()?;
                for (text, media) in made {
                    file.write_all(&text)?;
                    self.media.add(media);
                }
            }
            Out::Arrow { path, stream } => {
                let batch = batch(table, types, rows, numbered, &mut self.media)?;
                let stream = match stream {
                    Some(stream) => stream,
                    None => stream.insert(StreamWriter::try_new(
                        BufWriter::with_capacity(1 << 20, File::create(path)?),
                        &batch.schema(),
                    )?),
                };
                if batch.num_rows() > 0 {
                    stream.write(&batch)?;
                }
            }
        }
        Ok(())
    }

    /// Ends the file; returns what its rows name.
    pub(super) fn finish(self) -> Result<Media, OpError> {
        match self.out {
            Out::Jsonl(mut file) => file.flush()?,
            Out::Arrow { stream: Some(mut stream), .. } => stream.finish()?,
            Out::Arrow { .. } => {}
        }
        Ok(self.media)
    }
}

impl Media {
    fn add(&mut self, other: Self) {
        self.pictures.extend(other.pictures);
        self.origins.extend(other.origins);
    }
}

fn lines(table: &Table, types: &[(String, Type)], rows: &[usize], numbered: bool) -> Result<(Vec<u8>, Media), OpError> {
    let (mut out, mut media) = (Vec::new(), Media::default());
    for &row in rows {
        let mut object = Map::new();
        if numbered {
            object.insert(user_op::ROW.into(), Json::from((table.before + row).to_string()));
        }
        for (name, ty) in types {
            let cell = outward(table.cell(name, row)?, ty, &mut media);
            object.insert(name.clone(), json(&cell, ty));
        }
        serde_json::to_writer(&mut out, &object)?;
        out.push(b'\n');
    }
    Ok((out, media))
}

fn batch(
    table: &Table,
    types: &[(String, Type)],
    rows: &[usize],
    numbered: bool,
    media: &mut Media,
) -> Result<RecordBatch, OpError> {
    let mut columns: Vec<(String, ArrayRef)> = Vec::new();
    if numbered {
        let names = StringArray::from_iter_values(rows.iter().map(|row| (table.before + row).to_string()));
        columns.push((user_op::ROW.into(), Arc::new(names)));
    }
    for (name, ty) in types {
        let cells = rows.iter().map(|&row| Ok(outward(table.cell(name, row)?, ty, media)));
        let cells = cells.collect::<Result<Vec<_>, OpError>>()?;
        let array = cell::column(&cells, &with_paths(&schema::arrow(ty)))
            .map_err(|m| OpError::new("E0612", format!("column `{name}`: {}", m.message)))?;
        columns.push((name.clone(), array));
    }
    Ok(Table::new(columns, rows.len())?.batch)
}

/// Gives pictures the path at which the command finds them.
fn outward<'a>(cell: Cell<'a>, ty: &Type, media: &mut Media) -> Cell<'a> {
    match (ty, cell) {
        (Type::Optional(inner), cell) => outward(cell, inner, media),
        (Type::List(item), Cell::List(items)) => {
            Cell::List(items.into_iter().map(|c| outward(c, item, media)).collect())
        }
        (Type::Record(row), Cell::Record(fields)) => Cell::Record(
            fields
                .into_iter()
                .map(|(name, c)| {
                    let c = match row.get(&name) {
                        Some(ty) => outward(c, ty, media),
                        None => c,
                    };
                    (name, c)
                })
                .collect(),
        ),
        (Type::Image | Type::Video, Cell::Record(mut fields)) => {
            let text = |name: &str| {
                let found = fields.iter().find(|(n, _)| n == name);
                found.and_then(|(_, c)| c.as_str()).unwrap_or_default().to_owned()
            };
            let (digest, origin) = (text("digest"), text("origin"));
            let path = format!("media/{digest}.{}", ending(&text("media")));
            if !digest.is_empty() && !origin.is_empty() && digest != origin {
                media.origins.insert(digest.clone(), origin);
            }
            media.pictures.insert(path.clone(), digest);
            fields.insert(0, ("path".into(), Cell::Str(path.into())));
            Cell::Record(fields)
        }
        (_, cell) => cell,
    }
}

fn ending(media: &str) -> &str {
    match media.rsplit('/').next().unwrap_or_default() {
        "jpeg" => "jpg",
        "x-msvideo" => "avi",
        other => other,
    }
}

/// As [`Cell::to_json`], with the insides of Json columns as they are.
fn json(cell: &Cell<'_>, ty: &Type) -> Json {
    match (ty, cell) {
        (Type::Optional(inner), cell) => json(cell, inner),
        (Type::Json, Cell::Str(text)) => serde_json::from_str(text).unwrap_or_else(|_| Json::from(text.as_ref())),
        (Type::List(item), Cell::List(items)) => Json::Array(items.iter().map(|c| json(c, item)).collect()),
        (Type::Record(row), Cell::Record(fields)) => Json::Object(
            fields
                .iter()
                .map(|(name, c)| (name.to_string(), row.get(name).map_or_else(|| c.to_json(), |ty| json(c, ty))))
                .collect(),
        ),
        (_, cell) => cell.to_json(),
    }
}

/// The Arrow type with a `path` before what is known of a picture.
fn with_paths(ty: &DataType) -> DataType {
    match ty {
        DataType::List(item) => arrow_type::list_of(with_paths(item.data_type())),
        DataType::Struct(fields) => {
            let inner = fields.iter().map(|f| Field::new(f.name(), with_paths(f.data_type()), true));
            let path = arrow_type::is_media(ty).then(|| Field::new("path", DataType::Utf8, true));
            DataType::Struct(Fields::from(path.into_iter().chain(inner).collect::<Vec<_>>()))
        }
        other => other.clone(),
    }
}
