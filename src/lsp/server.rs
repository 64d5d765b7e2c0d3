//! The protocol: messages in, answers and diagnostics out. This file and those below it are the only ones that know LSP types.
//!
//! One thread reads, one writes, and this one works through the messages in order. Diagnostics are made when no message waits, so a
//! burst of keys is checked once. Each open file is the root of an analysis of its own, kept until a file that it reads changes.

mod answers;
mod convert;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::time::SystemTime;

use gen_lsp_types as lsp;
use lsp_server::{Connection, ErrorCode, Message, Notification, Request, RequestId, Response};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value as Json, json};

use super::snapshot::Snapshot;
use super::text::{self, Encoding};
use super::{stubs, uri};
use crate::base::package;
use crate::base::world::OverlayWorld;
use crate::plan::lints::Known;
use crate::semantics::ParseCache;
use crate::spec::Catalogue;

/// What the server is given.
pub struct Config {
    /// All operators.
    pub catalogue: Catalogue,
    /// Where readable copies of the standard library are written when somebody asks for a definition in it.
    pub library: PathBuf,
    /// Reads what the lock of a recipe has seen of its files.
    pub locked: fn(&Path) -> Rc<dyn Known>,
    /// What the server says its version is.
    pub version: &'static str,
}

/// Serves one editor over stdin and stdout until it says `exit` or closes; returns whether it said `shutdown` before.
///
/// # Errors
/// What was not of the protocol.
pub fn serve(config: Config) -> Result<bool, String> {
    note_panics();
    let (connection, threads) = Connection::stdio();
    let orderly = converse(&connection, config);
    drop(connection);
    let closed = threads.join().map_err(|e| e.to_string());
    let orderly = orderly?;
    closed.map(|()| orderly)
}

/// Runs a handler; a panic in it becomes its text and place.
///
/// # Errors
/// The text of the panic.
pub fn shielded<T>(handler: impl FnOnce() -> T) -> Result<T, String> {
    panic::catch_unwind(AssertUnwindSafe(handler)).map_err(|payload| {
        let said = LAST_PANIC.take();
        let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned());
        said.or(text).unwrap_or_else(|| "no message".to_owned())
    })
}

thread_local! {
    static LAST_PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
}

fn note_panics() {
    let before = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        LAST_PANIC.set(Some(info.to_string().replace('\n', " ")));
        before(info);
    }));
}

fn converse(connection: &Connection, config: Config) -> Result<bool, String> {
    let (id, params) = connection.initialize_start().map_err(|e| e.to_string())?;
    let sender = connection.sender.clone();
    // The editor may be gone already; then the loop below ends too.
    let mut server = Server::new(config, &params, Box::new(move |message| drop(sender.send(message))));
    let answer = json!({
        "capabilities": answers::capabilities(server.encoding),
        "serverInfo": { "name": "rbpipe", "version": server.config.version },
    });
    server.send(Response::new_ok(id, answer).into());
    let mut waiting: VecDeque<Message> = VecDeque::new();
    let mut shutdown = false;
    loop {
        waiting.extend(connection.receiver.try_iter());
        if waiting.is_empty() {
            server.tell();
            match connection.receiver.recv() {
                Ok(message) => waiting.push_back(message),
                Err(_) => return Ok(false),
            }
            continue;
        }
        match waiting.pop_front() {
            Some(Message::Request(request)) => {
                if shutdown {
                    let code = ErrorCode::InvalidRequest as i32;
                    server.send(Response::new_err(request.id, code, "the server was shut down".to_owned()).into());
                } else if request.method == "shutdown" {
                    shutdown = true;
                    server.send(Response::new_ok(request.id, Json::Null).into());
                } else if waiting.iter().any(|m| cancels(m, &request.id)) {
                    let code = ErrorCode::RequestCanceled as i32;
                    server.send(Response::new_err(request.id, code, "cancelled".to_owned()).into());
                } else {
                    server.request(request);
                }
            }
            Some(Message::Notification(note)) if note.method == "exit" => return Ok(shutdown),
            Some(Message::Notification(note)) => server.notification(note),
            Some(Message::Response(_)) | None => {}
        }
    }
}

fn cancels(message: &Message, id: &RequestId) -> bool {
    match message {
        Message::Notification(note) if note.method == "$/cancelRequest" => {
            serde_json::from_value::<RequestId>(note.params["id"].clone()).is_ok_and(|cancelled| cancelled == *id)
        }
        _ => false,
    }
}

