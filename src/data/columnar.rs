//! Rows of Parquet and Arrow files, as `datasets` writes them.

use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::ipc::reader::{FileReader, StreamReader};
use base64::Engine as _;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::{Map, Value as Json};

use super::load::RawRow;
use crate::base::OpError;
use crate::spec::Type;

/// Reads the rows of a Parquet file; only the columns that `schema` names.
///
/// # Errors
/// `E0501` when the file is missing, `E0503` when it is damaged.
pub fn parquet(path: &Path, name: &str, schema: &[(String, Type)]) -> Result<Vec<RawRow>, OpError> {
    let broken = |e: &dyn std::fmt::Display| OpError::new("E0503", format!("{}: {e}", path.display()));
    let builder = ParquetRecordBatchReaderBuilder::try_new(open(path)?).map_err(|e| broken(&e))?;
    let mut rows = Vec::new();
    for batch in builder.build().map_err(|e| broken(&e))? {
        append(&batch.map_err(|e| broken(&e))?, name, schema, &mut rows)?;
    }
    Ok(rows)
}

/// Reads the rows of an Arrow file, streamed or with a footer.
///
/// # Errors
/// As [`parquet`].
pub fn arrow(path: &Path, name: &str, schema: &[(String, Type)]) -> Result<Vec<RawRow>, OpError> {
    let broken = |e: arrow::error::ArrowError| OpError::new("E0503", format!("{}: {e}", path.display()));
    let mut rows = Vec::new();
    match FileReader::try_new(BufReader::new(open(path)?), None) {
        Ok(batches) => {
            for batch in batches {
                append(&batch.map_err(broken)?, name, schema, &mut rows)?;
            }
        }
        Err(_) => {
            for batch in StreamReader::try_new(BufReader::new(open(path)?), None).map_err(broken)? {
                append(&batch.map_err(broken)?, name, schema, &mut rows)?;
            }
        }
    }
    Ok(rows)
}

fn open(path: &Path) -> Result<File, OpError> {
    File::open(path).map_err(|e| OpError::new("E0501", format!("{}: {e}", path.display())))
}

fn append(batch: &RecordBatch, name: &str, schema: &[(String, Type)], rows: &mut Vec<RawRow>) -> Result<(), OpError> {
    let mut columns = Vec::new();
    for (column, _) in schema {
        if let Some(array) = batch.column_by_name(column) {
            columns.push((column, plain(array)?));
        }
    }
    for row in 0..batch.num_rows() {
        let cell = |array: &dyn Array| json(array, row);
        let fields: Result<Map<String, Json>, String> =
            columns.iter().map(|(column, array)| Ok(((*column).clone(), cell(array.as_ref())?))).collect();
        rows.push(RawRow { place: format!("{name}[{}]", rows.len()), value: fields.map(Json::Object) });
    }
    Ok(())
}

/// Brings the many types of text, bytes and numbers to one of each; nested ones are brought there when they are read.
fn plain(array: &dyn Array) -> Result<std::sync::Arc<dyn Array>, OpError> {
    let to = match array.data_type() {
        DataType::LargeUtf8 | DataType::Utf8View => DataType::Utf8,
        DataType::Dictionary(_, value) => value.as_ref().clone(),
        DataType::Binary | DataType::BinaryView => DataType::LargeBinary,
        ty if ty.is_integer() && *ty != DataType::UInt64 => DataType::Int64,
        DataType::Float16 | DataType::Float32 => DataType::Float64,
        other => other.clone(),
    };
    Ok(cast(array, &to)?)
}

/// Bytes become base64 text, as the loader expects of pictures.
fn json(array: &dyn Array, row: usize) -> Result<Json, String> {
    if array.is_null(row) {
        return Ok(Json::Null);
    }
    let array = plain(array).map_err(|e| e.message)?;
    let list = |items: &dyn Array| (0..items.len()).map(|i| json(items, i)).collect::<Result<_, _>>().map(Json::Array);
    Ok(match array.data_type() {
        DataType::Utf8 => Json::from(array.as_string::<i32>().value(row)),
        DataType::LargeBinary => {
            Json::from(base64::engine::general_purpose::STANDARD.encode(array.as_binary::<i64>().value(row)))
        }
        DataType::Boolean => Json::from(array.as_boolean().value(row)),
        DataType::Int64 => Json::from(array.as_primitive::<arrow::datatypes::Int64Type>().value(row)),
        DataType::UInt64 => Json::from(array.as_primitive::<arrow::datatypes::UInt64Type>().value(row)),
        DataType::Float64 => Json::from(array.as_primitive::<arrow::datatypes::Float64Type>().value(row)),
        DataType::List(_) => list(array.as_list::<i32>().value(row).as_ref())?,
        DataType::LargeList(_) => list(array.as_list::<i64>().value(row).as_ref())?,
        DataType::Struct(fields) => {
            let columns = fields.iter().zip(array.as_struct().columns());
            let cells = columns.map(|(f, a)| Ok((f.name().clone(), json(a.as_ref(), row)?)));
            Json::Object(cells.collect::<Result<_, String>>()?)
        }
        other => return Err(format!("type {other} is not supported")),
    })
}
