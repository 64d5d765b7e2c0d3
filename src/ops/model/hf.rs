//! `model.hf`: a model from a folder or from the local hub cache.

use serde_json::json;

use super::folder;
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, Hub, OpSpec};

/// The operator.
pub static HF: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## A model in Hugging Face layout: a folder when the name starts with `.` or `/`, else a repository of the hub as the local
## cache has it ($HF_HUB_CACHE, $HF_HOME/hub, ~/.cache/huggingface/hub).
op model.hf(
  ## Folder relative to the recipe, or repository such as `Qwen/Qwen2.5-VL-3B-Instruct`.
  name: Str,
  ## Branch, tag or commit; `main` if absent.
  revision: Str? = none,
  ## How the model writes coordinates: parts of the side, thousandths, or pixels of the resized or of the original picture.
  coord_space: enum { auto, unit, norm1000, pixel_input, pixel_original } = "auto",
) -> Model"#,
        effect: Effect::Source,
        hub: Hub::Model("name"),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    name: String,
    revision: Option<String>,
    coord_space: String,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let path = folder::resolve(cx, &args.name, args.revision.as_deref())?;
    folder::take(cx, &path, json!({ "coord_space": args.coord_space }))
}
