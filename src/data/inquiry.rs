//! Questions with exact answers about an annotated scene.

use super::draw::Draw;
use super::scene::{Object, Scene};

/// A kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The grid cell of a named object's centre, as [`cells`] names it.
    Cell,
    /// A point on a named object, as `[(x, y)]` in fractions of the picture.
    Point,
    /// The object at a point.
    What,
    /// Left or right.
    Side,
    /// In front or behind.
    Depth,
    /// Right beside each other, yes or no.
    Touch,
    /// The number of a kind.
    Count,
    /// Whether there is a hazard mark.
    Mark,
}

impl Ask {
    /// Returns the word in the language.
    pub fn name(self) -> &'static str {
        match self {
            Ask::Cell => "cell",
            Ask::Point => "point",
            Ask::What => "what",
            Ask::Side => "side",
            Ask::Depth => "depth",
            Ask::Touch => "touch",
            Ask::Count => "count",
            Ask::Mark => "mark",
        }
    }
}

/// A question and its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inquiry {
    /// Its kind.
    pub ask: Ask,
    /// What is asked.
    pub question: String,
    /// What is right.
    pub answer: String,
}

/// Which questions are drawn.
#[derive(Clone, Debug)]
pub struct Drawing {
    /// Kinds, which take turns in random order.
    pub asks: Vec<Ask>,
    /// At most so many per scene.
    pub most: usize,
    /// Cells along each side of the grid.
    pub grid: usize,
    /// Share of questions with a closed set of answers that list them as lettered options.
    pub letters: f64,
}

/// Draws questions about a scene.
pub fn questions(scene: &Scene, drawing: &Drawing, draw: &mut Draw) -> Vec<Inquiry> {
    let most = drawing.most;
    let mut kinds: Vec<Vec<Inquiry>> =
        drawing.asks.iter().map(|&ask| of_kind(scene, ask, drawing.grid, draw)).collect();
    kinds.iter_mut().for_each(|k| shuffle(k, draw));
    shuffle(&mut kinds, draw);
    let mut drawn = Vec::with_capacity(most);
    while drawn.len() < most && kinds.iter().any(|k| !k.is_empty()) {
        for kind in &mut kinds {
            if drawn.len() < most {
                drawn.extend(kind.pop());
            }
        }
    }
    shuffle(&mut drawn, draw);
    let lettered =
        |inquiry: Inquiry| if draw.chance(drawing.letters) { lettered(scene, inquiry, draw) } else { inquiry };
    drawn.into_iter().map(lettered).collect()
}

/// Asks for the letter of an answer among two to four, if the answers are a closed set.
fn lettered(scene: &Scene, inquiry: Inquiry, draw: &mut Draw) -> Inquiry {
    let fixed = |words: &[&str]| words.iter().map(|w| (*w).to_owned()).collect::<Vec<String>>();
    let mut answers = match inquiry.ask {
        Ask::Side => fixed(&["left", "right"]),
        Ask::Depth => fixed(&["in front", "behind"]),
        Ask::Touch | Ask::Mark => fixed(&["yes", "no"]),
        Ask::Count => fixed(&["0", "1", "2", "3"]),
        Ask::What => scene.objects.iter().map(Object::name).collect(),
        Ask::Cell | Ask::Point => return inquiry,
    };
    answers.retain(|answer| *answer != inquiry.answer);
    answers.sort();
    answers.dedup();
    shuffle(&mut answers, draw);
    answers.truncate(3);
    answers.push(inquiry.answer.clone());
    if answers.len() < 2 {
        return inquiry;
    }
    shuffle(&mut answers, draw);
    let letter = |n: usize| char::from(b'A' + n as u8);
    let right = answers.iter().position(|answer| *answer == inquiry.answer).map_or('A', letter);
    let options: String = answers.iter().enumerate().map(|(n, answer)| format!("\n{}. {answer}", letter(n))).collect();
    let question = format!("{}{options}\nAnswer with the letter only.", inquiry.question);
    Inquiry { ask: inquiry.ask, question, answer: right.to_string() }
}

/// Returns a text for every cell of a `grid` x `grid` raster over the picture, row by row: the object whose box covers most of the cell, at
/// least a quarter of it or a third of the object, else "table"; then the cell's column as a letter and its row as a digit.
pub fn cells(scene: &Scene, grid: usize) -> Vec<String> {
    let (w, h) = (scene.image.width as f64 / grid as f64, scene.image.height as f64 / grid as f64);
    let overlap = |a: f64, b: f64, c: f64, d: f64| (b.min(d) - a.max(c)).max(0.0);
    let mut texts = Vec::with_capacity(grid * grid);
    for row in 0..grid {
        for column in 0..grid {
            let (x, y) = (column as f64 * w, row as f64 * h);
            let mut best: Option<(f64, &Object)> = None;
            for object in &scene.objects {
                let [ox, oy, ow, oh] = object.bbox;
                let area = overlap(x, x + w, ox, ox + ow) * overlap(y, y + h, oy, oy + oh);
                let covers = area >= 0.25 * w * h || area >= 0.34 * ow * oh;
                if covers && best.is_none_or(|(most, _)| area > most) {
                    best = Some((area, object));
                }
            }
            let what = best.map_or_else(|| "table".to_owned(), |(_, object)| object.name());
            texts.push(format!("{what} {}", cell_name(column, row)));
        }
    }
    texts
}

