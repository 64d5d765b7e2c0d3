//! An editor that speaks to `rbpipe lsp`, with a folder of its own.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Output, Stdio};

use serde_json::{Value as Json, json};

pub struct Editor {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
    folder: tempfile::TempDir,
    last: i64,
    versions: BTreeMap<String, i64>,
    /// The last diagnostics of each address, with the version they speak of.
    told: BTreeMap<String, (Option<i64>, Json)>,
    log: String,
    capabilities: Json,
}

impl Drop for Editor {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Editor {
    /// Starts the server for an editor with some abilities.
    pub fn start(abilities: Json) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let mut child = command(folder.path())
            .arg("lsp")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the server starts");
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().expect("its output"));
        let mut editor = Self {
            child,
            input,
            output,
            folder,
            last: 0,
            versions: BTreeMap::new(),
            told: BTreeMap::new(),
            log: String::new(),
            capabilities: Json::Null,
        };
        let root = editor.uri("");
        let folders = json!([{ "uri": root.trim_end_matches('/'), "name": "demo" }]);
        let answer = editor.ask(
            "initialize",
            json!({ "processId": null, "rootUri": null, "capabilities": abilities, "workspaceFolders": folders }),
        );
        editor.capabilities = answer.expect("an answer")["capabilities"].clone();
        editor.tell("initialized", json!({}));
        editor
    }

    /// Runs another command of rbpipe in the editor's folder.
    pub fn rbpipe(&self, args: &[&str]) -> Output {
        command(self.folder.path()).args(args).output().expect("rbpipe runs")
    }

    // ---- files

    pub fn uri(&self, name: &str) -> String {
        let folder = self.folder.path().canonicalize().expect("it is there");
        format!("file://{}/{name}", folder.display())
    }

    pub fn relative(&self, uri: &str) -> String {
        uri.strip_prefix(&self.uri("")).unwrap_or(uri).to_owned()
    }

    pub fn without_folder(&self, text: &str) -> String {
        let folder = self.folder.path().canonicalize().expect("it is there");
        text.replace(&*folder.to_string_lossy(), "FOLDER")
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    pub fn open(&mut self, name: &str, text: &str) {
        self.versions.insert(name.to_owned(), 1);
        let document = json!({ "uri": self.uri(name), "languageId": "rb2", "version": 1, "text": text });
        self.tell("textDocument/didOpen", json!({ "textDocument": document }));
    }

    pub fn replace(&mut self, name: &str, text: &str) {
        self.change(name, json!([{ "text": text }]));
    }

    pub fn change(&mut self, name: &str, changes: Json) {
        let version = self.versions.get_mut(name).expect("it is open");
        *version += 1;
        let document = json!({ "uri": self.uri(name), "version": self.versions[name] });
        self.tell("textDocument/didChange", json!({ "textDocument": document, "contentChanges": changes }));
    }

    pub fn close(&mut self, name: &str) {
        self.versions.remove(name);
        self.told.clear();
        self.tell("textDocument/didClose", json!({ "textDocument": { "uri": self.uri(name) } }));
    }

    // ---- messages

    pub fn at(&self, name: &str, place: &Json) -> Json {
        json!({ "textDocument": { "uri": self.uri(name) }, "position": place })
    }

    /// Sends a request and returns its result, or its error.
    pub fn ask(&mut self, method: &str, params: Json) -> Result<Json, Json> {
        self.last += 1;
        let id = self.last;
        self.send_raw(&[json!({ "jsonrpc": "2.0", "id": id, "method": method, "params": params })]);
        self.answer_to(id)
    }

    pub fn answer_to(&mut self, id: i64) -> Result<Json, Json> {
        loop {
            let message = self.receive();
            if message["id"] == id && message.get("method").is_none() {
                return match message.get("error") {
                    Some(error) => Err(error.clone()),
                    None => Ok(message["result"].clone()),
                };
            }
        }
    }

    pub fn tell(&mut self, method: &str, params: Json) {
        self.send_raw(&[json!({ "jsonrpc": "2.0", "method": method, "params": params })]);
    }

    /// Sends messages in one write.
    pub fn send_raw(&mut self, messages: &[Json]) {
        let texts = messages.iter().map(|m| {
            let body = m.to_string();
            format!("Content-Length: {}\r\n\r\n{body}", body.len())
        });
        let bytes: String = texts.collect();
        self.input.as_mut().expect("not hung up").write_all(bytes.as_bytes()).expect("the server listens");
    }

    fn receive(&mut self) -> Json {
        let mut length = 0;
        loop {
            let mut line = String::new();
            assert!(
                self.output.read_line(&mut line).expect("a line") > 0,
                "the server is gone; it logged: {}",
                self.log
            );
            match line.trim_end().split_once(": ") {
                Some(("Content-Length", n)) => length = n.parse().expect("a length"),
                Some(_) => {}
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.output.read_exact(&mut body).expect("a whole message");
        let message: Json = serde_json::from_slice(&body).expect("JSON");
        match message["method"].as_str() {
            Some("textDocument/publishDiagnostics") => {
                let params = &message["params"];
                let uri = params["uri"].as_str().expect("an address").to_owned();
                self.told.insert(uri, (params["version"].as_i64(), params["diagnostics"].clone()));
            }
            Some("window/logMessage") => self.log += message["params"]["message"].as_str().unwrap_or_default(),
            _ => {}
        }
        message
    }

    /// Returns what the server logged so far.
    pub fn logged(&self) -> String {
        self.log.clone()
    }

    /// Waits for the diagnostics of the text as it is now, of all that is open.
    pub fn diagnostics(&mut self, name: &str) -> Json {
        let uri = self.uri(name);
        loop {
            let known = self
                .versions
                .iter()
                .all(|(open, version)| self.told.get(&self.uri(open)).is_some_and(|(told, _)| *told == Some(*version)));
            if let (true, Some((_, list))) = (known, self.told.get(&uri)) {
                let list = list.clone();
                self.told.clear();
                return list;
            }
            self.receive();
        }
    }

    /// The diagnostics as `line:column CODE message`, both from 1.
    pub fn problems(&mut self, name: &str) -> Vec<String> {
        let list = self.diagnostics(name);
        let list = list.as_array().expect("a list").iter();
        list.map(|d| {
            let start = &d["range"]["start"];
            let number = |key: &str| start[key].as_i64().expect("a number") + 1;
            let (code, message) = (d["code"].as_str().expect("a code"), d["message"].as_str().expect("a text"));
            format!("{}:{} {code} {message}", number("line"), number("character"))
        })
        .collect()
    }

    /// The kinds of token and their marks, as the server names them.
    pub fn legend(&self) -> Json {
        self.capabilities["semanticTokensProvider"]["legend"].clone()
    }

    /// Places as `file line:column`, both from 1.
    pub fn places(&self, list: &Json) -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|place| {
            let number = |key: &str| place["range"]["start"][key].as_i64().expect("a number") + 1;
            let file = self.relative(place["uri"].as_str().expect("an address"));
            format!("{file} {}:{}", number("line"), number("character"))
        })
        .collect()
    }

    // ---- ends

    /// Says `exit` and returns the exit code.
    pub fn exit(mut self) -> Option<i32> {
        self.tell("exit", Json::Null);
        self.child.wait().expect("it ends").code()
    }

    /// Closes the pipe as an editor that died does.
    pub fn hang_up(mut self) -> Option<i32> {
        self.input = None;
        self.child.wait().expect("it ends").code()
    }
}

