//! `data.jsonl`: rows of JSON lines or a JSON array.

use super::source;
use crate::base::OpError;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Columns, Effect, Hub, OpSpec};

/// The operator.
pub static JSONL: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads rows of JSON lines or a JSON array, also `.gz` and `.zst`; a glob reads several files in sorted order.
## Pictures are read, decoded once to find damage, and kept by the digest of their bytes.
op data.jsonl(
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
    source::lines(cx, &args)
}
