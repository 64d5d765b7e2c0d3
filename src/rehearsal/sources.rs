//! What stands in for a source: rows of its types, its own first rows where nobody described them, a tiny random model.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use serde_json::{Map, Value as Json, json};

use super::models;
use super::rows::{self, Media, ROWS};
use crate::base::OpError;
use crate::data::scenes::{episode, scene};
use crate::data::schema;
use crate::plan::{Graph, Node, NodeId};
use crate::spec::Effect;

/// How rows are called that were made up without anybody having described them.
pub(super) const GUESSED: &str = "rows made up from how they are read";
/// Rows of a benchmark.
const QUESTIONS: usize = 4;

/// Replaces a source; nothing for a node that is none. Returns what stands in for it, or why nothing can be made up for it.
pub(super) fn replace(
    graph: &mut Graph,
    id: NodeId,
    folder: &Path,
    media: &Media,
) -> Result<Option<Result<String, String>>, OpError> {
    let node = graph.node(id);
    if node.effect != Effect::Source || !node.inputs.is_empty() {
        return Ok(None);
    }
    let home = folder.join(format!("source-{}", id.index()));
    let op = node.op.as_str();
    if matches!(op, "model.hf" | "model.wheel" | "model.gguf" | "model.reward") {
        let encoder = models::is_encoder(graph, id);
        let what = models::write(&home, encoder, op == "model.reward")?;
        let node = &mut graph.dag[id];
        if node.op != "model.hf" && node.op != "model.reward" {
            "model.hf".clone_into(&mut node.op);
            node.args = json!({ "revision": null, "coord_space": "auto" });
        }
        node.args["name"] = json!(home);
        node.args["revision"] = Json::Null;
        node.paths.clear();
        return Ok(Some(Ok(what)));
    }
    if op.starts_with("bench.") {
        return benchmark(graph, id, &home, media).map(Some);
    }
    let named =
        |all: &[(&str, &str)]| all.iter().map(|(name, ty)| json!({ "name": name, "type": ty })).collect::<Vec<_>>();
    let columns = match (node.args["as"]["columns"].as_array(), op) {
        (Some(columns), _) => columns.clone(),
        (None, "data.visual_genome") => named(&scene::COLUMNS),
        (None, "data.lvis") => named(&scene::FEDERATED),
        (None, "data.regions") => named(&scene::REGIONS),
        (None, "data.episodes") => named(&episode::COLUMNS),
        // It reads nothing from outside, or the recipe's own small files.
        (None, _) if node.paths.is_empty() || !op.starts_with("data.") => return Ok(None),
        (None, _) => return Ok(Some(Err(format!("`{op}` says nothing of its columns")))),
    };
    let types: schema::Columns = serde_json::from_value(json!({ "columns": columns }))?;
    let types = types.types()?;
    let made: Vec<Json> = (0..ROWS).map(|row| rows::row(&types, id.index() * ROWS + row)).collect();
    let file = write_rows(&home, &made)?;
    read_instead(&mut graph.dag[id], &file, &media.folder, Some(json!({ "columns": columns })));
    Ok(Some(Ok(format!("{ROWS} made-up rows"))))
}

fn write_rows(home: &Path, made: &[Json]) -> Result<PathBuf, OpError> {
    std::fs::create_dir_all(home)?;
    let file = home.join("rows.jsonl");
    std::fs::write(&file, made.iter().map(|r| format!("{r}\n")).collect::<String>())?;
    Ok(file)
}

/// Lets a node read this file: with a schema as JSON lines, else as a benchmark.
fn read_instead(node: &mut Node, file: &Path, media: &Path, schema: Option<Json>) {
    node.paths.clear();
    match schema {
        Some(schema) => {
            "data.jsonl".clone_into(&mut node.op);
            // Of a made-up row nothing may be lost in silence.
            node.args = json!({ "path": file, "as": schema, "media": media, "bad": "fail" });
        }
        None => {
            "bench.json".clone_into(&mut node.op);
            node.args = json!({ "path": file, "media": media, "rows": null, "licence_note": null });
        }
    }
}

/// The first rows of a benchmark that is there; else rows made from how the recipe reads them.
fn benchmark(graph: &mut Graph, id: NodeId, home: &Path, media: &Media) -> Result<Result<String, String>, OpError> {
    let node = graph.node(id);
    let rows_of = |path: &Path| -> Option<Vec<Json>> {
        let text = std::fs::read_to_string(path).ok()?;
        let lines =
            || text.lines().filter(|l| !l.trim().is_empty()).take(QUESTIONS).map(serde_json::from_str).collect();
        let array = || Some(serde_json::from_str::<Vec<Json>>(&text).ok()?.into_iter().take(QUESTIONS).collect());
        if text.trim_start().starts_with('[') { array() } else { Result::ok(lines()) }
    };
    if let Some(arg) = node.paths.iter().find(|p| !p.media && node.op == "bench.json")
        && let Some(found) = rows_of(&arg.path)
    {
        let folder = match node.args["media"].as_str() {
            Some(media) => node.folder.join(media),
            None => arg.path.parent().unwrap_or(&node.folder).to_owned(),
        };
        let what = format!("its own first {} rows", found.len());
        let file = write_rows(home, &found)?;
        let folder = std::path::absolute(folder)?;
        read_instead(&mut graph.dag[id], &file, &folder, None);
        return Ok(Ok(what));
    }
    let Some(sample) = reader(graph, id) else {
        return Ok(Err("nobody says what its rows are like, and its file is not there".to_owned()));
    };
    let asked = graph.node(sample);
    let made: Vec<Json> = (0..QUESTIONS).map(|row| question(asked, row, media)).collect::<Result<_, _>>()?;
    let file = write_rows(home, &made)?;
    read_instead(&mut graph.dag[id], &file, &media.folder, None);
    Ok(Ok(format!("{QUESTIONS} {GUESSED}")))
}

