//! Reads points and boxes out of a reply: the robust parser, and FlagEvalMM's for comparison.

use std::sync::LazyLock;

use regex::Regex;
use serde_json::Value as Json;

use super::strip::{pattern, strip};

static XML: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)<points?\s[^>]*>"));
static ATTRIBUTE: LazyLock<Regex> = LazyLock::new(|| pattern(r#"(?i)\b([xy])(\d*)\s*=\s*["']?\s*(-?\d*\.?\d+)"#));
/// Numbers in brackets of any kind, perhaps with their names: `(0.5, 0.25)`, `[12 40]`, `{x: 3, y: 4}`.
static GROUP: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&r"(?i)[(\[{<]\s*((?:[xy]\d?\s*[=:]\s*)?NUM%?(?:(?:\s*[,;]\s*|\s+)(?:[xy]\d?\s*[=:]\s*)?NUM%?)+)\s*,?\s*\\?[)\]}>]"
        .replace("NUM", r"[-+]?(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?"))
});
/// A line that is nothing but two or four numbers.
static BARE: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&r"(?i)^[\s*_`$-]*((?:[xy]\d?\s*[=:]\s*)?NUM%?(?:(?:\s*[,;]\s*|\s+)(?:[xy]\d?\s*[=:]\s*)?NUM%?){1,3})[\s*_`$.]*$"
        .replace("NUM", r"[-+]?(?:\d+\.?\d*|\.\d+)"))
});
/// Coordinates by name, wherever they stand.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    pattern(&r"(?i)\bx\s*[=:]\s*(NUM%?)\W{1,4}(?:and\s+)?y\s*[=:]\s*(NUM%?)".replace("NUM", r"-?(?:\d+\.?\d*|\.\d+)"))
});
/// Tags that stand for brackets: `<point>0.5, 0.25</point>`.
static TAG: LazyLock<Regex> = LazyLock::new(|| pattern(r"(?i)<(/?)(?:points?|bbox|box)>"));
/// The two corners of a box as Qwen-VL writes them.
static CORNERS: LazyLock<Regex> =
    LazyLock::new(|| pattern(r"<\|box_start\|>\s*\(([^()]*)\)\s*,\s*\(([^()]*)\)\s*<\|box_end\|>"));
static LABEL: LazyLock<Regex> = LazyLock::new(|| {
    pattern(r#"(?i)(?:\b(?:answers?|final\s+points?)\b|答案)["'\s*_]*(?:(?:is|are)\b[\s*_]*:?|[:=]|[是为]:?)"#)
});
static COMPAT: LazyLock<Regex> = LazyLock::new(|| pattern(r"\((\d+(?:\.\d+)?(?:,\s*\d+(?:\.\d+)?)+)\)"));

/// One thing pointed at, in the numbers that the model wrote.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Shape {
    /// x and y.
    Point(f64, f64),
    /// Two opposite corners.
    Box(f64, f64, f64, f64),
}

/// What the numbers are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Numbers in the model's own space.
    Model,
    /// 0–100 of width and height.
    Percent,
    /// Pixels of the stored picture.
    Pixels,
}

/// All points of a reply.
#[derive(Clone, Debug, PartialEq)]
pub struct Points {
    /// In the order of the reply; never empty.
    pub shapes: Vec<Shape>,
    /// What their numbers are.
    pub frame: Frame,
    /// They stood in JSON objects.
    pub json: bool,
    /// The boxes that count as their centres, as they were written.
    pub boxes: Vec<Shape>,
}

/// Returns the points of a reply, and the rule that found them: `json`, `xml` or `pairs`.
///
/// What the last "Answer:" is followed by counts alone, where that holds points: those before belong to the reasoning.
/// `expand` keeps boxes, else a box is its centre; `first` keeps the first shape only.
pub fn points(reply: &str, expand: bool, first: bool) -> Option<(Points, &'static str)> {
    let text = strip(reply);
    let labels: Vec<&str> = LABEL.find_iter(&text).map(|m| &text[m.end()..]).collect();
    let (mut found, rule) = (labels.iter().rev().find_map(|rest| from_text(stated(rest))))
        .or_else(|| labels.last().and_then(|rest| from_text(rest)))
        .or_else(|| from_text(&text))?;
    if !expand {
        for shape in &mut found.shapes {
            if let Shape::Box(a, b, c, d) = *shape {
                found.boxes.push(*shape);
                *shape = Shape::Point((a + c) / 2.0, (b + d) / 2.0);
            }
        }
    }
    if first {
        found.shapes.truncate(1);
        found.boxes.truncate(1);
    }
    Some((found, rule))
}

