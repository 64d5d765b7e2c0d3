//! Minimal mistakes: an answer turned into one that is certainly wrong.

use std::sync::LazyLock;

use regex::{Captures, Regex};

use super::answer::{self, Form, numbered};
use crate::data::draw::Draw;

/// How an answer is made wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Edit {
    /// Yes for no, left for right, another option.
    Swap,
    /// One more or one less.
    OffByOne,
    /// A plan without one of its steps.
    MissingStep,
    /// A plan with two neighbouring steps exchanged.
    MisorderedStep,
    /// What is right for another question on the same picture; the next tier of a scale.
    Neighbour,
    /// A point far from every right one.
    WrongPlace,
}

impl Edit {
    /// Its name in the language.
    pub fn name(self) -> &'static str {
        match self {
            Self::Swap => "swap",
            Self::OffByOne => "off_by_one",
            Self::MissingStep => "missing_step",
            Self::MisorderedStep => "misordered_step",
            Self::Neighbour => "neighbour",
            Self::WrongPlace => "wrong_place",
        }
    }
}

/// How far a misplaced point lies from every right one, in unit coordinates: more than the sides of a graspable object, so it cannot be on it.
const FAR: f64 = 0.3;
/// How far the right points of two questions must lie apart to belong to different places.
const APART: f64 = 0.1;
const TIERS: [&str; 3] = ["safe", "low", "high"];
const SIDES: [(&str, &str); 5] =
    [("left", "right"), ("in front of", "behind"), ("nearer", "farther"), ("above", "below"), ("on top of", "under")];

/// Returns a wrong answer, or `None` where the edit does not apply. Why it is wrong, for each edit:
///
/// * `swap`: yes and no exclude each other; so do left and right; a letter question has one right option.
/// * `off_by_one`: a count is one number. Never below zero.
/// * `missing_step`, `misordered_step`: every step is needed and presumes the one before it; the wrong plan differs from the right one.
/// * `neighbour`: `others` are answers to other questions about the same picture; only one that differs from this answer and has its form is
///   taken, points only if they lie apart. Tiers have one right value.
/// * `wrong_place`: at least 0.3 of the picture away from all right points.
pub fn wrong(edit: Edit, question: &str, answer: &str, others: &[&str], draw: &mut Draw) -> Option<String> {
    let form = Form::of(answer);
    let made = match (edit, form) {
        (Edit::Swap, Form::YesNo(yes)) => Some(like(answer, if yes { "no" } else { "yes" })),
        (Edit::Swap, Form::Letter(right)) => {
            let others: Vec<char> =
                answer::options(question).into_iter().map(|(l, _)| l).filter(|l| *l != right).collect();
            others.get(draw.below(others.len())).map(char::to_string)
        }
        (Edit::Swap, Form::Steps(steps)) => {
            let sided: Vec<usize> = (0..steps.len()).filter(|&i| swap_side(&steps[i]).is_some()).collect();
            let at = *sided.get(draw.below(sided.len()))?;
            let mut steps = steps;
            steps[at] = swap_side(&steps[at])?;
            Some(numbered(&steps))
        }
        (Edit::Swap, Form::Text) => swap_side(answer),
        (Edit::OffByOne, Form::Number(n)) => {
            let up = draw.chance(0.5) || n <= 0;
            if up { n.checked_add(1) } else { n.checked_sub(1) }.map(|n| n.to_string())
        }
        (Edit::MissingStep, Form::Steps(mut steps)) if steps.len() >= 3 => {
            steps.remove(draw.below(steps.len()));
            Some(numbered(&steps))
        }
        (Edit::MisorderedStep, Form::Steps(mut steps)) => {
            let pairs: Vec<usize> = (0..steps.len() - 1).filter(|&i| steps[i] != steps[i + 1]).collect();
            let at = *pairs.get(draw.below(pairs.len()))?;
            steps.swap(at, at + 1);
            Some(numbered(&steps))
        }
        (Edit::Neighbour, Form::Points(right)) => {
            let fits = |o: &&&str| match Form::of(o) {
                Form::Points(other) => other.iter().all(|p| right.iter().all(|q| distance(*p, *q) >= APART)),
                _ => false,
            };
            pick(others.iter().filter(fits).collect(), draw)
        }
        (Edit::Neighbour, Form::Text) => match TIERS.iter().position(|t| *t == answer.trim()) {
            Some(0) => Some(TIERS[1].to_owned()),
            Some(1) => Some(TIERS[if draw.chance(0.5) { 0 } else { 2 }].to_owned()),
            Some(_) => Some(TIERS[1].to_owned()),
            // Names: short, and said of other things in this picture.
            None => {
                let name = |s: &str| {
                    Form::of(s) == Form::Text && s.split_whitespace().count() <= 3 && !TIERS.contains(&s.trim())
                };
                if !name(answer) {
                    return None;
                }
                let same = |a: &str, b: &str| a.trim().eq_ignore_ascii_case(b.trim());
                let kind = answer.split_whitespace().count() > 1;
                let fits = |o: &&&str| name(o) && !same(o, answer) && (o.split_whitespace().count() > 1) == kind;
                pick(others.iter().filter(fits).collect(), draw)
            }
        },
        (Edit::WrongPlace, Form::Points(right)) => {
            let decimals =
                answer.split('.').nth(1).map_or(2, |t| t.chars().take_while(char::is_ascii_digit).count()).max(2);
            // A picture that right points cover everywhere has no wrong place: give up after a fixed number of draws.
            (0..64).find_map(|_| {
                let point = (draw.between(0.03, 0.97), draw.between(0.03, 0.97));
                let far = right.iter().all(|q| distance(point, *q) >= FAR);
                far.then(|| format!("[({:.decimals$}, {:.decimals$})]", point.0, point.1))
            })
        }
        _ => None,
    };
    made.filter(|m| m.trim() != answer.trim())
}

fn pick(mut fitting: Vec<&&str>, draw: &mut Draw) -> Option<String> {
    fitting.sort_unstable();
    fitting.dedup();
    fitting.get(draw.below(fitting.len())).map(|s| (**s).to_owned())
}

fn distance(a: (f64, f64), b: (f64, f64)) -> f64 {
    (a.0 - b.0).hypot(a.1 - b.1)
}

/// Writes a word with the capital and the full stop of another.
fn like(model: &str, word: &str) -> String {
    let model = model.trim();
    let stop = if model.ends_with('.') { "." } else { "" };
    let capital = model.starts_with(|c: char| c.is_uppercase());
    let mut letters = word.chars();
    let first = letters.next().map(|c| if capital { c.to_ascii_uppercase() } else { c });
    format!("{}{}{stop}", first.map(String::from).unwrap_or_default(), letters.as_str())
}

/// Exchanges the only side that a text names; `None` when it names none or several, since two exchanges may cancel out.
fn swap_side(text: &str) -> Option<String> {
    static SIDE: LazyLock<Regex> = LazyLock::new(|| {
        let words: Vec<&str> = SIDES.iter().flat_map(|(a, b)| [*a, *b]).collect();
        Regex::new(&format!(r"\b(?:{})\b", words.join("|"))).expect("a constant")
    });
    if SIDE.find_iter(text).count() != 1 {
        return None;
    }
    let swapped = SIDE.replace(text, |found: &Captures<'_>| {
        let side = &found[0];
        let other = SIDES.iter().find_map(|(a, b)| match side {
            s if s == *a => Some(*b),
            s if s == *b => Some(*a),
            _ => None,
        });
        other.unwrap_or(side).to_owned()
    });
    Some(swapped.into_owned())
}