/// What goes wrong with a request: a code of the protocol and a sentence.
struct Failure(ErrorCode, String);

impl Failure {
    fn refused(why: impl Into<String>) -> Self {
        Self(ErrorCode::RequestFailed, why.into())
    }
}

type Answer = Result<Json, Failure>;

struct Server {
    config: Config,
    send: Box<dyn Fn(Message)>,
    encoding: Encoding,
    /// The editor can place the cursor inside of what it inserts.
    snippets: bool,
    /// The editor can be asked to watch files.
    watches: bool,
    folders: Vec<PathBuf>,
    world: OverlayWorld,
    versions: BTreeMap<PathBuf, i32>,
    recipes: BTreeMap<PathBuf, Recipe>,
    library_written: bool,
}

/// An open file as the root of an analysis.
#[derive(Default)]
struct Recipe {
    cache: ParseCache,
    snapshot: Option<Rc<Snapshot>>,
    locked: Option<Locked>,
    /// What was last said of each file.
    told: BTreeMap<PathBuf, Vec<lsp::Diagnostic>>,
    /// It must be looked at again before the editor is told.
    stale: bool,
}

/// What a lock has seen, until the file changes.
struct Locked {
    /// Time and size of the file; nothing where there is none.
    file: Option<(SystemTime, u64)>,
    known: Rc<dyn Known>,
}

impl Recipe {
    /// Returns what the lock beside the recipe at `path` has seen, read again if its file has changed.
    fn known(&mut self, path: &Path, read: fn(&Path) -> Rc<dyn Known>) -> Rc<dyn Known> {
        let file = package::lock(path).metadata().ok().and_then(|m| Some((m.modified().ok()?, m.len())));
        match &self.locked {
            Some(locked) if locked.file == file => Rc::clone(&locked.known),
            _ => Rc::clone(&self.locked.insert(Locked { file, known: read(path) }).known),
        }
    }
}

impl Server {
    fn new(config: Config, params: &Json, send: Box<dyn Fn(Message)>) -> Self {
        let abilities = &params["capabilities"];
        let encodings = abilities["general"]["positionEncodings"].as_array();
        let utf8 = encodings.is_some_and(|list| list.iter().any(|e| e == "utf-8"));
        let folders = params["workspaceFolders"].as_array().into_iter().flatten();
        let mut folders: Vec<PathBuf> =
            folders.filter_map(|f| f["uri"].as_str()).map(uri::to_path).filter(|p| p.is_absolute()).collect();
        if let (true, Some(root)) = (folders.is_empty(), params["rootUri"].as_str()) {
            folders.push(uri::to_path(root));
        }
        let flag = |value: &Json| value.as_bool().unwrap_or(false);
        Self {
            config,
            send,
            encoding: if utf8 { Encoding::Utf8 } else { Encoding::Utf16 },
            snippets: flag(&abilities["textDocument"]["completion"]["completionItem"]["snippetSupport"]),
            watches: flag(&abilities["workspace"]["didChangeWatchedFiles"]["dynamicRegistration"]),
            folders,
            world: OverlayWorld::default(),
            versions: BTreeMap::new(),
            recipes: BTreeMap::new(),
            library_written: false,
        }
    }

    fn send(&self, message: Message) {
        (self.send)(message);
    }

    fn notify<P: Serialize>(&self, method: &str, params: &P) {
        let params = serde_json::to_value(params).unwrap_or_default();
        self.send(Notification { method: method.to_owned(), params }.into());
    }

    fn log(&self, kind: lsp::MessageType, message: String) {
        self.notify("window/logMessage", &lsp::LogMessageParams { kind, message });
    }

    // ---- messages

    fn request(&mut self, request: Request) {
        let Request { id, method, params } = request;
        let answer = shielded(|| self.answer(&method, params)).unwrap_or_else(|panicked| {
            let message = format!("a mistake of rbpipe's own while it answered `{method}`: {panicked}");
            self.log(lsp::MessageType::Error, message.clone());
            Err(Failure(ErrorCode::InternalError, message))
        });
        self.send(match answer {
            Ok(result) => Response::new_ok(id, result).into(),
            Err(Failure(code, message)) => Response::new_err(id, code as i32, message).into(),
        });
    }

