//! `data.episodes`: what an arm did, in the layouts of AI2-THOR and ALFRED.

use super::annotated;
use crate::base::OpError;
use crate::data::scenes::episode;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static EPISODES: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads episodes: a goal, frames in time order, high-level and low-level actions.
op data.episodes(
  ## A file or a glob, relative to the recipe.
  path: Str,
  ## Where paths of pictures start: a folder or a zip. Default: the folder of the file.
  media: Str? = none,
  ## "thor": an array of episodes with `goal, scene, frames, actions, low_actions, plan`. "alfred": `traj_data.json` files; goal and steps are
  ## the first annotator's.
  layout: enum { thor, alfred } = "thor",
  ## What happens to an episode that does not fit: stop, leave it out, or leave it out and name it.
  bad: enum { fail, skip, quarantine } = "fail",
) -> Dataset[{
  id: Str,
  goal: Str,
  frames: [Image],
  ## `changes`: whether the action changes the state of the scene, and is not mere navigation.
  actions: [{ action: Str, object: Str?, receptacle: Str?, relation: Str?, description: Str, changes: Bool }],
  ## `high` is the position in `actions` that a raw step belongs to.
  low_actions: [{ action: Str, object: Str?, receptacle: Str?, high: Int? }],
  ## The steps as the file gives them.
  plan: [Str],
  ## The hazard mark that stands in the scene.
  hazard: Str?,
}]"#,
        effect: Effect::Source,
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let rows = if cx.args["layout"] == "alfred" { episode::alfred } else { episode::thor };
    annotated::load(cx, &episode::COLUMNS, rows)
}
