//! Rows as Parquet and Arrow files that `datasets` opens with all their types: pictures with their bytes.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, BinaryBuilder, ListArray, RecordBatch, StringBuilder, StructArray};
use arrow::datatypes::{DataType, Field, FieldRef, Fields, Schema};
use arrow::ipc::writer::StreamWriter;
use parquet::arrow::ArrowWriter;
use parquet::basic::Compression;
use parquet::file::properties::WriterProperties;
use serde_json::{Value as Json, json};

use super::export::{MediaCell, media_cell};
use crate::base::OpError;
use crate::data::arrow_type::{holds_media, is_media};
use crate::data::table::Table;

/// Rows of a group that hold pictures: a reader has to hold a group.
const ROWS_WITH_MEDIA: usize = 100;
const ROWS: usize = 100_000;

/// The kind of file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Parquet.
    Parquet,
    /// An Arrow stream.
    Arrow,
}

/// What a file holds of a picture or video: its bytes, or none, and its path.
pub type MediaOf<'a> = &'a dyn Fn(&MediaCell) -> Result<(Option<Vec<u8>>, String), OpError>;

/// Writes rows, group by group. `datasets` finds the types of its features in the metadata under `huggingface`.
pub fn write(table: &Table, form: Form, media: MediaOf, out: impl Write + Send) -> Result<(), OpError> {
    let columns = table.columns();
    let features: serde_json::Map<String, Json> = columns.iter().map(|(n, a)| (n.clone(), feature(a))).collect();
    let metadata = json!({ "info": { "features": features } }).to_string();
    let fields: Vec<Field> = columns.iter().map(|(n, a)| Field::new(n, outer(a.data_type()), true)).collect();
    let schema = Schema::new_with_metadata(fields, HashMap::from([("huggingface".to_owned(), metadata)]));
    let schema = Arc::new(schema);
    let rows = if columns.iter().any(|(_, a)| holds_media(a.data_type())) { ROWS_WITH_MEDIA } else { ROWS };
    let groups = (0..table.rows()).step_by(rows).map(|from| {
        let arrays = columns.iter().map(|(_, array)| {
            let part = array.slice(from, rows.min(table.rows() - from));
            filled(&part, media)
        });
        Ok(RecordBatch::try_new(Arc::clone(&schema), arrays.collect::<Result<_, OpError>>()?)?)
    });
    match form {
        Form::Parquet => {
            let failed = |e: parquet::errors::ParquetError| OpError::new("E0612", e.to_string());
            let properties = WriterProperties::builder().set_compression(Compression::SNAPPY);
            let properties = properties.set_created_by("rbpipe".into()).build();
            let mut writer = ArrowWriter::try_new(out, Arc::clone(&schema), Some(properties)).map_err(failed)?;
            for group in groups {
                let group: Result<_, OpError> = group;
                writer.write(&group?).and_then(|()| writer.flush()).map_err(failed)?;
            }
            writer.close().map_err(failed)?;
        }
        Form::Arrow => {
            let mut writer = StreamWriter::try_new(out, &schema)?;
            for group in groups {
                writer.write(&group?)?;
            }
            writer.finish()?;
        }
    }
    Ok(())
}

/// The type that a column has outside.
fn outer(ty: &DataType) -> DataType {
    match ty {
        ty if is_media(ty) => DataType::Struct(picture_fields()),
        DataType::List(item) => DataType::List(Arc::new(Field::new("item", outer(item.data_type()), true))),
        DataType::Struct(fields) => {
            DataType::Struct(fields.iter().map(|f| Field::new(f.name(), outer(f.data_type()), true)).collect())
        }
        other => other.clone(),
    }
}

fn picture_fields() -> Fields {
    Fields::from(vec![Field::new("bytes", DataType::Binary, true), Field::new("path", DataType::Utf8, true)])
}

fn item_field(list: &DataType) -> FieldRef {
    match list {
        DataType::List(item) => Arc::clone(item),
        other => Arc::new(Field::new("item", other.clone(), true)),
    }
}

/// Puts bytes and paths in the place of digests.
fn filled(array: &ArrayRef, media: MediaOf) -> Result<ArrayRef, OpError> {
    if !holds_media(array.data_type()) {
        return Ok(Arc::clone(array));
    }
    let ty = outer(array.data_type());
    Ok(match array.data_type() {
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            let values = filled(&list.values().slice(from as usize, (to - from) as usize), media)?;
            let lengths = list.value_offsets().windows(2).map(|w| (w[1] - w[0]) as usize);
            let offsets = arrow::buffer::OffsetBuffer::from_lengths(lengths);
            Arc::new(ListArray::try_new(item_field(&ty), offsets, values, list.nulls().cloned())?)
        }
        inner if is_media(inner) => pictures(array.as_struct(), media)?,
        _ => {
            let record = array.as_struct();
            let columns = record.columns().iter().map(|c| filled(c, media)).collect::<Result<Vec<_>, _>>()?;
            let DataType::Struct(fields) = ty else { return Ok(Arc::clone(array)) };
            Arc::new(StructArray::try_new(fields, columns, record.nulls().cloned())?)
        }
    })
}

fn pictures(record: &StructArray, media: MediaOf) -> Result<ArrayRef, OpError> {
    let (mut bytes, mut paths) = (BinaryBuilder::new(), StringBuilder::new());
    for row in 0..record.len() {
        let cell = if record.is_null(row) { None } else { media_cell(record, row) };
        let found = cell.map(|cell| media(&cell)).transpose()?;
        bytes.append_option(found.as_ref().and_then(|(bytes, _)| bytes.as_deref()));
        paths.append_option(found.as_ref().map(|(_, path)| path));
    }
    let columns: Vec<ArrayRef> = vec![Arc::new(bytes.finish()), Arc::new(paths.finish())];
    Ok(Arc::new(StructArray::try_new(picture_fields(), columns, record.nulls().cloned())?))
}

/// Describes a column in the words of `datasets`; a list is written as releases before 4 read it too.
fn feature(array: &ArrayRef) -> Json {
    let value = |dtype: &str| json!({ "dtype": dtype, "_type": "Value" });
    match array.data_type() {
        DataType::Int64 => value("int64"),
        DataType::Float64 => value("float64"),
        DataType::Boolean => value("bool"),
        DataType::Null => value("null"),
        DataType::List(_) => json!([feature(array.as_list::<i32>().values())]),
        ty if is_media(ty) => {
            let media = array.as_struct().column_by_name("media").and_then(|m| m.as_string_opt::<i32>());
            let video = media.is_some_and(|m| m.iter().flatten().any(|m| m.starts_with("video/")));
            json!({ "_type": if video { "Video" } else { "Image" } })
        }
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            Json::Object(columns.map(|(f, c)| (f.name().clone(), feature(c))).collect())
        }
        _ => value("string"),
    }
}
