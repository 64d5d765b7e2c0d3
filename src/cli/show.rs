//! `rbpipe show`: the artifact behind a name, or all results of a recipe in a line each.

use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use super::args::ShowArgs;
use super::recipe::{self, Compiled};
use super::{Exit, store};
use crate::base::phrase::bytes;
use crate::base::{Digest, OpError, phrase};
use crate::data::arrow_type;
use crate::engine::node::context::{Fate, QUARANTINED};
use crate::engine::outputs::hub_rows::{self, Form};
use crate::engine::outputs::{export, json_lines};
use crate::engine::storage::dataset::{self, Chunks};
use crate::engine::storage::record;
use crate::engine::{Artifact, Kind, Store};
use crate::spec::{Row, Type};

/// Runs the command.
pub(super) fn run(args: &ShowArgs) -> Exit {
    show(args).unwrap_or_else(|exit| exit)
}

fn show(args: &ShowArgs) -> Result<Exit, Exit> {
    let compiled = recipe::compile(&args.recipe)?;
    let Some(name) = &args.name else { return list(&compiled, args.json) };
    let selection = compiled.select(std::slice::from_ref(name))?;
    let graph = &compiled.planned.graph;
    let Some(wanted) = graph.find(name) else {
        let recipe = args.recipe.recipe.display();
        eprintln!("error: `{name}` is no single artifact; `rbpipe show {recipe}` lists the names");
        return Err(Exit::Usage);
    };
    let (store, files) = store::open()?;
    let (lines, results) = compiled.forecaster(&selection, &store, &files).all();
    let _ = files.save(&store);
    let node = graph.node(wanted.node);
    let Some((digest, artifact)) = results.get(&wanted.node).and_then(|r| r.get(&wanted.field)) else {
        let recipe = args.recipe.recipe.display();
        eprintln!("error: `{name}` has no result yet; `rbpipe run {recipe} --to {name}` makes it");
        return Err(Exit::Refused);
    };
    let key = lines.iter().find(|l| l.node == wanted.node).and_then(|l| l.identity.as_ref()).map(|i| i.key);
    let told = key.and_then(|key| record::read(&store, key)).map(|record| record.told(&store)).unwrap_or_default();
    let bad = told.into_iter().filter(|fate| fate.what == QUARANTINED).collect();
    let typed = compiled.columns_of(name);
    let found = Found { name, op: &node.op, key, digest: *digest, artifact, typed, bad };
    found.print(args, &store).map_err(|e| {
        eprintln!("error: {}", e.message);
        Exit::Node
    })?;
    Ok(Exit::Done)
}

/// Prints all that a recipe makes: name, operator, rows and bytes, or that there is no result yet.
fn list(compiled: &Compiled, as_json: bool) -> Result<Exit, Exit> {
    let graph = &compiled.planned.graph;
    let selection = compiled.select(&[])?;
    let (store, files) = store::open()?;
    let (lines, results) = compiled.forecaster(&selection, &store, &files).all();
    let _ = files.save(&store);
    let mut rows = Vec::new();
    let mut all = Vec::new();
    for node in lines.iter().map(|line| line.node).filter(|&id| graph.node(id).gate.is_none()) {
        let op = &graph.node(node).op;
        let made = results.get(&node).into_iter().flatten();
        let made: Vec<_> = made.map(|(field, result)| (graph.result_name(node, field), Some(result))).collect();
        let made = if made.is_empty() { vec![(graph.result_name(node, ""), None)] } else { made };
        for (name, result) in made {
            let counted = result.and_then(|(_, artifact)| artifact.rows());
            let size = result.map(|(_, artifact)| artifact.bytes());
            all.push(json!({ "name": name, "op": op, "output": result.map(|r| r.0), "rows": counted, "bytes": size }));
            rows.push([
                name,
                op.clone(),
                counted.map(|n| phrase::count(n as usize, "row")).unwrap_or_default(),
                size.map_or_else(|| "no result yet".to_owned(), bytes),
            ]);
        }
    }
    if as_json {
        println!("{}", json!(all));
        return Ok(Exit::Done);
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let (first, second, third) = (width(0), width(1), width(2));
    for [name, op, rows, size] in &rows {
        println!("{name:first$}  {op:second$}  {rows:>third$}  {size}");
    }
    Ok(Exit::Done)
}

struct Found<'a> {
    name: &'a str,
    op: &'a str,
    key: Option<Digest>,
    digest: Digest,
    artifact: &'a Artifact,
    /// The columns as the recipe types them, where it does.
    typed: Option<&'a Row>,
    /// Rows that were left out because they could not be read, each with its place and the reason.
    bad: Vec<Fate>,
}

