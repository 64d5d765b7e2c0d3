//! `data.visual_genome`: scene graphs in the layout of Visual Genome.

use super::annotated;
use crate::base::OpError;
use crate::data::scenes::scene;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static VISUAL_GENOME: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads scene graphs in the layout of Visual Genome: `scene_graphs.json`, `objects.json` or `relationships.json`. The picture is `image` or
## `file_name`, else `<image_id>.jpg`. Boxes are cut to the picture, predicates are in lower case. `data.regions` reads descriptions of regions.
op data.visual_genome(
  ## A file or a glob, relative to the recipe.
  path: Str,
  ## Where paths of pictures start: a folder or a zip. Default: the folder of the file.
  media: Str? = none,
  ## What happens to a scene that does not fit: stop, leave it out, or leave it out and name it.
  bad: enum { fail, skip, quarantine } = "fail",
) -> Dataset[{
  image: Image,
  ## Boxes are `[x, y, width, height]` in pixels.
  objects: [{ label: Str, box: Box, attributes: [Str] }],
  ## `subject` and `object` count `objects` from 0.
  relations: [{ subject: Int, predicate: Str, object: Int }],
  ## Labels that are known not to be in the picture.
  absent: [Str],
}]"#,
        effect: Effect::Source,
        version: 2,
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    annotated::load(cx, &scene::COLUMNS, scene::visual_genome)
}
