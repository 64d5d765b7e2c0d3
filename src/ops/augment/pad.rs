//! `augment.pad`: a wider canvas, its margin filled as the picture asks for.

use std::sync::Arc;

use arrow::array::StringArray;

use super::{Change, Ends, Places, Plan, apply, rounded};
use crate::base::OpError;
use crate::data::draw::Keyer;
use crate::data::pictures::geometry::Move;
use crate::data::pictures::pad::{Margin, busyness, extend};
use crate::data::pictures::picture::Picture;
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::{Class, Effect, OpSpec};

/// The operator.
pub static PAD: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Lays pictures on a wider canvas at a drawn place; coordinates are rescaled. Each row has one draw, the same for all its pictures.
## "by_context" mirrors a busy border (mean step between neighbouring pixels of 6 of 255 or more), continues a plain one, and implants a
## hazard mark where `.risk` is "high", so that the marks of dangerous scenes are seen in more places and shapes.
op augment.pad(
  d: Dataset[{ ..r }],
  ## The pictures, one or a list.
  images: Col = .images,
  ## How the margin is filled.
  mode: enum { edge, reflect, mark, by_context } = "by_context",
  ## Size of the canvas over that of the picture. With a mark, the upper half of this range is drawn from.
  to: Range[Ratio] = 100%..125%,
  ## A column with the picture of the mark; otherwise a black and yellow tape is drawn.
  mark: Col? = none,
  ## Points in unit coordinates: `[(x, y), …]` in text, or a column of points. Default: wherever a text holds such a list.
  points: Col? = none,
  ## Boxes `[x, y, width, height]` in pixels, alone, in lists or in records.
  boxes: Col? = none,
  ## Masks of the pictures; their margin is black.
  mask: Col? = none,
  ## Probability that a row is changed.
  share: Ratio in 0%..100% = 100%,
) -> Dataset[{ parent: Str, transform: Str, pad: Str, ..r }]"#,
        class: Class::Sampled,
        effect: Effect::RowSubset,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    images: String,
    mode: String,
    to: Ends,
    mark: Option<String>,
    share: f64,
    #[serde(flatten)]
    places: Places,
}

/// From which mean step between neighbouring pixels, of 255, a border is busy.
const BUSY: f64 = 6.0;

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let range = args.to.within("to", 1.0)?;
    let mut keyer = Keyer::default();
    rows::each(cx, "d", |cx, chunk| padded(cx, &mut keyer, &args, range, &chunk))
}

/// Pads the rows of a chunk; `low` to `high` is the size of the canvas.
fn padded(
    cx: &mut Context,
    keyer: &mut Keyer,
    args: &Args,
    (low, high): (f64, f64),
    d: &Table,
) -> Result<Table, OpError> {
    let columns = args.places.columns(d)?;
    let risk = (args.mode == "by_context" && d.batch.column_by_name("risk").is_some()).then_some("risk");
    let mut reads = args.places.named();
    reads.extend(risk);
    reads.extend(args.mark.as_deref());
    let writes = columns.iter().map(String::as_str).collect();
    let plan = Plan { images: &args.images, share: args.share, reads, writes };
    let store = cx.store;
    let (out, hows) = apply(cx, keyer, d, &plan, |row, pictures, draw| {
        let (t, x, y) = (draw.unit(), rounded(draw.unit()), rounded(draw.unit()));
        let first = pictures[0].pixels(store)?;
        let high_risk = risk.map(|c| d.cell(c, row)).transpose()?.is_some_and(|r| r.as_str() == Some("high"));
        let mode = match args.mode.as_str() {
            "by_context" if high_risk => "mark",
            "by_context" if busyness(&first) >= BUSY => "reflect",
            "by_context" => "edge",
            named => named,
        };
        let least = if mode == "mark" { (low + high) / 2.0 } else { low };
        let factor = rounded(least + (high - least) * t);
        let mark = match &args.mark {
            Some(column) if mode == "mark" => Picture::read(&d.cell(column, row)?),
            _ => None,
        };
        let mark = mark.map(|m| m.pixels(store)).transpose()?;
        let margin = match mode {
            "reflect" => Margin::Reflect,
            "mark" => Margin::Mark(mark.as_ref()),
            _ => Margin::Edge,
        };
        let canvas = |(w, h): (u32, u32)| {
            let wide = |n: u32| ((f64::from(n) * factor).round() as u32).max(n);
            let (cw, ch) = (wide(w), wide(h));
            let at = |free: u32, share: f64| ((f64::from(free) * share).round() as u32).min(free);
            ((cw, ch), (at(cw - w, x), at(ch - h, y)))
        };
        let (size, at) = canvas(first.dimensions());
        let cells = match args.places.moved(store, d, row, &columns, &Move::placed(first.dimensions(), size, at))? {
            Ok(cells) => cells,
            Err(why) => return Ok(Change::Drop(why)),
        };
        let mut padded = Vec::with_capacity(pictures.len());
        for (i, picture) in pictures.iter().enumerate() {
            let pixels = if i == 0 { first.clone() } else { picture.pixels(store)? };
            let (size, at) = canvas(pixels.dimensions());
            padded.push(picture.derived(store, &extend(&pixels, size, at, margin))?);
        }
        let how = format!("pad {mode} to={factor} at={x},{y}");
        Ok(Change::Done { pictures: padded, cells, how })
    })?;
    let kept = hows.iter().map(|how| how.as_deref().and_then(|h| h.split(' ').nth(1)).unwrap_or("none"));
    out.with_column("pad", Arc::new(StringArray::from_iter_values(kept)))
}
