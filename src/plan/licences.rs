//! The licence of a source: what the recipe says of it, else the card beside its files.

use std::path::Path;

use serde_json::Value as Json;

use super::graph::Node;

/// How identifiers of licences are written in the SPDX list where cards of the hub write them otherwise.
const CARDS: &[(&str, &str)] = &[
    ("apache-2.0", "Apache-2.0"),
    ("mit", "MIT"),
    ("bsd-2-clause", "BSD-2-Clause"),
    ("bsd-3-clause", "BSD-3-Clause"),
    ("gpl-2.0", "GPL-2.0-only"),
    ("gpl-3.0", "GPL-3.0-only"),
    ("agpl-3.0", "AGPL-3.0-only"),
    ("lgpl-3.0", "LGPL-3.0-only"),
    ("mpl-2.0", "MPL-2.0"),
    ("unlicense", "Unlicense"),
    ("odc-by", "ODC-By-1.0"),
    ("odbl", "ODbL-1.0"),
    ("pddl", "PDDL-1.0"),
];

/// Returns the licence of a source; `beside` reads the `README.md` beside a file or in a folder, where there is one.
pub fn of(node: &Node, beside: &dyn Fn(&Path) -> Option<String>) -> Option<String> {
    let told = node.with.get("licence").and_then(Json::as_str).map(str::to_owned);
    let folders = || node.paths.iter().filter(|p| p.model || p.repository.is_some()).map(|p| p.path.as_path());
    told.or_else(|| folders().find_map(|path| card(&beside(path)?)))
}

/// Reads `license:` from the head of a card.
fn card(text: &str) -> Option<String> {
    let head = text.strip_prefix("---")?.split("\n---").next()?;
    let value = head.lines().find_map(|line| line.strip_prefix("license:"))?.trim().trim_matches(['"', '\'']);
    let known = CARDS.iter().find(|(card, _)| card.eq_ignore_ascii_case(value)).map(|(_, spdx)| (*spdx).to_owned());
    let creative = || value.to_lowercase().starts_with("cc").then(|| value.to_uppercase());
    (!value.is_empty()).then(|| known.or_else(creative).unwrap_or_else(|| value.to_owned()))
}