/// Returns the node that makes items of a benchmark's rows.
fn reader(graph: &Graph, id: NodeId) -> Option<NodeId> {
    graph.dag.node_indices().find(|&n| graph.node(n).op == "bench.sample" && graph.ancestors([n]).contains(&id))
}

/// Returns a row that `bench.sample` can read as its arguments say.
fn question(sample: &Node, row: usize, media: &Media) -> Result<Json, OpError> {
    let args = &sample.args;
    let mut out = Map::new();
    let mut put = |argument: &str, value: &dyn Fn(&str) -> Json| {
        for name in columns(&args[argument]) {
            let made = value(&name);
            out.entry(name).or_insert(made);
        }
    };
    let options = json!(["a red cup", "a green box", "a blue lamp", "a white plate"]);
    put("id", &|_| json!(format!("q{row}")));
    for (name, ext) in calls(&args["images"]) {
        // Pictures that lie in a column, or whose path is put together from several.
        match (name.as_str(), ext.as_deref()) {
            ("media.base64", _) => {
                let text = base64::engine::general_purpose::STANDARD.encode(media.bytes(row)?);
                put("images", &|_| json!(text));
            }
            ("media.path", Some(ext)) if ext != "mp4" => {
                let id = columns(&args["id"]);
                let part =
                    |column: &String| if id.contains(column) { format!("q{row}") } else { format!("{column}{row}") };
                let parts: Vec<String> = columns(&args["images"]).iter().map(part).collect();
                media.copy(row, &format!("{}.{ext}", parts.join("/")))?;
                put("images", &|column| json!(format!("{column}{row}")));
            }
            _ => {}
        }
    }
    put("images", &|_| json!(rows::picture(row)));
    put("mask", &|_| json!("mask.png"));
    put("polygon", &|_| json!("[(0.1, 0.1), (0.9, 0.1), (0.5, 0.9)]"));
    let several = args["options"].get("list").is_some();
    if !calls(&args["options"]).iter().any(|(name, _)| name == "inline_options") {
        put("options", &|_| if several { json!(format!("thing {row}")) } else { options.clone() });
    }
    let kind = args["kind"]["lit"].as_str().unwrap_or("choice");
    put("key", &|_| key(&args["key"], kind, &options, row));
    let asked = format!("Which thing is on the left in scene {row}?\nA. a cup\nB. a box\nC. a lamp\nD. a plate\n");
    put("question", &|_| json!(asked));
    for name in ["kind", "cluster", "groups", "pair"] {
        put(name, &|column| json!(format!("{column} {}", row / 2)));
    }
    Ok(out.into())
}

/// Returns the columns of an expression in the order in which they stand.
fn columns(expr: &Json) -> Vec<String> {
    match expr {
        Json::Array(items) => items.iter().flat_map(columns).collect(),
        Json::Object(fields) => {
            let own = fields.get("col").and_then(Json::as_str).map(str::to_owned);
            own.into_iter()
                .chain(fields.iter().filter(|(name, _)| *name != "lit").flat_map(|(_, f)| columns(f)))
                .collect()
        }
        _ => Vec::new(),
    }
}

/// Returns the calls in an expression, each with its argument `ext` if that is a constant.
fn calls(expr: &Json) -> Vec<(String, Option<String>)> {
    let mut out = Vec::new();
    let mut open = vec![expr];
    while let Some(json) = open.pop() {
        if let Some(call) = json.get("call") {
            let name = call["name"].as_str().unwrap_or_default().to_owned();
            let ext = call["args"].as_array().into_iter().flatten().find(|a| a[0] == "ext");
            out.push((name, ext.and_then(|a| a[1]["lit"].as_str()).map(str::to_owned)));
        }
        match json {
            Json::Array(items) => open.extend(items),
            Json::Object(fields) => open.extend(fields.values()),
            _ => {}
        }
    }
    out
}

/// Returns the value of a key's column that its expression turns into a right answer.
fn key(expr: &Json, kind: &str, options: &Json, row: usize) -> Json {
    match (expr["call"]["name"].as_str(), kind) {
        (Some("paren_letter"), _) => json!("(B)"),
        (Some("index0_letter" | "index1_letter"), _) => json!(1),
        (Some("index_in"), _) => options[row % 4].clone(),
        (None, "number") => json!(3),
        (None, "yes_no") => json!("yes"),
        (None, "point") => json!("[(0.25, 0.25)]"),
        (None, "text") => json!("a red cup"),
        _ => json!("B"),
    }
}
