//! Reads a recipe and everything that it imports, depth first, and says what each imported name stands for.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{allow, consequences, op_files};
use crate::base::codes::{E0205, E0206, E0209, E0501};
use crate::base::package::{self, Address, Pin};
use crate::base::{Diagnostic, Problems, SourceId, SourceMap, Span, World, phrase, world};
use crate::spec::Catalogue;
use crate::spec::catalogue::Operator;
use crate::syntax::ast::{File, Import, ImportFrom, ItemKind, Name, StrLit};

/// The `.rb2` files of the standard library, by their path below `std`.
const STD_FILES: &[(&str, &str)] = &[("eval/embodied17", include_str!("../../stdlib/eval/embodied17.rb2"))];

/// A recipe with all that it imports.
#[derive(Debug)]
pub struct Program {
    /// The recipe first, then its imports in the order in which they were met; each file once.
    pub modules: Vec<Module>,
    /// Packages that were imported, by name.
    pub packages: BTreeMap<String, Package>,
    /// Packages that the lock does not pin as they are wanted, or that are not on this machine: they have to be fetched first.
    pub wanted: Vec<Wanted>,
}

/// A package that was imported.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Package {
    /// Where it lies.
    pub folder: PathBuf,
    /// What the lock says of it.
    pub pin: Pin,
    /// The first import of it.
    pub span: Span,
}

/// A package that has to be fetched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub address: Address,
    /// What the lock says of it, if that is what the import asks for.
    pub pin: Option<Pin>,
    /// The import.
    pub span: Span,
}

/// One file of a program.
#[derive(Debug)]
pub struct Module {
    /// Its index in [`Program::modules`].
    pub id: usize,
    /// Where it was read: a path as the world takes it, or `std/….rb2`.
    pub path: PathBuf,
    /// What it says.
    pub file: Arc<File>,
    /// The folder that paths in it start from; `None` for the standard library.
    pub folder: Option<PathBuf>,
    /// The folder that `@root/` stands for: the repository's, or the package's that it belongs to.
    pub root: PathBuf,
    /// What its imports bring in.
    pub imports: Vec<ImportedName>,
}

/// A name that an import brings in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImportedName {
    /// The name in this file.
    pub name: Name,
    /// What it stands for.
    pub target: ImportTarget,
    /// The index of the import among the items of the file.
    pub item: usize,
}

/// What an imported name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ImportTarget {
    /// A module of built-in operators, such as `data`.
    Operators(String),
    /// Another file, by its index in [`Program::modules`].
    Module(usize),
    /// Nothing: a problem was reported.
    Missing,
}

/// Files parsed before, for a caller that loads the same recipe again and again while one of its files changes.
#[derive(Clone, Debug, Default)]
pub struct ParseCache {
    files: BTreeMap<SourceId, (Arc<str>, Arc<File>, Problems)>,
}

impl ParseCache {
    /// Parses texts, several at a time; those that did not change since the last time are taken from there.
    fn parse(&mut self, texts: &[(SourceId, &str)]) -> Vec<(Arc<File>, Problems)> {
        let known =
            |&(source, text): &(SourceId, &str)| self.files.get(&source).is_some_and(|(known, ..)| **known == *text);
        let new: Vec<_> = texts.iter().copied().filter(|text| !known(text)).collect();
        for (&(source, text), (file, problems)) in new.iter().zip(crate::syntax::parse_all(&new)) {
            self.files.insert(source, (Arc::from(text), Arc::new(file), problems));
        }
        texts
            .iter()
            .map(|(source, _)| {
                let (_, file, problems) = &self.files[source];
                (Arc::clone(file), problems.clone())
            })
            .collect()
    }
}

/// Returns the files of the standard library: their virtual paths `std/….rb2` and texts.
pub fn std_files() -> impl Iterator<Item = (String, &'static str)> {
    STD_FILES.iter().map(|(name, text)| (format!("std/{name}.rb2"), *text))
}

/// Reads the recipe at `path` and its imports.
///
/// The program always has its root module, empty when the file cannot be read.
pub fn load(world: &dyn World, catalogue: &Catalogue, sources: &mut SourceMap, path: &Path) -> (Program, Problems) {
    load_again(world, catalogue, sources, path, &mut ParseCache::default())
}

