//! Datasets as artifacts: each column a blob of its own.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::{Field, Schema};
use arrow::ipc::{reader::StreamReader, writer::StreamWriter};

use super::artifact::{Artifact, Kind};
use super::store::Store;
use crate::base::OpError;
use crate::data::table::Table;

/// Stores each column as a blob and returns the dataset artifact.
pub fn save(store: &Store, table: &Table) -> Result<Artifact, OpError> {
    let mut files = BTreeMap::new();
    let mut types = Vec::new();
    for (name, array) in table.columns() {
        let field = Field::new("c", array.data_type().clone(), true);
        let schema = Arc::new(Schema::new(vec![field]));
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![array])?;
        let mut writer = StreamWriter::try_new(Vec::new(), &schema)?;
        writer.write(&batch)?;
        writer.finish()?;
        types.push(serde_json::json!({ "name": name, "type": batch.schema().field(0).data_type().to_string() }));
        files.insert(format!("columns/{name}.arrow"), store.put(&writer.into_inner()?)?);
    }
    let meta = serde_json::json!({ "rows": table.rows(), "columns": types });
    Ok(Artifact { kind: Kind::Dataset, meta, files })
}

/// Reads a dataset artifact back.
pub fn load(store: &Store, artifact: &Artifact) -> Result<Table, OpError> {
    let mut columns = Vec::new();
    let names = artifact.meta["columns"].as_array().cloned().unwrap_or_default();
    for entry in names {
        let name = entry["name"].as_str().unwrap_or_default().to_owned();
        let file = artifact
            .files
            .get(&format!("columns/{name}.arrow"))
            .ok_or_else(|| OpError::new("E0503", format!("the dataset has no column file for `{name}`")))?;
        let bytes = store.read(file.digest)?;
        let mut reader = StreamReader::try_new(std::io::Cursor::new(bytes), None)?;
        let batch = reader.next().ok_or_else(|| OpError::new("E0503", format!("column `{name}` is empty")))??;
        columns.push((name, Arc::clone(batch.column(0))));
    }
    Table::new(columns, artifact.rows().unwrap_or(0) as usize)
}
