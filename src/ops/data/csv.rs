//! `data.csv`: rows of separated values.

use super::source;
use crate::base::OpError;
use crate::data::formats::csv;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Columns, Effect, Hub, OpSpec};

/// The operator.
pub static CSV: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads rows of separated values with a header line, also `.gz` and `.zst`. Lists, records and Json stand as JSON in their field; an empty field of an optional
## column is `none`.
op data.csv(
  ## A file or a glob, relative to the recipe; `hf:OWNER/NAME/FILE` is one of a dataset of the hub on this machine, see `data.hf`.
  path: Str,
  ## The columns to read, and no others.
  as: Schema,
  ## Where paths of pictures start: a folder or a zip. Default: the folder of the file.
  media: Str? = none,
  ## What happens to a row that does not fit: stop, leave it out, or leave it out and name it.
  bad: enum { fail, skip, quarantine } = "fail",
  ## What stands between fields.
  separator: Str = ",",
  ## Columns that hold pictures as base64 text rather than paths.
  base64: Cols = [],
) -> Dataset[{ ..r }]"#,
        effect: Effect::Source,
        version: 3,
        columns: Columns::FromSchema,
        hub: Hub::Rows("path"),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    separator: String,
    base64: Vec<String>,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let (own, args): (Args, source::Args) = (cx.args()?, cx.args()?);
    let schema = args.schema.types()?;
    source::load_with(cx, &args, |path, name, feed| csv::rows(path, name, &schema, &own.separator, &own.base64, feed))
}
