//! Rows of Parquet and Arrow files, as `datasets` writes them.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;
use std::sync::Arc;

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch, StructArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Field, Float64Type, Int64Type, Schema, SchemaRef, UInt64Type};
use arrow::error::ArrowError;
use arrow::ipc::reader::{FileReader, StreamReader};
use base64::Engine as _;
use parquet::arrow::ProjectionMask;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use rayon::prelude::*;
use serde_json::{Map, Value as Json};

use super::load::{Feed, RawRow};
use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::data::pictures::media::{self, Member};
use crate::spec::Type;

/// Rows that are read before they are fed.
const BATCH: usize = 1 << 10;

/// Where the rows of a file go.
pub struct Into<'a, 'f> {
    /// The columns that are read, and no others.
    pub schema: &'a [(String, Type)],
    /// Where pictures are kept that lie in the file itself, and the rows name them by their keys; without it their bytes become base64.
    pub blobs: Option<&'a dyn Blobs>,
    /// Takes the rows of each batch.
    pub feed: &'a mut Feed<'f>,
}

/// Reads the rows of a Parquet file; only the columns that the schema names.
///
/// # Errors
/// `E0501` when the file is missing, `E0503` when it is damaged.
pub fn parquet(path: &Path, name: &str, into: Into<'_, '_>) -> Result<(), OpError> {
    guarded(path, || read_parquet(path, name, into))
}

fn read_parquet(path: &Path, name: &str, mut into: Into<'_, '_>) -> Result<(), OpError> {
    let builder = opened_parquet(path)?;
    let wanted = builder.schema().fields().iter().enumerate();
    let wanted = wanted.filter(|(_, f)| into.schema.iter().any(|(column, _)| column == f.name())).map(|(i, _)| i);
    let mask = ProjectionMask::roots(builder.parquet_schema(), wanted.collect::<Vec<_>>());
    let labels = Labels::of(builder.schema());
    let mut count = 0;
    for batch in builder.with_projection(mask).build().map_err(|e| broken(path, &e))? {
        pass_on(&batch.map_err(|e| broken(path, &e))?, name, &labels, &mut into, &mut count)?;
    }
    Ok(())
}

/// Returns the names of a Parquet file's columns.
///
/// # Errors
/// As [`parquet`].
pub fn names(path: &Path) -> Result<Vec<String>, OpError> {
    Ok(opened_parquet(path)?.schema().fields().iter().map(|f| f.name().clone()).collect())
}

/// Reads the rows of an Arrow file, streamed or with a footer.
///
/// # Errors
/// As [`parquet`].
pub fn arrow(path: &Path, name: &str, into: Into<'_, '_>) -> Result<(), OpError> {
    guarded(path, || read_arrow(path, name, into))
}

fn read_arrow(path: &Path, name: &str, mut into: Into<'_, '_>) -> Result<(), OpError> {
    let (schema, batches) = opened_arrow(path)?;
    let labels = Labels::of(&schema);
    let mut count = 0;
    for batch in batches {
        pass_on(&batch.map_err(|e| broken(path, &e))?, name, &labels, &mut into, &mut count)?;
    }
    Ok(())
}

/// Calls `take` with each batch of a Parquet or Arrow file, by its ending.
///
/// # Errors
/// As [`parquet`].
pub fn batches(path: &Path, take: &mut dyn FnMut(&RecordBatch)) -> Result<(), OpError> {
    guarded(path, || {
        let batches: Batches = if path.extension().is_some_and(|e| e.eq_ignore_ascii_case("parquet")) {
            Box::new(opened_parquet(path)?.build().map_err(|e| broken(path, &e))?)
        } else {
            opened_arrow(path)?.1
        };
        for batch in batches {
            take(&batch.map_err(|e| broken(path, &e))?);
        }
        Ok(())
    })
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>>>;

fn opened_parquet(path: &Path) -> Result<ParquetRecordBatchReaderBuilder<File>, OpError> {
    ParquetRecordBatchReaderBuilder::try_new(open(path)?).map_err(|e| broken(path, &e))
}

/// The schema and batches of an Arrow file, with a footer or streamed.
fn opened_arrow(path: &Path) -> Result<(SchemaRef, Batches), OpError> {
    if let Ok(batches) = FileReader::try_new(BufReader::new(open(path)?), None) {
        return Ok((batches.schema(), Box::new(batches)));
    }
    let batches = StreamReader::try_new(BufReader::new(open(path)?), None).map_err(|e| broken(path, &e))?;
    Ok((batches.schema(), Box::new(batches)))
}

/// Says why a file cannot be read.
fn broken(path: &Path, e: &dyn std::fmt::Display) -> OpError {
    let why = e.to_string();
    match why.split_once("Disabled feature at compile time: ") {
        Some((_, packing)) => OpError::new("E0503", format!("{}: it is packed with {packing}", path.display()))
            .help("write it again with snappy, zstd, gzip or lz4"),
        None => OpError::new("E0503", format!("{}: {why}", path.display())),
    }
}

/// Readers of damaged files may panic: that is damage too.
fn guarded<T>(path: &Path, read: impl FnOnce() -> Result<T, OpError>) -> Result<T, OpError> {
    let broken = |_| Err(OpError::new("E0503", format!("{}: the file is damaged", path.display())));
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(read)).unwrap_or_else(broken)
}