/// As [`load`], without parsing anew what did not change since the last time. `sources` is empty at the start, so that a file
/// has the same place in it each time.
pub fn load_again(
    world: &dyn World,
    catalogue: &Catalogue,
    sources: &mut SourceMap,
    path: &Path,
    cache: &mut ParseCache,
) -> (Program, Problems) {
    let path = world::normal(path);
    let folder = path.parent().map_or_else(PathBuf::new, Path::to_path_buf);
    let root = repository(world, &folder);
    let mut loader = Loader {
        world,
        catalogue,
        sources,
        cache,
        lock: None,
        recipe: path.clone(),
        modules: Vec::new(),
        by_path: BTreeMap::new(),
        parsed: BTreeMap::new(),
        open: Vec::new(),
        packages: BTreeMap::new(),
        wanted: Vec::new(),
        problems: Problems::default(),
    };
    match world.read(&path) {
        Ok(text) => {
            loader.file(path, Some(folder), root, &text);
        }
        Err(e) => {
            let id = loader.file(path.clone(), Some(folder), root, "");
            let source = loader.modules[id].file.source;
            let help = match e.kind() {
                std::io::ErrorKind::NotFound => {
                    let parent = path.parent().unwrap_or(Path::new(""));
                    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
                    let files = loader.world.list(parent);
                    let recipes = files.iter().map(String::as_str).filter(|f| f.ends_with(".rb2"));
                    let near = phrase::nearest(&name, recipes).map(|near| parent.join(near));
                    near.map_or_else(
                        || "give the path of a `.rb2` file, as in `rbpipe check recipes/final.rb2`".to_owned(),
                        |near| format!("did you mean `{}`?", near.display()),
                    )
                }
                std::io::ErrorKind::InvalidData => {
                    "save it as UTF-8; `iconv -f LATIN1 -t UTF-8` converts a file".to_owned()
                }
                std::io::ErrorKind::IsADirectory => "give the path of a `.rb2` file in it".to_owned(),
                _ => "make the file readable, or give another path".to_owned(),
            };
            let why = unreadable(&e);
            let message = format!("cannot read the recipe `{}`: {why}", path.display());
            loader
                .problems
                .push(Diagnostic::new(E0501, Span::new(source, 0, 0), message, "the recipe itself").help(help));
        }
    }
    let Loader { modules, packages, wanted, problems, .. } = loader;
    (Program { modules, packages, wanted }, problems)
}

struct Loader<'a> {
    world: &'a dyn World,
    catalogue: &'a Catalogue,
    sources: &'a mut SourceMap,
    cache: &'a mut ParseCache,
    recipe: PathBuf,
    /// What the recipe's lock pins, read when the first package is imported.
    lock: Option<BTreeMap<String, Pin>>,
    modules: Vec<Module>,
    by_path: BTreeMap<PathBuf, usize>,
    /// Files that were parsed together with others, until their imports are followed.
    parsed: BTreeMap<PathBuf, (Arc<File>, Problems)>,
    /// The files being read, outermost first, each with the import in it that is being followed.
    open: Vec<(usize, Span)>,
    packages: BTreeMap<String, Package>,
    wanted: Vec<Wanted>,
    problems: Problems,
}

