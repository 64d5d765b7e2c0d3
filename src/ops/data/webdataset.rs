//! `data.webdataset`: samples of tar shards.

use super::source;
use crate::base::OpError;
use crate::data::formats::webdataset;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Columns, Effect, Hub, OpSpec};

/// The operator.
pub static WEBDATASET: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads samples of WebDataset shards: members of a tar file that share a name up to its first dot. Shards may be `.tar`, `.tar.gz`, `.tgz` or
## `.tar.zst`; nothing is unpacked to disk.
##
## A column is the member with that ending: `jpg: Image`, `cls: Int`, `seg_png: Image` for `.seg.png`. The columns `image`, `video` and `text` are the
## member with any usual ending of that kind. A column that is no ending is a field of the sample's `.json`; `id` is the sample's key where there is no
## such field.
op data.webdataset(
  ## A file, a glob, or numbered shards as `train-{000..127}.tar`, relative to the recipe.
  path: Str,
  ## The columns to read, and no others.
  as: Schema,
  ## What happens to a sample that does not fit: stop, leave it out, or leave it out and name it.
  bad: enum { fail, skip, quarantine } = "fail",
) -> Dataset[{ ..r }]"#,
        effect: Effect::Source,
        columns: Columns::FromSchema,
        hub: Hub::Rows("path"),
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: source::Args = cx.args()?;
    let schema = args.schema.types()?;
    let store = cx.store;
    source::load_with(cx, &args, |path, name, feed| webdataset::rows(path, name, &schema, store, feed))
}