fn open(path: &Path) -> Result<File, OpError> {
    File::open(path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))
}

/// The names of numbered labels: `datasets` writes the number, and the names into the metadata.
struct Labels(Json);

impl Labels {
    fn of(schema: &Schema) -> Self {
        let info = schema.metadata().get("huggingface").and_then(|text| serde_json::from_str::<Json>(text).ok());
        Self(info.map_or(Json::Null, |mut info| info["info"]["features"].take()))
    }

    /// Returns the name of a label where the column holds numbered labels and text is asked for.
    fn name(&self, column: &str, ty: &Type, value: &Json) -> Option<Json> {
        let feature = &self.0[column];
        let text = match ty {
            Type::Optional(inner) => matches!(**inner, Type::Str | Type::Enum(_)),
            ty => matches!(ty, Type::Str | Type::Enum(_)),
        };
        (text && feature["_type"] == "ClassLabel").then(|| feature["names"][value.as_u64()? as usize].clone().into())?
    }
}

/// Feeds the rows of a batch, `count` rows having come before them.
fn pass_on(
    batch: &RecordBatch,
    name: &str,
    labels: &Labels,
    into: &mut Into<'_, '_>,
    count: &mut usize,
) -> Result<(), OpError> {
    // A batch may be a whole file: pictures are held for some rows only.
    for from in (0..batch.num_rows()).step_by(BATCH) {
        let part = batch.slice(from, BATCH.min(batch.num_rows() - from));
        let rows = rows(&part, name, labels, into, *count)?;
        *count += part.num_rows();
        let (rows, found): (Vec<RawRow>, Vec<Vec<Member>>) = rows.into_iter().unzip();
        (into.feed)(rows, found.into_iter().flatten().collect())?;
    }
    Ok(())
}

fn rows(
    batch: &RecordBatch,
    name: &str,
    labels: &Labels,
    into: &Into<'_, '_>,
    first: usize,
) -> Result<Vec<(RawRow, Vec<Member>)>, OpError> {
    let mut columns = Vec::new();
    for (column, ty) in into.schema {
        if let Some(array) = batch.column_by_name(column) {
            columns.push((column, ty, plain(array)?));
        }
    }
    let blobs = into.blobs;
    Ok((0..batch.num_rows())
        .into_par_iter()
        .map(|row| {
            let place = format!("{name}[{}]", first + row);
            let mut reading = Reading { place: &place, blobs, found: Vec::new() };
            let fields = columns.iter().map(|(column, ty, array)| {
                let value = reading.json(array.as_ref(), row, ty).map_err(|why| format!("column `{column}`: {why}"))?;
                Ok(((*column).clone(), labels.name(column, ty, &value).unwrap_or(value)))
            });
            let value = fields.collect::<Result<Map<String, Json>, String>>().map(Json::Object);
            let found = reading.found;
            (RawRow { place, value }, found)
        })
        .collect())
}

/// Brings the many types of text, bytes and numbers to one of each; nested ones are brought there when they are read.
fn plain(array: &dyn Array) -> Result<ArrayRef, OpError> {
    let to = match array.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, value) => return plain(cast(array, value)?.as_ref()),
        DataType::Binary | DataType::BinaryView | DataType::FixedSizeBinary(_) => DataType::LargeBinary,
        ty if ty.is_integer() && *ty != DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 | DataType::Decimal128(..) | DataType::Decimal256(..) => {
            DataType::Float64
        }
        DataType::Timestamp(..) | DataType::Date32 | DataType::Date64 | DataType::Time32(_) | DataType::Time64(_) => {
            DataType::Utf8
        }
        DataType::FixedSizeList(item, _) => {
            DataType::List(Arc::new(Field::new(item.name(), item.data_type().clone(), true)))
        }
        other => other.clone(),
    };
    Ok(cast(array, &to)?)
}

