//! `model.calibrated`: a model whose probabilities of options are scaled by a temperature.

use serde_json::json;

use crate::base::OpError;
use crate::engine::artifact::Kind;
use crate::engine::{Artifact, Builtin, Context, Output, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static CALIBRATED: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## The same model with the temperature at which its probabilities of options fit a score best. It changes how sure the model is of an
## option, in `eval.run(confidence: true)` and in `fuse.two_tier`, never which one it finds likeliest, nor what it writes. Take a score on
## questions that nothing else is measured by.
op model.calibrated(
  m: Model,
  ## A score of this model with probabilities of options: `eval.run(m, on: held_out, confidence: true)`.
  by: Score,
) -> Model"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let model = cx.input("m")?;
    if model.files.contains_key("fusion.json") {
        return Err(OpError::new("E0304", "two models that decide together have no temperature of their own")
            .help("calibrate each, then fuse them: `fuse.two_tier(model.calibrated(base, by: …), expert: …)`"));
    }
    let temperature = cx.input("by")?.meta["calibration"]["temperature"].as_f64().ok_or_else(|| {
        OpError::new("E0304", "this score has no probabilities of options, so there is nothing to calibrate by")
            .help("ask for them: `eval.run(m, on: …, confidence: true)`, on questions with options")
    })?;
    // The probabilities that were measured may be scaled already.
    let known = model.meta["temperature"].as_f64().unwrap_or(1.0);
    let mut meta = model.meta.clone();
    meta["temperature"] = json!(known * temperature);
    let artifact = Artifact { kind: Kind::Model, meta, files: model.files.clone() };
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}
