//! Where `eval.run` asks its model: in a process of the engine, at a server that is started for it, or at one that is there.
//!
//! Another backend gives other replies, so its name becomes the argument `backend`: the one option of `with` that a key sees.

use serde_json::json;

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
