//! Qwen's chat text: roles, pictures and videos as one string.

use crate::base::OpError;

/// The system text that stands in when a conversation begins without one.
pub const DEFAULT_SYSTEM: &str = "You are a helpful assistant.";
/// Stands for one picture in text given by users.
pub const IMAGE: &str = "<image>";
/// Stands for one video in text given by users.
pub const VIDEO: &str = "<video>";
const IMAGE_PAD: &str = "<|image_pad|>";
const VIDEO_PAD: &str = "<|video_pad|>";

/// A piece of a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Part {
    /// Text, kept verbatim.
    Text(String),
    /// The next picture.
    Image,
    /// The next video.
    Video,
}

/// A message of a conversation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// `system`, `user`, `assistant` or `observation`.
    pub role: String,
    /// Its pieces.
    pub content: Vec<Part>,
}

impl Message {
    /// Makes a message of plain text.
    pub fn text(role: &str, text: &str) -> Self {
        Self { role: role.to_owned(), content: vec![Part::Text(text.to_owned())] }
    }

    /// Makes a message of text in which `<image>` and `<video>` stand for the next picture or video.
    pub fn marked(role: &str, text: &str) -> Self {
        let mut content = Vec::new();
        let mut rest = text;
        while let Some(at) = rest.find(IMAGE).into_iter().chain(rest.find(VIDEO)).min() {
            let (marker, part) =
                if rest[at..].starts_with(IMAGE) { (IMAGE, Part::Image) } else { (VIDEO, Part::Video) };
            content.push(Part::Text(rest[..at].to_owned()));
            content.push(part);
            rest = &rest[at + marker.len()..];
        }
        content.push(Part::Text(rest.to_owned()));
        content.retain(|p| *p != Part::Text(String::new()));
        Self { role: role.to_owned(), content }
    }
}

/// Renders a conversation; with `reply`, the opening of the assistant's next message is added.
///
/// # Source
/// The chat template of Qwen2.5-VL; equal to all cases of `encode.json`.
pub fn render(messages: &[Message], reply: bool) -> String {
    let mut out = String::new();
    if messages.first().is_none_or(|m| m.role != "system") {
        out += &block("system", DEFAULT_SYSTEM);
    }
    for message in messages {
        let content: String = message
            .content
            .iter()
            .map(|part| match part {
                Part::Text(text) => text.clone(),
                Part::Image => vision(IMAGE_PAD, 1),
                Part::Video => vision(VIDEO_PAD, 1),
            })
            .collect();
        out += &block(&message.role, &content);
    }
    if reply {
        out += "<|im_start|>assistant\n";
    }
    out
}

/// Repeats each picture's and video's pad token as often as it has features.
///
/// # Errors
/// `E0612` when the text has more or fewer placeholders than pictures or videos.
pub fn expand(text: &str, images: &[i64], videos: &[i64]) -> Result<String, OpError> {
    let text = repeat(text, IMAGE_PAD, images, "pictures", |n| IMAGE_PAD.repeat(n))?;
    repeat(&text, VIDEO_PAD, videos, "videos", |n| VIDEO_PAD.repeat(n))
}

/// Replaces `<image>` and `<video>` in users' text by as many pad tokens as the pictures and videos have features.
///
/// # Errors
/// `E0612` when markers and pictures or videos differ in number.
pub fn mark<'a>(text: &str, images: &mut &'a [i64], videos: &mut &'a [i64]) -> Result<String, OpError> {
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(IMAGE).into_iter().chain(rest.find(VIDEO)).min() {
        let image = rest[at..].starts_with(IMAGE);
        let (counts, marker, pad) =
            if image { (&mut *images, IMAGE, IMAGE_PAD) } else { (&mut *videos, VIDEO, VIDEO_PAD) };
        let Some((&count, left)) = counts.split_first() else {
            return Err(OpError::new("E0612", format!("the text has more `{marker}` markers than files are given")));
        };
        *counts = left;
        out += &rest[..at];
        out += &vision(pad, count as usize);
        rest = &rest[at + marker.len()..];
    }
    Ok(out + rest)
}

/// Returns one message as text.
pub(super) fn block(role: &str, content: &str) -> String {
    format!("<|im_start|>{role}\n{content}<|im_end|>\n")
}

fn vision(pad: &str, count: usize) -> String {
    format!("<|vision_start|>{}<|vision_end|>", pad.repeat(count))
}

fn repeat(text: &str, pad: &str, counts: &[i64], what: &str, by: impl Fn(usize) -> String) -> Result<String, OpError> {
    let pieces: Vec<&str> = text.split(pad).collect();
    if pieces.len() - 1 != counts.len() {
        return Err(OpError::new(
            "E0612",
            format!("the text has {} places for {what}, but {} are given", pieces.len() - 1, counts.len()),
        ));
    }
    let mut out = pieces[0].to_owned();
    for (piece, &count) in pieces[1..].iter().zip(counts) {
        out += &by(count as usize);
        out += piece;
    }
    Ok(out)
}
