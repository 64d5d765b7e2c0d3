//! `augment.geometry`: zoom, rotation and mirroring, with points, boxes and masks moved along.

use super::{Change, Ends, Places, Plan, apply, outputs, rounded};
use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::geometry::{Move, warp};
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::spec::{Class, Effect, OpSpec};

/// The operator.
pub static GEOMETRY: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Zooms and turns pictures about their centre; points, boxes and masks move along. Each row has one draw, the same for all its pictures.
## What zooming out or turning uncovers takes the nearest border pixel: a mirrored border would show an object twice.
## Pictures are written as PNG, so that a chain of augmentations adds no compression noise.
op augment.geometry(
  d: Dataset[{ ..r }],
  ## The pictures, one or a list.
  images: Col = .images,
  ## Zoom factor, drawn evenly on a logarithmic scale: twice as large is as likely as half as large.
  scale: Range[Ratio] = 80%..125%,
  ## Rotation, clockwise as seen.
  rotate: Range[Angle] = 0deg..0deg,
  ## Mirrors half of the rows; never one whose text says "left" or "right".
  flip: Bool = false,
  ## Points in unit coordinates: `[(x, y), …]` in text, or a column of points. Default: wherever a text holds such a list.
  points: Col? = none,
  ## Boxes `[x, y, width, height]` in pixels, alone, in lists or in records.
  boxes: Col? = none,
  ## Masks of the pictures: nearest pixel, black where the picture ends.
  mask: Col? = none,
  ## A row whose point or box leaves the picture: drop it, or keep it as it was.
  lost: enum { drop, keep } = "drop",
  ## Probability that a row is changed.
  share: Ratio = 100%,
) -> Dataset[{ parent: Str, transform: Str, ..r }]"#,
        class: Class::Sampled,
        effect: Effect::RowSubset,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    images: String,
    scale: Ends,
    rotate: Ends,
    flip: bool,
    lost: String,
    share: f64,
    #[serde(flatten)]
    places: Places,
}

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let (small, large) = args.scale.within("scale", 0.01)?;
    let (low, high) = args.rotate.within("rotate", -360.0)?;
    let d = cx.table("d")?;
    let columns = args.places.columns(&d)?;
    let plan = Plan {
        images: &args.images,
        share: args.share,
        reads: args.places.named(),
        writes: columns.iter().map(String::as_str).collect(),
    };
    let store = cx.store;
    let (out, _) = apply(cx, &d, &plan, |row, pictures, draw| {
        let scale = rounded(draw.between(small.ln(), large.ln()).exp());
        let degrees = rounded(draw.between(low, high));
        let mirrored = draw.chance(0.5) && args.flip && !names_a_side(&d, row)?;
        let by = |size| Move::about_centre(size, scale, degrees, mirrored);
        let first = (pictures[0].width.max(1) as u32, pictures[0].height.max(1) as u32);
        let cells = match args.places.moved(store, &d, row, &columns, &by(first))? {
            Ok(cells) => cells,
            Err(why) if args.lost == "drop" => return Ok(Change::Drop(why)),
            Err(_) => return Ok(Change::None),
        };
        let mut moved = Vec::with_capacity(pictures.len());
        for picture in pictures {
            let pixels = picture.pixels(store)?;
            moved.push(picture.derived(store, &warp(&pixels, &by(pixels.dimensions())))?);
        }
        let how = format!("geometry scale={scale} rotate={degrees}deg{}", if mirrored { " mirrored" } else { "" });
        Ok(Change::Done { pictures: moved, cells, how })
    })?;
    Ok(outputs(out))
}

/// Says whether any text of the row speaks of left or right, which a mirror would turn into the opposite.
fn names_a_side(d: &Table, row: usize) -> Result<bool, OpError> {
    let side = |s: &str| {
        s.split(|c: char| !c.is_alphabetic()).any(|w| w.eq_ignore_ascii_case("left") || w.eq_ignore_ascii_case("right"))
    };
    Ok(d.columns().iter().any(|(_, array)| matches!(Cell::read(array.as_ref(), row), Cell::Str(s) if side(&s))))
}
