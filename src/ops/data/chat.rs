//! `data.chat` and `data.dataset_info`: conversations and preference pairs in the layouts of training tools.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::source;
use crate::base::world::OsWorld;
use crate::base::{OpError, phrase};
use crate::data::formats::conversation::{self, Entry, Layout};
use crate::data::formats::load::{Bad, Feed, RawRow};
use crate::data::formats::{files, paths};
use crate::data::pictures::media::Media;
use crate::data::schema::{Column, Columns};
use crate::engine::{Builtin, Context, Outputs};
use crate::plan::hub;
use crate::spec::{Columns as Following, Effect, OpSpec, Type};

/// The columns that only pairs have.
const PAIRED: Following = Following::Only("pairs", &["prompt", "chosen", "rejected"]);

macro_rules! result {
    () => {
        r#"
  ## Read preference pairs: the conversation ends with the question, which is `prompt` too, and `chosen` and `rejected` are its answers.
  pairs: Bool = false,
  ## What happens to a row that does not fit: stop, leave it out, or leave it out and name it.
  bad: enum { fail, skip, quarantine } = "fail",
) -> Dataset[{
  ## The row's own, else its file and line.
  id: Str,
  ## `role` is user, assistant or tool. Calls of tools stand in an assistant's text as Qwen writes them.
  messages: [{ role: Str, content: Str }],
  images: [Image],
  videos: [Video],
  system: Str?,
  ## Descriptions of tools, as the row has them.
  tools: Str?,
  ## Whether the answer is a good one.
  kto_tag: Bool?,
  prompt: Str,
  chosen: Str,
  rejected: Str,
}]"#
    };
}

/// Conversations of a file.
pub static CHAT: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Reads conversations from JSON, CSV, Parquet or Arrow files. A row that LLaMA-Factory would drop, empty or misread without a word is a bad row here:
## turns that do not alternate, an answer that is missing or no text, more or fewer `<image>` than pictures.
op data.chat(
  ## A file or a glob, relative to the recipe.
  path: Str,
  ## alpaca: `instruction, input, output`, `history` of `[question, answer]`. sharegpt: `conversations` of `from, value`. messages: `messages` of
  ## `role, content`. All: `system, tools, images, videos, chosen, rejected, kto_tag`, and LLaVA's `image` and `video`.
  layout: enum { alpaca, sharegpt, messages } = "messages",
  ## Where paths of pictures start: a folder or a zip. Default: the folder of the file.
  media: Str? = none,"#,
            result!()
        ),
        effect: Effect::Source,
        version: 3,
        columns: PAIRED,
        ..OpSpec::BASE
    },
    run: Some(run_chat),
};

