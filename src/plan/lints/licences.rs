//! Licences of sources that cannot meet in one model.

use std::collections::BTreeMap;
use std::path::Path;

use super::Facts;
use crate::base::codes::W0508;
use crate::base::{Diagnostic, Problems, World};
use crate::plan::artifact::NodeId;
use crate::plan::graph::{Graph, Node};
use crate::plan::licences;
use crate::spec::Effect;

/// The licence of each source that was asked for, so that a card is read once.
pub(super) type Licences = BTreeMap<NodeId, Option<String>>;

/// Looks at what flows into a training.
pub(super) fn lint(facts: &Facts, known: &mut Licences, world: &dyn World, node: &Node, found: &mut Problems) {
    if !node.trains() {
        return;
    }
    let sources = licensed(facts.graph, known, world, node);
    for (i, (licence, source)) in sources.iter().enumerate() {
        if no_derivatives(licence) {
            let message =
                format!("`{}` trains on rows under {licence}, which allows no works made from them", node.name);
            let d = Diagnostic::new(W0508, node.span, message, "a model is made from its rows");
            found.push(
                d.also(source.span, licence.clone()).help("leave this source out, or get a licence that allows it"),
            );
            return;
        }
        let clash = sources[..i].iter().find_map(|(other, at)| Some((other, at, clash(licence, other)?)));
        if let Some((other, at, why)) = clash {
            let message = format!("`{}` trains on rows under {other} and under {licence}: {why}", node.name);
            let d = Diagnostic::new(W0508, node.span, message, "both flow into one model");
            let d = d.also(at.span, other.clone()).also(source.span, licence.clone());
            found.push(d.help("train without one of the two, or ask its owners for other terms"));
            return;
        }
    }
}

/// Sources before a training with the licence that is known of them.
fn licensed<'g>(graph: &'g Graph, known: &mut Licences, world: &dyn World, node: &Node) -> Vec<(String, &'g Node)> {
    let nodes = graph.ancestors(node.inputs.iter().map(|i| i.node)).into_iter().map(|id| (id, graph.node(id)));
    let sources = nodes.filter(|(_, n)| n.effect == Effect::Source && !n.paths.is_empty());
    let card = |path: &Path| {
        let folder = if world.list(path).is_empty() { path.parent()? } else { path };
        world.read(&folder.join("README.md")).ok()
    };
    let licence = |(id, n): (NodeId, &'g Node)| {
        let found = known.entry(id).or_insert_with(|| licences::of(n, &card)).clone();
        Some((found?, n))
    };
    sources.filter_map(licence).collect()
}

fn no_derivatives(licence: &str) -> bool {
    words(licence).any(|w| w == "ND")
}

/// Why two licences exclude each other; nothing where they do not, or nobody knows.
fn clash(a: &str, b: &str) -> Option<&'static str> {
    let either = |x: &dyn Fn(&str) -> bool, y: &dyn Fn(&str) -> bool| x(a) && y(b) || x(b) && y(a);
    let non_commercial = |l: &str| words(l).any(|w| w == "NC");
    let copyleft = |l: &str| {
        ["GPL-", "AGPL-", "ODbL-"].iter().any(|p| l.starts_with(p)) || words(l).any(|w| w == "SA") && !non_commercial(l)
    };
    if either(&non_commercial, &copyleft) {
        return Some("one forbids commercial use, the other any further restriction");
    }
    let two = |l: &str| l == "GPL-2.0-only";
    let three = |l: &str| l.starts_with("GPL-3.0") || l.starts_with("AGPL-3.0") || l == "Apache-2.0";
    either(&two, &three).then_some("the Free Software Foundation holds these two to be incompatible")
}

fn words(licence: &str) -> impl Iterator<Item = &str> {
    licence.split(['-', ' ', '.', '(', ')'])
}
