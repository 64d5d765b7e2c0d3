//! Rows as JSON lines, written as they are read from the store: keys in schema order, absent values left out, shortest floats.

use std::collections::BTreeMap;
use std::io::Write;

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Float32Type, Float64Type, Int32Type, Int64Type};
use rayon::prelude::*;

use super::export::{self, MediaCell};
use crate::base::{Digest, OpError};
use crate::data::arrow_type::{holds_media, is_media};
use crate::engine::artifact::Artifact;
use crate::engine::storage::dataset::Chunks;
use crate::engine::storage::store::Store;

/// Rows that are one task.
const TASK: usize = 1024;
/// So many tasks for each thread are done before they are written.
const TASKS: usize = 4;

/// Writes all rows of a dataset; a picture is its path under `folder`, see [`media`].
pub fn write(store: &Store, artifact: &Artifact, folder: &str, out: &mut dyn Write) -> Result<(), OpError> {
    // The same memory for all tasks: what a process takes for the first time costs more than writing to it.
    let mut texts: Vec<Vec<u8>> = vec![Vec::new(); TASKS * rayon::current_num_threads()];
    for chunk in Chunks::open(store, artifact)? {
        let chunk = chunk?;
        let columns: Vec<Column> = chunk.columns().into_iter().map(|(name, array)| Column::new(&name, array)).collect();
        let starts: Vec<usize> = (0..chunk.rows()).step_by(TASK).collect();
        for starts in starts.chunks(texts.len()) {
            starts.par_iter().zip(&mut texts).try_for_each(|(&from, text)| {
                text.clear();
                for row in from..chunk.rows().min(from + TASK) {
                    object(&columns, row, folder, text)?;
                    text.push(b'\n');
                }
                Ok::<_, OpError>(())
            })?;
            texts[..starts.len()].iter().try_for_each(|text| out.write_all(text))?;
        }
    }
    Ok(())
}

/// Returns the pictures and videos of a dataset, by where [`write`] says that they are.
pub fn media(store: &Store, artifact: &Artifact, folder: &str) -> Result<BTreeMap<String, Digest>, OpError> {
    let mut files = BTreeMap::new();
    for chunk in Chunks::open(store, artifact)?.only(|_, ty| holds_media(ty)) {
        for (_, array) in chunk?.columns() {
            collect(array.as_ref(), &mut |cell| {
                files.insert(path(folder, cell), cell.digest);
            });
        }
    }
    Ok(files)
}

fn path(folder: &str, cell: &MediaCell) -> String {
    format!("{folder}/{}", cell.file_name())
}

fn collect(array: &dyn Array, each: &mut dyn FnMut(&MediaCell)) {
    match array.data_type() {
        ty if is_media(ty) => {
            (0..array.len()).filter_map(|row| export::media_cell(array.as_struct(), row)).for_each(|cell| each(&cell));
        }
        // Values outside every list, and those of rows that are none, are nobody's.
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            (0..list.len()).filter(|&row| list.is_valid(row)).for_each(|row| collect(list.value(row).as_ref(), each));
        }
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|column| collect(column.as_ref(), each)),
        _ => {}
    }
}

/// A column, and its key as it is written.
struct Column {
    key: Vec<u8>,
    array: arrow::array::ArrayRef,
}

impl Column {
    fn new(name: &str, array: arrow::array::ArrayRef) -> Self {
        let mut key = Vec::new();
        text(name, &mut key);
        key.push(b':');
        Self { key, array }
    }
}

fn object(columns: &[Column], row: usize, folder: &str, out: &mut Vec<u8>) -> Result<(), OpError> {
    out.push(b'{');
    let start = out.len();
    for Column { key, array } in columns {
        field(key, array.as_ref(), row, folder, start, out)?;
    }
    out.push(b'}');
    Ok(())
}

/// Writes a key and its value, or neither where there is no value. `start` is where the object's first key stands.
fn field(key: &[u8], of: &dyn Array, row: usize, folder: &str, start: usize, out: &mut Vec<u8>) -> Result<(), OpError> {
    let before = out.len();
    if before > start {
        out.push(b',');
    }
    out.extend_from_slice(key);
    if !value(of, row, folder, out)? {
        out.truncate(before);
    }
    Ok(())
}

/// Writes a value; says whether there was one.
fn value(array: &dyn Array, row: usize, folder: &str, out: &mut Vec<u8>) -> Result<bool, OpError> {
    if array.is_null(row) || *array.data_type() == DataType::Null {
        return Ok(false);
    }
    match array.data_type() {
        DataType::Utf8 => text(array.as_string::<i32>().value(row), out),
        DataType::Int64 => write!(out, "{}", array.as_primitive::<Int64Type>().value(row))?,
        DataType::Int32 => write!(out, "{}", array.as_primitive::<Int32Type>().value(row))?,
        DataType::Float64 => serde_json::to_writer(out, &array.as_primitive::<Float64Type>().value(row))?,
        DataType::Float32 => serde_json::to_writer(out, &f64::from(array.as_primitive::<Float32Type>().value(row)))?,
        DataType::Boolean => write!(out, "{}", array.as_boolean().value(row))?,
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = (list.value_offsets()[row] as usize, list.value_offsets()[row + 1] as usize);
            out.push(b'[');
            for item in from..to {
                if item > from {
                    out.push(b',');
                }
                if !value(list.values().as_ref(), item, folder, out)? {
                    out.extend_from_slice(b"null");
                }
            }
            out.push(b']');
        }
        ty if is_media(ty) => match export::media_cell(array.as_struct(), row) {
            Some(cell) => text(&path(folder, &cell), out),
            None => return Ok(false),
        },
        DataType::Struct(fields) => {
            out.push(b'{');
            let start = out.len();
            for (of, column) in fields.iter().zip(array.as_struct().columns()) {
                let mut key = Vec::new();
                text(of.name(), &mut key);
                key.push(b':');
                field(&key, column.as_ref(), row, folder, start, out)?;
            }
            out.push(b'}');
        }
        other => {
            let cast = cast(&array.slice(row, 1), &DataType::Utf8)
                .map_err(|_| OpError::new("E0612", format!("a cell of type {other} cannot be written as JSON")))?;
            return value(cast.as_ref(), 0, folder, out);
        }
    }
    Ok(true)
}

/// Writes text in quotes.
fn text(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    let mut rest = text.as_bytes();
    loop {
        let (run, after) = rest.split_at(crate::data::formats::rowjson::plain(rest));
        out.extend_from_slice(run);
        let Some((&special, after)) = after.split_first() else { break };
        match special {
            b'"' | b'\\' => out.extend_from_slice(&[b'\\', special]),
            b'\n' => out.extend_from_slice(b"\\n"),
            b'\r' => out.extend_from_slice(b"\\r"),
            b'\t' => out.extend_from_slice(b"\\t"),
            8 => out.extend_from_slice(b"\\b"),
            12 => out.extend_from_slice(b"\\f"),
            control => {
                let digit = |n: u8| b"0123456789abcdef"[usize::from(n)];
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(control >> 4), digit(control & 15)]);
            }
        }
        rest = after;
    }
    out.push(b'"');
}
