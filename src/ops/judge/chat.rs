//! One request to a chat server that speaks OpenAI's protocol: what is sent, what comes back, and the class of every failure.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value as Json, json};

use crate::base::Digest;
use crate::data::blobs::Blobs;
use crate::data::picture::Picture;

/// A server and a model on it.
#[derive(Clone)]
pub struct Endpoint {
    /// Full URL of `chat/completions`.
    pub url: String,
    /// The served name.
    pub model: String,
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
        Self { url, model: model.to_owned(), key: key.filter(|k| !k.is_empty()) }
    }

    /// Takes the key out of a text that came from outside.
    fn scrubbed(&self, text: &str) -> String {
        self.key.as_ref().map_or_else(|| text.to_owned(), |key| text.replace(key.as_str(), "***"))
    }
}

/// A question to a model: pictures first, then text; the answer is a JSON object.
#[derive(Clone, Debug)]
pub struct Question {
    /// What the model is.
    pub system: String,
    /// Shown before the text, in order.
    pub pictures: Vec<Picture>,
    /// What is asked.
    pub text: String,
    /// JSON schema of the answer.
    pub schema: Json,
    /// Upper bound of the answer.
    pub max_tokens: u64,
}

impl Question {
    /// Returns the identity of a question to a model: the canonical request with each picture as the digest of its bytes.
    pub fn key(&self, endpoint: &Endpoint) -> Digest {
        let pictures: Vec<Json> = self.pictures.iter().map(|p| json!({ "media": p.digest })).collect();
        Digest::of_json(&json!({ "url": endpoint.url, "request": self.body(&endpoint.model, pictures, true) }))
    }

    /// Returns a generous guess of the tokens that asking costs: three bytes of text each, a picture by its area.
    pub fn cost(&self) -> u64 {
        let pictures: u64 = self.pictures.iter().map(|p| 64 + (p.width * p.height).max(0) as u64 / 784).sum();
        (self.system.len() + self.text.len()) as u64 / 3 + 200 + pictures + self.max_tokens
    }

    fn body(&self, model: &str, pictures: Vec<Json>, strict: bool) -> Json {
        let mut parts = pictures;
        parts.push(json!({ "type": "text", "text": self.text }));
        let format = if strict {
            json!({ "type": "json_schema", "json_schema": { "name": "answer", "schema": self.schema, "strict": true } })
        } else {
            json!({ "type": "json_object" })
        };
        // Temperature, top_p and seed always: a server fills what is missing from the model's own configuration.
        json!({
            "model": model,
            "messages": [{ "role": "system", "content": self.system }, { "role": "user", "content": parts }],
            "temperature": 0, "top_p": 1, "seed": 0, "max_tokens": self.max_tokens, "n": 1,
            "response_format": format,
        })
    }
}

/// An answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// What the model said.
    pub text: String,
    /// Tokens of question and answer as the server counts them; 0 if it does not.
    pub tokens: u64,
    /// The answer met `max_tokens`.
    pub truncated: bool,
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
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
    Refused,
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
    /// No answer in the protocol.
    Garbled,
}

impl Class {
    /// Says how often the same request is worth sending again.
    pub fn retries(self, most: u32) -> u32 {
        match self {
            Self::TooLong | Self::BadMedia | Self::NoSchema | Self::BadRequest | Self::Refused => 0,
            Self::Empty => most.min(1),
            Self::Timeout => most.min(2),
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
        Failure { class, message: short, after: None }
    };
    let mut pictures = Vec::with_capacity(question.pictures.len());
    for picture in &question.pictures {
        let bytes = picture.bytes(blobs).map_err(|e| fail(Class::BadMedia, &e.message))?;
        let data = base64::engine::general_purpose::STANDARD.encode(bytes);
        let url = format!("data:{};base64,{data}", picture.media);
        pictures.push(json!({ "type": "image_url", "image_url": { "url": url } }));
    }
    let mut request = client
        .post(&endpoint.url)
        .header("content-type", "application/json")
        .header("x-request-id", question.key(endpoint).short());
    if let Some(key) = &endpoint.key {
        request = request.header("authorization", format!("Bearer {key}"));
    }
    let body = question.body(&endpoint.model, pictures, strict).to_string();
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
    answer(&text).map_err(|(class, why)| fail(class, &why))
}

fn answer(text: &str) -> Result<Reply, (Class, String)> {
    let reply: Json = serde_json::from_str(text).map_err(|e| (Class::Garbled, format!("the reply is no JSON: {e}")))?;
    let choice = &reply["choices"][0];
    let message =
        choice.get("message").ok_or_else(|| (Class::Garbled, format!("the reply has no choices: {}", said(text))))?;
    let content = message["content"].as_str().unwrap_or_default();
    if content.trim().is_empty() {
        let why = message["refusal"].as_str().unwrap_or("the reply has no content");
        return Err((Class::Empty, why.to_owned()));
    }
    let usage = &reply["usage"];
    let counted = |name: &str| usage[name].as_u64().unwrap_or(0);
    let tokens =
        usage["total_tokens"].as_u64().unwrap_or_else(|| counted("prompt_tokens") + counted("completion_tokens"));
    Ok(Reply { text: content.to_owned(), tokens, truncated: choice["finish_reason"] == "length" })
}

fn transport(error: &ureq::Error) -> Class {
    match error {
        ureq::Error::Timeout(_) => Class::Timeout,
        ureq::Error::BadUri(_) | ureq::Error::Http(_) | ureq::Error::InvalidProxyUrl => Class::Refused,
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
        401 | 403 | 404 => Class::Refused,
        408 | 409 | 425 | 429 => Class::Busy,
        500..=599 => Class::Server,
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
