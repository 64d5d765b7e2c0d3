//! `eval.published`: numbers that somebody published, as a score without items.

use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static PUBLISHED: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Numbers that were published elsewhere, for the same table: no interval, no items. The value is their mean.
op eval.published(
  ## Where they stand.
  source: Str,
  ## Benchmark to score.
  ..of: Ratio,
) -> Score"#,
        version: 2,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let of = cx.args["of"].as_object().cloned().unwrap_or_default();
    let numbers: Vec<f64> = of.values().filter_map(Json::as_f64).collect();
    if numbers.is_empty() {
        return Err(OpError::new("E0211", "no number was given"));
    }
    let value = crate::eval::stats::mean(&numbers);
    let meta = json!({
        "value": value, "low": Json::Null, "high": Json::Null, "se": Json::Null, "interval": "published", "n": Json::Null,
        "source": cx.args["source"], "groups": { "benchmark": of }, "headline": "published", "items": Json::Null,
    });
    Ok(vec![(String::new(), Output::Artifact(Artifact { kind: Kind::Score, meta, files: Default::default() }))])
}
