//! Questions with exact answers about two annotated scenes.

use super::asking::plural;
use super::grounding::centre;
use super::inquiry::Inquiry;
use super::questions::{finish, take_turns};
use super::scene::{Object, Scene};
use super::wordings::{self, Wordings};
use crate::data::draw::Draw;

/// A kind of question about two pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compare {
    /// Which has more of a kind.
    More,
    /// Which one shows an object.
    Shows,
    /// Which one shows a hazard mark.
    Mark,
    /// To which side an object went.
    Shift,
}

impl From<Compare> for &'static str {
    fn from(kind: Compare) -> Self {
        match kind {
            Compare::More => "more",
            Compare::Shows => "shows",
            Compare::Mark => "mark",
            Compare::Shift => "shift",
        }
    }
}

/// Which questions about two pictures are drawn.
#[derive(Clone, Debug)]
pub struct Comparing {
    /// Kinds, which take turns in random order.
    pub asks: Vec<Compare>,
    /// At most so many per pair.
    pub most: usize,
    /// Share of questions that list their answers as lettered options.
    pub letters: f64,
    /// In many wordings and layouts.
    pub varied: bool,
}

const FIRST: &str = "the first picture";
const SECOND: &str = "the second picture";

/// Draws questions about a pair of scenes. A text without `<image>` has its pictures before it.
pub fn comparisons(pair: [&Scene; 2], comparing: &Comparing, draw: &mut Draw) -> Vec<Inquiry> {
    let kinds: Vec<Vec<Inquiry>> = comparing.asks.iter().map(|&kind| all(pair, kind, comparing.varied, draw)).collect();
    let drawn = take_turns(kinds, comparing.most, draw);
    let finished = |inquiry: Inquiry| {
        let mut inquiry = finish(inquiry, comparing.letters, comparing.varied, draw);
        if comparing.varied && draw.chance(0.5) {
            inquiry.question = format!("{}{}", wordings::TWO[draw.below(wordings::TWO.len())], inquiry.question);
        }
        inquiry
    };
    drawn.into_iter().map(finished).collect()
}

/// Returns all questions of a kind.
fn all(pair: [&Scene; 2], kind: Compare, varied: bool, draw: &mut Draw) -> Vec<Inquiry> {
    let mut ask = |wordings: &Wordings, a: &str, answer: &str, others: &[&str]| {
        let question = wordings.pick(varied, draw).replace("{a}", a);
        Inquiry::new(kind, question, answer.to_owned()).among(others.iter().map(ToString::to_string).collect())
    };
    let which = |first: bool| if first { (FIRST, SECOND) } else { (SECOND, FIRST) };
    match kind {
        Compare::More => {
            let number = |scene: &Scene, label: &str| scene.objects.iter().filter(|o| o.label == label).count();
            let of_label = |label: String| {
                let [a, b] = pair.map(|scene| number(scene, &label));
                let (answer, others) = match a.cmp(&b) {
                    std::cmp::Ordering::Equal => ("both alike", [FIRST, SECOND]),
                    unequal => (which(unequal.is_gt()).0, [which(unequal.is_gt()).1, "both alike"]),
                };
                ask(&wordings::MORE, &plural(&label), answer, &others)
            };
            let told = |label: &String| pair.iter().all(|scene| scene.tells(label));
            distinct(pair, |o| o.label.clone()).into_iter().filter(told).map(of_label).collect()
        }
        Compare::Shows => {
            let has = |scene: &Scene, name: &str| scene.objects.iter().any(|o| o.name() == name);
            let told = |name: &str| {
                let mut objects = pair.iter().flat_map(|scene| &scene.objects);
                objects.find(|o| o.name() == name).is_none_or(|o| pair.iter().all(|scene| scene.tells(&o.label)))
            };
            let of_name = |name: String| {
                let [a, b] = pair.map(|scene| has(scene, &name));
                (a != b && told(&name)).then(|| ask(&wordings::SHOWS, &name, which(a).0, &[which(a).1]))
            };
            distinct(pair, Object::name).into_iter().filter_map(of_name).collect()
        }
        Compare::Mark if pair.iter().any(|scene| scene.known.is_some()) => Vec::new(),
        Compare::Mark => match pair.map(|scene| scene.objects.iter().any(Object::is_mark)) {
            [false, false] => Vec::new(),
            [true, true] => vec![ask(&wordings::MARKED, "", "both", &[FIRST, SECOND])],
            [a, _] => vec![ask(&wordings::MARKED, "", which(a).0, &[which(a).1, "both"])],
        },
        Compare::Shift => {
            let of_name = |name: String| {
                let [a, b] = pair.map(|scene| place(scene, &name));
                let shift = b? - a?;
                let (answer, other) = if shift < 0.0 { ("left", "right") } else { ("right", "left") };
                (shift.abs() > 0.1).then(|| ask(&wordings::SHIFTED, &name, answer, &[other]))
            };
            distinct(pair, Object::name).into_iter().filter_map(of_name).collect()
        }
    }
}

/// Returns what the things of two scenes are called, each once, in order; hazard marks left out.
fn distinct(pair: [&Scene; 2], called: impl Fn(&Object) -> String) -> Vec<String> {
    let things = pair.into_iter().flat_map(|scene| &scene.objects).filter(|o| !o.is_mark());
    let mut names: Vec<String> = things.map(called).collect();
    names.sort();
    names.dedup();
    names
}

/// Returns how far from the left the only object of a name is, in widths of the picture.
fn place(scene: &Scene, name: &str) -> Option<f64> {
    let mut named = scene.objects.iter().filter(|o| o.name() == name);
    let object = named.next().filter(|_| named.next().is_none())?;
    Some(centre(object).0 / scene.image.width as f64)
}
