//! `augment.geometry`: zoom, rotation and mirroring, with points, boxes and masks moved along.

use super::{Change, Ends, Places, Plan, apply, rounded};
use crate::base::OpError;
use crate::data::cell::Cell;
use crate::data::draw::Keyer;
use crate::data::pictures::geometry::{Move, warp};
use crate::data::pictures::picture::Picture;
use crate::data::scenes::scene::{self, Index, Scene};
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows::{self, pooled};
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
  ## Mirrors half of the rows; never one whose text says "left" or "right", unless `sides` names it.
  flip: Bool = false,
  ## A column, of texts at any depth, whose words "left" and "right" change places in a mirrored row: the relations of a scene.
  sides: Col? = none,
  ## Points in unit coordinates: `[(x, y), …]` in text, or a column of points. Default: wherever a text holds such a list.
  points: Col? = none,
  ## Boxes `[x, y, width, height]` in pixels, alone, in lists or in records.
  boxes: Col? = none,
  ## Masks of the pictures: nearest pixel, black where the picture ends.
  mask: Col? = none,
  ## Annotated scenes, as `data.visual_genome` and `data.lvis` make them: then a row is lost too when an object of its picture leaves the frame,
  ## because a count, a comparison or a risk may no longer hold. Rows whose pictures an augmentation has changed before are not checked.
  scenes: Dataset[{
    image: Image, objects: [{ label: Str, box: Box, attributes: [Str] }],
    relations: [{ subject: Int, predicate: Str, object: Int }], ..s
  }]? = none,
  ## With `scenes`: the least share of each object's box that must stay in the frame.
  seen: Ratio = 75%,
  ## A row whose point, box or object leaves the picture: drop it, or keep it as it was.
  lost: enum { drop, keep } = "drop",
  ## Probability that a row is changed.
  share: Ratio in 0%..100% = 100%,
) -> Dataset[{ parent: Str, transform: Str, ..r }]"#,
        class: Class::Sampled,
        effect: Effect::RowSubset,
        version: 2,
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
    sides: Option<String>,
    seen: f64,
    lost: String,
    share: f64,
    #[serde(flatten)]
    places: Places,
}

/// Bits by which the hash of a copy encoded anew may differ from its scene's picture.
const IMAGE_DISTANCE: u32 = 4;

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    let ranges = (args.scale.within("scale", 0.01)?, args.rotate.within("rotate", -360.0)?);
    let scenes = match cx.inputs.contains_key("scenes") {
        true => Some(scene::read(&cx.table("scenes")?)?),
        false => None,
    };
    let mut known = scenes.as_deref().map(|scenes| Index::new(scenes, IMAGE_DISTANCE));
    let mut keyer = Keyer::default();
    rows::each(cx, "d", |cx, chunk| moved(cx, &mut keyer, &args, ranges, known.as_mut(), &chunk))
}

/// Changes the rows of a chunk; `ranges` are those of scale and rotation.
fn moved(
    cx: &mut Context,
    keyer: &mut Keyer,
    args: &Args,
    ((small, large), (low, high)): ((f64, f64), (f64, f64)),
    scenes: Option<&mut Index<'_>>,
    d: &Table,
) -> Result<Table, OpError> {
    let columns = args.places.columns(d)?;
    let sides = args.sides.as_deref();
    let plan = Plan {
        images: &args.images,
        share: args.share,
        reads: args.places.named().into_iter().chain(sides).collect(),
        writes: columns.iter().map(String::as_str).chain(sides).collect(),
    };
    let store = cx.store;
    let frames = Frames::new(cx, d, scenes, &args.images, args.seen)?;
    let (out, _) = apply(cx, keyer, d, &plan, |row, pictures, draw| {
        let scale = rounded(draw.between(small.ln(), large.ln()).exp());
        let degrees = rounded(draw.between(low, high));
        let mirrored = draw.chance(0.5) && args.flip && !names_a_side(d, row, sides);
        let by = |size| Move::about_centre(size, scale, degrees, mirrored);
        let first = (pictures[0].width.max(1) as u32, pictures[0].height.max(1) as u32);
        let moved = args.places.moved(store, d, row, &columns, &by(first))?;
        let mut cells = match moved.and_then(|cells| frames.check(row, &by(first)).map(|()| cells)) {
            Ok(cells) => cells,
            Err(why) if args.lost == "drop" => return Ok(Change::Drop(why)),
            Err(_) => return Ok(Change::None),
        };
        if let Some(column) = sides.filter(|_| mirrored) {
            let known = cells.iter().position(|(name, _)| name == column);
            let cell = match known {
                Some(at) => cells.remove(at).1,
                None => d.cell(column, row)?,
            };
            cells.push((column.to_owned(), swapped(cell)));
        }
        let mut moved = Vec::with_capacity(pictures.len());
        for picture in pictures {
            let pixels = picture.pixels(store)?;
            moved.push(picture.derived(store, &warp(&pixels, &by(pixels.dimensions())))?);
        }
        let how = format!("geometry scale={scale} rotate={degrees}deg{}", if mirrored { " mirrored" } else { "" });
        Ok(Change::Done { pictures: moved, cells, how })
    })?;
    Ok(out)
}

