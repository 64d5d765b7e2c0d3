//! `model.generate`: what a model replies to each row.

#[cfg(feature = "torch")]
use crate::base::OpError;
use crate::engine::Builtin;
#[cfg(feature = "torch")]
use crate::engine::{Context, Outputs};
use crate::spec::{Class, Effect, OpSpec, Pool};
use crate::torch_run;

/// The operator.
pub static GENERATE: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Adds what a model replies to each row, and how sure it was: the geometric mean of the probabilities that it gave its own tokens.
## Shows the pictures of `images` or `image` and the videos of `videos` or `video` (files, or lists of frames at two a second), and uses
## `system`, where the rows have them. Rows whose pictures cannot be read, or that are too long for the model, are dropped with the reason.
## To keep an earlier `reply`, rename it first.
op model.generate(
  d: Dataset[{ ..r }],
  by: Model,
  ## What the model is told, joined with newlines.
  given: Cols = [.instruction, .input],
  ## Words put before it.
  prompt: Prompt? = none,
  ## Longest reply.
  max_tokens: Tokens = 512tok,
  ## 0 takes the likeliest token each time.
  temperature: Float = 0.0,
  ## Draws from the fewest tokens whose probabilities add up to this.
  top_p: Float = 1.0,
  ## Draws from so many of the likeliest tokens; 0 is all.
  top_k: Int = 0,
  ## Replies that are followed side by side; the reply is the one with the highest mean log-probability. More than 1 draw nothing, so
  ## `temperature` is 0 then.
  beams: Int in 1.. = 1,
  ## For temperatures above 0. Draws depend on it and on the row's place.
  seed: Int = 0,
  ## Texts that end a reply and are cut off.
  stop: [Str] = [],
  ## Pixels of a picture before the model's own processor.
  pixels: Range[Pixels] = 1_024px..589_824px,
) -> Dataset[{ reply: Str, reply_p: Ratio, ..r }]"#,
        class: Class::Numeric,
        version: 2,
        effect: Effect::RowMap,
        pool: Pool::Engine,
        with: &["gpus"],
        shows_media: true,
        ..OpSpec::BASE
    },
    run: torch_run!(run),
};

#[cfg(feature = "torch")]
#[derive(serde::Deserialize)]
struct Args {
    given: Vec<String>,
    prompt: Option<String>,
    max_tokens: u32,
    temperature: f64,
    top_p: f64,
    top_k: usize,
    beams: usize,
    seed: u64,
    stop: Vec<String>,
    pixels: crate::ops::train::arguments::Ends<u64>,
}

#[cfg(feature = "torch")]
fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    use std::sync::Arc;

    use arrow::array::{ArrayRef, Float64Array, StringArray};

    use crate::base::Digest;
    use crate::data::pictures::picture::Picture;
    use crate::eval::{self, Decoding, Part, Prompt, Reply};
    use crate::ops::eval::{asked, local};
    use crate::ops::rows::drop_rows;
    use crate::train::rows::{Medium, videos_of};

    let args: Args = cx.args()?;
    if args.beams > 1 && args.temperature > 0.0 {
        return Err(OpError::new("E0214", format!("beams: {} and temperature: {}", args.beams, args.temperature))
            .help("beams take the likeliest replies: leave `temperature` out, or `beams` to draw"));
    }
    let table = cx.table("d")?;
    let mut prompts = Vec::with_capacity(table.rows());
    for row in 0..table.rows() {
        let there = |name: &str| table.cell(name, row).ok();
        let mut parts = Vec::new();
        for picture in ["images", "image"].iter().filter_map(|name| there(name)).flat_map(|cell| Picture::all(&cell)) {
            let odd = || OpError::new("E0302", format!("row {}: a picture without a digest", table.name(row)));
            parts.push(Part::Image(eval::Picture::of(&picture).ok_or_else(odd)?));
        }
        for film in ["videos", "video"].iter().filter_map(|name| there(name)).flat_map(|cell| videos_of(&cell)) {
            let frame = |m: Medium| {
                Some(eval::Picture { digest: Digest::parse(&m.digest)?, media: m.media, width: 0, height: 0 })
            };
            let odd = || OpError::new("E0302", format!("row {}: a video without a digest", table.name(row)));
            parts.push(Part::Video(film.into_iter().map(frame).collect::<Option<_>>().ok_or_else(odd)?));
        }
        let mut said: Vec<String> = args.prompt.iter().cloned().collect();
        for column in args.given.iter().filter(|name| table.column(name).is_ok() || *name != "input") {
            said.push(table.cell(column, row)?.text().into_owned());
        }
        said.retain(|text| !text.is_empty());
        parts.push(Part::Text(said.join("\n")));
        let system = there("system").map(|cell| cell.text().into_owned()).filter(|text| !text.is_empty());
        prompts.push(Prompt { system, parts, options: Vec::new() });
    }
    let model = cx.input("by")?.clone();
    let folder = cx.folder_of(&model, "model")?;
    let mut speaker = local::open(cx, &model, &folder, (args.pixels.from, args.pixels.to))?;
    let mut replies: Vec<Result<Reply, String>> = Vec::with_capacity(prompts.len());
    for chunk in prompts.chunks(asked::CHUNK) {
        let decoding = Decoding {
            max_tokens: args.max_tokens,
            temperature: args.temperature,
            top_p: args.top_p,
            top_k: args.top_k,
            beams: args.beams,
            seed: args.seed.wrapping_add(replies.len() as u64),
            stop: args.stop.clone(),
            option_p: false,
        };
        replies.extend(asked::replies(cx, speaker.as_mut(), chunk, &decoding)?);
        cx.progress(replies.len() as u64, prompts.len() as u64, "replies");
    }
    let (said, lost): (Vec<_>, Vec<_>) =
        replies.into_iter().map(|r| r.map_or_else(|e| (None, Some(e)), |r| (Some(r), None))).unzip();
    let cut = said.iter().flatten().filter(|reply| reply.truncated).count();
    cx.counts.insert("cut at max_tokens".into(), cut as u64);
    let texts: ArrayRef = Arc::new(said.iter().map(|r| r.as_ref().map(|r| r.text.as_str())).collect::<StringArray>());
    let sure: ArrayRef = Arc::new(said.iter().map(|r| r.as_ref().map(|r| r.logp.exp())).collect::<Float64Array>());
    let table = table.with_column("reply", texts)?.with_column("reply_p", sure)?;
    Ok(Context::rows(drop_rows(cx, &table, &lost)?))
}
