//! `data.epic` and `data.ego4d`: parts of videos with what is said of them.

use std::path::Path;

use serde::Deserialize;

use super::source;
use crate::base::OpError;
use crate::data::formats::load::{Bad, RawRow};
use crate::data::formats::{clip, ego4d, packed};
use crate::data::schema::{Column, Columns};
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Effect, OpSpec};

macro_rules! result {
    () => {
        r#"
  ## What happens to a clip that does not fit: stop, leave it out, or leave it out and name it.
  bad: enum { fail, skip, quarantine } = "fail",
) -> Dataset[{
  id: Str,
  video: Video,
  ## Seconds from the beginning of the video, for `data.frames(start: .start, stop: .stop)`.
  start: Float,
  stop: Float,
  narration: Str?,
  verb: Str?,
  noun: Str?,
  nouns: [Str],
}]"#
    };
}

/// EPIC-KITCHENS-100.
pub static EPIC: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Reads the annotations of EPIC-KITCHENS-100, `EPIC_100_train.csv` and the like; the test split has no labels.
op data.epic(
  ## A file or a glob, relative to the recipe.
  path: Str,
  ## Where paths of videos start: a folder. Default: the folder of the file.
  media: Str? = none,
  ## The path of a video: `<video>` and `<participant>` stand for its ids.
  file: Str = "<participant>/videos/<video>.MP4","#,
            result!()
        ),
        effect: Effect::Source,
        ..OpSpec::BASE
    },
    run: Some(|cx| load(cx, |bytes, name, args| clip::epic(bytes, name, &args.file))),
};

/// Ego4D.
pub static EGO4D: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Reads annotations of Ego4D. `narration.json`: each narration is a moment, and becomes the clip around it; what the narrator was unsure of is a bad
## row. `nlq_train.json`, `moments_train.json` and the like: queries in plain words and labels of moments, as `.narration`.
## `fho_lta_train.json`: actions, as `.verb` and `.noun`.
op data.ego4d(
  ## A file or a glob, relative to the recipe.
  path: Str,
  ## Where paths of videos start: a folder. Default: the folder of the file.
  media: Str? = none,
  ## The path of a video: `<video>` stands for its id.
  file: Str = "<video>.mp4",
  ## Seconds of the clip around a narration, half of them before it.
  around: Float = 2.0,"#,
            result!()
        ),
        effect: Effect::Source,
        version: 2,
        ..OpSpec::BASE
    },
    run: Some(|cx| load(cx, narrations)),
};

#[derive(Deserialize)]
struct Args {
    path: String,
    media: Option<String>,
    file: String,
    #[serde(default)]
    around: f64,
    bad: Bad,
}

fn narrations(bytes: &[u8], name: &str, args: &Args) -> Result<Vec<RawRow>, OpError> {
    let json = serde_json::from_slice(bytes).map_err(|e| OpError::new("E0503", format!("{name}: no JSON: {e}")))?;
    ego4d::rows(&json, name, &args.file, args.around)
}

fn load(
    cx: &mut Context,
    rows: impl Fn(&[u8], &str, &Args) -> Result<Vec<RawRow>, OpError> + Sync,
) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let columns = clip::COLUMNS.iter().map(|(name, ty)| Column { name: (*name).into(), ty: (*ty).into() }).collect();
    let (path, media) = (args.path.clone(), args.media.clone());
    let loading = source::Args { path, schema: Columns { columns }, media, bad: args.bad };
    source::load(cx, &loading, |file: &Path, name: &str| rows(&packed::read(file)?, name, &args))
}