    fn notification(&mut self, note: Notification) {
        let Notification { method, params } = note;
        let done = shielded(|| self.take(&method, params));
        let wrong = match done {
            Ok(Ok(())) => return,
            Ok(Err(Failure(_, why))) => why,
            Err(panicked) => format!("a mistake of rbpipe's own: {panicked}"),
        };
        self.log(lsp::MessageType::Error, format!("`{method}`: {wrong}"));
    }

    fn take(&mut self, method: &str, params: Json) -> Result<(), Failure> {
        match method {
            "initialized" => self.watch(),
            "textDocument/didOpen" => {
                let params: lsp::DidOpenTextDocumentParams = read(params)?;
                let document = params.text_document;
                let path = uri::to_path(document.uri.as_ref());
                self.versions.insert(path.clone(), document.version);
                self.world.texts.insert(path.clone(), document.text.into());
                self.recipes.insert(path, Recipe::default());
                self.all_stale();
            }
            "textDocument/didChange" => {
                let params: lsp::DidChangeTextDocumentParams = read(params)?;
                let path = uri::to_path(params.text_document.text_document_identifier.uri.as_ref());
                let Some(known) = self.world.texts.get(&path) else {
                    return Err(Failure::refused(format!("`{}` is not open", path.display())));
                };
                let mut text = known.to_string();
                for change in params.content_changes {
                    self.change(&mut text, change);
                }
                self.versions.insert(path.clone(), params.text_document.version);
                self.world.texts.insert(path.clone(), text.into());
                self.stale(&path);
            }
            "textDocument/didClose" => {
                let params: lsp::DidCloseTextDocumentParams = read(params)?;
                let path = uri::to_path(params.text_document.uri.as_ref());
                self.world.texts.remove(&path);
                self.versions.remove(&path);
                let told = self.recipes.remove(&path).map(|r| r.told).unwrap_or_default();
                self.all_stale();
                self.publish(&told.into_keys().collect());
            }
            "textDocument/didSave" | "workspace/didChangeWatchedFiles" => self.all_stale(),
            "workspace/didChangeWorkspaceFolders" => {
                let listed = |key: &str| params["event"][key].as_array().cloned().unwrap_or_default();
                let paths = |key: &str| -> Vec<PathBuf> {
                    listed(key).iter().filter_map(|f| f["uri"].as_str()).map(uri::to_path).collect()
                };
                let removed = paths("removed");
                self.folders.retain(|f| !removed.contains(f));
                self.folders.extend(paths("added"));
            }
            // What else there is, such as `$/setTrace`, may be left alone.
            _ => {}
        }
        Ok(())
    }

    fn change(&self, text: &mut String, change: lsp::TextDocumentContentChangeEvent) {
        match change {
            lsp::TextDocumentContentChangeEvent::TextDocumentContentChangePartial(part) => {
                let start = text::offset(text, convert::from_position(part.range.start), self.encoding);
                let end = text::offset(text, convert::from_position(part.range.end), self.encoding);
                text.replace_range(start.min(end)..end.max(start), &part.text);
            }
            lsp::TextDocumentContentChangeEvent::TextDocumentContentChangeWholeDocument(whole) => *text = whole.text,
        }
    }

    /// Asks the editor to say when a recipe or its lock changes on the disk.
    fn watch(&self) {
        if !self.watches {
            return;
        }
        let options = json!({ "watchers": [{ "globPattern": "**/*.rb2" }, { "globPattern": "**/*.rb2.lock" }] });
        let method = "workspace/didChangeWatchedFiles";
        let params = json!({ "registrations": [{ "id": "recipes", "method": method, "registerOptions": options }] });
        let id = RequestId::from("recipes".to_owned());
        self.send(Request { id, method: "client/registerCapability".to_owned(), params }.into());
    }

    // ---- analyses

    fn stale(&mut self, path: &Path) {
        for (root, recipe) in &mut self.recipes {
            if root == path || recipe.snapshot.as_ref().is_none_or(|s| s.reads(path)) {
                recipe.snapshot = None;
                recipe.stale = true;
            }
        }
    }

    fn all_stale(&mut self) {
        for recipe in self.recipes.values_mut() {
            recipe.snapshot = None;
            recipe.stale = true;
        }
    }

