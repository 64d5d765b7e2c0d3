//! `data.parquet`: rows of Parquet files.

use super::source;
use crate::base::OpError;
use crate::data::blobs::Blobs;
use crate::data::formats::columnar;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Columns, Effect, Hub, OpSpec};

/// The operator.
pub static PARQUET: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads rows of Parquet files as `datasets` writes them: pictures as records of `bytes` and `path`, numbered labels by their names where text is asked for.
op data.parquet(
  ## A file or a glob, relative to the recipe; `hf:OWNER/NAME/FILE` is one of a dataset of the hub on this machine, see `data.hf`.
  path: Str,
  ## The columns to read, and no others.
  as: Schema,
  ## Where paths of pictures start: a folder or a zip. Default: the folder of the file.
  media: Str? = none,
  ## What happens to a row that does not fit: stop, leave it out, or leave it out and name it.
  bad: enum { fail, skip, quarantine } = "fail",
) -> Dataset[{ ..r }]"#,
        effect: Effect::Source,
        version: 2,
        columns: Columns::FromSchema,
        hub: Hub::Rows("path"),
        ..OpSpec::BASE
    },
    run: Some(run),
};

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: source::Args = cx.args()?;
    let schema = args.schema.types()?;
    let blobs: Option<&dyn Blobs> = Some(cx.store);
    source::load_with(cx, &args, |path, name, feed| {
        columnar::parquet(path, name, columnar::Into { schema: &schema, blobs, feed })
    })
}
