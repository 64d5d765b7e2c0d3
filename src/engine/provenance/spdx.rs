//! SPDX 3.0.1 as JSON-LD, with the profiles AI and Dataset: sources, datasets and models as packages, what was trained on what, and licences.
//!
//! # Source
//! The System Package Data Exchange specification 3.0.1 (<https://spdx.github.io/spdx-spec/v3.0.1/>).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value as Json, json};

use super::{Made, Step, Story, plain, uuid};
use crate::base::Digest;
use crate::engine::artifact::Kind;
use crate::engine::inputs::terms::Flowed;
use crate::spec::Effect;

const CONTEXT: &str = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld";
const NO_ASSERTION: &str = "https://spdx.org/rdf/3.0.1/terms/ExpandedLicensing/NoAssertionLicense";
const CREATION: &str = "_:creation";

/// Returns the document.
pub fn document(story: &Story) -> Json {
    let base = format!("urn:uuid:{}", uuid(&format!("spdx {} {}", story.recipe, story.finished)));
    let agent = format!("{base}#rbpipe");
    let mut doc =
        Document { base, agent, finished: seconds(&story.finished), elements: Vec::new(), licences: BTreeMap::new() };
    let mut packages: BTreeMap<Digest, String> = BTreeMap::new();
    let mut roots: BTreeSet<String> = BTreeSet::new();
    let mut by_reader: BTreeMap<_, Vec<String>> = BTreeMap::new();
    for source in &story.sources {
        let id = doc.id(&format!("source-{}", plain(&source.name)));
        let terms = &Flowed::from(&source.terms);
        let facts = Facts { name: &source.name, digest: source.digest, made: &story.finished, terms };
        if source.model {
            doc.model(&id, &facts, None);
        } else {
            doc.dataset(&id, &facts, &["other"], None);
        }
        by_reader.entry(source.reader).or_default().push(id);
    }
    for step in &story.steps {
        let mut upstream: Vec<String> = by_reader.remove(&step.id).unwrap_or_default();
        upstream.extend(step.inputs.iter().filter_map(|(_, made)| packages.get(&made.digest).cloned()));
        upstream.sort();
        upstream.dedup();
        for made in &step.outputs {
            let id = doc.id(&format!("result-{}", plain(&made.name)));
            let facts = Facts { name: &made.name, digest: made.digest, made: &step.record.made, terms: &step.terms };
            match made.artifact.kind {
                Kind::Dataset | Kind::Benchmark => doc.dataset(&id, &facts, &kinds(made), made.artifact.rows()),
                Kind::Model | Kind::Classifier => doc.model(&id, &facts, Some(step)),
                _ => continue,
            }
            packages.insert(made.digest, id.clone());
            if !upstream.is_empty() {
                doc.relationship(&id, "descendantOf", &upstream);
            }
            if step.effect == Effect::Train {
                let rows: Vec<String> = step
                    .inputs
                    .iter()
                    .filter(|(_, made)| made.artifact.kind == Kind::Dataset)
                    .filter_map(|(_, made)| packages.get(&made.digest).cloned())
                    .collect();
                if !rows.is_empty() {
                    doc.relationship(&id, "trainedOn", &rows);
                }
            }
        }
        // A score says on what its model was tested.
        if step.outputs.iter().any(|made| made.artifact.kind == Kind::Score) {
            let of = |wanted: &[Kind]| -> Vec<String> {
                let inputs = step.inputs.iter().filter(|(_, made)| wanted.contains(&made.artifact.kind));
                inputs.filter_map(|(_, made)| packages.get(&made.digest).cloned()).collect()
            };
            let tests = of(&[Kind::Benchmark, Kind::Dataset]);
            for model in of(&[Kind::Model]).iter().filter(|_| !tests.is_empty()) {
                doc.relationship(model, "testedOn", &tests);
            }
        }
    }
    for output in &story.outputs {
        let Some(package) = packages.get(&output.made.digest).cloned() else { continue };
        roots.insert(package.clone());
        let mut files = Vec::new();
        for (name, bytes, digest) in &output.files {
            let id = doc.id(&format!("file-{}", plain(name)));
            doc.element(json!({
                "type": "software_File", "spdxId": id, "name": name, "verifiedUsing": [hash(*digest)],
                "comment": format!("{bytes} bytes"),
            }));
            files.push(id);
        }
        doc.relationship(&package, "contains", &files);
    }
    doc.finish(story, roots)
}

/// What all packages tell.
struct Facts<'a> {
    name: &'a str,
    digest: Digest,
    made: &'a str,
    terms: &'a Flowed,
}

struct Document {
    base: String,
    agent: String,
    finished: String,
    elements: Vec<Json>,
    /// Ids of licence expressions.
    licences: BTreeMap<String, String>,
}

impl Document {
    fn id(&self, name: &str) -> String {
        format!("{}#{name}", self.base)
    }

    fn element(&mut self, mut element: Json) {
        element["creationInfo"] = json!(CREATION);
        self.elements.push(element);
    }

    fn relationship(&mut self, from: &str, kind: &str, to: &[String]) {
        let id = self.id(&format!("relationship-{}", self.elements.len()));
        self.element(json!({
            "type": "Relationship", "spdxId": id, "from": from, "relationshipType": kind, "to": to,
        }));
    }

