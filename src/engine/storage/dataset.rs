//! Datasets as artifacts: each column a blob of its own, an Arrow stream of one batch for each chunk of rows.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;

use arrow::array::{ArrayRef, Int64Array, RecordBatch};
use arrow::buffer::Buffer;
use arrow::datatypes::{DataType, Field, Schema};
use arrow::ipc::reader::StreamDecoder;
use arrow::ipc::writer::StreamWriter;
use rayon::prelude::*;

use super::column::{Column, Stream};
use super::store::{Incoming, Look, Store};
use crate::base::OpError;
use crate::data::chunks::{self, Chunker};
use crate::data::table::Table;
use crate::engine::artifact::{Artifact, FileRef, Kind};

/// The column that numbers the rows of a dataset whose facts have [`NUMBERED`]; it is stored nowhere.
pub const ROW: &str = "$row";
/// The fact of a dataset that is read with a number for each row.
pub const NUMBERED: &str = "numbered";
/// The fact of a dataset that names columns which it had, for an operator that takes columns away.
pub const LEFT_OUT: &str = "left_out";

/// Returns the names of the columns of a dataset, in order.
pub fn names(artifact: &Artifact) -> Vec<String> {
    let columns = artifact.meta["columns"].as_array().into_iter().flatten();
    columns.filter_map(|entry| Some(entry["name"].as_str()?.to_owned())).collect()
}

/// Returns the path of a column's file in an artifact.
pub fn column_path(name: &str) -> String {
    format!("columns/{name}.arrow")
}

fn numbers(from: usize, rows: usize) -> ArrayRef {
    Arc::new(Int64Array::from_iter_values((from..from + rows).map(|row| row as i64)))
}

fn numbered(artifact: &Artifact) -> bool {
    artifact.meta[NUMBERED] == true
}

/// Stores each column as a blob and returns the dataset artifact.
pub fn save(store: &Store, table: &Table) -> Result<Artifact, OpError> {
    let mut writer = Writer::new(store);
    writer.push(table.clone())?;
    writer.finish()
}

/// Reads a dataset artifact back, all rows at once.
///
/// # Errors
/// `E0503` when a file is missing or damaged; `E0612` when the text of a column is too large to be held as one.
pub fn load(store: &Store, artifact: &Artifact) -> Result<Table, OpError> {
    load_only(store, artifact, |_| true)
}

/// As [`load`], of the columns that `wanted` wants.
pub fn load_only(store: &Store, artifact: &Artifact, wanted: impl Fn(&str) -> bool) -> Result<Table, OpError> {
    let mut columns = Vec::new();
    for (name, file) in files(artifact)?.into_iter().filter(|(name, _)| wanted(name)) {
        let mut bytes = Buffer::from_vec(store.read(file.digest)?);
        let mut decoder = StreamDecoder::new();
        let mut parts: Vec<ArrayRef> = Vec::new();
        while let Some(batch) = decoder.decode(&mut bytes)? {
            parts.push(Arc::clone(batch.column(0)));
        }
        let column = match parts.len() {
            0 => return Err(OpError::new("E0503", format!("column `{name}` is empty"))),
            1 => parts.remove(0),
            _ => joined(&name, &parts)?,
        };
        columns.push((name, column));
    }
    let rows = artifact.rows().unwrap_or(0) as usize;
    if numbered(artifact) && wanted(ROW) {
        columns.push((ROW.to_owned(), numbers(0, rows)));
    }
    Table::new(columns, rows)
}

fn joined(name: &str, parts: &[ArrayRef]) -> Result<ArrayRef, OpError> {
    let bytes: usize = parts.iter().map(|p| chunks::bytes(p.as_ref(), 0, p.len())).sum();
    if i32::try_from(bytes).is_err() {
        let message = format!("column `.{name}` has {} MiB, and this operator holds its rows at once", bytes >> 20);
        return Err(OpError::new("E0612", message)
            .help("thin the rows out before with `data.sample`, a filter or a dedup, or give it parts of them"));
    }
    Ok(arrow::compute::concat(&parts.iter().map(AsRef::as_ref).collect::<Vec<_>>())?)
}

fn files(artifact: &Artifact) -> Result<Vec<(String, FileRef)>, OpError> {
    let names = artifact.meta["columns"].as_array().cloned().unwrap_or_default();
    let file = |entry: &serde_json::Value| {
        let name = entry["name"].as_str().unwrap_or_default().to_owned();
        let file = artifact.files.get(&column_path(&name)).copied();
        let file = file.ok_or_else(|| OpError::new("E0503", format!("the dataset has no column file for `{name}`")))?;
        Ok((name, file))
    };
    names.iter().map(file).collect()
}

/// The chunks of a dataset in the store, one after the other.
pub struct Chunks {
    columns: Vec<(String, Column)>,
    /// Each row has its number.
    numbered: bool,
    rows: usize,
    /// Rows that were read already; nothing before the first chunk.
    read: Option<usize>,
}

impl Chunks {
    /// Opens a dataset.
    pub fn open(store: &Store, artifact: &Artifact) -> Result<Self, OpError> {
        let mut columns = Vec::new();
        for (name, file) in files(artifact)? {
            if store.look(file.digest)? == Look::Damaged {
                return Err(OpError::new("E0503", format!("blob {} is damaged", file.digest.short())));
            }
            let column = Column::open(&store.path(file.digest)).map_err(|e| broken(&name, &e))?;
            columns.push((name, column));
        }
        Ok(Self { columns, numbered: numbered(artifact), rows: artifact.rows().unwrap_or(0) as usize, read: None })
    }

