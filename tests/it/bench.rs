//! Runs single operators on small tables, as the engine would, and checks their results.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use rbpipe::base::{Digest, OpError};
use rbpipe::data::arrow_type::unify;
use rbpipe::data::cell::{self, Cell, type_of};
use rbpipe::data::table::Table;
use rbpipe::engine::node::context::Fate;
use rbpipe::engine::storage::dataset;
use rbpipe::engine::{Artifact, Context, Kind, Output, Outputs, Store};
use rbpipe::ops::BUILTINS;
use serde_json::{Value as Json, json};

/// A store and a folder for one test.
pub struct Bench {
    folder: tempfile::TempDir,
    store: Store,
    /// Threads given to operators.
    pub threads: usize,
    /// What was said of rows is remembered, as in a run.
    pub remembers: bool,
}

/// What an operator made.
pub struct Made {
    /// Its tables by output name.
    pub tables: BTreeMap<String, Table>,
    /// Its other outputs' metadata.
    pub meta: BTreeMap<String, Json>,
    pub fates: Vec<Fate>,
    pub counts: BTreeMap<String, u64>,
}

impl Made {
    /// Returns the only table.
    pub fn table(&self) -> &Table {
        &self.tables[""]
    }

    /// Returns a column of the only table as JSON.
    pub fn column(&self, name: &str) -> Vec<Json> {
        self.table().cells(name).unwrap().iter().map(Cell::to_json).collect()
    }

    /// Returns the ids of the only table.
    pub fn ids(&self) -> Vec<String> {
        (0..self.table().rows()).map(|row| self.table().name(row)).collect()
    }
}

impl Bench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = Store::open(folder.path().join("store")).unwrap();
        Self { folder, store, threads: 2, remembers: false }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, bytes: &[u8]) -> PathBuf {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, bytes).unwrap();
        path
    }

    /// Runs an operator from the recipe folder of this bench.
    pub fn run(&self, op: &str, args: Json, inputs: &[(&str, &Table)]) -> Result<Made, OpError> {
        self.run_in(self.folder.path(), op, args, inputs)
    }

    /// Runs an operator from another recipe folder.
    pub fn run_in(&self, folder: &Path, op: &str, args: Json, inputs: &[(&str, &Table)]) -> Result<Made, OpError> {
        let save = |t: &Table| dataset::save(&self.store, t).unwrap();
        self.run_on(folder, op, args, inputs.iter().map(|(slot, t)| ((*slot).to_owned(), save(t))).collect())
    }

    /// Runs an operator on the rows `d` and a model in another slot.
    #[cfg(feature = "torch")]
    pub fn run_model(&self, op: &str, args: Json, d: &Table, slot: &str, model: &Path) -> Result<Made, OpError> {
        let d = dataset::save(&self.store, d).unwrap();
        let inputs = [("d".to_owned(), d), (slot.to_owned(), self.model(model))];
        self.run_on(self.folder.path(), op, args, inputs.into())
    }

    /// Takes a folder of model files, at most two deep, into the store.
    #[cfg(feature = "torch")]
    fn model(&self, folder: &Path) -> Artifact {
        let mut model = Artifact { kind: rbpipe::engine::Kind::Model, meta: json!({}), files: BTreeMap::new() };
        for entry in std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()) {
            let deeper =
                entry.is_dir().then(|| std::fs::read_dir(&entry).unwrap().map(|e| e.unwrap().path()).collect());
            for file in deeper.unwrap_or_else(|| vec![entry.clone()]).iter().filter(|f: &&PathBuf| f.is_file()) {
                let name = file.strip_prefix(folder).unwrap().to_string_lossy().into_owned();
                model.files.insert(name, self.store.put_file(file).unwrap());
            }
        }
        model
    }

    fn run_on(&self, folder: &Path, op: &str, args: Json, inputs: BTreeMap<String, Artifact>) -> Result<Made, OpError> {
        let head = format!("op {op}(");
        let builtin = BUILTINS.iter().find(|b| b.spec.signature.contains(&head)).expect(op);
        let cancelled = AtomicBool::new(false);
        let rowwise = json!({ "op": op, "args": args });
        let mut cx = Context {
            stream: Digest::of_json(&json!([op, args])),
            args,
            inputs,
            with: json!({}),
            store: &self.store,
            scratch: self.folder.path().join("scratch"),
            folder: folder.to_owned(),
            seed: 7,
            threads: self.threads,
            checkpoints: None,
            rowwise: rowwise.as_object().filter(|_| self.remembers).cloned(),
            emit: &|_, _| {},
            cancelled: &cancelled,
            secrets: BTreeMap::new(),
            fates: Vec::new(),
            counts: BTreeMap::new(),
        };
        let outputs: Outputs = builtin.run.unwrap()(&mut cx)?;
        let mut made = Made { tables: BTreeMap::new(), meta: BTreeMap::new(), fates: cx.fates, counts: cx.counts };
        for (name, output) in outputs {
            match output {
                Output::Table(table) => drop(made.tables.insert(name, table)),
                Output::Artifact(rows) if rows.kind == Kind::Dataset => {
                    made.tables.insert(name, dataset::load(&self.store, &rows).unwrap());
                }
                Output::Artifact(artifact) => drop(made.meta.insert(name, artifact.meta)),
                Output::Folder { meta, .. } => drop(made.meta.insert(name, meta)),
            }
        }
        Ok(made)
    }
}

/// Makes a table from JSON rows; column types follow the values.
pub fn rows(rows: Json) -> Table {
    let rows = rows.as_array().unwrap();
    let names: Vec<String> = rows[0].as_object().unwrap().keys().cloned().collect();
    let columns = names.iter().map(|name| {
        let cells: Vec<Cell> = rows.iter().map(|r| Cell::of_json(&r[name])).collect();
        let ty = cells.iter().map(type_of).reduce(|a, b| unify(&a, &b).unwrap()).unwrap();
        (name.clone(), cell::column(&cells, &ty).unwrap())
    });
    Table::new(columns.collect::<Vec<(String, Arc<_>)>>(), rows.len()).unwrap()
}
