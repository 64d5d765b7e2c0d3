//! Questions with exact answers about an annotated scene: some of each kind, in their final layout.

use super::asking::Asker;
use super::grounding;
use super::inquiry::{Ask, Drawing, Inquiry};
use super::scene::Scene;
use super::wordings;
use crate::data::draw::Draw;

/// Draws questions about a scene.
pub fn questions(scene: &Scene, drawing: &Drawing, draw: &mut Draw) -> Vec<Inquiry> {
    let mut asker = Asker::new(scene, drawing, draw);
    let kinds: Vec<Vec<Inquiry>> = drawing.asks.iter().map(|&ask| asker.all(ask)).collect();
    let drawn = take_turns(kinds, drawing.most, draw);
    let finished = |inquiry: Inquiry| {
        let mut inquiry = finish(inquiry, drawing.letters, drawing.varied, draw);
        inquiry.phrases = grounding::phrases(scene, drawing.grid, &inquiry.question);
        inquiry
    };
    drawn.into_iter().map(finished).collect()
}

/// Picks at most so many questions, one of each kind after the other, in random order.
pub(super) fn take_turns(mut kinds: Vec<Vec<Inquiry>>, most: usize, draw: &mut Draw) -> Vec<Inquiry> {
    kinds.iter_mut().for_each(|k| draw.shuffle(k));
    draw.shuffle(&mut kinds);
    let mut drawn = Vec::with_capacity(most);
    while drawn.len() < most && kinds.iter().any(|k| !k.is_empty()) {
        for kind in &mut kinds {
            if drawn.len() < most {
                drawn.extend(kind.pop());
            }
        }
    }
    draw.shuffle(&mut drawn);
    drawn
}

/// Gives a question its final layout: a share of `letters` with lettered options, now and then a sentence before it.
pub(super) fn finish(inquiry: Inquiry, letters: f64, varied: bool, draw: &mut Draw) -> Inquiry {
    let with_letters = draw.chance(letters) || inquiry.kind == Ask::Option.name();
    let mut inquiry = if with_letters { lettered(inquiry, varied, draw) } else { inquiry };
    if varied && draw.chance(0.3) {
        let before = wordings::BEFORE[draw.below(wordings::BEFORE.len())];
        let gap = if draw.chance(0.5) { "\n" } else { " " };
        inquiry.question = format!("{before}{gap}{}", inquiry.question);
    }
    inquiry
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
    draw.shuffle(&mut answers);
    answers.truncate(3);
    answers.push(inquiry.answer.clone());
    draw.shuffle(&mut answers);
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
