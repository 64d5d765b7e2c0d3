//! What is pinned, as it stands in the file.

use std::collections::BTreeMap;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::names::{below, name_of};
use super::text;
pub use crate::base::package::lock as path;
use crate::base::{Digest, package};
use crate::engine::inputs::servers::Facts;
use crate::plan::PathArg;
use crate::spec::observed::Columns;

/// The layout of the file that is written; earlier ones are read: 1 has a digest of columns, and their words in a table of their own.
pub(super) const VERSION: u32 = 2;
/// The layout of a file with servers, which those before do not know.
pub(super) const WITH_SERVERS: u32 = 3;

/// What is pinned. Tables and keys are sorted, so that two people's changes meet only where they differ.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Lock {
    pub(super) version: u32,
    /// Locks of the environments that a user's own operators run in.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    environments: BTreeMap<String, Pin>,
    /// Semantic versions of operators.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) operators: BTreeMap<String, u32>,
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
    pub(super) servers: BTreeMap<String, Pin>,
    /// Files of rows.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) sources: BTreeMap<String, Pin>,
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
pub(super) struct Pin {
    /// Of the arguments, for what is fetched by name and checked while it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) arguments: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) bytes: Option<u64>,
    /// What the people agreed to who are in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) consent: Option<String>,
    /// Of the bytes, and of relative paths where there are several files.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) digest: Option<Digest>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) files: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) licence: Option<String>,
    /// The commit of a repository.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) revision: Option<String>,
    /// Of a package of the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) version: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) rows: Option<u64>,
    /// Of the columns as they were read; in locks of layout 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) schema: Option<Digest>,
    /// What the rows were seen to hold.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) columns: Columns,
    /// The words that 99 of 100 rows do not exceed, for each column of text; in locks of layout 1.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) words: BTreeMap<String, u64>,
    /// BLAKE3 of each file of a model.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) parts: BTreeMap<String, Digest>,
    /// What a server says of itself.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) says: Facts,
}

impl Pin {
    pub(super) fn of_package(pin: &package::Pin) -> Self {
        let version = pin.version.as_ref().map(ToString::to_string);
        Self { digest: Digest::parse(&pin.digest), revision: Some(pin.revision.clone()), version, ..Self::default() }
    }
}

/// The tables of a lock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Table {
    Environments,
    Media,
    Models,
    Packages,
    Servers,
    Sources,
    Texts,
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
    let body = text::write(&toml::Table::try_from(lock).map_err(io::Error::other)?);
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

    pub(super) fn table(&self, table: Table) -> &BTreeMap<String, Pin> {
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

    pub(super) fn table_mut(&mut self, table: Table) -> &mut BTreeMap<String, Pin> {
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
}
