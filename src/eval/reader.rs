//! `read.*`: how a value is read from a reply, as declared in a recipe.

use serde::{Deserialize, Serialize};

use super::coords::Coords;
use super::item::{Item, ItemKind};
use super::numerals::NumberForm;
use super::read_choice::{choice, choice_backtick, choice_flagevalmm};
use super::read_choices::choices;
use super::read_number::{number, number_flagevalmm};
use super::read_points::{Frame, Points, Shape, points, points_flagevalmm};
use super::read_text::{text, text_flagevalmm};
use super::read_yes_no::{YesNoMode, yes_no};
use crate::base::OpError;

/// What a reply says.
#[derive(Clone, Debug, PartialEq)]
pub enum Parsed {
    /// An option letter.
    Letter(char),
    /// Several option letters, in order.
    Letters(String),
    /// A number.
    Number(f64),
    /// Yes is `true`.
    YesNo(bool),
    /// A short text, normalised.
    Text(String),
    /// Points.
    Points(Points),
}

impl Parsed {
    /// Returns it as text for tables.
    pub fn show(&self) -> String {
        match self {
            Parsed::Letter(c) => c.to_string(),
            Parsed::Number(n) => format!("{n}"),
            Parsed::YesNo(b) => if *b { "yes" } else { "no" }.to_owned(),
            Parsed::Text(t) | Parsed::Letters(t) => t.clone(),
            Parsed::Points(p) => {
                let shapes = p.shapes.iter().take(8).map(|s| match s {
                    Shape::Point(x, y) => format!("({x}, {y})"),
                    Shape::Box(a, b, c, d) => format!("({a}, {b}, {c}, {d})"),
                });
                format!("[{}]", shapes.collect::<Vec<_>>().join(", "))
            }
        }
    }
}

/// A `read.*` value.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(tag = "verb", content = "args")]
#[allow(missing_docs)]
pub enum Reader {
    #[serde(rename = "read.choice")]
    Choice {},
    #[serde(rename = "read.choice_backtick")]
    ChoiceBacktick {},
    #[serde(rename = "read.choice_flagevalmm")]
    ChoiceFlagevalmm {},
    #[serde(rename = "read.choices")]
    Choices {},
    #[serde(rename = "read.number")]
    Number {
        #[serde(default)]
        words: bool,
        #[serde(default)]
        signed: bool,
        #[serde(default = "yes")]
        thousands: bool,
    },
    #[serde(rename = "read.number_flagevalmm")]
    NumberFlagevalmm {},
    #[serde(rename = "read.yes_no")]
    YesNo {
        #[serde(default = "labelled")]
        mode: YesNoMode,
    },
    #[serde(rename = "read.text")]
    Text {
        #[serde(default)]
        number_words: bool,
        #[serde(default)]
        case: bool,
    },
    #[serde(rename = "read.text_flagevalmm")]
    TextFlagevalmm {},
    #[serde(rename = "read.points")]
    Points {
        #[serde(default, rename = "box")]
        area: BoxRule,
        #[serde(default)]
        take: TakePoints,
    },
    #[serde(rename = "read.points_flagevalmm")]
    PointsFlagevalmm {},
    #[serde(rename = "read.points_flagevalmm_norm1k")]
    PointsFlagevalmmNorm1k {},
}

/// What a box stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BoxRule {
    /// Its centre.
    #[default]
    Center,
    /// Every pixel in it.
    Expand,
}

/// Which points of a reply are kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakePoints {
    /// Every point.
    #[default]
    All,
    /// The first.
    First,
}

fn yes() -> bool {
    true
}

fn labelled() -> YesNoMode {
    YesNoMode::LabelledThenOnlyOne
}

impl Reader {
    /// Says whether it reads answers to items of this kind.
    pub fn fits(&self, kind: ItemKind) -> bool {
        match self {
            Reader::Choice {} | Reader::ChoiceBacktick {} | Reader::ChoiceFlagevalmm {} => kind == ItemKind::Choice,
            Reader::Choices {} => kind == ItemKind::Choices,
            Reader::Number { .. } | Reader::NumberFlagevalmm {} => kind == ItemKind::Number,
            Reader::YesNo { .. } => kind == ItemKind::YesNo,
            Reader::Text { .. } | Reader::TextFlagevalmm {} => matches!(kind, ItemKind::Text | ItemKind::Judge),
            Reader::Points { .. } | Reader::PointsFlagevalmm {} | Reader::PointsFlagevalmmNorm1k {} => {
                kind == ItemKind::Point
            }
        }
    }