fn command(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rbpipe"));
    command.current_dir(folder).env("RBPIPE_CACHE", folder.join(".cache"));
    command
}

/// Takes the `$0` out of a text and returns where it stood.
pub fn cursor(marked: &str) -> (String, Json) {
    let at = marked.find("$0").expect("a cursor");
    let before = &marked[..at];
    let line = before.rsplit('\n').next().unwrap_or_default();
    let place = json!({ "line": before.matches('\n').count(), "character": utf16(line, line.len()) });
    (format!("{before}{}", &marked[at + 2..]), place)
}

/// How many UTF-16 units the first bytes of a line are.
pub fn utf16(line: &str, bytes: usize) -> usize {
    line[..bytes].encode_utf16().count()
}

fn byte(text: &str, place: &Json) -> usize {
    let line = place["line"].as_u64().expect("a line") as usize;
    let start: usize = text.split_inclusive('\n').take(line).map(str::len).sum();
    let mut units = place["character"].as_u64().expect("a column") as usize;
    let mut at = start;
    for c in text[start..].chars() {
        if units == 0 || c == '\n' {
            break;
        }
        units = units.saturating_sub(c.len_utf16());
        at += c.len_utf8();
    }
    at
}

/// Makes changes of the protocol.
pub fn edited(text: &str, edits: &[Json]) -> String {
    let mut edits: Vec<(usize, usize, &str)> = edits
        .iter()
        .map(|e| {
            (byte(text, &e["range"]["start"]), byte(text, &e["range"]["end"]), e["newText"].as_str().expect("a text"))
        })
        .collect();
    edits.sort_unstable();
    let mut out = text.to_owned();
    for (start, end, new) in edits.into_iter().rev() {
        out.replace_range(start..end, new);
    }
    out
}

/// The line up to a place.
pub fn lines(text: &str, place: &Json) -> String {
    let at = byte(text, place);
    text[..at].rsplit('\n').next().unwrap_or_default().to_owned()
}

/// Symbols as an indented list.
pub fn outline(symbols: &Json, depth: usize) -> String {
    let mut out = String::new();
    for s in symbols.as_array().into_iter().flatten() {
        let text = |key: &str| s[key].as_str().unwrap_or_default();
        let line = format!("{}{} (kind {}) {}", "  ".repeat(depth), text("name"), s["kind"], text("detail"));
        out += &format!("{}\n{}", line.trim_end(), outline(&s["children"], depth + 1));
    }
    out
}

/// Tokens as `text kind marks`, one a line.
pub fn colors(text: &str, tokens: &Json, legend: &Json) -> String {
    let data: Vec<usize> =
        tokens["data"].as_array().expect("data").iter().map(|n| n.as_u64().expect("a number") as usize).collect();
    let (mut line, mut column) = (0, 0);
    let mut out = String::new();
    for token in data.chunks(5) {
        let [lines, columns, length, kind, marks] = token else { panic!("five numbers each") };
        column = if *lines == 0 { column + columns } else { *columns };
        line += lines;
        let start = byte(text, &json!({ "line": line, "character": column }));
        let end = byte(text, &json!({ "line": line, "character": column + length }));
        let marks: Vec<&str> = (0..2)
            .filter(|bit| marks >> bit & 1 == 1)
            .filter_map(|bit| legend["tokenModifiers"][bit].as_str())
            .collect();
        let kind = legend["tokenTypes"][*kind].as_str().unwrap_or_default();
        out += format!("{} {kind} {}", &text[start..end], marks.join(" ")).trim_end();
        out.push('\n');
    }
    out
}
