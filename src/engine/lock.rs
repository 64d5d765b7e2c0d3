//! The lock: what a recipe reads, pinned by digest, in a file beside it. Inputs only, without places and times of this machine.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use super::artifact::{Artifact, Kind};
use super::files::{FileIndex, is_there};
use super::identity::Results;
use super::lock_text;
use super::models;
use super::servers::{self, Facts, Server};
use super::terms::{self, Terms};
pub use crate::base::package::lock as path;
use crate::base::{Digest, Span, package, phrase};
use crate::plan::select::Selection;
use crate::plan::{Graph, Node, NodeId, PathArg};
use crate::spec::observed::{Column, Columns};
use crate::spec::{Class, Effect, user_op};

/// The layout of the file that is written; earlier ones are read: 1 has a digest of columns, and their words in a table of their own.
const VERSION: u32 = 2;
/// The layout of a file with servers, which those before do not know.
const WITH_SERVERS: u32 = 3;

/// What is pinned. Tables and keys are sorted, so that two people's changes meet only where they differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    version: u32,
    /// Locks of the environments that a user's own operators run in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    environments: BTreeMap<String, Pin>,
    /// Semantic versions of operators.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    operators: BTreeMap<String, u32>,
    /// Folders of pictures and videos.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    media: BTreeMap<String, Pin>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    models: BTreeMap<String, Pin>,
    /// Recipes of other repositories, as they were imported.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    packages: BTreeMap<String, Pin>,
    /// Servers and programs that answer questions, as they say themselves.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    servers: BTreeMap<String, Pin>,
    /// Files of rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    sources: BTreeMap<String, Pin>,
    /// Texts that `from_file` reads.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    texts: BTreeMap<String, Pin>,
}

impl Default for Lock {
    fn default() -> Self {
        let operators = BTreeMap::new();
        let (environments, media, models, packages, servers, sources, texts) = Default::default();
        Self { version: VERSION, operators, environments, media, models, packages, servers, sources, texts }
    }
}

/// One pinned input.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pin {
    /// Of the arguments, for what is fetched by name and checked while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    arguments: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    bytes: Option<u64>,
    /// What the people agreed to who are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    consent: Option<String>,
    /// Of the bytes, and of relative paths where there are several files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    files: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    licence: Option<String>,
    /// The commit of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    revision: Option<String>,
    /// Of a package of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    rows: Option<u64>,
    /// Of the columns as they were read; in locks of layout 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schema: Option<Digest>,
    /// What the rows were seen to hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    columns: Columns,
    /// The words that 99 of 100 rows do not exceed, for each column of text; in locks of layout 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    words: BTreeMap<String, u64>,
    /// BLAKE3 of each file of a model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    parts: BTreeMap<String, Digest>,
    /// What a server says of itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    says: Facts,
}

impl Pin {
    fn of_package(pin: &package::Pin) -> Self {
        let version = pin.version.as_ref().map(ToString::to_string);
        Self { digest: Digest::parse(&pin.digest), revision: Some(pin.revision.clone()), version, ..Self::default() }
    }
}

/// The tables of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Table {
    Environments,
    Media,
    Models,
    Packages,
    Servers,
    Sources,
    Texts,
}

/// What a selection reads, as it is now.
#[derive(Debug, Default)]
pub struct Observed {
    pins: BTreeMap<(Table, String), Found>,
    operators: BTreeMap<String, (u32, Span)>,
}

#[derive(Debug)]
struct Found {
    /// Nothing for an input that is not there.
    pin: Option<Pin>,
    span: Span,
    /// The nodes that read it.
    nodes: Vec<NodeId>,
}

/// Looks at the rows that a node has read; `pinned` says that they are as they were when they were pinned.
pub type Look<'a> = dyn Fn(NodeId, &Artifact, bool) -> Columns + 'a;

