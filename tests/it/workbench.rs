//! One operator at a time on rows in memory, with a store of its own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;

use rbpipe::base::{Digest, OpError};
use rbpipe::data::formats::load::{self, Bad, RawRow};
use rbpipe::data::pictures::media::Media;
use rbpipe::data::schema;
use rbpipe::data::table::Table;
use rbpipe::engine::node::context::{Fate, Output};
use rbpipe::engine::storage::dataset;
use rbpipe::engine::{Builtin, Context, Store};
use serde_json::{Value as Json, json};

pub struct Workbench {
    pub store: Store,
    pub threads: usize,
    pub stream: Digest,
    pub with: Json,
    pub secrets: BTreeMap<String, String>,
    folder: tempfile::TempDir,
}

/// What an operator made of its rows.
pub struct Made {
    pub table: Table,
    pub fates: Vec<Fate>,
    pub counts: BTreeMap<String, u64>,
}

impl Workbench {
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a scratch folder");
        let store = Store::open(folder.path().join("store")).expect("a store");
        let (with, secrets) = (json!({}), BTreeMap::new());
        Self { store, threads: 2, stream: Digest::of(b"stream"), with, secrets, folder }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Makes a table of JSON rows; paths of pictures start in the workbench's folder, or in `media`.
    pub fn table(&self, columns: &[(&str, &str)], rows: &[Json], media: Option<&Path>) -> Table {
        let types: Vec<_> =
            columns.iter().map(|(n, t)| ((*n).to_owned(), schema::parse(t).expect("a column type"))).collect();
        let raw = rows.iter().enumerate().map(|(i, r)| RawRow { place: i.to_string(), value: Ok(r.clone()) }).collect();
        let media = Media::open(media.unwrap_or(self.folder.path())).expect("a media folder");
        load::table(raw, &types, &media, &self.store, Bad::Fail).expect("good rows").0
    }

    /// Runs an operator whose only output is a table.
    pub fn run(&self, op: &Builtin, args: Json, inputs: &[(&str, &Table)]) -> Result<Made, OpError> {
        let (outputs, fates, counts) = self.outputs(op, args, inputs)?;
        match outputs.into_iter().next() {
            Some((_, Output::Table(table))) => Ok(Made { table, fates, counts }),
            Some((_, Output::Artifact(rows))) => {
                Ok(Made { table: dataset::load(&self.store, &rows).expect("rows"), fates, counts })
            }
            _ => panic!("expected a table"),
        }
    }

    /// Runs an operator.
    #[allow(clippy::type_complexity)]
    pub fn outputs(
        &self,
        op: &Builtin,
        args: Json,
        inputs: &[(&str, &Table)],
    ) -> Result<(Vec<(String, Output)>, Vec<Fate>, BTreeMap<String, u64>), OpError> {
        let scratch = self.folder.path().join("scratch");
        std::fs::create_dir_all(&scratch).expect("a scratch folder");
        let mut cx = Context {
            args,
            inputs: inputs
                .iter()
                .map(|(slot, t)| ((*slot).to_owned(), dataset::save(&self.store, t).expect("a saved table")))
                .collect(),
            with: self.with.clone(),
            store: &self.store,
            scratch,
            folder: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recipes/data/tabletop"),
            secrets: self.secrets.clone(),
            seed: 7,
            stream: self.stream,
            threads: self.threads,
            checkpoints: None,
            rowwise: None,
            emit: &|_, _| {},
            cancelled: &AtomicBool::new(false),
            fates: Vec::new(),
            counts: BTreeMap::new(),
        };
        let outputs = (op.run.expect("an operator with code"))(&mut cx)?;
        Ok((outputs, std::mem::take(&mut cx.fates), std::mem::take(&mut cx.counts)))
    }
}

/// Returns a column as JSON.
pub fn column(table: &Table, name: &str) -> Vec<Json> {
    table.cells(name).expect("a column").iter().map(|c| c.to_json()).collect()
}

/// Returns a column as text.
pub fn texts(table: &Table, name: &str) -> Vec<String> {
    table.cells(name).expect("a column").iter().map(|c| c.text().into_owned()).collect()
}

/// The folder of the rendered scenes.
pub fn tabletop() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("recipes/data/tabletop")
}

/// Reads the rows of a JSON lines file of the rendered scenes.
pub fn rows(path: &str) -> Vec<Json> {
    let text = std::fs::read_to_string(tabletop().join(path)).expect("a vendored file");
    text.lines().map(|l| serde_json::from_str(l).expect("a row")).collect()
}

/// Draws from a seed: the same in each run.
pub struct Draw(pub u64);

impl Draw {
    pub fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % most
    }

    pub fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    pub fn shuffle<T>(&mut self, list: &mut [T]) {
        for last in (1..list.len()).rev() {
            list.swap(last, self.below(last + 1));
        }
    }
}
