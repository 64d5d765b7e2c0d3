//! `data.frames`: pictures of videos.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use rayon::prelude::*;
use serde::Deserialize;

use crate::base::{Digest, OpError};
use crate::data::arrow_type::image_type;
use crate::data::arrow_type::list_of;
use crate::data::cell::{self, Cell};
use crate::data::pictures::{media, video};
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs, Store};
use crate::ops::rows::{self, Reason, pooled};
use crate::spec::{Class, Columns, Effect, OpSpec};

/// The operator.
pub static FRAMES: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Takes frames out of videos, in time order, with the program `ffmpeg` (5.1 or later) in a process of its own. With N frames in all and k = `count`:
## linspace takes the frames trunc(i·(N−1)/(k−1)), linspace_tail these and the last, arange_floor floor(i·N/k), chunk_center trunc(s/2 + round(i·s))
## for s = N/k; all frames where N ≤ k. fps takes those at whole multiples of 1/`fps` seconds, at most k.
op data.frames(
  d: Dataset[{ ..r }],
  ## A column of videos. A row without one gets no frames.
  video: Col = .video,
  ## Frames at most.
  count: Int = 16,
  ## Which of them.
  pick: enum { linspace, linspace_tail, arange_floor, chunk_center, fps } = "linspace",
  ## Frames per second; for `pick: "fps"`.
  fps: Float = 2.0,
  ## Columns with the first and the last second, where the rows mean a part of the video.
  start: Col? = none,
  ## See `start`.
  stop: Col? = none,
  ## Name of the new column.
  into: Str = "images",
  ## What happens to a row whose video does not decode: stop, or drop it with the reason.
  broken: enum { fail, drop } = "fail",
) -> Dataset[{ into: [Image], ..r }]"#,
        class: Class::Numeric,
        effect: Effect::RowSubset,
        columns: Columns::AddNamed("into"),
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(Deserialize)]
struct Args {
    video: String,
    count: i64,
    pick: String,
    fps: f64,
    start: Option<String>,
    stop: Option<String>,
    into: String,
    broken: String,
}

/// A video and the seconds of it that a row means: digest, and the bits of the ends.
type Part = (String, Option<u64>, Option<u64>);

/// The frames of such a part, as a list, or what is wrong with the video.
type Frames = Result<Cell<'static>, String>;

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    if args.count < 1 || args.fps <= 0.0 {
        return Err(OpError::new("E0214", "`count` and `fps` must be above 0"));
    }
    let mut last: HashMap<Part, usize> = HashMap::new();
    let named: Vec<&str> = [Some(&args.video), args.start.as_ref(), args.stop.as_ref()]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    for chunk in cx.chunks("d")?.only(|name, _| named.contains(&name)) {
        let chunk = chunk?;
        let parts = parts(&args, &chunk)?;
        last.extend((chunk.before..).zip(parts).filter_map(|(row, part)| Some((part?, row))));
    }
    if !last.is_empty() {
        video::decoder()?;
    }
    // What was taken of videos that come again further down.
    let mut taken: BTreeMap<Part, Frames> = BTreeMap::new();
    rows::sift(cx, |cx, chunk| {
        let parts = parts(&args, &chunk)?;
        let new: BTreeSet<&Part> = parts.iter().flatten().filter(|part| !taken.contains_key(*part)).collect();
        let store = cx.store;
        let new: Vec<(Part, Frames)> = pooled(cx.threads, || {
            let each = new.into_par_iter().map(|part| Ok((part.clone(), take(&args, part, store)?)));
            each.collect::<Result<_, OpError>>()
        })??;
        taken.extend(new);
        let added = with_frames(&args, &chunk, &parts, &taken)?;
        let end = chunk.before + chunk.rows();
        taken.retain(|part, _| last.get(part).is_some_and(|row| *row >= end));
        Ok(added)
    })
}

/// Returns of which part of which video each row wants frames.
fn parts(args: &Args, d: &Table) -> Result<Vec<Option<Part>>, OpError> {
    let ends = |column: &Option<String>| match column {
        Some(column) => d.cells(column),
        None => Ok(vec![Cell::None; d.rows()]),
    };
    let (videos, starts, stops) = (d.cells(&args.video)?, ends(&args.start)?, ends(&args.stop)?);
    let part = |row: usize| -> Option<Part> {
        let digest = videos[row].field("digest").and_then(Cell::as_str)?.to_owned();
        Some((digest, starts[row].as_f64().map(f64::to_bits), stops[row].as_f64().map(f64::to_bits)))
    };
    Ok((0..d.rows()).map(part).collect())
}

/// Adds the frames of each row; rows whose video does not decode get a reason to go.
fn with_frames(
    args: &Args,
    d: &Table,
    parts: &[Option<Part>],
    taken: &BTreeMap<Part, Frames>,
) -> Result<(Table, Vec<Option<Reason>>), OpError> {
    let mut reasons: Vec<Option<Reason>> = vec![None; d.rows()];
    let mut cells = Vec::with_capacity(d.rows());
    for (row, part) in parts.iter().enumerate() {
        match part.as_ref().and_then(|part| taken.get(part)) {
            None => cells.push(Cell::List(Vec::new())),
            Some(Ok(frames)) => cells.push(frames.clone()),
            Some(Err(why)) if args.broken == "drop" => {
                reasons[row] = Some(Reason::new("broken", format!("the video {why}")));
                cells.push(Cell::None);
            }
            Some(Err(why)) => {
                return Err(OpError::new("E0302", format!("{}: the video {why}", d.place(row)))
                    .help("leave such rows out with `broken: \"drop\"`"));
            }
        }
    }
    let column = cell::column(&cells, &list_of(image_type())).map_err(|m| OpError::new("E0612", m.message))?;
    Ok((d.with_column(&args.into, column)?, reasons))
}

/// Takes the frames of a part of a video.
fn take(args: &Args, (digest, start, stop): &Part, store: &Store) -> Result<Frames, OpError> {
    let digest = Digest::parse(digest).ok_or_else(|| OpError::new("E0503", format!("{digest} is no digest")))?;
    let path = store.path(digest);
    let facts = match video::facts(&path) {
        Ok(facts) => facts,
        Err(why) => return Ok(Err(why)),
    };
    let within = within(facts, start.map(f64::from_bits), stop.map(f64::from_bits));
    if within.is_empty() {
        return Ok(Err(format!("ends at {:.2} s, before the part that is meant", facts.frames as f64 / facts.rate)));
    }
    let count = args.count as usize;
    let at = match args.pick.as_str() {
        "fps" => video::per_second(within.len(), facts.rate, args.fps, count),
        pick => video::picked(within.len(), count, pick)?,
    };
    let at: Vec<usize> = at.into_iter().map(|i| within.start + i).collect();
    let frames = match video::frames(&path, &at) {
        Ok(frames) => frames,
        Err(why) => return Ok(Err(why)),
    };
    let kept: Result<Vec<Cell<'static>>, String> =
        frames.iter().map(|png| media::examine(png, store).map(|medium| medium.cell())).collect();
    Ok(kept.map(Cell::List))
}

/// Returns the frames that lie between two seconds, both included.
fn within(facts: video::Facts, start: Option<f64>, stop: Option<f64>) -> Range<usize> {
    let first = start.map_or(0, |s| (s * facts.rate).ceil().max(0.0) as usize);
    let end = stop.map_or(facts.frames, |s| (s * facts.rate).floor().max(-1.0) as usize + 1);
    first..end.min(facts.frames)
}
