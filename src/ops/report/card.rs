//! `report.card`: a short model card in Markdown.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::storage::dataset;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::table_text::escape;
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static CARD: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## A short model card: what the model is, its files, and what it was trained on.
op report.card(m: Model, data: Dataset[{ ..r }]? = none) -> Report"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let model = cx.input("m")?;
    let mut text = format!("# Model card\n\nFamily: {}\n\n", model.meta["family"].as_str().unwrap_or("unknown"));
    text.push_str("| file | bytes | BLAKE3 |\n|---|---:|---|\n");
    for (path, file) in &model.files {
        text.push_str(&format!("| {path} | {} | {} |\n", file.bytes, file.digest.short()));
    }
    if let Some(facts) = model.meta.as_object() {
        text.push_str("\n## Facts\n\n");
        for (key, value) in facts.iter().filter(|(_, v)| !v.is_object() && !v.is_array() && !v.is_null()) {
            text.push_str(&format!("- {key}: {}\n", value.as_str().map_or_else(|| value.to_string(), str::to_owned)));
        }
    }
    if let Some(data) = cx.inputs.get("data") {
        let columns = dataset::names(data).join(", ");
        text.push_str(&format!("\n## Training data\n\n{} rows with columns {columns}.\n", data.rows().unwrap_or(0)));
    }
    let html =
        format!("<!doctype html><meta charset=\"utf-8\"><title>Model card</title><pre>{}</pre>\n", escape(&text));
    let mut files = BTreeMap::new();
    files.insert("report.html".to_owned(), cx.put(html.as_bytes())?);
    files.insert("report.md".to_owned(), cx.put(text.as_bytes())?);
    let meta: Json = json!({ "title": "Model card" });
    Ok(vec![(String::new(), Output::Artifact(Artifact { kind: Kind::Report, meta, files }))])
}