/// Returns the type of a field of a record, where it is known.
fn field<'t>(ty: &'t Type, name: &str) -> &'t Type {
    match ty {
        Type::Record(row) => row.get(name).unwrap_or(&Type::Json),
        _ => &Type::Json,
    }
}

/// One row while it is read.
struct Reading<'a> {
    place: &'a str,
    blobs: Option<&'a dyn Blobs>,
    /// The pictures that lay in the row.
    found: Vec<Member>,
}

impl Reading<'_> {
    /// Returns a value as JSON. Bytes where the schema has a picture are kept, and become the key of what was found in them; other bytes become base64.
    fn json(&mut self, array: &dyn Array, row: usize, ty: &Type) -> Result<Json, String> {
        if array.is_null(row) {
            return Ok(Json::Null);
        }
        let optional = matches!(ty, Type::Optional(_) | Type::Json);
        let ty = if let Type::Optional(inner) = ty { inner } else { ty };
        let medium = matches!(ty, Type::Image | Type::Video);
        let array = plain(array).map_err(|e| e.message)?;
        Ok(match array.data_type() {
            DataType::Utf8 => Json::from(array.as_string::<i32>().value(row)),
            DataType::LargeBinary => {
                let bytes = array.as_binary::<i64>().value(row);
                match self.blobs.filter(|_| medium) {
                    Some(blobs) => self.keep(bytes, blobs),
                    None => Json::from(base64::engine::general_purpose::STANDARD.encode(bytes)),
                }
            }
            DataType::Boolean => Json::from(array.as_boolean().value(row)),
            DataType::Int64 => Json::from(array.as_primitive::<Int64Type>().value(row)),
            DataType::UInt64 => Json::from(array.as_primitive::<UInt64Type>().value(row)),
            DataType::Float64 => match array.as_primitive::<Float64Type>().value(row) {
                // Not a number is what pandas writes for a number that is missing.
                value if value.is_nan() && !optional => {
                    return Err("is not a number (NaN); a column of `Float?` takes that for none".to_owned());
                }
                value if value.is_infinite() => return Err("is infinite, which no row can hold".to_owned()),
                value => Json::from(value),
            },
            DataType::List(_) => self.list(array.as_list::<i32>().value(row).as_ref(), ty)?,
            DataType::LargeList(_) => self.list(array.as_list::<i64>().value(row).as_ref(), ty)?,
            DataType::Struct(fields) => {
                let record = array.as_struct();
                if medium
                    && self.blobs.is_some()
                    && let Some(bytes) = record.column_by_name("bytes").filter(|bytes| !bytes.is_null(row))
                {
                    return self.json(bytes.as_ref(), row, ty);
                }
                let columns = fields.iter().zip(record.columns());
                let cells =
                    columns.map(|(f, a)| Ok((f.name().clone(), self.json(a.as_ref(), row, field(ty, f.name()))?)));
                Json::Object(cells.collect::<Result<_, String>>()?)
            }
            DataType::Map(..) => self.map(&array.as_map().value(row), ty)?,
            DataType::Null => Json::Null,
            other => return Err(format!("type {other} is not supported")),
        })
    }

    /// Returns a map as a record of its keys.
    fn map(&mut self, entries: &StructArray, ty: &Type) -> Result<Json, String> {
        let (keys, values) = (entries.column(0), entries.column(1));
        let mut record = Map::new();
        for entry in 0..entries.len() {
            let key = match self.json(keys.as_ref(), entry, &Type::Str)? {
                Json::String(text) => text,
                other => other.to_string(),
            };
            let value = self.json(values.as_ref(), entry, field(ty, &key))?;
            if record.contains_key(&key) {
                return Err(format!("the map has the key {key:?} twice"));
            }
            record.insert(key, value);
        }
        Ok(Json::Object(record))
    }

    fn list(&mut self, items: &dyn Array, ty: &Type) -> Result<Json, String> {
        // Where one picture is asked for, each of a list is kept too: the loader says what it makes of lists.
        let item = match ty {
            Type::List(item) => item,
            Type::Image | Type::Video => ty,
            _ => &Type::Json,
        };
        (0..items.len()).map(|i| self.json(items, i, item)).collect::<Result<_, _>>().map(Json::Array)
    }

    fn keep(&mut self, bytes: &[u8], blobs: &dyn Blobs) -> Json {
        // No path of a file holds the first character.
        let key = format!("\0{}/{}", self.place, self.found.len());
        let found = media::examine(bytes, blobs).map_err(|why| format!("the picture {why}"));
        self.found.push((key.clone(), found));
        Json::from(key)
    }
}