/// Returns what FlagEvalMM's point parser makes of a reply over a picture of this size, in pixels; perhaps nothing.
///
/// Only the last line counts, only parenthesised lists of plain decimals. Two numbers are a point, pixels unless one has a
/// decimal point; four are a box, expanded to every pixel of the half-open box inside the picture. With `norm1k` numbers are
/// thousandths, and results are clamped to the last pixel.
pub fn points_flagevalmm(reply: &str, width: u32, height: u32, norm1k: bool) -> Vec<(i64, i64)> {
    let (w, h) = (f64::from(width), f64::from(height));
    let last = reply.trim().lines().next_back().unwrap_or("");
    let mut out = Vec::new();
    for group in COMPAT.captures_iter(last) {
        let texts: Vec<&str> = group[1].split(',').map(str::trim).collect();
        let numbers: Vec<f64> = texts.iter().filter_map(|t| t.parse().ok()).collect();
        let pixel = |n: f64, size: f64, fraction: bool| {
            if norm1k {
                ((n / 1000.0 * size) as i64).clamp(0, (size as i64 - 1).max(0))
            } else if fraction {
                (n * size) as i64
            } else {
                n as i64
            }
        };
        match numbers.as_slice() {
            [x, y] => {
                let fraction = texts.iter().any(|t| t.contains('.'));
                out.push((pixel(*x, w, fraction), pixel(*y, h, fraction)));
            }
            [x1, y1, x2, y2] => {
                let fraction = texts[0].contains('.');
                let (x1, x2) = (pixel(*x1, w, fraction), pixel(*x2, w, fraction));
                let (y1, y2) = (pixel(*y1, h, fraction), pixel(*y2, h, fraction));
                for y in y1.max(0)..y2.min(i64::from(height)) {
                    out.extend((x1.max(0)..x2.min(i64::from(width))).map(|x| (x, y)));
                }
            }
            _ => {}
        }
    }
    out
}

fn from_text(text: &str) -> Option<(Points, &'static str)> {
    from_json(text)
        // As Python prints it.
        .or_else(|| text.contains("{'").then(|| from_json(&text.replace('\'', "\"")))?)
        .map(|p| (p, "json"))
        .or_else(|| from_xml(text).map(|p| (p, "xml")))
        .or_else(|| from_pairs(text).map(|p| (p, "pairs")))
}

/// The rest of a label's line, and further lines while brackets are open; the next lines up to an empty one where nothing else
/// is on its own.
fn stated(rest: &str) -> &str {
    let own = rest.lines().next().is_some_and(|line| line.contains(|c: char| !c.is_whitespace() && c != '*'));
    let (mut depth, mut seen) = (0i32, false);
    for (at, c) in rest.char_indices() {
        match c {
            '\n' if seen && depth <= 0 && (own || rest[at + 1..].trim_start_matches([' ', '\t']).starts_with('\n')) => {
                return &rest[..at];
            }
            '[' | '(' | '{' => depth += 1,
            ']' | ')' | '}' => depth -= 1,
            _ => {}
        }
        seen |= !c.is_whitespace() && c != '*';
    }
    rest
}

fn from_json(text: &str) -> Option<Points> {
    let mut shapes = Vec::new();
    let mut objects = false;
    let fenced: Vec<&str> = text.split("```").skip(1).step_by(2).map(after_language).collect();
    let joined = fenced.join("\n");
    let body = if fenced.is_empty() { text } else { &joined };
    let mut done = 0;
    for (at, _) in body.match_indices(['[', '{']) {
        if at < done {
            continue;
        }
        let mut stream = serde_json::Deserializer::from_str(&body[at..]).into_iter::<Json>();
        let Some(Ok(value)) = stream.next() else { continue };
        let before = shapes.len();
        collect(&value, &mut shapes, &mut objects);
        if shapes.len() > before {
            done = at + stream.byte_offset();
        }
    }
    (!shapes.is_empty()).then_some(Points { shapes, frame: Frame::Model, json: objects, boxes: Vec::new() })
}

/// The text of a code fence without the language on its first line.
fn after_language(fence: &str) -> &str {
    &fence[fence.find('\n').map_or(0, |n| n + 1)..]
}

