//! Questions with exact answers about an annotated scene: some of each kind, in their final layout.

use super::asking::Asker;
use super::draw::Draw;
use super::grounding;
use super::inquiry::{Drawing, Inquiry};
use super::scene::Scene;
use super::wordings;

/// Draws questions about a scene.
pub fn questions(scene: &Scene, drawing: &Drawing, draw: &mut Draw) -> Vec<Inquiry> {
    let most = drawing.most;
    let mut asker = Asker::new(scene, drawing, draw);
    let mut kinds: Vec<Vec<Inquiry>> = drawing.asks.iter().map(|&ask| asker.all(ask)).collect();
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
    let finished = |inquiry: Inquiry| {
        let mut inquiry =
            if draw.chance(drawing.letters) { lettered(inquiry, drawing.varied, draw) } else { open(inquiry) };
        if drawing.varied && draw.chance(0.3) {
            let before = wordings::BEFORE[draw.below(wordings::BEFORE.len())];
            let gap = if draw.chance(0.5) { "\n" } else { " " };
            inquiry.question = format!("{before}{gap}{}", inquiry.question);
        }
        inquiry.phrases.extend(grounding::phrases(scene, drawing.grid, &inquiry.question));
        inquiry
    };
    drawn.into_iter().map(finished).collect()
}

/// Asks for the answer itself.
fn open(inquiry: Inquiry) -> Inquiry {
    let phrases = if inquiry.others.is_empty() { Vec::new() } else { gist(&inquiry.question, &inquiry.answer) };
    Inquiry { phrases, ..inquiry }
}

/// What the end of a question is to bring to mind: its answer, if that is a few words.
fn gist(asked: &str, answer: &str) -> Vec<(String, String)> {
    let few = answer.split_whitespace().count() <= 3;
    few.then(|| (asked.to_owned(), answer.to_owned())).into_iter().collect()
}

/// Asks for the letter of an answer among two to four, if the answers are a closed set.
fn lettered(inquiry: Inquiry, varied: bool, draw: &mut Draw) -> Inquiry {
    let mut answers = inquiry.others.clone();
    answers.retain(|answer| *answer != inquiry.answer);
    answers.sort();
    answers.dedup();
    if answers.is_empty() {
        return open(inquiry);
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
    let option = |(n, answer): (usize, &String)| format!("{open}{}{close} {answer}", letter(n));
    let options: String = answers.iter().enumerate().map(option).map(|option| format!("{gap}{option}")).collect();
    let header = if varied { wordings::OPTIONS[draw.below(wordings::OPTIONS.len())] } else { "" };
    let header = if header.is_empty() { String::new() } else { format!(" {header}") };
    let hint = wordings::LETTER.hint(varied, draw);
    // A question that leaves its candidates to the options has no answer before them.
    let (asked, phrases) = match &inquiry.above_options {
        Some(asked) => (asked, Vec::new()),
        None => (&inquiry.question, gist(&inquiry.question, &inquiry.answer)),
    };
    let question = format!("{asked}{header}{options}{gap}{hint}");
    Inquiry { question, answer: right.to_string(), phrases, ..inquiry }
}