impl Loader<'_> {
    /// Parses one file and follows its imports.
    fn file(&mut self, path: PathBuf, folder: Option<PathBuf>, root: PathBuf, text: &str) -> usize {
        let source = self.sources.add(path.display().to_string(), folder.as_deref(), text);
        let parsed = self.cache.parse(&[(source, text)]).remove(0);
        self.module(path, folder, root, parsed)
    }

    /// Adds a file that is parsed, and follows its imports.
    fn module(
        &mut self,
        path: PathBuf,
        folder: Option<PathBuf>,
        root: PathBuf,
        (file, problems): (Arc<File>, Problems),
    ) -> usize {
        let problems = consequences::left_out(&file, problems);
        self.problems.extend(allow::apply(&file, problems, allow::Stage::Parse));
        if let Some(folder) = &folder {
            self.problems.extend(op_files::absent(self.world, folder, &file));
        }
        let id = self.modules.len();
        let imports: Vec<(usize, Import, Span)> = file
            .items
            .iter()
            .enumerate()
            .filter_map(|(at, item)| match &item.kind {
                ItemKind::Import(import) => Some((at, import.clone(), item.span)),
                _ => None,
            })
            .collect();
        self.modules.push(Module { id, path: path.clone(), file, folder, root, imports: Vec::new() });
        self.by_path.insert(path, id);
        self.parse_imports(id, &imports);
        for (item, import, span) in imports {
            self.open.push((id, span));
            let names = match &import.from {
                ImportFrom::Path(path) => self.std_import(path, &import),
                ImportFrom::File(text) => self.file_import(id, text, &import, span),
            };
            self.open.pop();
            let names = names.into_iter().map(|(name, target)| ImportedName { name, target, item });
            self.modules[id].imports.extend(names);
        }
        id
    }

    /// Parses the files that a file imports and no other did before, all at once.
    fn parse_imports(&mut self, from: usize, imports: &[(usize, Import, Span)]) {
        let mut found: Vec<(SourceId, PathBuf, String)> = Vec::new();
        for (_, import, _) in imports {
            let ImportFrom::File(written) = &import.from else { continue };
            if written.plain().is_some_and(|written| package::is_package(&written)) {
                continue;
            }
            let Ok(path) = self.imported_path(from, written) else { continue };
            let met = self.by_path.contains_key(&path) || self.parsed.contains_key(&path);
            if met || found.iter().any(|(_, other, _)| *other == path) {
                continue;
            }
            if let Ok(text) = self.world.read(&path) {
                found.push((self.sources.add(path.display().to_string(), path.parent(), text.as_str()), path, text));
            }
        }
        let texts: Vec<(SourceId, &str)> = found.iter().map(|(source, _, text)| (*source, text.as_str())).collect();
        let parsed = self.cache.parse(&texts);
        self.parsed.extend(found.into_iter().map(|(_, path, _)| path).zip(parsed));
    }

    fn std_import(&mut self, path: &[Name], import: &Import) -> Vec<(Name, ImportTarget)> {
        let Some((first, rest)) = path.split_first() else { return Vec::new() };
        if first.text != "std" {
            let d =
                Diagnostic::new(E0205, first.span, format!("there is no library `{}`", first.text), "not a library");
            let module = self.operator_modules().contains(first.text.as_str());
            let at = Span { end: first.span.start, ..first.span };
            self.problems.push(if module && import.names.is_none() {
                d.help(format!("it is a part of the standard library: `import std.{}`", first.text)).fix(at, "std.")
            } else {
                d.help(format!(
                    "the only library is `std`, as in `import std.{{data, train}}`; a file is imported by its path: `import \"./{}.rb2\" as {}`",
                    first.text, first.text
                ))
            });
            return self.missing(import, path.last());
        }
        let stem: Vec<&str> = rest.iter().map(|n| n.text.as_str()).collect();
        match &import.names {
            Some(names) => names
                .iter()
                .map(|(name, alias)| {
                    let mut full = stem.clone();
                    full.push(&name.text);
                    (alias.clone().unwrap_or_else(|| name.clone()), self.std_target(&full, name.span))
                })
                .collect(),
            None => {
                let Some(last) = rest.last() else {
                    let help = "name what you need: `import std.{data, filter, train}`";
                    self.problems.push(
                        Diagnostic::new(E0205, first.span, "`std` cannot be imported as a whole", "all of it")
                            .help(help),
                    );
                    return self.missing(import, Some(first));
                };
                let target = self.std_target(&stem, last.span);
                vec![(import.alias.clone().unwrap_or_else(|| last.clone()), target)]
            }
        }
    }

    fn std_target(&mut self, path: &[&str], span: Span) -> ImportTarget {
        if let [module] = path
            && self.catalogue.operators.iter().any(|op| module_of(op) == Some(*module))
        {
            return ImportTarget::Operators((*module).to_owned());
        }
        let below = path.join("/");
        if let Some((_, text)) = STD_FILES.iter().find(|(name, _)| *name == below) {
            let name = format!("std/{below}.rb2");
            let key = PathBuf::from(&name);
            return match self.by_path.get(&key) {
                Some(&id) => ImportTarget::Module(id),
                None => ImportTarget::Module(self.file(key, None, PathBuf::new(), text)),
            };
        }
        let dotted = path.join(".");
        let mut known: Vec<String> = self.operator_modules().into_iter().map(str::to_owned).collect();
        known.extend(STD_FILES.iter().map(|(name, _)| name.replace('/', ".")));
        let d = Diagnostic::new(E0205, span, format!("`std.{dotted}` does not exist"), "not in the standard library");
        if let [module, name] = path
            && self.catalogue.get(&dotted).is_some()
        {
            let help = format!("a module is imported as a whole: `import std.{module}`, then `{module}.{name}(…)`");
            self.problems.push(d.help(help));
            return ImportTarget::Missing;
        }
        let below = known.iter().find(|name| name.rsplit_once('.').is_some_and(|(_, last)| last == dotted));
        let near = below.map(String::as_str).or_else(|| phrase::nearest(&dotted, known.iter().map(String::as_str)));
        self.problems.push(match near {
            Some(near) => {
                let d = d.help(format!("did you mean `std.{near}`?"));
                // The place is the last word of the path; the fix fits if the words before it are right.
                let (stem, last) = near.rsplit_once('.').unwrap_or(("", near));
                if dotted.rsplit_once('.').map_or("", |(s, _)| s) == stem { d.fix(span, last) } else { d }
            }
            None => d.help(format!("`std` has {}", phrase::quoted(&known))),
        });
        ImportTarget::Missing
    }

    fn operator_modules(&self) -> std::collections::BTreeSet<&str> {
        self.catalogue.operators.iter().filter_map(module_of).collect()
    }

    fn file_import(&mut self, from: usize, text: &StrLit, import: &Import, span: Span) -> Vec<(Name, ImportTarget)> {
        let target = self.file_target(from, text, span);
        import.alias.iter().map(|alias| (alias.clone(), target.clone())).collect()
    }

    fn file_target(&mut self, from: usize, text: &StrLit, span: Span) -> ImportTarget {
        let written = text.plain().unwrap_or_default();
        if package::is_package(&written) {
            return self.package_target(&written, text.span, span);
        }
        let path = match self.imported_path(from, text) {
            Ok(path) => path,
            Err(problem) => {
                self.problems.push(*problem);
                return ImportTarget::Missing;
            }
        };
        self.read(&path, self.modules[from].root.clone(), span).unwrap_or_else(|e| {
            let (help, near) = self.near_file(from, &path, &written);
            let message = format!("cannot read `{}`: {}", path.display(), unreadable(&e));
            let (help, near) = if written.starts_with('~') {
                ("`~` is not replaced by the home folder; give a path relative to this file".to_owned(), None)
            } else if near.is_none() && !written.ends_with(".rb2") && !help.starts_with("that folder") {
                (format!("an import names a file with its end: `\"{written}.rb2\"`"), Some(format!("{written}.rb2")))
            } else {
                (help, near)
            };
            let d = Diagnostic::new(E0205, text.span, message, "imported here").help(help);
            self.problems.push(match near {
                Some(near) => d.fix(text.span, format!("\"{near}\"")),
                None => d,
            });
            ImportTarget::Missing
        })
    }

    /// Returns the path that an import of a file means, unless it is one of a package.
    fn imported_path(&self, from: usize, text: &StrLit) -> Result<PathBuf, Box<Diagnostic>> {
        let problem = |message: String, label: &str, help: &str| {
            Err(Box::new(Diagnostic::new(E0205, text.span, message, label).help(help)))
        };
        let Some(written) = text.plain() else {
            return problem(
                "an import path cannot hold `{names}`".to_owned(),
                "interpolated",
                "imports are resolved before anything else; import both files and choose between them with `if`",
            );
        };
        if written.contains("://") {
            return problem(
                "a recipe is not imported from the web".to_owned(),
                "an address",
                "copy the file into this repository and import it by its path, or import a Git repository at a revision: \
                 `import \"git:https://example.com/team/tools.git@v1.0.0#tools.rb2\" as tools`",
            );
        }
        if let Some((_, end)) = written.rsplit_once('/').map_or(written.as_str(), |(_, name)| name).rsplit_once('.')
            && end != "rb2"
            && !end.is_empty()
        {
            return problem(
                format!("an import is a `.rb2` file; this is a `.{end}` file"),
                "imported here",
                match end {
                    "py" | "sh" => {
                        "a program is run by an operator of your own: `op name(d: Dataset[Row]) -> Dataset[Row] runs \"python3 file.py\"`"
                    }
                    "json" | "jsonl" | "csv" | "parquet" => {
                        "rows are read with an operator: `data.jsonl(\"rows.jsonl\", as: Row)`"
                    }
                    "yaml" | "yml" | "toml" => "options stand in the recipe, as a record: `let how = { epochs: 3.0 }`",
                    _ => "give the path of a `.rb2` file",
                },
            );
        }
        let importer = &self.modules[from];
        let base = match written.strip_prefix("@root/") {
            Some(_) => importer.root.clone(),
            None => importer.folder.clone().unwrap_or_default(),
        };
        let path = world::normal(&base.join(written.strip_prefix("@root/").unwrap_or(&written)));
        let packaged = self.packages.values().any(|p| p.folder == importer.root);
        if packaged && !path.starts_with(&importer.root) {
            return problem(
                "this path leads out of the package".to_owned(),
                "imported here",
                "a package sees its own files, `std` and other packages",
            );
        }
        Ok(path)
    }

    /// Finds the file of a package that the lock pins.
    fn package_target(&mut self, written: &str, text: Span, span: Span) -> ImportTarget {
        let address = match Address::parse(written) {
            Ok(address) => address,
            Err(e) => {
                self.problems.push(Diagnostic::new(E0209, text, e.message, "a package").help(e.help));
                return ImportTarget::Missing;
            }
        };
        if self.lock.is_none() {
            let lock = self.world.read(&package::lock(&self.recipe));
            self.lock = Some(lock.map(|lock| package::pins(&lock)).unwrap_or_default());
        }
        let name = address.name.clone();
        let pinned = self.lock.as_ref().and_then(|lock| lock.get(&name)).cloned();
        let pin = pinned.clone().filter(|pin| address.takes(pin));
        let named = |name: &str| self.world.env(name).filter(|v| !v.is_empty()).map(PathBuf::from);
        let here = pin.as_ref().map(|pin| package::folder(&world::cache(&named), &pin.digest));
        let here = here.filter(|folder| self.world.exists(folder));
        let (Some(pin), Some(folder)) = (&pin, here) else {
            let message = match (&pin, &pinned) {
                (Some(pin), _) => format!("`{name}` is not on this machine: the lock pins commit {}", pin.revision),
                (None, Some(Pin { version: Some(version), .. })) => {
                    format!("`{name}` does not take version {version}, which the lock pins")
                }
                _ => format!("the lock does not pin `{name}` yet"),
            };
            let help = format!("`rbpipe lock {}` fetches it and pins what was fetched", self.recipe.display());
            self.problems.push(Diagnostic::new(E0209, text, message, "this package").help(help));
            self.wanted.push(Wanted { address, pin, span: text });
            return ImportTarget::Missing;
        };
        let path = world::normal(&folder.join(&address.file));
        let package = Package { folder: folder.clone(), pin: pin.clone(), span: text };
        self.packages.entry(name.clone()).or_insert(package);
        if !path.starts_with(&folder) {
            let d = Diagnostic::new(E0205, text, "this path leads out of the package", "imported here");
            self.problems.push(d.help("after `#` stands the path of a file in the package"));
            return ImportTarget::Missing;
        }
        self.read(&path, folder.clone(), span).unwrap_or_else(|e| {
            let message = format!("`{name}` has no readable `{}`: {}", address.file, unreadable(&e));
            let files = self.world.list(path.parent().unwrap_or(&folder));
            let recipes: Vec<&String> = files.iter().filter(|f| f.ends_with(".rb2")).collect();
            let help = match recipes.is_empty() {
                true => "after `#` stands the path of a file in the package".to_owned(),
                false => format!("after `#` stands the path of a file; that folder has {}", phrase::quoted(&recipes)),
            };
            self.problems.push(Diagnostic::new(E0205, text, message, "imported here").help(help));
            ImportTarget::Missing
        })
    }

    /// Returns the module of a file, which is read unless it was before; `span` is the import that asks for it.
    fn read(&mut self, path: &Path, root: PathBuf, span: Span) -> std::io::Result<ImportTarget> {
        if let Some(&id) = self.by_path.get(path) {
            if let Some(at) = self.open.iter().position(|&(open, _)| open == id) {
                self.cycle(at, span);
                return Ok(ImportTarget::Missing);
            }
            return Ok(ImportTarget::Module(id));
        }
        let folder = path.parent().map(Path::to_path_buf);
        if let Some(parsed) = self.parsed.remove(path) {
            return Ok(ImportTarget::Module(self.module(path.to_path_buf(), folder, root, parsed)));
        }
        let content = self.world.read(path)?;
        Ok(ImportTarget::Module(self.file(path.to_path_buf(), folder, root, &content)))
    }

    /// Suggests a file that is there: with the extension, in a folder nearby, or of a similar name; and how it is written.
    fn near_file(&self, from: usize, path: &Path, written: &str) -> (String, Option<String>) {
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.extension().is_none() && self.world.exists(&path.with_extension("rb2")) {
            return (format!("did you mean `\"{written}.rb2\"`?"), Some(format!("{written}.rb2")));
        }
        let parent = path.parent().unwrap_or(Path::new(""));
        let here = self.modules[from].folder.clone().unwrap_or_default();
        for folder in ["lib", "", "..", "../lib"] {
            let candidate = world::normal(&parent.join(folder).join(&name));
            if candidate != *path && !name.is_empty() && self.world.exists(&candidate) {
                let near = relative(&here, &candidate);
                return (format!("there is a `{}`: give that path", candidate.display()), near);
            }
        }
        let files = self.world.list(if path.extension().is_some() { parent } else { path });
        let recipes: Vec<&str> = files.iter().map(String::as_str).filter(|f| f.ends_with(".rb2")).collect();
        let near = phrase::nearest(&name, recipes.iter().copied());
        if let Some(near) = near {
            let near = relative(&here, &world::normal(&parent.join(near))).unwrap_or_else(|| near.to_owned());
            return (format!("did you mean `\"{near}\"`?"), Some(near));
        }
        let help = if recipes.is_empty() {
            "the path is relative to the file that imports; `@root/…` starts at the repository".to_owned()
        } else {
            format!("that folder has {}", phrase::quoted(&recipes))
        };
        (help, None)
    }

    /// Reports the cycle of the open files from `at` on; `closing` is the import that leads back.
    fn cycle(&mut self, at: usize, closing: Span) {
        let ring: Vec<(String, Span)> = self.open[at..]
            .iter()
            .map(|&(id, span)| (self.sources.get(self.modules[id].file.source).name.clone(), span))
            .collect();
        let mut names: Vec<&str> = ring.iter().map(|(name, _)| name.as_str()).collect();
        names.push(names[0]);
        let message = match ring.len() {
            1 => format!("`{}` imports itself", names[0]),
            _ => format!("imports go in a circle: {}", names.join(" → ")),
        };
        let mut d = Diagnostic::new(E0206, ring[0].1, message, format!("imports {}", names[1]));
        for (i, (_, span)) in ring.iter().enumerate().skip(1) {
            d = d.also(*span, format!("imports {}", names[i + 1]));
        }
        debug_assert_eq!(ring.last().map(|(_, span)| *span), Some(closing));
        self.problems.push(d.help("move what both files need into a third file that imports neither"));
    }

    fn missing(&self, import: &Import, last: Option<&Name>) -> Vec<(Name, ImportTarget)> {
        let names: Vec<Name> = match &import.names {
            Some(names) => names.iter().map(|(name, alias)| alias.clone().unwrap_or_else(|| name.clone())).collect(),
            None => import.alias.iter().chain(last.filter(|_| import.alias.is_none())).cloned().collect(),
        };
        names.into_iter().map(|name| (name, ImportTarget::Missing)).collect()
    }
}

/// Returns the module of an operator.
fn module_of(operator: &Operator) -> Option<&str> {
    operator.name.rsplit_once('.').map(|(module, _)| module)
}

/// Why a file of recipes cannot be read.
fn unreadable(e: &std::io::Error) -> String {
    match e.kind() {
        std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
        std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
        std::io::ErrorKind::InvalidData => "it is no text in UTF-8".to_owned(),
        _ => e.to_string(),
    }
}

/// The path of a file below a folder, as it is written in an import.
fn relative(folder: &Path, file: &Path) -> Option<String> {
    let mut up = 0;
    let base = folder.ancestors().find(|base| {
        let below = file.starts_with(base);
        up += usize::from(!below);
        below
    })?;
    let rest = file.strip_prefix(base).ok()?.display().to_string();
    Some(if up == 0 { format!("./{rest}") } else { format!("{}{rest}", "../".repeat(up)) })
}

/// The nearest folder upwards that holds `.git`, else the recipe's own folder.
fn repository(world: &dyn World, folder: &Path) -> PathBuf {
    folder.ancestors().find(|f| world.exists(&f.join(".git"))).unwrap_or(folder).to_path_buf()
}
