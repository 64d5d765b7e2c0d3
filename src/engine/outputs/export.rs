//! Rows as JSON for people: keys in schema order, absent values left out, shortest floats.

use arrow::array::{
    Array, BooleanArray, Float32Array, Float64Array, Int32Array, Int64Array, ListArray, StringArray, StructArray,
};
use arrow::datatypes::DataType;
use serde_json::{Map, Value as Json, json};

use crate::base::{Digest, OpError};
use crate::data::arrow_type::is_media;
use crate::data::table::Table;
use crate::engine::artifact::Artifact;
use crate::engine::storage::dataset::Chunks;
use crate::engine::storage::store::Store;

/// A picture or video of a row.
#[derive(Clone, Debug)]
pub struct MediaCell {
    /// The digest of its bytes.
    pub digest: Digest,
    /// Its media type.
    pub media: String,
    /// In pixels.
    pub width: Option<i64>,
    /// In pixels.
    pub height: Option<i64>,
}

impl MediaCell {
    /// Returns the name of the file that it is exported as: its digest, and the usual extension of its type.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.digest.hex(), self.extension())
    }

    fn extension(&self) -> &str {
        match self.media.as_str() {
            "image/jpeg" => "jpg",
            "image/svg+xml" => "svg",
            "video/quicktime" => "mov",
            "" => "bin",
            other => other.rsplit('/').next().unwrap_or("bin"),
        }
    }
}

/// Returns the first rows of a dataset for people, pictures as short text; reads no more chunks than hold them.
pub fn sample(store: &Store, artifact: &Artifact, rows: usize) -> Result<Vec<Json>, OpError> {
    let mut chunks = Chunks::open(store, artifact)?;
    let mut sample = Vec::new();
    while sample.len() < rows
        && let Some(chunk) = chunks.next().transpose()?
    {
        for ordinal in 0..chunk.rows().min(rows - sample.len()) {
            sample.push(Json::Object(row(&chunk, ordinal)?));
        }
    }
    Ok(sample)
}

fn row(table: &Table, ordinal: usize) -> Result<Map<String, Json>, OpError> {
    let mut out = Map::new();
    for (name, array) in table.columns() {
        if let Some(v) = cell(array.as_ref(), ordinal)? {
            out.insert(name, v);
        }
    }
    Ok(out)
}

fn cell(array: &dyn Array, i: usize) -> Result<Option<Json>, OpError> {
    if array.is_null(i) {
        return Ok(None);
    }
    let any = array.as_any();
    Ok(Some(match array.data_type() {
        DataType::Utf8 => json!(any.downcast_ref::<StringArray>().map(|a| a.value(i))),
        DataType::Int64 => json!(any.downcast_ref::<Int64Array>().map(|a| a.value(i))),
        DataType::Int32 => json!(any.downcast_ref::<Int32Array>().map(|a| a.value(i))),
        DataType::Float64 => json!(any.downcast_ref::<Float64Array>().map(|a| a.value(i))),
        DataType::Float32 => json!(any.downcast_ref::<Float32Array>().map(|a| a.value(i))),
        DataType::Boolean => json!(any.downcast_ref::<BooleanArray>().map(|a| a.value(i))),
        DataType::Null => return Ok(None),
        DataType::List(_) => {
            let Some(list) = any.downcast_ref::<ListArray>() else { return Ok(None) };
            let values = list.value(i);
            let mut items = Vec::with_capacity(values.len());
            for k in 0..values.len() {
                items.push(cell(values.as_ref(), k)?.unwrap_or(Json::Null));
            }
            Json::Array(items)
        }
        DataType::Struct(fields) => {
            let Some(record) = any.downcast_ref::<StructArray>() else { return Ok(None) };
            if is_media(array.data_type()) {
                return Ok(media_cell(record, i).map(|c| shown(&c)));
            }
            let mut out = Map::new();
            for (field, column) in fields.iter().zip(record.columns()) {
                if let Some(v) = cell(column.as_ref(), i)? {
                    out.insert(field.name().clone(), v);
                }
            }
            Json::Object(out)
        }
        other => {
            let cast = arrow::compute::cast(&array.slice(i, 1), &DataType::Utf8)
                .map_err(|_| OpError::new("E0612", format!("a cell of type {other} cannot be written as JSON")))?;
            return cell(cast.as_ref(), 0);
        }
    }))
}

/// A picture in a line for people: `<image/png 3f9a0c2b71de 640×480>`.
fn shown(cell: &MediaCell) -> Json {
    let size = match (cell.width, cell.height) {
        (Some(w), Some(h)) => format!(" {w}×{h}"),
        _ => String::new(),
    };
    json!(format!("<{} {}{size}>", cell.media, cell.digest.short()))
}

pub(super) fn media_cell(record: &StructArray, i: usize) -> Option<MediaCell> {
    let text = |name: &str| {
        let column = record.column_by_name(name)?.as_any().downcast_ref::<StringArray>()?;
        (!column.is_null(i)).then(|| column.value(i).to_owned())
    };
    let number = |name: &str| {
        let column = record.column_by_name(name)?.as_any().downcast_ref::<Int64Array>()?;
        (!column.is_null(i)).then(|| column.value(i))
    };
    Some(MediaCell {
        digest: Digest::parse(&text("digest")?)?,
        media: text("media").unwrap_or_default(),
        width: number("width"),
        height: number("height"),
    })
}
