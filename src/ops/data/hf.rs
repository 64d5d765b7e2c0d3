//! `data.hf`: a split of a dataset of the hub.

use super::source;
use crate::base::OpError;
use crate::base::world::OsWorld;
use crate::data::formats::files;
use crate::data::formats::load::Feed;
use crate::data::pictures::media::Media;
use crate::engine::{Builtin, Context, Outputs};
use crate::plan::hub;
use crate::spec::{Columns, Effect, Hub, OpSpec};

/// The operator.
pub static HF: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Reads one split of a dataset of the Hugging Face hub that is on this machine: below the folder `RBPIPE_HF_MIRROR` as `OWNER/NAME`, or in the hub's cache as
## `hf download --repo-type dataset` leaves it. Nothing is fetched.
##
## The split's files are those that the dataset's README lists, else those with the split's name in their path; they may be JSON, CSV, Parquet or Arrow.
op data.hf(
  ## `OWNER/NAME`
  repo: Str,
  ## The configuration.
  config: Str = "default",
  ## The split.
  split: Str = "train",
  ## The branch, tag or commit; only in the cache.
  revision: Str? = none,
  ## The columns to read, and no others.
  as: Schema,
  ## What happens to a row that does not fit: stop, leave it out, or leave it out and name it.
  bad: enum { fail, skip, quarantine } = "fail",
) -> Dataset[{ ..r }]"#,
        effect: Effect::Source,
        version: 3,
        columns: Columns::FromSchema,
        hub: Hub::Rows("repo"),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    repo: String,
    config: String,
    split: String,
    revision: Option<String>,
    #[serde(rename = "as")]
    schema: crate::data::schema::Columns,
    bad: crate::data::formats::load::Bad,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let root = hub::dataset(&OsWorld, &args.repo, args.revision.as_deref());
    let found = files::of_split(&root, &args.config, &args.split)?;
    let schema = args.schema.types()?;
    let media = Media::open(&root)?;
    let store = cx.store;
    // Places are told as the repository names its files.
    let read = |path: &std::path::Path, _: &str, feed: &mut Feed<'_>| {
        let name = format!("{}/{}", args.repo, path.strip_prefix(&root).unwrap_or(path).display());
        files::rows(path, &name, &schema, store, feed)
    };
    let loading = source::Args { path: String::new(), schema: args.schema.clone(), media: None, bad: args.bad };
    source::load_files(cx, &loading, &found, media, read)
}
