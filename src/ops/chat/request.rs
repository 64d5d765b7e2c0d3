//! One request to a chat server: what is sent, what comes back, and the class of every failure.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value as Json, json};

use crate::base::{Digest, OpError};
use crate::data::blobs::Blobs;
use crate::data::pictures::picture::Picture;
use crate::engine::inputs::servers;
use crate::plan::serving::Asks;

/// A server and a model on it.
#[derive(Clone)]
pub struct Endpoint {
    /// Full URL of `chat/completions`.
    pub url: String,
    /// The served name.
    pub model: String,
    /// What answers depend on in place of URL and name, for a server that was started here: its port changes, its weights do not.
    identity: Option<String>,
    /// Sent as a bearer token. Stands in no key, message or file.
    key: Option<String>,
}

impl Endpoint {
    /// Returns an endpoint; the URL may be a server, end in `/v1`, or be full.
    pub fn new(url: &str, model: &str, key: Option<String>) -> Self {
        let url = url.trim_end_matches('/');
        let url = if url.ends_with("/chat/completions") {
            url.to_owned()
        } else if url.rsplit('/').next().is_some_and(|last| last.starts_with('v') && last[1..].parse::<u32>().is_ok()) {
            format!("{url}/chat/completions")
        } else {
            format!("{url}/v1/chat/completions")
        };
        Self { url, model: model.to_owned(), identity: None, key: key.filter(|k| !k.is_empty()) }
    }

    /// Compares what the server says of itself with what is pinned of it; with null, nothing is asked.
    ///
    /// # Errors
    /// E0901 where they differ.
    pub fn compare(&self, pinned: &Json) -> Result<(), OpError> {
        let asks = Asks::Server { url: &self.url, model: &self.model, key: None };
        servers::compare(&asks.name(), pinned, &|| servers::ask(&self.url, &self.model, self.key.as_deref()))
    }

    /// Says what answers depend on instead of the URL and the served name.
    #[must_use]
    pub fn known_as(self, identity: &str) -> Self {
        Self { identity: Some(identity.to_owned()), ..self }
    }

    /// Takes the key out of a text that came from outside.
    fn scrubbed(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| text.replace(key.as_str(), "***"))
    }
}

/// A piece of a user's message.
#[derive(Clone, Debug)]
pub enum Part {
    /// Text.
    Text(String),
    /// A picture, sent as the bytes of its file.
    Picture(Picture),
}

/// How an answer is drawn. All of it is always sent: a server fills what is missing from the model's own configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// 0 is greedy.
    pub temperature: f64,
    /// Nucleus.
    pub top_p: f64,
    /// For temperatures above 0.
    pub seed: u64,
    /// Texts that end an answer.
    pub stop: Vec<String>,
}

impl Default for Sampling {
    fn default() -> Self {
        Self { temperature: 0.0, top_p: 1.0, seed: 0, stop: Vec::new() }
    }
}

/// A question to a model.
#[derive(Clone, Debug)]
pub struct Question {
    /// What the model is, if that is said.
    pub system: Option<String>,
    /// The message, in order.
    pub parts: Vec<Part>,
    /// What the answer begins with; the model goes on from there.
    pub prefill: Option<String>,
    /// JSON schema of the answer; free text without.
    pub schema: Option<Json>,
    /// Upper bound of the answer.
    pub max_tokens: u64,
    /// How the answer is drawn.
    pub sampling: Sampling,
    /// How many of the likeliest tokens the server is asked for, with their log-probabilities; an answer without them stops the run.
    pub likely: Option<u32>,
}

impl Question {
    /// Returns the identity of a question to a model: the canonical request with each picture as the digest of its bytes.
    pub fn key(&self, endpoint: &Endpoint) -> Digest {
        let picture = |p: &Picture| Ok::<_, Failure>(json!({ "media": p.digest }));
        let (url, model) = match &endpoint.identity {
            Some(identity) => (identity.as_str(), ""),
            None => (endpoint.url.as_str(), endpoint.model.as_str()),
        };
        let request = self.body(model, picture, true).unwrap_or(Json::Null);
        Digest::of_json(&json!({ "url": url, "request": request }))
    }