/// Says whether any text of the row, outside the column that is mirrored with it, speaks of left or right.
fn names_a_side(d: &Table, row: usize, mirrored: Option<&str>) -> bool {
    let others = d.columns().into_iter().filter(|(name, _)| Some(name.as_str()) != mirrored);
    others.into_iter().any(|(_, array)| says_a_side(&Cell::read(array.as_ref(), row)))
}

fn says_a_side(cell: &Cell<'_>) -> bool {
    match cell {
        Cell::Str(s) => {
            let is = |word: &str| word.eq_ignore_ascii_case("left") || word.eq_ignore_ascii_case("right");
            s.split(|c: char| !c.is_alphabetic()).any(is)
        }
        Cell::List(items) => items.iter().any(says_a_side),
        Cell::Record(fields) => fields.iter().any(|(_, value)| says_a_side(value)),
        _ => false,
    }
}

/// The words that a mirror swaps.
const SIDES: [(&str, &str); 3] = [("left", "right"), ("Left", "Right"), ("LEFT", "RIGHT")];

/// Lets the words "left" and "right" change places in all texts of a cell.
fn swapped(cell: Cell<'_>) -> Cell<'_> {
    match cell {
        Cell::Str(s) => {
            let other = |word: &str| {
                let pair = SIDES.iter().find(|(a, b)| word == *a || word == *b)?;
                Some(if word == pair.0 { pair.1 } else { pair.0 })
            };
            let mut out = String::with_capacity(s.len());
            for part in s.split_inclusive(|c: char| !c.is_alphabetic()) {
                let word = part.trim_end_matches(|c: char| !c.is_alphabetic());
                out.push_str(other(word).unwrap_or(word));
                out.push_str(&part[word.len()..]);
            }
            Cell::Str(out.into())
        }
        Cell::List(items) => Cell::List(items.into_iter().map(swapped).collect()),
        Cell::Record(fields) => Cell::Record(fields.into_iter().map(|(name, value)| (name, swapped(value))).collect()),
        other => other,
    }
}

/// The boxes of the objects in each row's first picture, as annotated; none without scenes.
struct Frames {
    boxes: Vec<Vec<(String, [f64; 4])>>,
    seen: f64,
}

impl Frames {
    fn new(cx: &Context, d: &Table, scenes: Option<&mut Index<'_>>, images: &str, seen: f64) -> Result<Self, OpError> {
        let Some(scenes) = scenes else { return Ok(Self { boxes: Vec::new(), seen }) };
        let first = |cell: &Cell<'_>| Picture::all(cell).into_iter().take(1).filter(|p| p.digest == p.origin).collect();
        let pictures: Vec<Vec<Picture>> = d.cells(images)?.iter().map(first).collect();
        let found = pooled(cx.threads, || scenes.of_rows(&pictures, cx.store))??;
        let boxes = |scene: Option<&Scene>| {
            scene.into_iter().flat_map(|s| &s.objects).map(|o| (o.name(), o.bbox)).collect::<Vec<_>>()
        };
        Ok(Self { boxes: found.into_iter().map(boxes).collect(), seen })
    }

    /// Says which object of a row would leave the frame.
    fn check(&self, row: usize, by: &Move) -> Result<(), String> {
        let objects = self.boxes.get(row).map_or(&[][..], Vec::as_slice);
        match objects.iter().find(|(_, bbox)| by.seen(*bbox) < self.seen) {
            None => Ok(()),
            Some((name, _)) => Err(format!("the {name} leaves the frame")),
        }
    }
}
