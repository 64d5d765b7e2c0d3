//! Rows on their way to a user's command: JSON lines or an Arrow stream, pictures as files.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::sync::Arc;

use arrow::array::StringArray;
use arrow::datatypes::{DataType, Field, Fields};
use arrow::ipc::writer::StreamWriter;
use serde_json::{Map, Value as Json};

use crate::base::OpError;
use crate::data::arrow_type;
use crate::data::cell::{self, Cell};
use crate::data::schema;
use crate::data::table::Table;
use crate::spec::{Type, user_op};

/// Pictures by the path at which the command finds them, each with its digest.
pub(super) type Pictures = BTreeMap<String, String>;

/// Writes rows as one JSON object each; returns the pictures that they name.
pub(super) fn jsonl(
    table: &Table,
    types: &[(String, Type)],
    rows: &[usize],
    numbered: bool,
    to: &Path,
) -> Result<Pictures, OpError> {
    let mut pictures = Pictures::new();
    let mut out = BufWriter::new(File::create(to)?);
    for &row in rows {
        let mut object = Map::new();
        if numbered {
            object.insert(user_op::ROW.into(), Json::from(row.to_string()));
        }
        for (name, ty) in types {
            let cell = outward(table.cell(name, row)?, ty, &mut pictures);
            object.insert(name.clone(), json(&cell, ty));
        }
        serde_json::to_writer(&mut out, &object)?;
        out.write_all(b"\n")?;
    }
    out.flush()?;
    Ok(pictures)
}

/// Writes rows as an Arrow stream; returns the pictures that they name.
pub(super) fn arrow(
    table: &Table,
    types: &[(String, Type)],
    rows: &[usize],
    numbered: bool,
    to: &Path,
) -> Result<Pictures, OpError> {
    let mut pictures = Pictures::new();
    let mut columns: Vec<(String, arrow::array::ArrayRef)> = Vec::new();
    if numbered {
        let names = StringArray::from_iter_values(rows.iter().map(ToString::to_string));
        columns.push((user_op::ROW.into(), Arc::new(names)));
    }
    for (name, ty) in types {
        let cells = rows.iter().map(|&row| Ok(outward(table.cell(name, row)?, ty, &mut pictures)));
        let cells = cells.collect::<Result<Vec<_>, OpError>>()?;
        let array = cell::column(&cells, &with_paths(&schema::arrow(ty)))
            .map_err(|m| OpError::new("E0612", format!("column `{name}`: {}", m.message)))?;
        columns.push((name.clone(), array));
    }
    let batch = Table::new(columns, rows.len())?.batch;
    let mut writer = StreamWriter::try_new(BufWriter::new(File::create(to)?), &batch.schema())?;
    writer.write(&batch)?;
    writer.finish()?;
    Ok(pictures)
}

/// Gives pictures the path at which the command finds them.
fn outward<'a>(cell: Cell<'a>, ty: &Type, pictures: &mut Pictures) -> Cell<'a> {
    match (ty, cell) {
        (Type::Optional(inner), cell) => outward(cell, inner, pictures),
        (Type::List(item), Cell::List(items)) => {
            Cell::List(items.into_iter().map(|c| outward(c, item, pictures)).collect())
        }
        (Type::Record(row), Cell::Record(fields)) => Cell::Record(
            fields
                .into_iter()
                .map(|(name, c)| {
                    let c = match row.get(&name) {
                        Some(ty) => outward(c, ty, pictures),
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
            let (digest, media) = (text("digest"), text("media"));
            let path = format!("media/{digest}.{}", ending(&media));
            pictures.insert(path.clone(), digest);
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