    /// Returns a generous guess of the tokens that asking costs: three bytes of text each, a picture by its area.
    pub fn cost(&self) -> u64 {
        let part = |part: &Part| match part {
            Part::Text(text) => text.len() as u64 / 3,
            Part::Picture(p) => 64 + (p.width * p.height).max(0) as u64 / 784,
        };
        let system = self.system.as_ref().map_or(0, |s| s.len() as u64 / 3);
        system + self.parts.iter().map(part).sum::<u64>() + 200
    }

    fn body(
        &self,
        model: &str,
        picture: impl Fn(&Picture) -> Result<Json, Failure>,
        strict: bool,
    ) -> Result<Json, Failure> {
        let part = |part: &Part| match part {
            Part::Text(text) => Ok(json!({ "type": "text", "text": text })),
            Part::Picture(p) => picture(p),
        };
        let parts = self.parts.iter().map(part).collect::<Result<Vec<_>, _>>()?;
        let system = self.system.iter().map(|text| json!({ "role": "system", "content": text }));
        let begun = self.prefill.iter().map(|text| json!({ "role": "assistant", "content": text }));
        let messages: Vec<Json> = system.chain([json!({ "role": "user", "content": parts })]).chain(begun).collect();
        let Sampling { temperature, top_p, seed, stop } = &self.sampling;
        let mut body = json!({
            "model": model, "messages": messages,
            "temperature": number(*temperature), "top_p": number(*top_p), "seed": seed, "max_tokens": self.max_tokens, "n": 1,
        });
        if let Some(schema) = &self.schema {
            body["response_format"] = if strict {
                json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": schema, "strict": true } })
            } else {
                json!({ "type": "json_object" })
            };
        }
        if self.prefill.is_some() {
            // Without these a server closes the turn that was begun and opens another.
            body["add_generation_prompt"] = json!(false);
            body["continue_final_message"] = json!(true);
        }
        if !stop.is_empty() {
            body["stop"] = json!(stop);
        }
        if let Some(likely) = self.likely {
            body["logprobs"] = json!(true);
            body["top_logprobs"] = json!(likely);
        }
        Ok(body)
    }
}

/// Whole numbers are written without a point, so that one question has one identity.
fn number(value: f64) -> Json {
    if value.fract() == 0.0 { json!(value as i64) } else { json!(value) }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// What the model said.
    pub text: String,
    /// Tokens of question and answer as the server counts them; 0 if it does not.
    pub tokens: u64,
    /// Of these, the question's.
    pub prompt_tokens: u64,
    /// Of these, the answer's.
    pub completion_tokens: u64,
    /// The answer met `max_tokens`.
    pub truncated: bool,
    /// The server or the model would not answer; `text` is what it said instead.
    pub refused: bool,
    /// The tokens that stood to choose for the first word of the answer, each with its log-probability; none where the server gives none.
    pub likely: Option<Vec<(String, f64)>>,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// The question is longer than the model's context, or has too many pictures.
    TooLong,
    /// A picture does not decode there.
    BadMedia,
    /// The server knows no `json_schema`.
    NoSchema,
    /// Anything else that is wrong with the request.
    BadRequest,
    /// The key is wrong, or the URL or model is not there.
    Denied,
    /// Later.
    Busy,
    /// The server failed.
    Server,
    /// The connection failed or was cut.
    Network,
    /// Nothing came in time.
    Timeout,
    /// An answer without content.
    Empty,
    /// The model or a moderator in front of it would not answer.
    Refusal,
    /// No answer in the protocol.
    Garbled,
}

impl Class {
    /// Returns its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::TooLong => "too_long",
            Self::BadMedia => "bad_media",
            Self::NoSchema => "no_schema",
            Self::BadRequest => "bad_request",
            Self::Denied => "denied",
            Self::Busy => "busy",
            Self::Server => "server",
            Self::Network => "network",
            Self::Timeout => "timeout",
            Self::Empty => "empty",
            Self::Refusal => "refusal",
            Self::Garbled => "garbled",
        }
    }

    /// Says whether the server is to blame, not the question.
    pub fn is_of_server(self) -> bool {
        matches!(self, Self::Busy | Self::Server | Self::Network | Self::Timeout | Self::Garbled)
    }

    /// Says how often the same request is worth sending again.
    pub fn retries(self, most: u32) -> u32 {
        match self {
            Self::TooLong | Self::BadMedia | Self::NoSchema | Self::BadRequest | Self::Denied => 0,
            Self::Empty => most.min(1),
            Self::Timeout => most.min(2),
            // Moderators err at random; one that means it says so again.
            Self::Refusal => most.min(3),
            Self::Busy | Self::Server | Self::Network | Self::Garbled => most,
        }
    }
}

