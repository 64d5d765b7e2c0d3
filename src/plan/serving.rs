//! Where `eval.run` asks its model: in a process of the engine, at a server that is started for it, or at one that is there.
//!
//! Another backend gives other replies, so its name becomes the argument `backend`: the one option of `with` that a key sees.

use serde_json::{Value as Json, json};

use super::graph::{Graph, Node};
use crate::base::{Diagnostic, codes, phrase};
use crate::spec::{Class, Pool};

/// The operator that asks.
const ASKS: &str = "eval.run";
/// The operator that names a server.
pub const SERVER_OP: &str = "model.server";
/// The backend of a model that is behind a server already.
pub const SERVER: &str = "server";
/// The backends that a server is started for, by the names of their programs.
pub const STARTED: [&str; 3] = ["vllm", "sglang", "transformers"];
/// The backend that needs no server.
const IN_PROCESS: &str = "inproc";

/// Decides where a node asks its model.
///
/// # Errors
/// E0213 for a backend that is not known, E0304 where weights are needed and there are none here.
pub(super) fn decide(graph: &Graph, node: &mut Node) -> Result<(), Box<Diagnostic>> {
    if node.op != ASKS {
        let needs = node.pool == Pool::Engine
            || matches!(node.op.as_str(), "fuse.two_tier" | "model.classifier" | "model.calibrated");
        let server = node.inputs.iter().find(|i| graph.node(i.node).op == SERVER_OP);
        return match server.filter(|_| needs) {
            Some(input) => {
                let at = node.place(&input.slot).unwrap_or(node.span);
                let message = format!("`{}` needs the weights of its model, and this one is behind a server", node.op);
                Err(Box::new(
                    Diagnostic::new(codes::E0304, at, message, "only a server")
                        .help("name the weights with `model.hf`; a server can only be asked, by `eval.run`"),
                ))
            }
            None => Ok(()),
        };
    }
    let model = node.input("m").map(|i| graph.node(i.node));
    let asked = node.with.get("serve").and_then(|s| s.as_str()).unwrap_or(IN_PROCESS);
    if asked != IN_PROCESS && !STARTED.contains(&asked) {
        let known: Vec<&str> = std::iter::once(IN_PROCESS).chain(STARTED).collect();
        let d = Diagnostic::new(codes::E0213, node.span, format!("`serve: \"{asked}\"` is no backend"), "asks it");
        let near = phrase::nearest(asked, known.iter().copied());
        return Err(Box::new(match near {
            Some(near) => d.help(format!("did you mean \"{near}\"?")),
            None => d.help(format!(
                "write {}; for a server that runs already use `model.server(\"http://HOST:PORT\", name: …)` as the model",
                phrase::quoted(&known)
            )),
        }));
    }
    let (backend, key) = match model {
        Some(m) if m.op == SERVER_OP => (SERVER, Some((m.args["key"].clone(), m.secrets.clone()))),
        // Two models that decide together weigh options inside the engine; no server does that.
        Some(m) if m.op == "fuse.two_tier" => return Ok(()),
        _ if asked == IN_PROCESS => return Ok(()),
        _ => (asked, None),
    };
    node.args["backend"] = json!(backend);
    if let Some((key, secrets)) = key {
        node.args["key"] = key;
        node.secrets.extend(secrets);
    }
    (node.class, node.pool) = (Class::External, Pool::Net);
    Ok(())
}

/// Lets a node ask its model in process where it would start a server for it.
pub fn in_process(node: &mut Node) {
    if node.args["backend"].as_str().is_some_and(|name| STARTED.contains(&name)) {
        node.args.as_object_mut().map(|args| args.remove("backend"));
        (node.class, node.pool) = (Class::Numeric, Pool::Engine);
    }
}

/// Who answers a node, besides what it reads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asks<'n> {
    /// A server that is there.
    Server {
        /// Its address, as the recipe gives it.
        url: &'n str,
        /// The name that it knows the model by.
        model: &'n str,
        /// The secret that is its key.
        key: Option<&'n str>,
    },
    /// A program of this machine, one of [`STARTED`].
    Program(&'n str),
}

impl Asks<'_> {
    /// Returns the name of its entry in the lock: the address and the model, or the program.
    pub fn name(&self) -> String {
        match self {
            Self::Server { url, model, .. } => format!("{} {model}", root(url)),
            Self::Program(program) => (*program).to_owned(),
        }
    }
}

/// Returns who answers a node. Of a judge without an address the maker's own servers do, which say nothing of their version.
pub fn asks(node: &Node) -> Option<Asks<'_>> {
    let text = |name: &str| node.args.get(name).and_then(Json::as_str);
    let server = |model: &str| {
        Some(Asks::Server { url: text("url")?, model: text(model)?, key: node.args["key"]["secret"].as_str() })
    };
    match node.op.as_str() {
        SERVER_OP => server("name"),
        ASKS => text("backend").filter(|name| STARTED.contains(name)).map(Asks::Program),
        op if op.starts_with("judge.") => server("by"),
        _ => None,
    }
}

/// Returns what the server said of itself that a node asks; nothing where it asks none, or none that is pinned.
pub fn said(graph: &Graph, node: &Node) -> Option<Json> {
    let asks = (!graph.servers.is_empty()).then(|| asks(node)).flatten()?;
    graph.servers.get(&asks.name()).map(|said| json!(said))
}

/// Returns the address of a server without the path of its protocol.
pub fn root(url: &str) -> &str {
    let url = url.trim_end_matches('/');
    let url = url.strip_suffix("/chat/completions").unwrap_or(url);
    match url.rsplit_once('/') {
        Some((root, last)) if last.strip_prefix('v').is_some_and(|n| n.parse::<u32>().is_ok()) => root,
        _ => url,
    }
}