impl Found<'_> {
    fn print(&self, args: &ShowArgs, store: &Store) -> Result<(), OpError> {
        let path = || lay_out(store, self.artifact, self.digest);
        if args.path && !args.json {
            println!("{}", path()?.display());
            return Ok(());
        }
        let kind = serde_json::to_value(self.artifact.kind)?;
        if args.json {
            let mut out = json!({
                "name": self.name,
                "op": self.op,
                "key": self.key,
                "output": self.digest,
                "kind": kind,
                "schema": self.columns(store)?.iter().map(|(name, ty)| json!({ "name": name, "type": ty })).collect::<Vec<_>>(),
                "rows": self.artifact.rows(),
                "bytes": self.artifact.bytes(),
                "path": path()?,
                "meta": self.artifact.meta,
            });
            if !self.bad.is_empty() {
                out["quarantined"] = self.bad.iter().map(|f| json!({ "row": f.row, "why": f.why })).collect();
            }
            if let Some(n) = args.rows {
                out["sample"] = json!(self.sample(store, n)?);
            }
            println!("{out}");
            return Ok(());
        }
        println!("{}  {} by {}", self.name, kind.as_str().unwrap_or_default(), self.op);
        println!("output  {}", self.digest);
        if let Some(rows) = self.artifact.rows() {
            println!("rows    {rows}");
        }
        println!("bytes   {}", bytes(self.artifact.bytes()));
        if self.artifact.kind == Kind::Dataset {
            for (name, ty) in self.columns(store)? {
                println!("  {name}: {}", phrase::shortened(&ty, 90));
            }
            for row in self.sample(store, args.rows.unwrap_or(3))? {
                println!("{row}");
            }
            if !self.bad.is_empty() {
                println!("quarantined  {}", self.bad.len());
                self.bad.iter().for_each(|fate| println!("  {}: {}", fate.row, fate.why));
            }
        } else {
            if self.artifact.meta.as_object().is_some_and(|m| !m.is_empty()) {
                println!("{:#}", self.artifact.meta);
            }
            for (path, file) in &self.artifact.files {
                println!("  {path}  {}", bytes(file.bytes));
            }
        }
        Ok(())
    }

    /// Name and type of each column, in the recipe's words: its types where it names them, otherwise those that the columns are stored as.
    fn columns(&self, store: &Store) -> Result<Vec<(String, String)>, OpError> {
        if self.artifact.kind != Kind::Dataset {
            return Ok(Vec::new());
        }
        let chunks = Chunks::open(store, self.artifact)?;
        let typed = |name: &str| self.typed?.get(name).filter(|ty| !matches!(ty, Type::Var(_) | Type::Error));
        let text = |name: &str, ty: &_| typed(name).map_or_else(|| arrow_type::text(ty), Type::to_string);
        Ok(chunks.types().map(|(name, ty)| (name.to_owned(), text(name, &ty))).collect())
    }

    fn sample(&self, store: &Store, rows: usize) -> Result<Vec<Json>, OpError> {
        if self.artifact.kind != Kind::Dataset {
            return Ok(Vec::new());
        }
        export::sample(store, self.artifact, rows)
    }
}

/// Lays an artifact out as a folder for other tools: a dataset as Parquet with its pictures, all else as its files.
fn lay_out(store: &Store, artifact: &Artifact, digest: Digest) -> Result<PathBuf, OpError> {
    let folder = store.root().join("views").join(digest.hex());
    if folder.exists() {
        return Ok(folder);
    }
    let parent = store.root().join("views");
    std::fs::create_dir_all(&parent)?;
    let staged = tempfile::tempdir_in(&parent)?;
    if artifact.kind == Kind::Dataset {
        let table = dataset::load(store, artifact)?;
        let rows = std::fs::File::create(staged.path().join("part-00000.parquet"))?;
        let beside = |c: &export::MediaCell| Ok((None, format!("media/{}", c.file_name())));
        hub_rows::write(&table, Form::Parquet, &beside, std::io::BufWriter::new(rows))?;
        let media = json_lines::media(store, artifact, "media")?;
        for (path, blob) in media {
            place(&store.path(blob), &staged.path().join(path))?;
        }
    } else {
        for (path, file) in &artifact.files {
            place(&store.path(file.digest), &staged.path().join(path))?;
        }
        std::fs::write(staged.path().join("meta.json"), serde_json::to_vec_pretty(&artifact.meta)?)?;
    }
    let path = staged.keep();
    if std::fs::rename(&path, &folder).is_err() {
        // Another command has laid it out in the meantime.
        std::fs::remove_dir_all(&path)?;
    }
    Ok(folder)
}

fn place(blob: &Path, to: &Path) -> Result<(), OpError> {
    if let Some(folder) = to.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // Blobs are read-only, and a view lies in the store: a link is safe here.
    if std::fs::hard_link(blob, to).is_err() && !to.exists() {
        std::fs::copy(blob, to)?;
    }
    Ok(())
}