/// A request that brought no answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Failure {
    /// What kind.
    pub class: Class,
    /// What the server or the system said, at most 2 KiB.
    pub message: String,
    /// When the server wants to be asked again.
    pub after: Option<Duration>,
    /// Tokens that it cost all the same.
    pub tokens: u64,
}

/// Returns a client: waits 10 s for a connection and `patience` for an answer.
pub fn client(patience: Duration) -> ureq::Agent {
    ureq::Agent::config_builder()
        .http_status_as_error(false)
        .timeout_connect(Some(Duration::from_secs(10)))
        .timeout_global(Some(patience))
        .build()
        .into()
}

/// Sends a question once. With `strict` the server is asked to hold the answer to the schema.
pub fn send(
    client: &ureq::Agent,
    endpoint: &Endpoint,
    question: &Question,
    blobs: &dyn Blobs,
    strict: bool,
) -> Result<Reply, Failure> {
    let fail = |class, message: &str| {
        let short: String = endpoint.scrubbed(message).chars().take(2048).collect();
        Failure { class, message: short, after: None, tokens: 0 }
    };
    let picture = |picture: &Picture| {
        let bytes = picture.bytes(blobs).map_err(|e| fail(Class::BadMedia, &e.message))?;
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        let url = format!("data:{};base64,{data}", picture.media);
        Ok(json!({ "type": "image_url", "image_url": { "url": url } }))
    };
    let mut request = client
        .post(&endpoint.url)
        .header("content-type", "application/json")
        .header("x-request-id", question.key(endpoint).short());
    if let Some(key) = &endpoint.key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let body = question.body(&endpoint.model, picture, strict)?.to_string();
    let mut response = request.send(body).map_err(|e| fail(transport(&e), &e.to_string()))?;
    let status = response.status().as_u16();
    let after = response.headers().get("retry-after").and_then(|v| v.to_str().ok()).and_then(retry_after);
    let text = response
        .body_mut()
        .with_config()
        .limit(16 << 20)
        .read_to_string()
        .map_err(|e| fail(transport(&e), &e.to_string()))?;
    if status != 200 {
        let message = said(&text);
        let mut failure = fail(classify(status, &message), &format!("{status}: {message}"));
        failure.after = after;
        return Err(failure);
    }
    answer(&text).map_err(|(class, why, tokens)| Failure { tokens, ..fail(class, &why) })
}

/// Reads a reply; else says what it is instead, and what it cost.
fn answer(text: &str) -> Result<Reply, (Class, String, u64)> {
    let garbled = |why: String| (Class::Garbled, why, 0);
    let reply: Json = match text.starts_with("data:") {
        true => streamed(text).map_err(|why| (Class::Network, why, 0))?,
        false => serde_json::from_str(text).map_err(|e| garbled(format!("the reply is no JSON: {e}")))?,
    };
    let choice = &reply["choices"][0];
    let message = choice.get("message").ok_or_else(|| garbled(format!("the reply has no choices: {}", said(text))))?;
    let content = message["content"].as_str().unwrap_or_default();
    let counted = |name: &str| reply["usage"][name].as_u64();
    let prompt_tokens = counted("prompt_tokens").unwrap_or(0);
    let completion_tokens = counted("completion_tokens").unwrap_or(0);
    let tokens = counted("total_tokens").unwrap_or(prompt_tokens + completion_tokens);
    if let Some(why) = message["refusal"].as_str().filter(|why| !why.is_empty()) {
        return Err((Class::Refusal, why.to_owned(), tokens));
    }
    if choice["finish_reason"] == "content_filter" {
        return Err((Class::Refusal, "the reply was filtered".to_owned(), tokens));
    }
    if content.trim().is_empty() {
        return Err((Class::Empty, "the reply has no content".to_owned(), tokens));
    }
    let truncated = choice["finish_reason"] == "length";
    let (text, likely) = (content.to_owned(), likely(&choice["logprobs"]["content"]));
    Ok(Reply { text, tokens, prompt_tokens, completion_tokens, truncated, refused: false, likely })
}

