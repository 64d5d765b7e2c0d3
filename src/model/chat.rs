//! How a conversation becomes text: Qwen2.5-VL's template, built in, or the template that a decoder of text brings along.

use std::path::Path;

use minijinja::{Environment, Error, ErrorKind, context};
use minijinja_contrib::pycompat::unknown_method_callback;
use serde_json::{Value as Json, json};

use super::template::{DEFAULT_SYSTEM, block};
use crate::base::OpError;

/// A reply that no template refuses.
const REPLY: &str = "reply";
/// What ends a reply in ChatML.
const CLOSE: &str = "<|im_end|>\n";

/// One turn: what is said to the model and what it replies.
pub struct Turn {
    /// `user` or `observation`.
    pub role: String,
    /// What is said.
    pub text: String,
    /// The reply.
    pub reply: String,
}

/// A turn as text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    /// What stands before the reply, in pieces that are tokenised by themselves.
    pub source: Vec<String>,
    /// The reply with what ends it.
    pub target: String,
}

/// A chat template.
pub enum Chat {
    /// Qwen2.5-VL's, which is ChatML with a system text of its own.
    Qwen2Vl,
    /// A Jinja template of the model's folder.
    Own(Box<Own>),
}

/// A template that a model brings along, with the special tokens that it may name.
pub struct Own {
    env: Environment<'static>,
    bos: Option<String>,
    eos: Option<String>,
    /// What ends a reply, or why the template does not say it.
    close: Result<String, String>,
}

impl Chat {
    /// Reads the template of a model folder, whose `tokenizer_config.json` says `settings` and names the first and the last token:
    /// Qwen2.5-VL's for that family and for a model that brings none.
    ///
    /// # Errors
    /// `E0503` when the template is not to be understood.
    pub(super) fn load(dir: &Path, settings: &Json, bos: Option<String>, eos: Option<String>) -> Result<Self, OpError> {
        let config = std::fs::read(dir.join("config.json")).ok();
        let config: Json = config.and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or(Json::Null);
        if matches!(config["model_type"].as_str(), None | Some("qwen2_5_vl")) {
            return Ok(Self::Qwen2Vl);
        }
        let file = dir.join("chat_template.jinja");
        let text = match std::fs::read_to_string(&file) {
            Ok(text) => Some(text),
            // Some files hold several, each under a name.
            Err(_) => match &settings["chat_template"] {
                Json::String(text) => Some(text.clone()),
                Json::Array(named) => named
                    .iter()
                    .find(|one| one["name"] == "default")
                    .and_then(|one| one["template"].as_str().map(str::to_owned)),
                _ => None,
            },
        };
        let Some(text) = text else { return Ok(Self::Qwen2Vl) };
        Ok(Self::Own(Box::new(Own::new(text, bos, eos)?)))
    }

    /// Returns each turn as text; a template's own system text stands in where none is given.
    ///
    /// # Errors
    /// `E0612` when the model's template refuses the conversation, or changes what it wrote of earlier turns.
    pub fn said(&self, system: Option<&str>, turns: &[Turn]) -> Result<Vec<Said>, OpError> {
        match self {
            Self::Qwen2Vl => Ok(turns.iter().enumerate().map(|(i, turn)| chat_ml(i, system, turn)).collect()),
            Self::Own(own) => own.said(system, turns),
        }
    }

    /// Returns what ends a reply.
    ///
    /// # Errors
    /// `E0612` when the model's template refuses a plain question and reply.
    pub fn close(&self) -> Result<String, OpError> {
        match self {
            Self::Qwen2Vl => Ok(CLOSE.to_owned()),
            Self::Own(own) => own.close.clone().map_err(|why| OpError::new("E0612", why)),
        }
    }
}

/// One turn in ChatML; system and user are tokenised by themselves, as LLaMA-Factory does.
fn chat_ml(number: usize, system: Option<&str>, turn: &Turn) -> Said {
    let text = match turn.role.as_str() {
        "observation" => format!("<tool_response>\n{}\n</tool_response>", turn.text),
        _ => turn.text.clone(),
    };
    let mut source = Vec::new();
    if number == 0 {
        source.push(block("system", system.unwrap_or(DEFAULT_SYSTEM)));
    }
    source.push(format!("{}<|im_start|>assistant\n", block("user", &text)));
    Said { source, target: format!("{}{CLOSE}", turn.reply) }
}

impl Own {
    fn new(text: String, bos: Option<String>, eos: Option<String>) -> Result<Self, OpError> {
        let mut env = Environment::new();
        env.set_trim_blocks(true);
        env.set_lstrip_blocks(true);
        env.set_unknown_method_callback(unknown_method_callback);
        env.add_function("raise_exception", |why: String| -> Result<String, Error> {
            Err(Error::new(ErrorKind::InvalidOperation, why))
        });
        // No `strftime_now`: templates that would print today's date fall back to a fixed one, and two days give the same tokens.
        env.add_template_owned("chat", text)
            .map_err(|e| OpError::new("E0503", format!("the model's chat template cannot be read: {e}")))?;
        let mut own = Self { env, bos, eos, close: Ok(String::new()) };
        let turn = Turn { role: "user".into(), text: "question".into(), reply: REPLY.into() };
        own.close = own.said(None, &[turn]).map_err(|e| e.message).map(|said| {
            let target = said.first().map_or("", |said| said.target.as_str());
            target.split_once(REPLY).map_or_else(String::new, |(_, close)| close.to_owned())
        });
        Ok(own)
    }

    fn render(&self, messages: &[Json], reply: bool) -> Result<String, OpError> {
        let template = self.env.get_template("chat").map_err(refused)?;
        let values = context! {
            messages => messages, add_generation_prompt => reply, bos_token => self.bos, eos_token => self.eos,
        };
        template.render(values).map_err(refused)
    }

    /// Renders ever longer beginnings of the conversation: what each adds is a source or a target.
    fn said(&self, system: Option<&str>, turns: &[Turn]) -> Result<Vec<Said>, OpError> {
        let message = |role: &str, text: &str| json!({ "role": role, "content": text });
        let mut messages: Vec<Json> = system.map(|text| message("system", text)).into_iter().collect();
        let (mut out, mut told) = (Vec::new(), String::new());
        for turn in turns {
            let role = if turn.role == "observation" { "tool" } else { &turn.role };
            messages.push(message(role, &turn.text));
            let asked = self.render(&messages, true)?;
            messages.push(message("assistant", &turn.reply));
            let whole = self.render(&messages, false)?;
            let (Some(source), Some(target)) = (asked.strip_prefix(&told), whole.strip_prefix(&asked)) else {
                return Err(OpError::new(
                    "E0612",
                    format!("the model's chat template writes turn {} another way once it is answered", out.len() + 1),
                )
                .help("rows of one question and one reply may still work; or name `template: \"qwen2_vl\"`, which is ChatML"));
            };
            out.push(Said { source: vec![source.to_owned()], target: target.to_owned() });
            told = whole;
        }
        Ok(out)
    }
}

fn refused(e: Error) -> OpError {
    OpError::new("E0612", format!("the model's chat template refuses the conversation: {e}"))
}
