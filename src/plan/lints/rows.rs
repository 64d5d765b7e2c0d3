//! How many rows a dataset has, as far as the text and the lock tell.

use serde_json::Value as Json;

use super::Facts;
use crate::plan::graph::{Input, Node};
use crate::spec::Effect;

/// A bound on a number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Rows {
    /// No more than this.
    pub most: u64,
    /// Exactly this.
    pub exact: bool,
}

/// Returns what is known of the rows of an input.
pub(super) fn of(facts: &Facts, input: &Input) -> Option<Rows> {
    let node = facts.graph.node(input.node);
    let first = || of(facts, node.inputs.first()?);
    let sum = || {
        let all: Option<Vec<Rows>> = node.inputs.iter().map(|i| of(facts, i)).collect();
        let all = all.filter(|all| !all.is_empty())?;
        Some(Rows { most: all.iter().map(|r| r.most).sum(), exact: all.iter().all(|r| r.exact) })
    };
    let at_most = |rows: Option<Rows>, most: u64| match rows {
        Some(r) => Rows { most: r.most.min(most), exact: r.exact },
        None => Rows { most, exact: false },
    };
    let args = &node.args;
    match node.op.as_str() {
        "data.concat" => sum(),
        "data.blend" => args["rows"].as_u64().map(|most| Rows { most, exact: true }).or_else(sum),
        "data.top" => Some(at_most(first(), args["n"].as_u64()?)),
        "data.sample" => match (amount(&args["n"]), first()) {
            (Some(Amount::Rows(n)), rows) => Some(at_most(rows, n)),
            (Some(Amount::Share(share)), Some(r)) => Some(Rows { most: (r.most as f64 * share).round() as u64, ..r }),
            _ => None,
        },
        "data.split" => {
            let rows = first()?;
            let part = |name: &str| match amount(&args[name]) {
                Some(Amount::Rows(n)) => n,
                Some(Amount::Share(share)) => (rows.most as f64 * share).round() as u64,
                None => 0,
            };
            let apart = args["apart"].as_array().is_some_and(|a| !a.is_empty());
            match input.field.as_str() {
                "train" => Some(Rows { exact: false, ..rows }),
                field => Some(Rows { most: if apart { rows.most } else { part(field) }, exact: !apart && rows.exact }),
            }
        }
        _ => match node.effect {
            Effect::Source => {
                let file = node.paths.iter().find(|p| !p.media)?;
                facts.known.rows(file).map(|most| Rows { most, exact: true })
            }
            Effect::RowMap => first(),
            Effect::RowSubset => {
                let rows = first().map(|r| Rows { exact: false, ..r });
                match args["keep"]["top"].as_u64() {
                    Some(n) => Some(Rows { exact: false, ..at_most(rows, n) }),
                    None => rows,
                }
            }
            _ => None,
        },
    }
}

/// A number of rows, or a share of them.
#[derive(Clone, Copy, Debug)]
pub(super) enum Amount {
    Rows(u64),
    Share(f64),
}

/// Reads `{"rows": 80}` or `{"ratio": 0.05}`.
pub(super) fn amount(value: &Json) -> Option<Amount> {
    let rows = value["rows"].as_u64().map(Amount::Rows);
    rows.or_else(|| value["ratio"].as_f64().map(Amount::Share))
}

/// Says whether a training holds rows out to evaluate.
pub(super) fn holds_out(node: &Node) -> bool {
    amount(&node.args["validation"]).is_some_and(|a| match a {
        Amount::Rows(n) => n > 0,
        Amount::Share(share) => share > 0.0,
    })
}

/// Returns how many of `rows` rows a training holds out.
pub(super) fn kept_out(node: &Node, rows: u64) -> u64 {
    match amount(&node.args["validation"]) {
        Some(Amount::Rows(n)) => n,
        Some(Amount::Share(share)) => (rows as f64 * share).ceil() as u64,
        None => 0,
    }
}
