//! `score.by(…)`: the score of a group of items, or of one of its values, checked against what `bench.sample` declared.

use super::artifact::Artifact;
use super::artifact::NodeId;
use super::evaluator::{Eval, mismatch};
use super::given::Given;
use super::graph::Graph;
use super::metric::Metric;
use super::val::Val;
use crate::base::{Diagnostic, Span, codes, phrase};
use crate::spec::Value;

/// The group that every benchmark has.
const KIND: &str = "kind";

/// Evaluates the arguments of `.by(group, value: …)`.
pub(super) fn by(graph: &Graph, score: &Artifact, given: &mut Given, span: Span) -> Eval<Val> {
    let group = given.positional.take().or_else(|| given.take("group"));
    let Some((Val::Value(Value::Str(group)), at)) = group else {
        return Err(mismatch(span, "`.by(…)` takes the name of a group"));
    };
    if let Some(known) = declared(graph, score.node)
        && !known.contains(&group)
    {
        let d = Diagnostic::new(codes::E0604, at, format!("the benchmark has no group `{group}`"), "no such group");
        return Err(Box::new(match phrase::nearest(&group, known.iter().map(String::as_str)) {
            Some(near) => d.help(format!("did you mean \"{near}\"?")),
            None => d.help(format!("its groups are {}", phrase::quoted(&known))),
        }));
    }
    let metric = match given.take("value") {
        None => Metric::Group { of: score.clone(), group },
        Some((Val::Value(Value::Str(value)), _)) => {
            Metric::Meta { of: score.clone(), path: format!("groups.{group}.{value}.value") }
        }
        Some((_, at)) => return Err(mismatch(at, "a value of a group is a text")),
    };
    Ok(Val::Metric(metric))
}

/// Returns the groups of the benchmark that a score is of, where the recipe says them.
fn declared(graph: &Graph, score: NodeId) -> Option<Vec<String>> {
    let mut at = graph.node(score);
    let mut slot = "on";
    loop {
        at = graph.node(at.input(slot)?.node);
        if at.op == "bench.sample" {
            break;
        }
        // The verbs of a benchmark take it first, as `d` or `b`.
        slot = if at.inputs.iter().any(|i| i.slot == "d") { "d" } else { "b" };
    }
    let groups = &at.args["groups"];
    let mut names: Vec<String> = match groups["record"].as_array() {
        Some(fields) => fields.iter().filter_map(|f| f[0].as_str().map(str::to_owned)).collect(),
        None => groups["lit"].as_object()?.keys().cloned().collect(),
    };
    names.push(KIND.to_owned());
    Some(names)
}