/// An entry of LLaMA-Factory's `dataset_info.json`.
pub static DATASET_INFO: Builtin = Builtin {
    spec: OpSpec {
        signature: concat!(
            r#"
## Reads a dataset as LLaMA-Factory's `dataset_info.json` describes it: `file_name` (a file or a folder) or `hf_hub_url` on this machine, `formatting`,
## `columns`, `tags`, `ranking`, `subset`, `split`, `folder`; of `num_samples` the first rows. As there, a block `columns` or `tags` names all there
## is. See `data.chat` for bad rows.
op data.dataset_info(
  ## The file `dataset_info.json`, relative to the recipe.
  path: Str,
  ## The name of the entry.
  name: Str,
  ## Where paths of pictures start: a folder or a zip. Default: the folder of `dataset_info.json`.
  media: Str? = none,"#,
            result!()
        ),
        effect: Effect::Source,
        version: 2,
        columns: PAIRED,
        index: Some(named),
        ..OpSpec::BASE
    },
    run: Some(run_info),
};

#[derive(Deserialize)]
struct Args {
    path: String,
    #[serde(default)]
    layout: String,
    #[serde(default)]
    name: String,
    media: Option<String>,
    pairs: bool,
    bad: Bad,
}

fn run_chat(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let found = paths::files(&cx.folder, &args.path)?;
    let beside = found[0].parent().unwrap_or(Path::new("")).to_owned();
    let layout = Layout::of(&args.layout, args.pairs);
    load(cx, &args, &layout, &found, &beside, usize::MAX)
}

fn run_info(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let index = cx.folder.join(&args.path);
    let text = std::fs::read_to_string(&index).map_err(|e| OpError::new("E0501", format!("{}: {e}", args.path)))?;
    let all: Map<String, Json> = serde_json::from_str(&text)
        .map_err(|e| OpError::new("E0503", format!("{}: no JSON object: {e}", args.path)))?;
    let Some(entry) = all.get(&args.name) else {
        let near = phrase::nearest(&args.name, all.keys().map(String::as_str));
        let known = all.keys().take(12).map(String::as_str).collect::<Vec<_>>().join(", ");
        let help = near.map_or(format!("it has {known}"), |near| format!("did you mean `{near}`?"));
        return Err(OpError::new("E0612", format!("{} has no entry `{}`", args.path, args.name)).help(help));
    };
    let said = |e: serde_json::Error| OpError::new("E0612", format!("{}: entry `{}`: {e}", args.path, args.name));
    let entry: Entry = serde_json::from_value(entry.clone()).map_err(said)?;
    if entry.ranking != args.pairs {
        let what = if entry.ranking { "preference pairs" } else { "no preference pairs" };
        return Err(OpError::new(
            "E0612",
            format!("entry `{}` holds {what} (`ranking: {}`)", args.name, entry.ranking),
        )
        .help(format!("write `pairs: {}`", entry.ranking)));
    }
    let layout =
        entry.layout().map_err(|e| OpError { message: format!("entry `{}`: {}", args.name, e.message), ..e })?;
    let folder = index.parent().unwrap_or(Path::new("")).to_owned();
    let (found, beside) = match (&entry.file_name, &entry.hf_hub_url) {
        (_, Some(repo)) => {
            let root = hub::dataset(&OsWorld, repo, None);
            let data = entry.folder.as_ref().map_or(root.clone(), |folder| root.join(folder));
            let (config, split) = (entry.subset.as_deref(), entry.split.as_deref());
            (files::of_split(&data, config.unwrap_or("default"), split.unwrap_or("train"))?, root)
        }
        (Some(file), None) => (files::with_rows(&folder.join(file))?, folder),
        (None, None) => {
            let help =
                "fetch the rows and give their file as `file_name`; scripts are not run, and other hubs not asked";
            let what = format!("entry `{}` names neither `file_name` nor `hf_hub_url`", args.name);
            return Err(OpError::new("E0612", what).help(help));
        }
    };
    load(cx, &args, &layout, &found, &beside, entry.num_samples.unwrap_or(usize::MAX))
}

/// What an entry names that is read: its file or folder, or its repository.
fn named(text: &str, args: &Map<String, Json>) -> Vec<String> {
    let all: Map<String, Json> = serde_json::from_str(text).unwrap_or_default();
    let entry = args.get("name").and_then(Json::as_str).and_then(|name| all.get(name));
    let Some(entry) = entry.and_then(|e| Entry::deserialize(e).ok()) else { return Vec::new() };
    entry.hf_hub_url.map(|repo| format!("hf:{repo}")).or(entry.file_name).into_iter().collect()
}

fn load(
    cx: &mut Context,
    args: &Args,
    layout: &Layout,
    found: &[PathBuf],
    beside: &Path,
    most: usize,
) -> Result<Outputs, OpError> {
    let media = match &args.media {
        Some(media) => Media::open(&cx.folder.join(media))?,
        None => Media::open(beside)?,
    };
    let columns = conversation::COLUMNS.iter().chain(conversation::OF_PAIRS.iter().filter(|_| args.pairs));
    let columns = columns.map(|(name, ty)| Column { name: (*name).into(), ty: (*ty).into() }).collect();
    let loading = source::Args { path: String::new(), schema: Columns { columns }, media: None, bad: args.bad };
    // Media are asked for as such, so that bytes in Parquet files are kept as they are.
    let mut wanted: Vec<(String, Type)> = layout.reads();
    wanted.push(("id".into(), Type::Str));
    let mut left = most;
    let mut rather = None;
    let store = cx.store;
    let loaded = source::load_files(cx, &loading, found, media, |path: &Path, name: &str, feed: &mut Feed<'_>| {
        files::rows(path, name, &wanted, store, &mut |mut rows, members| {
            rows.truncate(left);
            left -= rows.len();
            let convert = |RawRow { place, value }| {
                let value = value.and_then(|row| {
                    let told = |_: &String| rather = rather.or_else(|| layout.rather(row.as_object()?));
                    layout.convert(&row, &place).inspect_err(told)
                });
                RawRow { place, value }
            };
            feed(rows.into_iter().map(convert).collect(), members)
        })
    });
    match rather {
        Some((name, column)) => loaded.map_err(|e| e.help(format!("`layout: \"{name}\"` reads rows with `{column}`"))),
        None => loaded,
    }
}
