//! `data.lvis`: instances in the layout of LVIS and COCO.

use super::annotated;
use crate::base::OpError;
use crate::data::scenes::scene;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static LVIS: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads instances in the layout of LVIS and COCO. A box missing from an annotation is taken from its polygons or run lengths (plain or
## compressed), and is cut to the picture. LVIS says of some labels that they are not in a picture (`neg_category_ids`), and of some that not every
## object is annotated: of the others nothing is known, and `cot.questions` does not count them. COCO annotates all objects of its categories but crowds.
op data.lvis(
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
  ## Labels of which not every object is annotated.
  partial: [Str],
}]"#,
        effect: Effect::Source,
        version: 2,
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    annotated::load(cx, &scene::FEDERATED, scene::instances)
}
