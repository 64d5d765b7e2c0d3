//! `bench.total`: items with their declaration become a benchmark.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::baseline::baselines;
use crate::eval::benchmark::put_items;
use crate::eval::total::total;
use crate::eval::{Benchmark, Declaration, ItemKind, item};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static TOTAL: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Completes a benchmark: the number that stands in tables, and further ones. Finds out what guessing and the best constant
## answer would score.
op bench.total(d: Dataset[{ ..r }], headline: Total, also: [Total] = []) -> Benchmark"#,
        version: 3,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(Deserialize)]
struct Args {
    headline: Json,
    also: Vec<Json>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let input = cx.input("d")?.clone();
    let mut declare = Declaration::of(&input)?;
    declare.headline = args.headline;
    declare.also = args.also;
    let items = item::from_table(&cx.table("d")?)?;
    let kinds: BTreeSet<ItemKind> = items.iter().map(|i| i.kind).collect();
    for kind in &kinds {
        declare.rule(*kind)?;
        if !declare.ask.contains_key(kind.name()) {
            let name = kind.name();
            return Err(OpError::new(
                "E0801",
                format!("there are `{name}` items, but `bench.ask` says nothing about them"),
            )
            .help(format!("add `{name}: …` to `bench.ask`")));
        }
    }
    let mut bench = Benchmark { items, declare, chance: 0.0, majority: 0.0 };
    for json in &bench.declare.also {
        let units = crate::eval::scored::units(bench.items.iter().map(|i| (i, 0, 0.0)));
        total(json)?.estimate(&units)?; // A group that is missing is an error now, not after the model has run.
    }
    let (chance, majority) = baselines(&bench, cx.store)?;
    (bench.chance, bench.majority) = (chance, majority);
    let mut plain = input.clone();
    plain.meta = json!({ "rows": input.meta["rows"], "columns": input.meta["columns"] });
    let mut files = BTreeMap::new();
    let items = put_items(&plain, &mut files);
    let meta = json!({
        "n": bench.questions(),
        "requests": bench.items.len(),
        "kinds": kinds.iter().map(|k| k.name()).collect::<Vec<_>>(),
        "chance": chance,
        "majority": majority,
        "skipped": input.meta["skipped"],
        "benchmark": bench.declare,
        "items": items,
    });
    cx.counts.insert("items".into(), bench.questions() as u64);
    Ok(vec![(String::new(), Output::Artifact(Artifact { kind: Kind::Benchmark, meta, files }))])
}