fn of_kind(scene: &Scene, ask: Ask, grid: usize, draw: &mut Draw) -> Vec<Inquiry> {
    let (width, height) = (scene.image.width as f64, scene.image.height as f64);
    let names: Vec<String> = scene.objects.iter().map(Object::name).collect();
    let alone = |i: usize| names.iter().filter(|n| **n == names[i]).count() == 1;
    let things: Vec<usize> = (0..names.len()).filter(|&i| alone(i) && !scene.objects[i].is_mark()).collect();
    let point = |i: usize| {
        let [x, y, w, h] = scene.objects[i].bbox;
        format!("[({:.2}, {:.2})]", (x + w / 2.0) / width, (y + h / 2.0) / height)
    };
    let make = |question: String, answer: String| Inquiry { ask, question, answer };
    match ask {
        Ask::Cell => {
            let at = |place: f64, size: f64| ((place / size * grid as f64).max(0.0) as usize).min(grid - 1);
            let cell = |i: usize| {
                let [x, y, w, h] = scene.objects[i].bbox;
                cell_name(at(x + w / 2.0, width), at(y + h / 2.0, height))
            };
            things.iter().map(|&i| make(format!("Which cell holds the {}?", names[i]), cell(i))).collect()
        }
        Ask::Point => {
            let text = |n: &str| format!("Point to the {n}. Answer with one point as [(x, y)], both between 0 and 1.");
            things.iter().map(|&i| make(text(&names[i]), point(i))).collect()
        }
        Ask::What => {
            things.iter().map(|&i| make(format!("Which object is at {}?", point(i)), names[i].clone())).collect()
        }
        Ask::Side => related(scene, &things, &[("left of", "left"), ("right of", "right")], draw)
            .into_iter()
            .map(|(a, b, word)| {
                make(format!("Is the {} left or right of the {}?", names[a], names[b]), word.to_owned())
            })
            .collect(),
        Ask::Depth => related(scene, &things, &[("in front of", "in front"), ("behind", "behind")], draw)
            .into_iter()
            .map(|(a, b, word)| {
                make(format!("Is the {} in front of or behind the {}?", names[a], names[b]), word.to_owned())
            })
            .collect(),
        Ask::Touch => touching(scene, &things, draw)
            .into_iter()
            .map(|(a, b, yes)| {
                let answer = if yes { "yes" } else { "no" };
                make(format!("Is the {} right next to the {}?", names[a], names[b]), answer.to_owned())
            })
            .collect(),
        Ask::Count => {
            let kinds = ["cube", "ball", "cylinder"];
            let number = |kind: &str| scene.objects.iter().filter(|o| o.label == kind).count();
            kinds
                .iter()
                .map(|kind| make(format!("How many {kind}s are in the picture?"), number(kind).to_string()))
                .collect()
        }
        Ask::Mark => {
            let answer = if scene.objects.iter().any(Object::is_mark) { "yes" } else { "no" };
            vec![make("Is there a hazard mark on the table?".to_owned(), answer.to_owned())]
        }
    }
}

/// Returns the related pairs among `things` with the word for their relation, each in a random direction.
fn related(
    scene: &Scene,
    things: &[usize],
    words: &[(&str, &'static str); 2],
    draw: &mut Draw,
) -> Vec<(usize, usize, &'static str)> {
    let mut found = Vec::new();
    for relation in &scene.relations {
        let Some(at) = words.iter().position(|(predicate, _)| *predicate == relation.predicate) else { continue };
        if things.contains(&relation.subject) && things.contains(&relation.object) {
            found.push(if draw.chance(0.5) {
                (relation.subject, relation.object, words[at].1)
            } else {
                (relation.object, relation.subject, words[1 - at].1)
            });
        }
    }
    found
}

/// Returns pairs that stand right beside each other, and as many that stand well apart.
fn touching(scene: &Scene, things: &[usize], draw: &mut Draw) -> Vec<(usize, usize, bool)> {
    let beside = |a: usize, b: usize| {
        scene.relations.iter().any(|r| {
            r.predicate != "left of"
                && r.predicate != "right of"
                && r.predicate != "in front of"
                && r.predicate != "behind"
                && ((r.subject, r.object) == (a, b) || (r.subject, r.object) == (b, a))
        })
    };
    let (mut near, mut apart) = (Vec::new(), Vec::new());
    for (n, &a) in things.iter().enumerate() {
        for &b in &things[n + 1..] {
            let (a, b) = if draw.chance(0.5) { (a, b) } else { (b, a) };
            if beside(a, b) {
                near.push((a, b, true));
            } else if gap(&scene.objects[a], &scene.objects[b]) > 0.12 * scene.image.width as f64 {
                apart.push((a, b, false));
            }
        }
    }
    shuffle(&mut apart, draw);
    apart.truncate(near.len().max(1));
    near.append(&mut apart);
    near
}

/// Returns the pixels between two boxes, 0 when they overlap.
fn gap(a: &Object, b: &Object) -> f64 {
    let along = |p: f64, pl: f64, q: f64, ql: f64| (q - (p + pl)).max(p - (q + ql)).max(0.0);
    let dx = along(a.bbox[0], a.bbox[2], b.bbox[0], b.bbox[2]);
    let dy = along(a.bbox[1], a.bbox[3], b.bbox[1], b.bbox[3]);
    dx.hypot(dy)
}

fn shuffle<T>(items: &mut [T], draw: &mut Draw) {
    for i in (1..items.len()).rev() {
        items.swap(i, draw.below(i + 1));
    }
}

/// Names a cell: its column as a letter, its row as a digit.
fn cell_name(column: usize, row: usize) -> String {
    format!("{}{}", char::from(b'a' + (column % 26) as u8), row % 10)
}
