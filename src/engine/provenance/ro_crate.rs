//! RO-Crate 1.1 with the profile Process Run Crate 0.5: a folder with recipe, lock and outputs, and `ro-crate-metadata.json` that tells how they came about.
//!
//! # Source
//! RO-Crate 1.1 (<https://w3id.org/ro/crate/1.1>), Process Run Crate 0.5 (<https://w3id.org/ro/wfrun/process/0.5>).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::{Made, Story, begun, plain, word};
use crate::base::Digest;
use crate::engine::inputs::terms::{Flowed, expression};

const CONTEXT: &str = "https://w3id.org/ro/crate/1.1/context";
const PROFILE: &str = "https://w3id.org/ro/wfrun/process/0.5";

/// A file that lies in the crate beside the metadata: its name there, size and digest.
pub type Kept = (String, u64, Digest);

/// Returns the metadata. `texts`: the recipe first, then what it imports and its lock.
pub fn metadata(story: &Story, texts: &[Kept]) -> Json {
    let mut graph = Entities::default();
    let licence = graph.licences(&all_terms(story));
    let mut parts: Vec<Json> = Vec::new();
    for (at, (name, bytes, digest)) in texts.iter().enumerate() {
        let mut file = file(name, *bytes, *digest);
        if at == 0 {
            file["@type"] = json!(["File", "SoftwareSourceCode"]);
            file["programmingLanguage"] = reference("#rb2");
        }
        parts.push(graph.add(file));
    }
    graph.add(json!({ "@id": "#rb2", "@type": "ComputerLanguage", "name": "rbpipe recipe", "alternateName": "rb2" }));
    let engine = graph.add(json!({
        "@id": "#rbpipe", "@type": "SoftwareApplication", "name": "rbpipe",
        "description": "Runs recipes that turn raw data into models",
        "softwareVersion": env!("CARGO_PKG_VERSION"), "url": "https://crates.io/crates/rbpipe",
    }));
    let mut published: BTreeMap<Digest, Vec<Json>> = BTreeMap::new();
    for output in &story.outputs {
        let mut files = Vec::new();
        for (name, bytes, digest) in &output.files {
            let mut one = file(name, *bytes, *digest);
            one["description"] = json!(format!("Output `{}`", output.name));
            one["license"] = graph.licences(&output.terms);
            consent(&mut one, &output.terms);
            files.push(graph.add(one));
        }
        if output.folder {
            let folder = json!({
                "@id": format!("{}/", address(&output.path)), "@type": "Dataset", "name": output.name,
                "description": format!("Output `{}`, a {}", output.name, word(output.made.artifact.kind)), "hasPart": files,
                "license": graph.licences(&output.terms),
            });
            files = vec![graph.add(folder)];
        }
        published.entry(output.made.digest).or_default().extend(files.iter().cloned());
        parts.extend(files);
    }
    let mut sources: BTreeMap<_, Vec<Json>> = BTreeMap::new();
    for source in &story.sources {
        let terms = Flowed::from(&source.terms);
        let mut one = json!({
            "@id": format!("#source-{}", plain(&source.name)), "@type": "CreativeWork", "name": source.name,
            "identifier": format!("blake3:{}", source.digest), "size": source.bytes.to_string(),
        });
        if source.terms.licence.is_some() {
            one["license"] = graph.licences(&terms);
        }
        consent(&mut one, &terms);
        sources.entry(source.reader).or_default().push(graph.add(one));
    }
    let mut actions = Vec::new();
    for step in &story.steps {
        let instrument = graph.add(json!({
            "@id": format!("#operator-{}-{}", plain(&step.op), step.version), "@type": "SoftwareApplication",
            "name": step.op, "softwareVersion": step.version.to_string(), "isPartOf": engine,
            "description": format!("Operator `{}` of rbpipe", step.op), "url": "https://crates.io/crates/rbpipe",
        }));
        let mut objects: Vec<Json> = sources.remove(&step.id).unwrap_or_default();
        objects.extend(step.inputs.iter().map(|(_, made)| graph.result(made)));
        for (name, value) in &step.args {
            objects.push(graph.add(json!({
                "@id": format!("#argument-{}-{}", plain(&step.name), plain(name)), "@type": "PropertyValue",
                "name": name, "value": value.as_str().map_or_else(|| value.to_string(), str::to_owned),
            })));
        }
        let mut results: Vec<Json> = Vec::new();
        for made in &step.outputs {
            results.push(graph.result(made));
            results.extend(published.get(&made.digest).into_iter().flatten().cloned());
        }
        actions.push(graph.add(json!({
            "@id": format!("#run-{}", plain(&step.name)), "@type": "CreateAction", "name": step.name,
            "description": format!("`{}` made `{}`", step.op, step.name), "instrument": instrument, "agent": engine,
            "object": objects, "result": results, "startTime": begun(&step.record), "endTime": step.record.made,
            "actionStatus": "http://schema.org/CompletedActionStatus", "identifier": format!("blake3:{}", step.record.key),
        })));
    }
    let profile = graph.add(json!({
        "@id": PROFILE, "@type": "CreativeWork", "name": "Process Run Crate", "version": "0.5",
    }));
    let root = json!({
        "@id": "./", "@type": "Dataset", "name": story.title, "datePublished": story.finished, "license": licence,
        "description": format!("What the recipe `{}` made, and how it came about", story.recipe),
        "conformsTo": [profile], "hasPart": parts, "mentions": actions,
    });
    let descriptor = json!({
        "@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": reference("./"),
        "conformsTo": reference("https://w3id.org/ro/crate/1.1"),
    });
    let mut all = vec![descriptor, root];
    all.extend(graph.all);
    json!({ "@context": CONTEXT, "@graph": all })
}