    /// Returns the analysis of an open file.
    fn snapshot(&mut self, path: &Path) -> Result<Rc<Snapshot>, Failure> {
        let Some(recipe) = self.recipes.get_mut(path) else {
            return Err(Failure::refused(format!("`{}` is not open", path.display())));
        };
        if let Some(snapshot) = &recipe.snapshot {
            return Ok(Rc::clone(snapshot));
        }
        let known = recipe.known(path, self.config.locked);
        let made = Snapshot::new(&self.world, &self.config.catalogue, path, &mut recipe.cache, Some(&*known));
        Ok(Rc::clone(recipe.snapshot.insert(Rc::new(made))))
    }

    /// Tells the editor what is wrong with the files that changed.
    fn tell(&mut self) {
        let stale: Vec<PathBuf> = self.recipes.iter().filter(|(_, r)| r.stale).map(|(p, _)| p.clone()).collect();
        let mut files = BTreeSet::new();
        for path in stale {
            if let Some(recipe) = self.recipes.get_mut(&path) {
                recipe.stale = false;
            }
            let told = match shielded(|| self.diagnostics(&path)) {
                Ok(told) => told,
                Err(panicked) => {
                    let message = format!("a mistake of rbpipe's own in `{}`: {panicked}", path.display());
                    self.log(lsp::MessageType::Error, message);
                    continue;
                }
            };
            let Some(recipe) = self.recipes.get_mut(&path) else { continue };
            files.extend(recipe.told.keys().cloned());
            files.extend(told.keys().cloned());
            files.insert(path.clone());
            recipe.told = told;
        }
        self.publish(&files);
    }

    fn diagnostics(&mut self, path: &Path) -> BTreeMap<PathBuf, Vec<lsp::Diagnostic>> {
        let mut told: BTreeMap<PathBuf, Vec<lsp::Diagnostic>> = BTreeMap::new();
        if path.starts_with(&self.config.library) {
            return told; // for reading only
        }
        let Ok(snapshot) = self.snapshot(path) else { return told };
        for problem in &snapshot.problems {
            let Some(module) = snapshot.module_of(problem.primary.span.source) else { continue };
            let file = self.on_disk(&snapshot.program.modules[module].path);
            told.entry(file).or_default().push(self.diagnostic(&snapshot, problem));
        }
        told
    }

    /// Sends what all open recipes say of some files, each thing once.
    fn publish(&self, files: &BTreeSet<PathBuf>) {
        for file in files {
            let mut diagnostics: Vec<lsp::Diagnostic> = Vec::new();
            for d in self.recipes.values().filter_map(|r| r.told.get(file)).flatten() {
                if !diagnostics.contains(d) {
                    diagnostics.push(d.clone());
                }
            }
            let version = self.versions.get(file).copied();
            let params = lsp::PublishDiagnosticsParams { uri: uri::from_path(file).into(), version, diagnostics };
            self.notify("textDocument/publishDiagnostics", &params);
        }
    }

    /// Returns where the file of a path lies: those of the library as copies.
    fn on_disk(&self, path: &Path) -> PathBuf {
        if super::goto::in_std(path) { self.config.library.join(path) } else { path.to_owned() }
    }

    /// Writes the copies of the library, once; those that are there with the same text are left alone.
    fn write_library(&mut self) {
        if std::mem::replace(&mut self.library_written, true) {
            return;
        }
        for stub in stubs::all(&self.config.catalogue) {
            let path = self.config.library.join(&stub.path);
            if let Err(e) = write_once(&path, &stub.text) {
                self.log(lsp::MessageType::Warning, format!("cannot write `{}`: {e}", path.display()));
            }
        }
    }
}

/// Writes a file for reading only, in one step, unless it has this text already.
fn write_once(path: &Path, text: &str) -> std::io::Result<()> {
    if std::fs::read_to_string(path).is_ok_and(|known| known == text) {
        return Ok(());
    }
    let folder = path.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(folder)?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    std::io::Write::write_all(&mut file, text.as_bytes())?;
    let mut permissions = file.as_file().metadata()?.permissions();
    permissions.set_readonly(true);
    file.as_file().set_permissions(permissions)?;
    file.persist(path).map_err(|e| e.error)?;
    Ok(())
}

fn read<P: DeserializeOwned>(params: Json) -> Result<P, Failure> {
    serde_json::from_value(params).map_err(|e| Failure(ErrorCode::InvalidParams, e.to_string()))
}

fn say<R: Serialize>(result: R) -> Answer {
    serde_json::to_value(result).map_err(|e| Failure(ErrorCode::InternalError, e.to_string()))
}