    fn package(&mut self, id: &str, facts: &Facts, kind: &str, purpose: &str) -> Json {
        let package = json!({
            "type": kind, "spdxId": id, "name": facts.name, "software_primaryPurpose": purpose,
            "software_packageVersion": facts.digest.short(), "verifiedUsing": [hash(facts.digest)],
            "software_downloadLocation": format!("urn:blake3:{}", facts.digest),
            "releaseTime": seconds(facts.made), "builtTime": seconds(facts.made), "suppliedBy": self.agent,
            "originatedBy": [self.agent],
        });
        let licence = match facts.terms.expression() {
            Some(text) => self.licence(&text),
            None => NO_ASSERTION.to_owned(),
        };
        for kind in ["hasDeclaredLicense", "hasConcludedLicense"] {
            self.relationship(id, kind, std::slice::from_ref(&licence));
        }
        for consent in &facts.terms.consent {
            let note = self.id(&format!("consent-{}", self.elements.len()));
            self.element(json!({
                "type": "Annotation", "spdxId": note, "annotationType": "other", "subject": id,
                "statement": format!("consent: {consent}"),
            }));
        }
        package
    }

    fn dataset(&mut self, id: &str, facts: &Facts, kinds: &[&str], rows: Option<u64>) {
        let mut package = self.package(id, facts, "dataset_DatasetPackage", "data");
        package["dataset_datasetType"] = json!(kinds);
        if let Some(rows) = rows {
            package["dataset_datasetSize"] = json!(rows);
        }
        self.element(package);
    }

    fn model(&mut self, id: &str, facts: &Facts, step: Option<&Step>) {
        let mut package = self.package(id, facts, "ai_AIPackage", "model");
        if let Some(step) = step {
            let text = |value: &Json| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
            let entry = |(name, value): (&String, &Json)| json!({ "type": "DictionaryEntry", "key": name, "value": text(value) });
            let entries: Vec<Json> = step.args.iter().map(entry).collect();
            if !entries.is_empty() {
                package["ai_hyperparameter"] = json!(entries);
            }
            package["ai_informationAboutTraining"] =
                json!(format!("made by `{}` of rbpipe, version {}", step.op, step.version));
        }
        self.element(package);
    }

    /// Returns the id of a licence expression; names that are no licences of the list get a text of their own.
    fn licence(&mut self, text: &str) -> String {
        if let Some(id) = self.licences.get(text) {
            return id.clone();
        }
        let id = self.id(&format!("licence-{}", plain(text)));
        let mut element = json!({
            "type": "simplelicensing_LicenseExpression", "spdxId": id, "simplelicensing_licenseExpression": text,
        });
        let own = text.split([' ', '(', ')']).filter(|word| word.starts_with("LicenseRef-"));
        let mut custom = Vec::new();
        for name in own {
            let inner = self.id(&format!("licence-text-{}", plain(name)));
            custom.push(json!({ "type": "DictionaryEntry", "key": name, "value": inner }));
            let told = name.trim_start_matches("LicenseRef-");
            self.element(json!({
                "type": "simplelicensing_SimpleLicensingText", "spdxId": inner, "name": name,
                "simplelicensing_licenseText": format!("The recipe names this licence `{told}`; its text is not known to rbpipe."),
            }));
        }
        if !custom.is_empty() {
            element["simplelicensing_customIdToUri"] = json!(custom);
        }
        self.element(element);
        self.licences.insert(text.to_owned(), id.clone());
        id
    }

    fn finish(mut self, story: &Story, roots: BTreeSet<String>) -> Json {
        self.element(json!({ "type": "SoftwareAgent", "spdxId": self.agent, "name": "rbpipe" }));
        let all: Vec<Json> = self.elements.iter().map(|e| e["spdxId"].clone()).collect();
        let (bom, document) = (self.id("bom"), self.id("document"));
        let profiles = ["core", "software", "simpleLicensing", "ai", "dataset"];
        let roots = if roots.is_empty() { BTreeSet::from([self.agent.clone()]) } else { roots };
        self.element(json!({
            "type": "software_Sbom", "spdxId": bom, "rootElement": roots, "element": all, "profileConformance": profiles,
            "software_sbomType": ["build"],
        }));
        self.element(json!({
            "type": "SpdxDocument", "spdxId": document, "name": story.title, "rootElement": [bom],
            "element": all, "profileConformance": profiles,
            "comment": format!("What the recipe `{}` made and of what", story.recipe),
        }));
        let creation = json!({
            "type": "CreationInfo", "@id": CREATION, "specVersion": "3.0.1", "created": self.finished,
            "createdBy": [self.agent],
        });
        let mut graph = vec![creation];
        graph.extend(self.elements);
        json!({ "@context": CONTEXT, "@graph": graph })
    }
}

fn hash(digest: Digest) -> Json {
    json!({ "type": "Hash", "algorithm": "blake3", "hashValue": digest })
}

/// SPDX tells times to the second.
fn seconds(time: &str) -> String {
    let parsed: Option<jiff::Timestamp> = time.parse().ok();
    parsed.and_then(|t| t.round(jiff::Unit::Second).ok()).map_or_else(|| time.to_owned(), |t| t.to_string())
}

/// The kinds of data that the columns of a dataset hold, in the words of the profile.
fn kinds(made: &Made) -> Vec<&'static str> {
    let mut found = BTreeSet::new();
    for column in made.artifact.meta["columns"].as_array().into_iter().flatten() {
        let kind = column["type"].as_str().unwrap_or_default();
        found.insert(match kind {
            _ if kind.contains("media") => "image",
            "Utf8" => "text",
            "Int64" | "Int32" | "Float64" | "Float32" => "numeric",
            _ => "structured",
        });
    }
    if found.is_empty() { vec!["other"] } else { found.into_iter().collect() }
}
