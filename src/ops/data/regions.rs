//! `data.regions`: descriptions of regions in the layout of Visual Genome.

use super::annotated;
use crate::base::OpError;
use crate::data::scenes::scene;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

/// The operator.
pub static REGIONS: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads descriptions of regions in the layout of Visual Genome's `region_descriptions.json`, one row for each region. The picture is `image` or
## `file_name`, else `<image_id>.jpg`.
op data.regions(
  ## A file or a glob, relative to the recipe.
  path: Str,
  ## Where paths of pictures start: a folder or a zip. Default: the folder of the file.
  media: Str? = none,
  ## What happens to a region that does not fit: stop, leave it out, or leave it out and name it.
  bad: enum { fail, skip, quarantine } = "fail",
) -> Dataset[{
  id: Str,
  image: Image,
  ## What is said of the region.
  phrase: Str,
  ## `[x, y, width, height]` in pixels, cut to the picture.
  box: Box,
}]"#,
        effect: Effect::Source,
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    annotated::load(cx, &scene::REGIONS, scene::regions)
}
