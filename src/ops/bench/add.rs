//! `bench.compat` and `bench.examples`: a second profile from the same reply, and worked examples.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value as Json;

use super::ask::check_kinds;
use crate::base::OpError;
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, Outputs};
use crate::eval::examples::check_examples;
use crate::eval::{Declaration, ItemKind};
use crate::spec::{Effect, OpSpec};

/// The second profile.
pub static COMPAT: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Adds a second score from the same replies, read and marked as another harness does, to compare with published numbers.
op bench.compat(
  b: Benchmark,
  ## By kind: a reader, or a reader and a mark.
  ..by: Reader | { read: Reader, mark: Marker },
  ## Its total, if another than the headline.
  total: Total? = none,
) -> Benchmark"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(compat),
};

/// Worked examples.
pub static EXAMPLES: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Adds worked examples: replies with the score that they must get. They are run here and by `check`; no model is needed.
op bench.examples(
  b: Benchmark,
  of: [{ kind: Str, key: Str, reply: Str, score: Float, parsed: Bool?, options: [Str]? }],
) -> Benchmark"#,
        version: 2,
        refuses: Some(examples_of),
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(examples),
};

#[derive(Deserialize)]
struct CompatArgs {
    #[serde(default)]
    by: BTreeMap<String, Json>,
    #[serde(default)]
    total: Json,
}

fn compat(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: CompatArgs = cx.args()?;
    check_kinds(args.by.keys())?;
    change(cx, |declare| {
        declare.compat.extend(args.by);
        declare.compat_total = args.total;
        for kind in declare.compat.keys().filter_map(|k| ItemKind::parse(k)).collect::<Vec<_>>() {
            if declare.read.contains_key(kind.name()) {
                declare.compat_rule(kind)?;
            }
        }
        declare.compat_total().map(drop)
    })
}

fn examples(cx: &mut Context) -> Result<Outputs, OpError> {
    #[derive(Deserialize)]
    struct Args {
        of: Vec<Json>,
    }
    let args: Args = cx.args()?;
    change(cx, |declare| {
        declare.examples = args.of;
        check_examples(declare)
    })
}

/// Runs the examples of a call by the readers and marks of the calls before it; they need no model and no rows.
fn examples_of(calls: &[(&str, &Json)]) -> Result<(), OpError> {
    let mut declare = Declaration::default();
    declare.examples = calls.first().and_then(|(_, args)| args["of"].as_array().cloned()).unwrap_or_default();
    for (op, args) in calls {
        let rules = match *op {
            "bench.read" => &mut declare.read,
            "bench.mark" => &mut declare.mark,
            _ => continue,
        };
        for (kind, rule) in args["by"].as_object().into_iter().flatten() {
            rules.entry(kind.clone()).or_insert_with(|| rule.clone());
        }
    }
    check_examples(&declare)
}

fn change(cx: &Context, change: impl FnOnce(&mut Declaration) -> Result<(), OpError>) -> Result<Outputs, OpError> {
    let mut artifact = cx.input("b")?.clone();
    let mut declare = Declaration::of(&artifact)?;
    change(&mut declare)?;
    artifact.meta["benchmark"] = serde_json::to_value(&declare)?;
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}