/// How an input and its entry differ.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// The entry.
    pub name: String,
    /// Where the recipe names it.
    pub span: Span,
    /// The nodes that read it.
    pub nodes: Vec<NodeId>,
    /// In words, for an entry that says something else; nothing for an entry that is not there.
    pub what: Option<String>,
}

/// Reads a recipe's lock; nothing when there is none.
///
/// # Errors
/// It is there and cannot be read.
pub fn read(recipe: &Path) -> io::Result<Option<Lock>> {
    let text = match std::fs::read_to_string(path(recipe)) {
        Ok(text) => text,
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e),
    };
    if let Some(line) = text.lines().position(|l| l.starts_with("<<<<<<< ")) {
        let message = format!("line {}: both sides of a merge changed this entry; keep one of them", line + 1);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    let lock: Lock = toml::from_str(&text).map_err(|e| {
        let line = e.span().map_or(1, |s| text[..s.start.min(text.len())].matches('\n').count() + 1);
        io::Error::new(io::ErrorKind::InvalidData, format!("line {line}: {}", e.message()))
    })?;
    if !(1..=WITH_SERVERS).contains(&lock.version) {
        let message = format!("it has layout {}, this rbpipe reads those up to {WITH_SERVERS}", lock.version);
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(Some(lock))
}

/// Writes a recipe's lock, whole or not at all.
pub fn write(recipe: &Path, lock: &Lock) -> io::Result<()> {
    let target = path(recipe);
    let name = recipe.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let body = lock_text::write(&toml::Table::try_from(lock).map_err(io::Error::other)?);
    let text = format!("# What `{name}` reads, pinned. Written by rbpipe; keep it under version control.\n{body}");
    let folder = target.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    io::Write::write_all(&mut file, text.as_bytes())?;
    // A temporary file is its owner's alone; this one is to be read by everybody.
    file.as_file().set_permissions(std::fs::Permissions::from_mode(0o644))?;
    file.as_file().sync_all()?;
    file.persist(&target).map_err(|e| e.error)?;
    std::fs::File::open(folder)?.sync_all()
}

/// Says whether a node brings something in from outside.
fn is_input(node: &Node) -> bool {
    node.effect == Effect::Source && node.inputs.is_empty() && (!node.paths.is_empty() || node.class != Class::Sampled)
}

/// Returns the part of a selection that reads inputs.
pub fn readers(graph: &Graph, selection: &Selection) -> Selection {
    let nodes = selection.nodes.iter().copied().filter(|&id| is_input(graph.node(id))).collect();
    Selection { nodes, outputs: Vec::new() }
}

/// Looks at everything that a selection reads. Files that did not change since they were last looked at are not read again.
///
/// # Errors
/// A file cannot be read.
pub fn observe(graph: &Graph, selection: &Selection, files: &FileIndex, recipe: &Path) -> io::Result<Observed> {
    let home = recipe.parent().unwrap_or(Path::new(""));
    let mut out = Observed::default();
    let below = |path: &Path| {
        // What lies in a package has the package's name: where packages lie is a matter of this machine.
        match graph.package_of(path) {
            Some((name, rest)) => Ok(format!("{name}/{}", rest.display())),
            None => below(path, home),
        }
    };
    for (name, package) in &graph.packages {
        let span = package.span;
        let pin = Some(Pin::of_package(&package.pin));
        out.pins.insert((Table::Packages, name.clone()), Found { pin, span, nodes: Vec::new() });
    }
    for (path, text) in &graph.texts {
        let pin = Pin { digest: Some(text.digest), files: Some(1), bytes: Some(text.bytes), ..Pin::default() };
        let found = Found { pin: Some(pin), span: text.span, nodes: Vec::new() };
        out.pins.insert((Table::Texts, below(path)?), found);
    }
    for &id in &selection.nodes {
        let node = graph.node(id);
        if node.gate.is_none() {
            out.operators.entry(node.op.clone()).or_insert((node.version, node.span));
        }
        if let Some(arg) = environment(node) {
            let pin = is_there(arg).then(|| look(arg, files)).transpose()?;
            let found = out.pins.entry((Table::Environments, below(&arg.path)?));
            found.or_insert(Found { pin, span: arg.span, nodes: Vec::new() }).nodes.push(id);
        }
        if !is_input(node) {
            continue;
        }
        let Terms { licence, consent } = terms::of(node);
        let mut add =
            |table: Table, name: String, span: Span, pin: &dyn Fn() -> io::Result<Option<Pin>>| -> io::Result<()> {
                let found = match out.pins.entry((table, name)) {
                    std::collections::btree_map::Entry::Occupied(there) => there.into_mut(),
                    std::collections::btree_map::Entry::Vacant(place) => {
                        place.insert(Found { pin: pin()?, span, nodes: Vec::new() })
                    }
                };
                found.nodes.push(id);
                found.span = found.span.min(span);
                Ok(())
            };
        for arg in &node.paths {
            let table = match arg {
                PathArg { media: true, .. } => Table::Media,
                PathArg { model: true, .. } => Table::Models,
                _ => Table::Sources,
            };
            let name = name_of(arg, &below)?;
            let own = |pin: Pin| match table {
                Table::Media => pin,
                _ => Pin { licence: licence.clone(), consent: consent.clone(), ..pin },
            };
            add(table, name, arg.span, &|| is_there(arg).then(|| look(arg, files).map(own)).transpose())?;
        }
        if node.paths.is_empty() {
            let first = node.args.as_object().and_then(|args| args.values().find_map(|v| v.as_str()));
            let name = first.unwrap_or(&node.op).to_owned();
            let pin = Pin { arguments: Some(Digest::of_json(&node.args)), licence, consent, ..Pin::default() };
            add(Table::Models, name, node.span, &|| Ok(Some(pin.clone())))?;
        }
    }
    Ok(out)
}

/// Returns the lock of the environment that a user's own operator runs in, where it names one.
fn environment(node: &Node) -> Option<&PathArg> {
    let name = node.args.get("env").and_then(|v| v.as_str()).filter(|_| node.op == user_op::RUN)?;
    node.paths.iter().find(|arg| arg.arg.strip_prefix(user_op::FILES) == Some(name))
}

fn look(arg: &PathArg, files: &FileIndex) -> io::Result<Pin> {
    let told = |e: io::Error| io::Error::new(e.kind(), format!("cannot read `{}`: {e}", arg.path.display()));
    let mut pin = Pin::default();
    if arg.repository.as_ref().is_some_and(|r| r.revision.is_some()) {
        pin.revision = arg.path.file_name().map(|n| n.to_string_lossy().into_owned());
    }
    if arg.model && arg.path.is_dir() {
        for (name, path) in models::files(&arg.path).map_err(told)? {
            pin.parts.insert(name, files.file(&path).map_err(told)?);
        }
        return Ok(pin);
    }
    let seen = files.seen(arg).map_err(told)?;
    Ok(Pin { digest: Some(seen.digest), files: Some(seen.files), bytes: Some(seen.bytes), ..pin })
}

/// Names an argument as the recipe could: a repository, or a path that starts from the recipe's folder.
fn name_of(arg: &PathArg, below: &dyn Fn(&Path) -> io::Result<String>) -> io::Result<String> {
    let Some(repository) = &arg.repository else { return below(&arg.path) };
    Ok(match repository.revision.as_deref() {
        None | Some("main") => repository.name.clone(),
        Some(revision) => format!("{}@{revision}", repository.name),
    })
}

/// Names a file by the way that leads to it from the recipe's folder.
///
/// # Errors
/// The folder of this process is not there.
pub fn below(path: &Path, home: &Path) -> io::Result<String> {
    let home = parts(&std::path::absolute(if home.as_os_str().is_empty() { Path::new(".") } else { home })?);
    let place = parts(&std::path::absolute(path)?);
    let shared = home.iter().zip(&place).take_while(|(a, b)| a == b).count();
    if shared == 0 {
        return Ok(path.display().to_string());
    }
    let mut out: Vec<&str> = vec![".."; home.len() - shared];
    out.extend(place[shared..].iter().map(String::as_str));
    Ok(if out.is_empty() { ".".to_owned() } else { out.join("/") })
}

fn parts(path: &Path) -> Vec<String> {
    let mut out = Vec::new();
    for part in path.components() {
        match part {
            Component::Normal(name) => out.push(name.to_string_lossy().into_owned()),
            Component::ParentDir => {
                out.pop();
            }
            Component::CurDir | Component::RootDir | Component::Prefix(_) => {}
        }
    }
    out
}

impl Lock {
    /// Pins a package as it was fetched.
    pub fn pin_package(&mut self, name: &str, pin: &package::Pin) {
        self.packages.insert(name.to_owned(), Pin::of_package(pin));
    }

    /// Says how many inputs are pinned.
    pub fn inputs(&self) -> usize {
        let tables = [&self.environments, &self.media, &self.models, &self.packages];
        tables.into_iter().chain([&self.servers, &self.sources, &self.texts]).map(|t| t.len()).sum()
    }

    /// Returns what servers said of themselves, by name.
    pub fn servers(&self) -> BTreeMap<String, Facts> {
        self.servers.iter().map(|(name, pin)| (name.clone(), pin.says.clone())).collect()
    }

    /// Returns how many rows a source had when it was pinned; nothing for one that is not pinned.
    pub fn rows(&self, arg: &PathArg, recipe: &Path) -> Option<u64> {
        self.source(arg, recipe)?.rows
    }

    /// Returns the words that 99 of 100 rows of a source do not exceed, for each column of text, where it was pinned by `rbpipe lock`.
    pub fn words(&self, arg: &PathArg, recipe: &Path) -> BTreeMap<String, u64> {
        let Some(pin) = self.source(arg, recipe) else { return BTreeMap::new() };
        let columns = pin.columns.iter().filter_map(|(name, column)| Some((name.clone(), column.words?)));
        columns.chain(pin.words.clone()).collect()
    }

    /// Returns what the rows of a source were seen to hold; nothing where nobody has looked.
    pub fn columns(&self, arg: &PathArg, recipe: &Path) -> Option<&Columns> {
        self.source(arg, recipe).map(|pin| &pin.columns).filter(|columns| !columns.is_empty())
    }

    fn source(&self, arg: &PathArg, recipe: &Path) -> Option<&Pin> {
        let name = name_of(arg, &|path| below(path, recipe.parent().unwrap_or(Path::new("")))).ok()?;
        self.sources.get(&name)
    }

    fn table(&self, table: Table) -> &BTreeMap<String, Pin> {
        match table {
            Table::Environments => &self.environments,
            Table::Media => &self.media,
            Table::Models => &self.models,
            Table::Packages => &self.packages,
            Table::Servers => &self.servers,
            Table::Sources => &self.sources,
            Table::Texts => &self.texts,
        }
    }

    fn table_mut(&mut self, table: Table) -> &mut BTreeMap<String, Pin> {
        match table {
            Table::Environments => &mut self.environments,
            Table::Media => &mut self.media,
            Table::Models => &mut self.models,
            Table::Packages => &mut self.packages,
            Table::Servers => &mut self.servers,
            Table::Sources => &mut self.sources,
            Table::Texts => &mut self.texts,
        }
    }

    /// Says how the columns of a source, as they are now, differ from those that its entry has; nothing if they do not, or nobody has looked.
    pub fn columns_differ(&self, name: &str, now: &Columns) -> Option<String> {
        let locked = &self.sources.get(name).filter(|pin| !pin.columns.is_empty())?.columns;
        let mut out = Vec::new();
        for (column, is) in now {
            match locked.get(column) {
                None => out.push(format!("`{column}: {}` is new", is.ty)),
                Some(was) => out.extend(column_differs(column, was, is)),
            }
        }
        out.extend(locked.keys().filter(|c| !now.contains_key(*c)).map(|c| format!("`{c}` is gone")));
        (!out.is_empty()).then(|| out.join(", "))
    }

    /// Returns where inputs and entries differ, entries that are not there included.
    pub fn differences(&self, now: &Observed) -> Vec<Difference> {
        let mut out = Vec::new();
        for ((table, name), found) in &now.pins {
            let what = match self.table(*table).get(name) {
                None => None,
                Some(locked) => match found.pin.as_ref().and_then(|now| differs(locked, now)) {
                    Some(what) => Some(what),
                    None => continue,
                },
            };
            out.push(Difference { name: name.clone(), span: found.span, nodes: found.nodes.clone(), what });
        }
        for (op, &(version, span)) in &now.operators {
            let what = match self.operators.get(op) {
                Some(&locked) if locked == version => continue,
                Some(locked) => Some(format!("version {version}, the lock has {locked}")),
                None => None,
            };
            out.push(Difference { name: op.clone(), span, nodes: Vec::new(), what });
        }
        out
    }

    /// Takes over what is now, only the entries that `wanted` names; `results` tells rows, `look` what they hold.
    ///
    /// An input that nobody has read successfully is not taken over. One that is as it was is not looked at again.
    pub fn accept(
        &mut self,
        now: &Observed,
        results: &BTreeMap<NodeId, Results>,
        wanted: &dyn Fn(&str) -> bool,
        look: &Look,
    ) {
        for ((table, name), found) in now.pins.iter().filter(|((_, name), _)| wanted(name)) {
            let made = found.nodes.iter().find_map(|id| Some((*id, results.get(id)?)));
            // These are read as they are: nothing has to be made of them.
            let read = made.is_some()
                || matches!(table, Table::Texts | Table::Environments | Table::Packages | Table::Servers);
            let Some(mut pin) = found.pin.clone().filter(|_| read) else { continue };
            for (id, artifact) in made.into_iter().flat_map(|(id, made)| made.values().map(move |(_, a)| (id, a))) {
                if artifact.kind == Kind::Dataset && *table == Table::Sources {
                    pin.rows = artifact.rows();
                    let before = self.sources.get(name).filter(|old| old.digest == pin.digest && old.digest.is_some());
                    let seen = before.filter(|old| !old.columns.is_empty()).map(|old| old.columns.clone());
                    pin.columns = seen.unwrap_or_else(|| look(id, artifact, before.is_some()));
                    // A lock of layout 1 keeps what it says until somebody looks.
                    if let Some(old) = before.filter(|_| pin.columns.is_empty()) {
                        (pin.schema, pin.words) = (old.schema, old.words.clone());
                    }
                } else if artifact.kind == Kind::Model && pin.arguments.is_some() {
                    pin.parts = artifact.files.iter().map(|(name, file)| (name.clone(), file.digest)).collect();
                }
            }
            self.table_mut(*table).insert(name.clone(), pin);
        }
        for (op, &(version, _)) in now.operators.iter().filter(|(op, _)| wanted(op)) {
            self.operators.insert(op.clone(), version);
        }
        if !self.servers.is_empty() {
            self.version = WITH_SERVERS;
        } else if self.sources.values().any(|pin| !pin.columns.is_empty()) {
            self.version = VERSION;
        }
    }
}

impl Observed {
    /// Adds a server with what is pinned of it, or what it says now; without either it counts as an input that is not there.
    pub fn add_server(&mut self, name: &str, server: &Server, says: Option<Facts>) {
        let pin = says.map(|says| Pin { says, ..Pin::default() });
        let found = Found { pin, span: server.span, nodes: server.nodes.iter().copied().collect() };
        self.pins.insert((Table::Servers, name.to_owned()), found);
    }

    /// Leaves a server out that says nothing of itself.
    pub fn drop_server(&mut self, name: &str) {
        self.pins.remove(&(Table::Servers, name.to_owned()));
    }

    /// Returns every name that an entry can be called by.
    pub fn names(&self) -> Vec<&str> {
        self.pins.keys().map(|(_, name)| name.as_str()).chain(self.operators.keys().map(String::as_str)).collect()
    }

    /// Returns the entries that some nodes read.
    pub fn read_by(&self, wanted: &dyn Fn(NodeId) -> bool) -> Vec<&str> {
        let read = self.pins.iter().filter(|(_, found)| found.nodes.iter().any(|&id| wanted(id)));
        read.map(|((_, name), _)| name.as_str()).collect()
    }
}

/// Says how an input differs from its entry; nothing if it does not.
fn differs(locked: &Pin, now: &Pin) -> Option<String> {
    if locked.arguments != now.arguments {
        return Some("it is asked for with other arguments".to_owned());
    }
    if let Some(what) = servers::differ(&locked.says, &now.says) {
        return Some(what);
    }
    if locked.revision != now.revision {
        let say = |r: &Option<String>| r.clone().unwrap_or_else(|| "none".to_owned());
        return Some(format!("revision {}, the lock has {}", say(&now.revision), say(&locked.revision)));
    }
    if locked.digest != now.digest {
        let say = |p: &Pin| {
            let files = phrase::count(p.files.unwrap_or(0) as usize, "file");
            format!("{files} of {} bytes", p.bytes.unwrap_or(0))
        };
        let (here, there) = (say(now), say(locked));
        let rows = locked.rows.map_or(String::new(), |rows| format!(" with {}", phrase::count(rows as usize, "row")));
        return Some(match here == there {
            true => format!("{here}, as many as in the lock{rows}, with other content"),
            false => format!("{here}, the lock has {there}{rows}"),
        });
    }
    for (word, there, here) in [("licence", &locked.licence, &now.licence), ("consent", &locked.consent, &now.consent)]
    {
        // What was pinned before anybody told is no promise.
        if let Some(there) = there.as_ref().filter(|there| here.as_ref() != Some(*there)) {
            let here = here.as_ref().map_or("none".to_owned(), |text| format!("\"{text}\""));
            return Some(format!("its {word} is {here}, in the lock it is \"{there}\""));
        }
    }
    // What is fetched by name is looked at while it is fetched.
    if now.arguments.is_some() || locked.parts == now.parts {
        return None;
    }
    let of = |a: &BTreeMap<String, Digest>, b: &BTreeMap<String, Digest>, word: &str| {
        let names: Vec<&String> = a.keys().filter(|name| !b.contains_key(*name)).collect();
        (!names.is_empty()).then(|| format!("{} {word}", phrase::quoted(&names)))
    };
    let changed: Vec<&String> =
        now.parts.iter().filter(|(n, d)| locked.parts.get(*n).is_some_and(|l| l != *d)).map(|(n, _)| n).collect();
    let changed = (!changed.is_empty()).then(|| format!("{} changed", phrase::quoted(&changed)));
    let parts = [changed, of(&now.parts, &locked.parts, "added"), of(&locked.parts, &now.parts, "removed")];
    Some(parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

fn column_differs(name: &str, was: &Column, is: &Column) -> Option<String> {
    if was.ty != is.ty {
        return Some(format!("`{name}` was {}, now {}", was.ty, is.ty));
    }
    let new: Vec<&String> = is.values.iter().filter(|v| !was.values.contains(v)).collect();
    if !was.values.is_empty() && !new.is_empty() {
        return Some(format!("`{name}` has the values {} too", phrase::quoted(&new)));
    }
    if was.absent == 0.0 && is.absent > 0.0 {
        return Some(format!("`{name}` is absent in {} of rows, was in none", percent(is.absent)));
    }
    None
}

fn percent(share: f64) -> String {
    format!("{} %", (share * 1e4).round() / 1e2)
}
