//! What a server that speaks OpenAI's protocol says of itself: its version, and what it knows of the model. It is pinned in the lock, stands in the keys of
//! what it answered, and is compared before and after it is asked.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::Value as Json;

use crate::base::{OpError, Span};
use crate::plan::select::Selection;
use crate::plan::serving::{self, Asks};
use crate::plan::{Graph, NodeId};

/// What one says of itself: facts by name.
pub type Facts = BTreeMap<String, String>;

/// What comes of asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// These facts; none where it answers and tells nothing.
    Facts(Facts),
    /// Nobody answers, and why.
    Unheard(String),
}

/// A server that a recipe asks.
#[derive(Debug)]
pub struct Server<'g> {
    /// Who it is.
    pub asks: Asks<'g>,
    /// Where the recipe names it first.
    pub span: Span,
    /// The nodes that name or ask it.
    pub nodes: BTreeSet<NodeId>,
}

/// Where the common servers tell something, and what: a pointer into the answer and the name of the fact.
const PLACES: [(&str, &[(&str, &str)]); 4] = [
    // vLLM.
    ("/version", &[("/version", "version")]),
    // SGLang.
    ("/get_server_info", &[("/version", "version")]),
    // llama.cpp.
    ("/props", &[("/build_info", "version"), ("/model_path", "model_path")]),
    // Ollama.
    ("/api/version", &[("/version", "version")]),
];
/// What their lists of models tell of one. Times and permissions change with every answer.
const MODEL: [(&str, &str); 6] = [
    ("/root", "root"),
    ("/parent", "parent"),
    ("/owned_by", "owned_by"),
    ("/max_model_len", "max_model_len"),
    ("/meta/n_params", "parameters"),
    ("/meta/size", "bytes"),
];

/// Returns the servers that a selection asks, by their names in the lock.
pub fn of<'g>(graph: &'g Graph, selection: &Selection) -> BTreeMap<String, Server<'g>> {
    let mut out: BTreeMap<String, Server> = BTreeMap::new();
    for &id in &selection.nodes {
        let node = graph.node(id);
        let Some(asks) = serving::asks(node) else { continue };
        let new = || Server { asks, span: node.span, nodes: BTreeSet::new() };
        let server = out.entry(asks.name()).or_insert_with(new);
        server.nodes.insert(id);
        server.span = server.span.min(node.span);
        // A model behind a server asks nothing itself; whoever reads it does.
        if node.op == serving::SERVER_OP {
            server
                .nodes
                .extend(selection.nodes.iter().filter(|of| graph.node(**of).inputs.iter().any(|i| i.node == id)));
        }
    }
    out
}

/// Asks a server who it is.
pub fn ask(url: &str, model: &str, key: Option<&str>) -> Said {
    let client: ureq::Agent = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(3)))
        .timeout_global(Some(Duration::from_secs(20)))
        .build()
        .into();
    let get = |path: &str| -> Result<Json, String> {
        let mut request = client.get(format!("{}{path}", serving::root(url)));
        if let Some(key) = key.filter(|key| !key.is_empty()) {
            request = request.header("authorization", format!("Bearer {key}"));
        }
        let mut response = request.call().map_err(|e| e.to_string())?;
        if response.status().as_u16() != 200 {
            return Ok(Json::Null);
        }
        let text = response.body_mut().with_config().limit(4 << 20).read_to_string().map_err(|e| e.to_string())?;
        Ok(serde_json::from_str(&text).unwrap_or(Json::Null))
    };
    let models = match get("/v1/models") {
        Ok(models) => models,
        Err(why) => return Said::Unheard(why),
    };
    let mut facts = Facts::new();
    let listed = models["data"].as_array().map(Vec::as_slice).unwrap_or_default();
    let named = listed.iter().find(|m| m["id"].as_str() == Some(model));
    if let Some(of) = named.or(listed.first().filter(|_| listed.len() == 1)) {
        take(of, &MODEL, &mut facts);
    }
    for (path, told) in PLACES {
        match get(path) {
            Ok(answer) => take(&answer, told, &mut facts),
            Err(why) => return Said::Unheard(why),
        }
        if facts.contains_key("version") {
            break;
        }
    }
    Said::Facts(facts)
}

fn take(from: &Json, what: &[(&str, &str)], facts: &mut Facts) {
    for (pointer, name) in what {
        let text = match from.pointer(pointer) {
            Some(Json::String(text)) if !text.is_empty() => text.clone(),
            Some(number @ Json::Number(_)) => number.to_string(),
            _ => continue,
        };
        facts.entry((*name).to_owned()).or_insert(text);
    }
}

/// Compares what a server says with what is pinned of it; with null, nothing is asked. One that does not answer here fails where it is asked its questions.
///
/// # Errors
/// E0901 where they differ.
pub fn compare(name: &str, pinned: &Json, ask: &dyn Fn() -> Said) -> Result<(), OpError> {
    let Ok(pinned) = serde_json::from_value::<Facts>(pinned.clone()) else { return Ok(()) };
    let Said::Facts(now) = ask() else { return Ok(()) };
    match differ(&pinned, &now) {
        None => Ok(()),
        Some(what) => Err(OpError::new("E0901", format!("the server `{name}` differs from the lock: {what}"))
            .help(format!(
                "`rbpipe lock RECIPE --update \"{name}\"` accepts it, and its questions are asked anew; else bring back what the lock pins"
            ))),
    }
}

/// Says in which facts two answers differ; nothing if they do not.
pub fn differ(pinned: &Facts, now: &Facts) -> Option<String> {
    let names: BTreeSet<&String> = pinned.keys().chain(now.keys()).collect();
    let show = |fact: Option<&String>| fact.map_or("nothing".to_owned(), |text| format!("`{text}`"));
    let of = |name: &String| {
        let (was, is) = (pinned.get(name), now.get(name));
        (was != is).then(|| format!("{name} {}, the lock has {}", show(is), show(was)))
    };
    let out: Vec<String> = names.into_iter().filter_map(of).collect();
    (!out.is_empty()).then(|| out.join("; "))
}
