//! `model.classifier`: a model, a question and the options to answer with.

use serde_json::json;

use crate::base::OpError;
use crate::engine::{Artifact, Builtin, Context, Kind, Output, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static CLASSIFIER: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## A classifier: the model is asked `prompt` about a row's pictures and the probabilities of the options as replies are compared.
## Used by `model.classify` and `fuse.two_tier`.
op model.classifier(
  m: Model,
  ## Options, in order.
  into: [Str],
  ## The question.
  prompt: Prompt,
  ## Name of the column that `model.classify` adds.
  column: Str = "class",
) -> Classifier"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    into: Vec<String>,
    prompt: String,
    column: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    if args.into.len() < 2 {
        return Err(OpError::new("E0214", format!("into: {} options; at least two are needed", args.into.len())));
    }
    let model = cx.input("m")?;
    let meta = json!({ "into": args.into, "prompt": args.prompt, "column": args.column, "model": model.meta });
    let artifact = Artifact { kind: Kind::Classifier, meta, files: model.files.clone() };
    Ok(vec![(String::new(), Output::Artifact(artifact))])
}
