//! `model.reward`: a reward model, which is a model with a value head.

use serde_json::json;

use super::folder;
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, Hub, OpSpec};

/// The operator.
pub static REWARD: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## A reward model: a folder or repository as `model.hf` finds it, with `value_head.safetensors` beside the weights.
op model.reward(
  ## Folder relative to the recipe, or repository such as `Skywork/Skywork-VL-Reward-7B`.
  name: Str,
  ## Branch, tag or commit; `main` if absent.
  revision: Str? = none,
) -> Model[reward]"#,
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
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let path = folder::resolve(cx, &args.name, args.revision.as_deref())?;
    let head = path.join("value_head.safetensors");
    if !head.is_file() {
        return Err(OpError::new(
            "E0501",
            format!("the reward model has no value head: looked for {}", head.display()),
        ));
    }
    folder::take(cx, &path, json!({ "head": "reward" }))
}
