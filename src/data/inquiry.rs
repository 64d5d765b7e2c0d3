//! Questions with exact answers about an annotated scene.

use super::asking::Asker;
use super::draw::Draw;
use super::grounding;
use super::scene::Scene;
use super::wordings;

/// A kind of question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ask {
    /// The grid cell of a named object's centre, as [`grounding::cells`] names it.
    Cell,
    /// A point on a named object, as `[(x, y)]` in fractions of the picture.
    Point,
    /// The object at a point.
    What,
    /// Left or right.
    Side,
    /// In front or behind.
    Depth,
    /// Whether a relation holds, yes or no.
    Whether,
    /// Right beside each other, yes or no.
    Touch,
    /// Which of some objects is closest to the camera, or farthest.
    Closer,
    /// The object nearest to another one in the picture.
    Nearest,
    /// The object farthest to one side of the picture.
    Edge,
    /// What is on an object, or under it.
    Stacked,
    /// The color of an object.
    Color,
    /// The number of a kind.
    Count,
    /// The number of objects.
    Total,
    /// Whether there is a hazard mark.
    Mark,
    /// A point on the table beside an object.
    Free,
    /// The point between two objects.
    Between,
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
            Ask::Whether => "whether",
            Ask::Touch => "touch",
            Ask::Closer => "closer",
            Ask::Nearest => "nearest",
            Ask::Edge => "edge",
            Ask::Stacked => "stacked",
            Ask::Color => "color",
            Ask::Count => "count",
            Ask::Total => "total",
            Ask::Mark => "mark",
            Ask::Free => "free",
            Ask::Between => "between",
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
    /// What is wrong but of the same form; none where the answers are no closed set.
    pub others: Vec<String>,
    /// How the question goes where its options are listed below, if another way.
    pub above_options: Option<String>,
    /// Which words of the question speak of which cell.
    pub phrases: Vec<(String, String)>,
}

impl Inquiry {
    /// A question with an open answer.
    pub fn new(ask: Ask, question: String, answer: String) -> Self {
        Self { ask, question, answer, others: Vec::new(), above_options: None, phrases: Vec::new() }
    }

    /// The same with answers that are wrong.
    pub fn among(self, others: Vec<String>) -> Self {
        Self { others, ..self }
    }
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
    /// In many wordings and layouts.
    pub varied: bool,
    /// Every noun of the data set, in order.
    pub labels: Vec<String>,
}

/// Draws questions about a scene.
pub fn questions(scene: &Scene, drawing: &Drawing, draw: &mut Draw) -> Vec<Inquiry> {
    let most = drawing.most;
    let mut asker = Asker::new(scene, drawing, draw);
    let mut kinds: Vec<Vec<Inquiry>> = drawing.asks.iter().map(|&ask| asker.all(ask)).collect();
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
    let finished = |inquiry: Inquiry| {
        let mut inquiry = if draw.chance(drawing.letters) { lettered(inquiry, drawing.varied, draw) } else { inquiry };
        if drawing.varied && draw.chance(0.3) {
            let before = wordings::BEFORE[draw.below(wordings::BEFORE.len())];
            let gap = if draw.chance(0.5) { "\n" } else { " " };
            inquiry.question = format!("{before}{gap}{}", inquiry.question);
        }
        inquiry.phrases = grounding::phrases(scene, drawing.grid, &inquiry.question);
        inquiry
    };
    drawn.into_iter().map(finished).collect()
}

/// Asks for the letter of an answer among two to four, if the answers are a closed set.
fn lettered(inquiry: Inquiry, varied: bool, draw: &mut Draw) -> Inquiry {
    let mut answers = inquiry.others.clone();
    answers.retain(|answer| *answer != inquiry.answer);
    answers.sort();
    answers.dedup();
    if answers.is_empty() {
        return inquiry;
    }
    shuffle(&mut answers, draw);
    answers.truncate(3);
    answers.push(inquiry.answer.clone());
    shuffle(&mut answers, draw);
    let letter = |n: usize| char::from(b'A' + n as u8);
    let right = answers.iter().position(|answer| *answer == inquiry.answer).map_or('A', letter);
    let marks = [("", "."), ("(", ")"), ("", ")"), ("", ":")];
    let (open, close) = marks[if varied { draw.below(marks.len()) } else { 0 }];
    let gap = if varied && draw.chance(0.3) { " " } else { "\n" };
    let option = |(n, answer): (usize, &String)| format!("{gap}{open}{}{close} {answer}", letter(n));
    let options: String = answers.iter().enumerate().map(option).collect();
    let header = if varied { wordings::OPTIONS[draw.below(wordings::OPTIONS.len())] } else { "" };
    let header = if header.is_empty() { String::new() } else { format!(" {header}") };
    let hint = wordings::LETTER.hint(varied, draw);
    let asked = inquiry.above_options.as_ref().unwrap_or(&inquiry.question);
    let question = format!("{asked}{header}{options}{gap}{hint}");
    Inquiry { question, answer: right.to_string(), ..inquiry }
}

/// Puts items in random order.
pub fn shuffle<T>(items: &mut [T], draw: &mut Draw) {
    for i in (1..items.len()).rev() {
        items.swap(i, draw.below(i + 1));
    }
}
