//! What a model is asked and what it replies: the seam between scoring and whoever runs the model.

use serde::{Deserialize, Serialize};

use super::item::Picture;
use crate::base::OpError;

/// A piece of a user's message.
#[derive(Clone, Debug, PartialEq)]
pub enum Part {
    /// Text.
    Text(String),
    /// A picture.
    Image(Picture),
    /// A video: its file, or its frames.
    Video(Vec<Picture>),
}

/// One request: a system text and the user's message.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Prompt {
    /// The system text, if not the template's own.
    pub system: Option<String>,
    /// The message, in order.
    pub parts: Vec<Part>,
    /// The replies that can be right, where they are few: option letters, yes and no. Fused models and probabilities of options look at them.
    pub options: Vec<String>,
}

impl Prompt {
    /// Returns the message for people: pictures read `<image>`, videos `<video>`.
    pub fn show(&self) -> String {
        let parts = self.parts.iter().map(|p| match p {
            Part::Text(text) => text.as_str(),
            Part::Image(_) => "<image>",
            Part::Video(_) => "<video>",
        });
        parts.collect()
    }

    /// Returns the pictures, in order.
    pub fn pictures(&self) -> Vec<&Picture> {
        let mut out = Vec::new();
        for part in &self.parts {
            if let Part::Image(picture) = part {
                out.push(picture);
            }
        }
        out
    }

    /// Returns the videos, in order.
    pub fn videos(&self) -> Vec<&[Picture]> {
        let mut out = Vec::new();
        for part in &self.parts {
            if let Part::Video(film) = part {
                out.push(film.as_slice());
            }
        }
        out
    }
}

/// How replies are drawn.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Decoding {
    /// Tokens after which a reply is cut.
    pub max_tokens: u32,
    /// 0 is greedy.
    pub temperature: f64,
    /// Nucleus.
    pub top_p: f64,
    /// For temperatures above 0.
    pub seed: u64,
    /// Most likely tokens that are drawn from; 0 is all.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub top_k: usize,
    /// Replies followed side by side, the likeliest of which is the reply; 0 and 1 are none beside.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub beams: usize,
    /// Texts that end a reply.
    #[serde(default)]
    pub stop: Vec<String>,
    /// Replies carry the probabilities of their prompt's options.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub option_p: bool,
}

fn is_zero(n: &usize) -> bool {
    *n == 0
}

/// What a model replied.
#[derive(Clone, Debug, PartialEq, Default, Serialize, Deserialize)]
pub struct Reply {
    /// The text, unchanged.
    pub text: String,
    /// It was cut at `max_tokens`.
    pub truncated: bool,
    /// The server or the model would not answer; the text is what it said instead.
    #[serde(default)]
    pub refused: bool,
    /// Tokens made.
    pub tokens: u32,
    /// Mean log-probability of its tokens, the closing one among them, in nats.
    #[serde(skip)]
    pub logp: f64,
    /// The probability of each of the prompt's options as the whole reply, among them, if they were asked for.
    #[serde(skip)]
    pub option_p: Vec<f64>,
    /// Tokens of the question as a server counts them; 0 where nobody counted.
    #[serde(default)]
    pub prompt_tokens: u32,
    /// Which half of a fused model spoke, and the like.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// Something that answers prompts.
pub trait Generate {
    /// Answers all prompts, in order; a reason where no reply could be had.
    fn generate(&mut self, prompts: &[Prompt], decoding: &Decoding) -> Result<Vec<Result<Reply, String>>, OpError>;
}
