//! `fuse.two_tier`: a base model and an expert that is heard where it matters.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use crate::base::OpError;
use crate::engine::artifact::{Artifact, Kind};
use crate::engine::node::context::Output;
use crate::engine::{Builtin, Context, FileRef, Outputs};
use crate::spec::{Effect, OpSpec, RowExpr};

/// The operator.
pub static TWO_TIER: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Joins a base model and an expert. The classifier sorts each question's pictures; where `when` holds, every option gets the
## score of `score` and the best one is the answer; elsewhere, and where a question has no options, the base answers alone. The
## confidences are those of `model.calibrated` models where it made them.
op fuse.two_tier(
  base: Model,
  expert: Model,
  ## Decides the tier; its column is what `when` reads.
  classify: Classifier,
  ## Whether the expert is heard.
  when: Where,
  ## The score of an option: `.base.confidence` and `.expert.confidence` are its probability among the options under each model,
  ## `.base.correction` and `.expert.correction` that probability over the one of the model's best option.
  score: Expr = .base.confidence * .expert.correction,
) -> Model[fused]"#,
        effect: Effect::Reduce,
        ..OpSpec::BASE
    },
    run: Some(run),
};

/// `fusion.json`: how the two models decide together.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Fusion {
    /// Raised when the meaning of a field changes.
    pub version: u32,
    /// The folder of the classifier's model: `base`, `expert` or `classifier`.
    pub router: String,
    /// The classifier's options.
    pub into: Vec<String>,
    /// The classifier's question.
    pub prompt: String,
    /// The name of its answer in `when`.
    pub column: String,
    /// Whether the expert is heard.
    pub when: RowExpr,
    /// The score of an option.
    pub score: RowExpr,
    /// The temperatures of `base` and `expert`, where these are calibrated.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub temperatures: BTreeMap<String, f64>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    #[derive(Deserialize)]
    struct Args {
        when: RowExpr,
        score: RowExpr,
    }
    let args: Args = cx.args()?;
    let (base, expert, classify) = (cx.input("base")?, cx.input("expert")?, cx.input("classify")?);
    let mut files: BTreeMap<String, FileRef> = BTreeMap::new();
    let mut put = |folder: &str, artifact: &Artifact| {
        files.extend(artifact.files.iter().map(|(path, file)| (format!("{folder}/{path}"), *file)));
    };
    put("base", base);
    put("expert", expert);
    let asked = classify.bare().files;
    let router = if asked == base.bare().files {
        "base"
    } else if asked == expert.bare().files {
        "expert"
    } else {
        put("classifier", classify);
        "classifier"
    };
    let known = |key: &str| {
        let value = classify.meta.get(key).cloned();
        value.ok_or_else(|| OpError::new("E0503", format!("the classifier lacks its `{key}`")))
    };
    let temperature = |(name, model): (&str, &Artifact)| Some((name.to_owned(), model.meta["temperature"].as_f64()?));
    let temperatures = [("base", base), ("expert", expert)].into_iter().filter_map(temperature);
    let fusion = Fusion {
        version: 1,
        router: router.to_owned(),
        into: serde_json::from_value(known("into")?)?,
        prompt: serde_json::from_value(known("prompt")?)?,
        column: serde_json::from_value(known("column")?)?,
        when: args.when,
        score: args.score,
        temperatures: temperatures.collect(),
    };
    let text = serde_json::to_string_pretty(&fusion)?;
    files.insert("fusion.json".to_owned(), cx.put(text.as_bytes())?);
    let space = base.meta.get("coord_space").cloned().unwrap_or(Json::Null);
    let meta = json!({ "family": "fused", "base": base.meta, "expert": expert.meta, "coord_space": space });
    Ok(vec![(String::new(), Output::Artifact(Artifact { kind: Kind::Model, meta, files }))])
}
