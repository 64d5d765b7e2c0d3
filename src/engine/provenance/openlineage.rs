//! OpenLineage: a START and a COMPLETE event for each executed node, one JSON object a line.
//!
//! # Source
//! OpenLineage specification 2-0-2, `RunEvent`, with the facets `schema`, `version`, `tags`, `outputStatistics`, `parent`, `processing_engine`.

use serde_json::{Value as Json, json};

use super::{Made, Story, begun, uuid, word};
use crate::engine::artifact::Kind;
use crate::engine::inputs::terms::Flowed;

const PRODUCER: &str = concat!("urn:rbpipe:", env!("CARGO_PKG_VERSION"));
const SCHEMA: &str = "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent";

/// Returns the events, in the order of the nodes.
pub fn events(story: &Story) -> Vec<Json> {
    let run = uuid(&format!("run {} {}", story.recipe, story.finished));
    let mut out = Vec::new();
    for step in &story.steps {
        let id = uuid(&format!("{} {}", step.record.key, step.record.made));
        let sources = story.sources.iter().filter(|s| s.reader == step.id);
        let read = sources.map(|s| {
            let version = facet("1-0-1/DatasetVersionDatasetFacet", json!({ "datasetVersion": s.digest }));
            let mut facets = json!({ "version": version });
            add_tags(&mut facets, tags(&Flowed::from(&s.terms)));
            json!({ "namespace": "file", "name": s.name, "facets": facets })
        });
        let inputs: Vec<Json> =
            read.chain(step.inputs.iter().map(|(_, made)| dataset(story, made, &Flowed::default()))).collect();
        let outputs: Vec<Json> = step
            .outputs
            .iter()
            .map(|made| {
                let mut out = dataset(story, made, &step.terms);
                let mut facts = json!({ "size": made.artifact.bytes() });
                if let Some(rows) = made.artifact.rows() {
                    facts["rowCount"] = json!(rows);
                }
                let statistics = facet("1-0-2/OutputStatisticsOutputDatasetFacet", facts);
                out["outputFacets"] = json!({ "outputStatistics": statistics });
                out
            })
            .collect();
        let engine = json!({ "version": step.record.build, "name": "rbpipe" });
        let parent = json!({ "run": { "runId": run }, "job": { "namespace": story.recipe, "name": story.title } });
        let facets = json!({
            "processing_engine": facet("1-1-1/ProcessingEngineRunFacet", engine),
            "parent": facet("1-2-0/ParentRunFacet", parent),
        });
        let kind = json!({ "processingType": "BATCH", "integration": "RBPIPE", "jobType": step.op });
        let job = json!({
            "namespace": story.recipe,
            "name": step.name,
            "facets": { "jobType": facet("2-0-4/JobTypeJobFacet", kind) },
        });
        for (state, time) in [("START", begun(&step.record)), ("COMPLETE", step.record.made.clone())] {
            out.push(json!({
                "eventType": state,
                "eventTime": time,
                "run": { "runId": id, "facets": facets },
                "job": job,
                "inputs": inputs,
                "outputs": if state == "COMPLETE" { outputs.clone() } else { Vec::new() },
                "producer": PRODUCER,
                "schemaURL": SCHEMA,
            }));
        }
    }
    out
}

fn dataset(story: &Story, made: &Made, terms: &Flowed) -> Json {
    let version = json!({ "datasetVersion": made.digest });
    let mut facets = json!({ "version": facet("1-0-1/DatasetVersionDatasetFacet", version) });
    if made.artifact.kind == Kind::Dataset {
        let columns = made.artifact.meta["columns"].as_array().cloned().unwrap_or_default();
        let fields: Vec<Json> = columns.iter().map(|c| json!({ "name": c["name"], "type": c["type"] })).collect();
        facets["schema"] = facet("1-2-0/SchemaDatasetFacet", json!({ "fields": fields }));
    }
    let kind = json!({ "key": "kind", "value": word(made.artifact.kind), "source": "rbpipe" });
    let mut all = vec![kind];
    all.extend(tags(terms));
    add_tags(&mut facets, all);
    json!({ "namespace": story.recipe, "name": made.name, "facets": facets })
}

fn tags(terms: &Flowed) -> Vec<Json> {
    let tag = |key: &'static str| move |value: &String| json!({ "key": key, "value": value, "source": "rbpipe" });
    terms.licences.iter().map(tag("licence")).chain(terms.consent.iter().map(tag("consent"))).collect()
}

fn add_tags(facets: &mut Json, tags: Vec<Json>) {
    if !tags.is_empty() {
        facets["tags"] = facet("1-0-0/TagsDatasetFacet", json!({ "tags": tags }));
    }
}

/// Adds what every facet says of itself. `name`: its version and file in the specification.
fn facet(name: &str, mut fields: Json) -> Json {
    let title = name.rsplit('/').next().unwrap_or(name);
    fields["_producer"] = json!(PRODUCER);
    fields["_schemaURL"] = json!(format!("https://openlineage.io/spec/facets/{name}.json#/$defs/{title}"));
    fields
}