/// Reads the likeliest tokens of the first place of an answer where a word begins: spaces, brackets and marks before it are passed over. An answer
/// without a word has none; `None` where the server lists none.
fn likely(places: &Json) -> Option<Vec<(String, f64)>> {
    let word = |place: &&Json| place["token"].as_str().is_some_and(|t| t.contains(char::is_alphanumeric));
    let places = places.as_array().filter(|places| !places.is_empty())?;
    let Some(place) = places.iter().find(word) else { return Some(Vec::new()) };
    let token = |of: &Json| Some((of["token"].as_str()?.to_owned(), of["logprob"].as_f64()?));
    let listed: Vec<_> = place["top_logprobs"].as_array()?.iter().filter_map(token).collect();
    (!listed.is_empty()).then_some(listed)
}

/// Puts the events together that some servers send although nobody asked for a stream.
fn streamed(text: &str) -> Result<Json, String> {
    let (mut content, mut refusal, mut finish, mut usage) = (String::new(), String::new(), Json::Null, Json::Null);
    let mut places: Vec<Json> = Vec::new();
    for line in text.lines().filter_map(|l| l.strip_prefix("data:")).map(str::trim).filter(|l| *l != "[DONE]") {
        let event: Json = serde_json::from_str(line).map_err(|e| format!("an event of the reply is no JSON: {e}"))?;
        let choice = &event["choices"][0];
        content.push_str(choice["delta"]["content"].as_str().unwrap_or_default());
        refusal.push_str(choice["delta"]["refusal"].as_str().unwrap_or_default());
        places.extend(choice["logprobs"]["content"].as_array().into_iter().flatten().cloned());
        for (kept, new) in [(&mut finish, &choice["finish_reason"]), (&mut usage, &event["usage"])] {
            if !new.is_null() {
                kept.clone_from(new);
            }
        }
    }
    if finish.is_null() {
        return Err("the reply ends before its last event".to_owned());
    }
    let message = json!({ "content": content, "refusal": refusal });
    let choice = json!({ "message": message, "finish_reason": finish, "logprobs": { "content": places } });
    Ok(json!({ "choices": [choice], "usage": usage }))
}

fn transport(error: &ureq::Error) -> Class {
    match error {
        ureq::Error::Timeout(_) => Class::Timeout,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => Class::Denied,
        _ => Class::Network,
    }
}

/// Returns what an error body says: three shapes are in use, else the text itself.
fn said(text: &str) -> String {
    let body: Json = serde_json::from_str(text).unwrap_or(Json::Null);
    let shapes = [&body["error"]["message"], &body["error"], &body["message"], &body["detail"]];
    let found = shapes.iter().find_map(|v| v.as_str().map(str::to_owned));
    found.unwrap_or_else(|| text.chars().take(2048).collect())
}

fn classify(status: u16, message: &str) -> Class {
    let message = message.to_lowercase();
    let any = |words: &[&str]| words.iter().any(|w| message.contains(w));
    match status {
        401 | 403 | 404 => Class::Denied,
        408 | 409 | 425 | 429 => Class::Busy,
        500..=599 => Class::Server,
        _ if any(&["content_policy", "content policy", "content_filter", "content management"]) => Class::Refusal,
        _ if any(&["response_format", "json_schema", "guided"]) => Class::NoSchema,
        _ if any(&["context length", "maximum context", "too long", "image(s)", "too many images"]) => Class::TooLong,
        _ if any(&["image", "media", "decode"]) => Class::BadMedia,
        _ => Class::BadRequest,
    }
}

/// Reads `Retry-After`, seconds or an HTTP date, at most ten minutes.
fn retry_after(value: &str) -> Option<Duration> {
    const MOST: Duration = Duration::from_secs(600);
    if let Ok(seconds) = value.trim().parse::<f64>() {
        return (seconds >= 0.0).then(|| Duration::try_from_secs_f64(seconds).unwrap_or(MOST).min(MOST));
    }
    let at = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(value.trim()).ok()?;
    let seconds = at.as_second() - jiff::Timestamp::now().as_second();
    Some(Duration::from_secs(u64::try_from(seconds).unwrap_or(0)).min(MOST))
}