    /// Reads a reply to an item; returns the value and the id of the rule that found it.
    pub fn read(&self, reply: &str, item: &Item) -> Option<(Parsed, &'static str)> {
        let letter = |found: Option<(char, &'static str)>| found.map(|(c, rule)| (Parsed::Letter(c), rule));
        match self {
            Reader::Choice {} => letter(choice(reply, &item.options)),
            Reader::ChoiceBacktick {} => letter(choice_backtick(reply, &item.options)),
            Reader::ChoiceFlagevalmm {} => letter(choice_flagevalmm(reply).map(|c| (c, "flagevalmm"))),
            Reader::Choices {} => choices(reply, &item.options).map(|(l, rule)| (Parsed::Letters(l), rule)),
            Reader::Number { words, signed, thousands } => {
                let form = NumberForm { words: *words, signed: *signed, thousands: *thousands };
                number(reply, form).map(|(n, rule)| (Parsed::Number(n), rule))
            }
            Reader::NumberFlagevalmm {} => Some((Parsed::Number(number_flagevalmm(reply)), "flagevalmm")),
            Reader::YesNo { mode } => yes_no(reply, *mode).map(|(b, rule)| (Parsed::YesNo(b), rule)),
            Reader::Text { number_words, case } => {
                text(reply, *number_words, *case).map(|(t, rule)| (Parsed::Text(t), rule))
            }
            Reader::TextFlagevalmm {} => Some((Parsed::Text(text_flagevalmm(reply)), "flagevalmm")),
            Reader::Points { area, take } => points(reply, *area == BoxRule::Expand, *take == TakePoints::First)
                .map(|(p, rule)| (Parsed::Points(p), rule)),
            Reader::PointsFlagevalmm {} => compat_points(reply, item, false),
            Reader::PointsFlagevalmmNorm1k {} => compat_points(reply, item, true),
        }
    }
}

/// Tries readers in order; the first that yields a value wins.
pub fn read_first(readers: &[Reader], reply: &str, item: &Item) -> Option<(Parsed, &'static str)> {
    readers.iter().find_map(|r| r.read(reply, item))
}

/// Returns the size of the picture that a pointing item points into.
pub fn picture_size(item: &Item) -> (u32, u32) {
    let picture = item.images.first().or(item.mask.as_ref());
    picture.map_or((1000, 1000), |p| (p.width, p.height))
}

/// Returns points (x, y) and boxes (two corners) as fractions of the picture, for overlays.
pub fn overlay(points: &Points, item: &Item, coords: &Coords) -> Vec<Vec<f64>> {
    let (width, height) = picture_size(item);
    let mut out = coords.drawn(points, width, height);
    out.truncate(16);
    out
}

/// Reads a reader or a list of readers from their JSON form.
pub fn readers(json: &serde_json::Value) -> Result<Vec<Reader>, OpError> {
    let list = match json {
        serde_json::Value::Array(items) => items.clone(),
        one => vec![one.clone()],
    };
    list.into_iter()
        .map(|v| {
            let verb = v["verb"].as_str().unwrap_or("?").to_owned();
            serde_json::from_value(v).map_err(|e| OpError::new("E0612", format!("`{verb}` cannot be used here: {e}")))
        })
        .collect()
}

fn compat_points(reply: &str, item: &Item, norm1k: bool) -> Option<(Parsed, &'static str)> {
    let (width, height) = picture_size(item);
    let found = points_flagevalmm(reply, width, height, norm1k);
    let shapes: Vec<Shape> = found.into_iter().map(|(x, y)| Shape::Point(x as f64, y as f64)).collect();
    (!shapes.is_empty()).then_some((
        Parsed::Points(Points { shapes, frame: Frame::Pixels, json: false, boxes: Vec::new() }),
        "flagevalmm",
    ))
}