/// Fields of an object that hold its points or boxes.
const SHAPES: [&str; 14] = [
    "point_2d",
    "point",
    "points",
    "bbox_2d",
    "bbox",
    "box",
    "box_2d",
    "bounding_box",
    "coordinates",
    "coordinate",
    "position",
    "location",
    "center",
    "centre",
];
/// Names of the corners of a box.
const EDGES: [[&str; 4]; 2] = [["x1", "y1", "x2", "y2"], ["xmin", "ymin", "xmax", "ymax"]];

fn collect(value: &Json, shapes: &mut Vec<Shape>, objects: &mut bool) {
    match value {
        Json::Object(map) => {
            for key in SHAPES {
                if let Some(inner) = map.get(key) {
                    *objects = true;
                    collect(inner, shapes, objects);
                    return;
                }
            }
            if let (Some(x), Some(y)) = (map.get("x").and_then(Json::as_f64), map.get("y").and_then(Json::as_f64)) {
                *objects = true;
                shapes.push(Shape::Point(x, y));
            }
            for names in EDGES {
                let edges = names.map(|name| map.get(name).and_then(Json::as_f64));
                if let [Some(a), Some(b), Some(c), Some(d)] = edges {
                    *objects = true;
                    shapes.push(Shape::Box(a, b, c, d));
                }
            }
        }
        Json::Array(items) => {
            let numbers: Vec<f64> = items.iter().filter_map(Json::as_f64).collect();
            match numbers.as_slice() {
                [x, y] if items.len() == 2 => shapes.push(Shape::Point(*x, *y)),
                [a, b, c, d] if items.len() == 4 => shapes.push(Shape::Box(*a, *b, *c, *d)),
                _ => items.iter().filter(|i| !i.is_number()).for_each(|i| collect(i, shapes, objects)),
            }
        }
        _ => {}
    }
}

fn from_xml(text: &str) -> Option<Points> {
    let mut shapes = Vec::new();
    for tag in XML.find_iter(text) {
        let mut xs = Vec::new();
        let mut ys = Vec::new();
        for found in ATTRIBUTE.captures_iter(tag.as_str()) {
            let Ok(n) = found[3].parse::<f64>() else { continue };
            let side = if found[1].eq_ignore_ascii_case("x") { &mut xs } else { &mut ys };
            side.push((found[2].to_owned(), n));
        }
        for (index, x) in xs {
            if let Some((_, y)) = ys.iter().find(|(i, _)| *i == index) {
                shapes.push(Shape::Point(x, *y));
            }
        }
    }
    (!shapes.is_empty()).then_some(Points { shapes, frame: Frame::Percent, json: false, boxes: Vec::new() })
}

fn from_pairs(text: &str) -> Option<Points> {
    let text = CORNERS.replace_all(text, "($1, $2)");
    let text = TAG.replace_all(&text, |m: &regex::Captures| if m[1].is_empty() { "(" } else { ")" });
    let mut groups: Vec<&str> = GROUP.captures_iter(&text).filter_map(|m| m.get(1)).map(|g| g.as_str()).collect();
    if groups.is_empty() {
        groups = NAMED.find_iter(&text).map(|m| m.as_str()).collect();
    }
    if groups.is_empty() {
        let lines = text.lines().filter(|l| !l.trim().is_empty());
        let bare: Option<Vec<&str>> =
            lines.map(|l| BARE.captures(l).and_then(|m| m.get(1)).map(|g| g.as_str())).collect();
        groups = bare?;
    }
    let mut shapes = Vec::new();
    let mut percent = 0;
    for group in groups {
        let parts: Vec<&str> = group
            .split(|c: char| c == ',' || c == ';' || c.is_whitespace())
            .map(|p| p.rsplit(['=', ':']).next().unwrap_or(p))
            .filter(|p| p.contains(|c: char| c.is_ascii_digit()))
            .collect();
        percent += usize::from(parts.iter().all(|p| p.ends_with('%')));
        let numbers: Vec<f64> = parts.iter().filter_map(|p| p.trim_end_matches('%').parse().ok()).collect();
        match numbers.as_slice() {
            [x, y] => shapes.push(Shape::Point(*x, *y)),
            [a, b, c, d] => shapes.push(Shape::Box(*a, *b, *c, *d)),
            _ => {}
        }
    }
    let frame = if percent > 0 && percent == shapes.len() { Frame::Percent } else { Frame::Model };
    (!shapes.is_empty()).then_some(Points { shapes, frame, json: false, boxes: Vec::new() })
}
