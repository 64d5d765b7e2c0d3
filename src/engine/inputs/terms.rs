//! Under which terms others may use what sources read: licences and consent, from the recipe or from a card beside the files. They flow to everything that
//! is made of it and stand in no key.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde::Serialize;
use serde_json::Value as Json;

use crate::plan::{Graph, Node, NodeId, licences};
use crate::spec::Effect;

/// What is known of the terms of one source.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Terms {
    /// An SPDX expression, or a name of its own.
    pub licence: Option<String>,
    /// What the people agreed to who are in it, in words.
    pub consent: Option<String>,
}

/// The terms of everything that flowed into a result.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Flowed {
    /// Licences of sources.
    pub licences: BTreeSet<String>,
    /// Consent that was given for sources.
    pub consent: BTreeSet<String>,
    /// Sources of which no licence is known.
    pub unlicensed: usize,
}

impl Flowed {
    /// Returns one SPDX expression that holds for all of it; nothing where a source has no licence.
    pub fn expression(&self) -> Option<String> {
        if self.unlicensed > 0 || self.licences.is_empty() {
            return None;
        }
        let part = |licence: &String| {
            let text = expression(licence);
            if text.contains(' ') && self.licences.len() > 1 { format!("({text})") } else { text }
        };
        Some(self.licences.iter().map(part).collect::<Vec<_>>().join(" AND "))
    }

    fn add(&mut self, terms: &Terms) {
        self.unlicensed += usize::from(terms.licence.is_none());
        self.licences.extend(terms.licence.clone());
        self.consent.extend(terms.consent.clone());
    }
}

impl From<&Terms> for Flowed {
    fn from(terms: &Terms) -> Self {
        let mut out = Self::default();
        out.add(terms);
        out
    }
}

/// Returns the terms of a source: what `with { licence, consent }` says, else the licence of the card in the folder of a model or a repository.
pub fn of(node: &Node) -> Terms {
    let consent = node.with.get("consent").and_then(Json::as_str).map(str::to_owned);
    Terms { licence: licences::of(node, &card), consent }
}

/// Returns the terms that flow into each node from the sources upstream. Random weights and what the recipe writes itself have none.
pub fn flow(graph: &Graph) -> BTreeMap<NodeId, Flowed> {
    let mut sources: BTreeMap<NodeId, BTreeSet<NodeId>> = BTreeMap::new();
    let mut terms: BTreeMap<NodeId, Terms> = BTreeMap::new();
    let mut out = BTreeMap::new();
    for id in graph.order() {
        let node = graph.node(id);
        let mut own = BTreeSet::new();
        if node.effect == Effect::Source && !node.paths.is_empty() {
            terms.insert(id, of(node));
            own.insert(id);
        }
        for input in &node.inputs {
            own.extend(sources.get(&input.node).into_iter().flatten().copied());
        }
        let mut flowed = Flowed::default();
        own.iter().filter_map(|source| terms.get(source)).for_each(|one| flowed.add(one));
        out.insert(id, flowed);
        sources.insert(id, own);
    }
    out
}

/// Returns an SPDX expression: a text that is none becomes a reference of its own.
pub fn expression(licence: &str) -> String {
    let words = licence.split([' ', '(', ')']).filter(|w| !w.is_empty());
    let fits = |word: &str| word.chars().all(|c| c.is_ascii_alphanumeric() || ".-+:".contains(c));
    let joined = licence.split_whitespace().count() % 2 == 1;
    if joined && words.clone().all(fits) && words.skip(1).step_by(2).all(|w| ["AND", "OR", "WITH"].contains(&w)) {
        return licence.to_owned();
    }
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    format!("LicenseRef-{}", licence.chars().map(plain).collect::<String>().trim_matches('-'))
}

/// Reads the card of a model or a repository.
fn card(path: &Path) -> Option<String> {
    let folder = if path.is_dir() { path } else { path.parent()? };
    std::fs::read_to_string(folder.join("README.md")).ok()
}