    /// Leaves out the columns that `wanted` does not want, by name and type.
    pub fn only(mut self, wanted: impl Fn(&str, &DataType) -> bool) -> Self {
        self.columns.retain(|(name, column)| wanted(name, column.ty()));
        self.numbered &= wanted(ROW, &DataType::Int64);
        self
    }

    /// Returns the columns by name and type, in order.
    pub fn types(&self) -> impl Iterator<Item = (&str, DataType)> {
        self.columns.iter().map(|(name, column)| (name.as_str(), column.ty().clone()))
    }

    fn read(&mut self) -> Result<Table, OpError> {
        let mut columns = Vec::new();
        let read: Vec<_> = self.columns.par_iter_mut().map(|(_, column)| column.next().transpose()).collect();
        for ((name, _), array) in self.columns.iter().zip(read) {
            let array = array.map_err(|e| broken(name, &e))?.ok_or_else(|| broken(name, &"it has too few rows"))?;
            columns.push((name.clone(), array));
        }
        let before = self.read.unwrap_or(0);
        let rows = columns.first().map_or(self.rows - before, |(_, array)| array.len());
        self.read = Some(before + rows);
        if self.numbered {
            columns.push((ROW.to_owned(), numbers(before, rows)));
        }
        Ok(Table { before, ..Table::new(columns, rows)? })
    }
}

impl Iterator for Chunks {
    type Item = Result<Table, OpError>;

    /// A dataset without rows has one chunk without rows.
    fn next(&mut self) -> Option<Self::Item> {
        if self.read.is_some_and(|read| read >= self.rows) {
            return None;
        }
        let chunk = self.read();
        if chunk.is_err() {
            self.read = Some(self.rows);
        }
        Some(chunk)
    }
}

/// Opens the file of a column of text; returns where in it the text of each chunk lies.
///
/// # Errors
/// `E0503` when it is missing, damaged, or holds no text.
pub fn text_places(store: &Store, artifact: &Artifact, column: &str) -> Result<(File, Vec<u64>), OpError> {
    let (_, found) = files(artifact)?
        .into_iter()
        .find(|(name, _)| name == column)
        .ok_or_else(|| broken(column, &"it is missing"))?;
    let mut stream = Stream::open(&store.path(found.digest))?;
    let mut places = Vec::new();
    for message in stream.by_ref() {
        places.extend(message.and_then(|m| m.text()).map_err(|e| broken(column, &e))?);
    }
    Ok((stream.into_file(), places))
}

fn broken(column: &str, why: &dyn std::fmt::Display) -> OpError {
    OpError::new("E0503", format!("column `{column}`: {why}"))
}

/// Stores rows that come in pieces of any size. The dataset depends on the rows alone.
pub struct Writer<'s> {
    store: &'s Store,
    chunker: Chunker,
    columns: Vec<Growing>,
    rows: usize,
}

/// A column that is being stored.
struct Growing {
    name: String,
    ty: DataType,
    stream: StreamWriter<BufWriter<Incoming>>,
}

impl<'s> Writer<'s> {
    /// Begins a dataset.
    pub fn new(store: &'s Store) -> Self {
        Self { store, chunker: Chunker::default(), columns: Vec::new(), rows: 0 }
    }

    /// Adds rows; all tables must have the same columns.
    pub fn push(&mut self, table: Table) -> Result<(), OpError> {
        for chunk in self.chunker.push(table)? {
            self.write(&chunk)?;
        }
        Ok(())
    }

    /// Returns the artifact.
    pub fn finish(mut self) -> Result<Artifact, OpError> {
        if let Some(last) = std::mem::take(&mut self.chunker).finish()? {
            self.write(&last)?;
        }
        let mut files = BTreeMap::new();
        let mut types = Vec::new();
        for Growing { name, ty, stream } in self.columns {
            types.push(serde_json::json!({ "name": name, "type": ty.to_string() }));
            let blob = stream.into_inner()?.into_inner().map_err(std::io::IntoInnerError::into_error)?;
            files.insert(column_path(&name), self.store.take(blob)?);
        }
        let meta = serde_json::json!({ "rows": self.rows, "columns": types });
        Ok(Artifact { kind: Kind::Dataset, meta, files })
    }

    fn write(&mut self, chunk: &Table) -> Result<(), OpError> {
        self.rows += chunk.rows();
        if self.columns.is_empty() {
            for (name, array) in chunk.columns() {
                let ty = array.data_type().clone();
                let file = BufWriter::with_capacity(1 << 18, self.store.incoming()?);
                self.columns.push(Growing { name, stream: StreamWriter::try_new(file, &alone(&ty))?, ty });
            }
        }
        self.columns.par_iter_mut().zip(chunk.batch.columns()).try_for_each(|(column, array)| {
            let batch = RecordBatch::try_new(alone(&column.ty), vec![Arc::clone(array)])?;
            Ok::<_, OpError>(column.stream.write(&batch)?)
        })
    }
}

/// The schema of a file of one column.
fn alone(ty: &DataType) -> Arc<Schema> {
    Arc::new(Schema::new(vec![Field::new("c", ty.clone(), true)]))
}
