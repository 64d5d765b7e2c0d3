//! Rows made from types: deterministic, plausible words, pictures that differ, every variant of an enum.

use std::path::{Path, PathBuf};

use image::{Rgb, RgbImage};
use serde_json::{Map, Value as Json, json};

use crate::base::OpError;
use crate::spec::{Dim, Type};

/// Rows of each source.
pub const ROWS: usize = 24;
/// Each row of a source has a picture of its own, as scenes do; sources share them.
const PICTURES: usize = ROWS;
/// Side of a picture in pixels: 16 tokens of a vision-language model.
const SIDE: u32 = 112;
const OBJECTS: [&str; 6] = ["cup", "plate", "knife", "bottle", "box", "lamp"];
const COLORS: [&str; 6] = ["red", "green", "blue", "white", "black", "yellow"];

/// Made-up pictures.
pub struct Media {
    /// Where they lie.
    pub folder: PathBuf,
}

impl Media {
    /// Writes them.
    pub fn write(folder: &Path) -> Result<Self, OpError> {
        std::fs::create_dir_all(folder)?;
        for n in 0..PICTURES {
            let n = n as u32;
            // Gradients with a block each at another place: no two are alike, in bytes or to the eye.
            let picture = RgbImage::from_fn(SIDE, SIDE, |x, y| {
                let inside = x / 28 == n % 4 && y / 28 == (n / 4) % 4;
                let shade = |v: u32, most: u32| (v * 255 / most) as u8;
                let own = shade(n, PICTURES as u32);
                if inside { Rgb([255 - own, own, 40]) } else { Rgb([shade(x, SIDE), shade(y, SIDE), own]) }
            });
            save(&picture, &folder.join(format!("{n}.png")))?;
        }
        let mask = RgbImage::from_fn(SIDE, SIDE, |x, y| Rgb([if x < SIDE / 2 && y < SIDE / 2 { 255 } else { 0 }; 3]));
        save(&mask, &folder.join("mask.png"))?;
        Ok(Self { folder: folder.to_owned() })
    }

    /// Reads a picture.
    pub fn bytes(&self, row: usize) -> Result<Vec<u8>, OpError> {
        Ok(std::fs::read(self.folder.join(picture(row)))?)
    }

    /// Puts a picture under another name, too.
    pub fn copy(&self, row: usize, name: &str) -> Result<(), OpError> {
        let target = self.folder.join(name);
        if let Some(folder) = target.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::copy(self.folder.join(picture(row)), target)?;
        Ok(())
    }
}

fn save(picture: &RgbImage, path: &Path) -> Result<(), OpError> {
    let written = |e: image::ImageError| match e {
        image::ImageError::IoError(e) => OpError::of_io(&e, format!("cannot write `{}`: {e}", path.display())),
        e => OpError::new("E0612", format!("cannot write `{}`: {e}", path.display())),
    };
    picture.save(path).map_err(written)
}

/// Returns the name of a picture.
pub fn picture(row: usize) -> String {
    format!("{}.png", row % PICTURES)
}

/// Returns a row of these columns.
pub fn row(columns: &[(String, Type)], row: usize) -> Json {
    columns.iter().map(|(name, ty)| (name.clone(), value(name, ty, row, 0))).collect::<Map<_, _>>().into()
}

/// Returns a value of a type for a column or field; `place` counts elements of a list.
fn value(name: &str, ty: &Type, row: usize, place: usize) -> Json {
    let turn = row + place;
    match ty {
        Type::Str => json!(text(name, row, place)),
        Type::Int => match name {
            // Positions in a list beside it.
            "subject" | "high" => json!(0),
            "object" => json!(1),
            _ => json!(turn % 7),
        },
        Type::Dim(Dim::Ratio) => json!((turn % 10) as f64 / 10.0),
        Type::Float | Type::Dim(_) => json!((turn % 7) as f64 + 0.5),
        Type::Bool => json!(turn.is_multiple_of(2)),
        Type::Image => json!(picture(turn)),
        Type::Box => json!([8 + 24 * (turn % 3), 8 + 16 * (turn % 4), 28, 36]),
        Type::Point => json!([0.25 + 0.05 * (turn % 8) as f64, 0.5]),
        Type::Enum(variants) | Type::Text(variants) => json!(variants.get(turn % variants.len().max(1))),
        Type::List(item) => {
            let count = if **item == Type::Image { 1 } else { 2 };
            (0..count).map(|place| value(name, item, row, place)).collect::<Vec<_>>().into()
        }
        Type::Tuple(items) => items.iter().enumerate().map(|(n, t)| value(name, t, row, n)).collect::<Vec<_>>().into(),
        Type::Record(fields) => {
            fields.fields.iter().map(|(n, t)| (n.clone(), value(n, t, row, place))).collect::<Map<_, _>>().into()
        }
        // Videos are left out where they may be, and every second value of the others.
        Type::Optional(inner) if **inner == Type::Video || turn % 2 == 1 => Json::Null,
        Type::Optional(inner) => value(name, inner, row, place),
        Type::Union(types) => types.first().map_or(Json::Null, |t| value(name, t, row, place)),
        Type::Json => json!({}),
        _ => Json::Null,
    }
}

/// Returns a text that fits the name of its column.
fn text(name: &str, row: usize, place: usize) -> String {
    let (object, color) = (OBJECTS[(row + place) % OBJECTS.len()], COLORS[(row / 2 + place) % COLORS.len()]);
    let other = OBJECTS[(row + place + 2) % OBJECTS.len()];
    match name {
        "id" | "uid" | "key" | "name" | "idx" => format!("r{row:03}"),
        n if n.ends_with("_id") => format!("r{row:03}"),
        "role" => ["user", "assistant"][place % 2].to_owned(),
        "from" => ["human", "gpt"][place % 2].to_owned(),
        "label" | "object" | "subject" => object.to_owned(),
        "predicate" | "relation" => ["left of", "right of", "behind"][row % 3].to_owned(),
        "attributes" => color.to_owned(),
        "action" => ["GotoLocation", "PickupObject", "PutObject"][(row + place) % 3].to_owned(),
        "receptacle" => "table".to_owned(),
        "chosen" => format!("Take the {color} {object} and put it beside the {other}, number {row}."),
        "rejected" => format!("Drop the {object}, number {row}."),
        "output" | "answer" | "response" | "reply" | "caption" => {
            format!("The {color} {object} stands left of the {other}, number {row}.")
        }
        "instruction" | "question" | "prompt" | "input" | "goal" | "query" => {
            format!("Describe where the {color} {object} is, and what lies beside the {other} of scene {row}.")
        }
        _ => format!("{color} {object} beside {other} {row}"),
    }
}
