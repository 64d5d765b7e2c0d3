//! Builds the message of an item: question, options, pictures and the asking text in their places.

use super::benchmark::Declaration;
use super::coords::Coords;
use super::generate::{Part, Prompt};
use super::item::{Item, ItemKind, Picture};
use super::reader::picture_size;
use crate::base::OpError;

/// A character that no text holds, standing for picture `i` until the message is cut.
const FIRST_MARK: u32 = 0xF0000;

/// Returns the message for an item.
///
/// An asking text with `{question}` or `{options}` is the whole message; else it follows the question and the options on a
/// line of its own. Pictures come where the item's offsets or `<image N>` in the question say, at `{images}`, else first.
pub fn prompt(item: &Item, declare: &Declaration, coords: &Coords) -> Result<Prompt, OpError> {
    let question = with_marks(item)?;
    let options = if item.options_in_question { String::new() } else { printed(item, &declare.option_style) };
    let ask = declare.ask.get(item.kind.name()).map_or("", String::as_str);
    let (width, height) = picture_size(item);
    let hint = coords.hint(width, height);
    let mut text = if ask.contains("{question}") || ask.contains("{options}") {
        fill(ask, &question, &options, &hint)
    } else {
        let after = fill(ask, "", "", &hint);
        let blocks = [question.as_str(), options.as_str(), after.trim()];
        blocks.into_iter().filter(|b| !b.trim().is_empty()).collect::<Vec<_>>().join("\n")
    };
    let marks: String = (0..item.images.len()).filter_map(mark).filter(|m| !text.contains(*m)).collect();
    if text.contains("{images}") {
        text = text.replacen("{images}", &marks, 1).replace("{images}", "");
    } else {
        text = marks + &text;
    }
    let options = match item.kind {
        ItemKind::Choice => (0..item.options.len().min(26)).map(|i| char::from(b'A' + i as u8).to_string()).collect(),
        ItemKind::YesNo => vec!["yes".to_owned(), "no".to_owned()],
        _ => Vec::new(),
    };
    Ok(Prompt { system: declare.system.clone(), parts: cut(&text, &item.images), options })
}

/// Returns the options as the model sees them, one a line.
pub fn printed(item: &Item, style: &str) -> String {
    let line = |(i, text): (usize, &String)| {
        let letter = char::from(b'A' + (i % 26) as u8);
        if style.starts_with('(') { format!("({letter}) {text}") } else { format!("{letter}. {text}") }
    };
    item.options.iter().enumerate().map(line).collect::<Vec<_>>().join("\n")
}

fn fill(ask: &str, question: &str, options: &str, hint: &str) -> String {
    ask.replace("{coord_hint}", hint).replace("{question}", question).replace("{options}", options).trim().to_owned()
}

fn mark(picture: usize) -> Option<char> {
    char::from_u32(FIRST_MARK + picture as u32)
}

/// The question with a mark wherever a picture belongs inside it.
fn with_marks(item: &Item) -> Result<String, OpError> {
    let mut question = item.question.trim_end().to_owned();
    if let Some(offsets) = &item.offsets {
        let mut places: Vec<(usize, usize)> = offsets.iter().copied().zip(0..item.images.len()).collect();
        places.sort_by_key(|p| p.0); // Stable: pictures at one place stay in order.
        if places.iter().any(|p| p.0 > 0) {
            let chars: Vec<char> = question.chars().collect();
            let mut out = String::new();
            let mut done = 0;
            for (at, picture) in places {
                let at = at.min(chars.len());
                out.extend(&chars[done..at]);
                out.extend(mark(picture));
                done = at;
            }
            out.extend(&chars[done..]);
            question = out;
        }
    }
    while let Some(start) = question.find("<image ") {
        let Some(length) = question[start..].find('>') else { break };
        let Ok(number) = question[start + 7..start + length].trim().parse::<usize>() else { break };
        if number == 0 || number > item.images.len() {
            return Err(OpError::new(
                "E0302",
                format!("item `{}` speaks of image {number} but has {}", item.id, item.images.len()),
            ));
        }
        let mark = mark(number - 1).map(String::from).unwrap_or_default();
        question.replace_range(start..=start + length, &mark);
    }
    Ok(question)
}

fn cut(text: &str, images: &[Picture]) -> Vec<Part> {
    let mut parts = Vec::new();
    let mut open = String::new();
    for c in text.chars() {
        let picture = (c as u32).checked_sub(FIRST_MARK).and_then(|i| images.get(i as usize));
        match picture {
            Some(picture) => {
                if !open.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut open)));
                }
                parts.push(Part::Image(picture.clone()));
            }
            None => open.push(c),
        }
    }
    if !open.is_empty() {
        parts.push(Part::Text(open));
    }
    parts
}