/// Entities, each once.
#[derive(Default)]
struct Entities {
    all: Vec<Json>,
    seen: BTreeSet<String>,
}

impl Entities {
    /// Adds an entity unless it is there; returns a reference to it.
    fn add(&mut self, entity: Json) -> Json {
        let id = entity["@id"].as_str().unwrap_or_default().to_owned();
        if self.seen.insert(id.clone()) {
            self.all.push(entity);
        }
        reference(&id)
    }

    fn result(&mut self, made: &Made) -> Json {
        let mut one = json!({
            "@id": format!("#result-{}", plain(&made.name)), "@type": "CreativeWork", "name": made.name,
            "description": format!("A {}", word(made.artifact.kind)), "identifier": format!("blake3:{}", made.digest),
            "size": made.artifact.bytes().to_string(),
        });
        if let Some(rows) = made.artifact.rows() {
            one["description"] = json!(format!("A dataset of {rows} rows"));
        }
        self.add(one)
    }

    /// Returns what `license` says of terms: one licence, several, or that it is not known.
    fn licences(&mut self, terms: &Flowed) -> Json {
        let mut found: Vec<Json> = Vec::new();
        for licence in &terms.licences {
            let known = expression(licence) == *licence && !licence.contains(' ');
            let id = match known {
                true => format!("https://spdx.org/licenses/{licence}"),
                false => format!("#licence-{}", plain(licence)),
            };
            found.push(self.add(json!({
                "@id": id, "@type": "CreativeWork", "name": licence, "description": format!("The licence {licence}"),
            })));
        }
        if terms.unlicensed > 0 || found.is_empty() {
            found.push(self.add(json!({
                "@id": "#licence-unknown", "@type": "CreativeWork", "name": "not known",
                "description": "Of something that flowed into it no licence is known",
            })));
        }
        match found.as_slice() {
            [one] => one.clone(),
            _ => Json::Array(found),
        }
    }
}

/// The terms of all that is in the crate.
fn all_terms(story: &Story) -> Flowed {
    let mut out = Flowed::default();
    for terms in story.outputs.iter().map(|o| &o.terms) {
        out.licences.extend(terms.licences.iter().cloned());
        out.consent.extend(terms.consent.iter().cloned());
        out.unlicensed += terms.unlicensed;
    }
    out
}

fn consent(entity: &mut Json, terms: &Flowed) {
    if !terms.consent.is_empty() {
        entity["usageInfo"] = json!(terms.consent.iter().cloned().collect::<Vec<_>>().join("; "));
    }
}

fn reference(id: &str) -> Json {
    json!({ "@id": id })
}

fn file(name: &str, bytes: u64, digest: Digest) -> Json {
    let extension = name.rsplit('.').next().unwrap_or_default();
    let format = match extension {
        "jsonl" => "application/jsonl",
        "json" => "application/json",
        "parquet" => "application/vnd.apache.parquet",
        "md" => "text/markdown",
        "csv" => "text/csv",
        "html" => "text/html",
        "png" => "image/png",
        "jpg" => "image/jpeg",
        "rb2" | "lock" | "txt" => "text/plain",
        _ => "application/octet-stream",
    };
    json!({
        "@id": address(name), "@type": "File", "name": name, "contentSize": bytes.to_string(), "encodingFormat": format,
        "identifier": format!("blake3:{digest}"),
    })
}

/// A path as a relative address: what must not stand in one is escaped.
fn address(path: &str) -> String {
    let fits = |b: &u8| b.is_ascii_alphanumeric() || b"-._~/".contains(b);
    path.bytes().map(|b| if fits(&b) { (b as char).to_string() } else { format!("%{b:02X}") }).collect()
}
