//! A server on this machine that speaks the protocol of chat servers and does what a script says, failures included.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value as Json, json};

/// What the server does with a request.
#[derive(Clone)]
pub enum Act {
    /// 200 with this answer.
    Say(Json),
    /// 200 with this text as the answer.
    Text(String),
    /// 200 with this text as the answer, and as its `logprobs` these of its first word.
    Likely(String, Json),
    /// This status, headers and body.
    Fail(u16, &'static str, &'static str),
    /// 200 with a refusal instead of an answer.
    Refuse,
    /// Cuts the connection in the middle of the body.
    Cut,
    /// Says nothing until the client hangs up.
    Wait,
}

/// A chat server: `act` sees the number of the request and its body.
pub struct Server {
    pub url: String,
    seen: Arc<Mutex<Vec<(String, Json)>>>,
    told: Arc<Told>,
}

/// What it says of itself, by path, and how often it was asked that.
#[derive(Default)]
struct Told {
    answers: Mutex<BTreeMap<String, Json>>,
    asked: AtomicUsize,
}

impl Server {
    pub fn new(act: impl Fn(usize, &Json) -> Act + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let seen = Arc::new(Mutex::new(Vec::new()));
        let told = Arc::<Told>::default();
        let (log, about, act) = (Arc::clone(&seen), Arc::clone(&told), Arc::new(act));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (log, about, act) = (Arc::clone(&log), Arc::clone(&about), Arc::clone(&act));
                std::thread::spawn(move || serve(stream, &log, &about, act.as_ref()));
            }
        });
        Self { url, seen, told }
    }

    /// Lets it say something of itself; without, all such paths are 404.
    pub fn tells(&self, path: &str, answer: Json) {
        self.told.answers.lock().expect("a log").insert(path.to_owned(), answer);
    }

    /// Returns how often somebody asked what it is.
    pub fn asked_about(&self) -> usize {
        self.told.asked.load(Ordering::Relaxed)
    }

    /// Returns head and body of each request so far.
    pub fn requests(&self) -> Vec<(String, Json)> {
        self.seen.lock().expect("a log").clone()
    }
}

fn serve(mut stream: TcpStream, log: &Mutex<Vec<(String, Json)>>, told: &Told, act: &dyn Fn(usize, &Json) -> Act) {
    let mut reader = BufReader::new(stream.try_clone().expect("a stream"));
    let mut head = String::new();
    while reader.read_line(&mut head).is_ok_and(|n| n > 2) {}
    if let Some(path) = head.strip_prefix("GET ").and_then(|rest| rest.split(' ').next()) {
        told.asked.fetch_add(1, Ordering::Relaxed);
        let (status, body) = match told.answers.lock().expect("a log").get(path) {
            Some(answer) => (200, answer.to_string()),
            None => (404, "nothing here".to_owned()),
        };
        let length = body.len();
        let _ = write!(stream, "HTTP/1.1 {status} X\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{body}");
        return;
    }
    let length = head
        .lines()
        .find_map(|l| l.to_lowercase().strip_prefix("content-length:").and_then(|n| n.trim().parse().ok()))
        .unwrap_or(0);
    let mut body = vec![0; length];
    if reader.read_exact(&mut body).is_err() {
        return;
    }
    let body: Json = serde_json::from_slice(&body).expect("a JSON request");
    let number = {
        let mut log = log.lock().expect("a log");
        log.push((head, body.clone()));
        log.len() - 1
    };
    let reply = |content: &str| {
        json!({ "choices": [{ "message": { "role": "assistant", "content": content }, "finish_reason": "stop" }], "usage": { "total_tokens": 100, "prompt_tokens": 90, "completion_tokens": 10 } })
            .to_string()
    };
    let (status, headers, body, sent) = match act(number, &body) {
        Act::Say(answer) => (200, "", reply(&answer.to_string()), usize::MAX),
        Act::Text(text) => (200, "", reply(&text), usize::MAX),
        Act::Likely(text, tokens) => {
            let mut answer: Json = serde_json::from_str(&reply(&text)).expect("an answer");
            let mark = json!({ "token": " ", "logprob": -0.1, "top_logprobs": [{ "token": " ", "logprob": -0.1 }] });
            let word = json!({ "token": text, "logprob": -0.1, "top_logprobs": tokens });
            answer["choices"][0]["logprobs"] = json!({ "content": [mark, word] });
            (200, "", answer.to_string(), usize::MAX)
        }
        Act::Refuse => {
            let message = json!({ "role": "assistant", "content": null, "refusal": "I will not say." });
            (200, "", json!({ "choices": [{ "message": message, "finish_reason": "stop" }] }).to_string(), usize::MAX)
        }
        Act::Wait => {
            let _ = reader.read(&mut [0]);
            return;
        }
        Act::Fail(status, headers, body) => (status, headers, body.to_owned(), usize::MAX),
        Act::Cut => (200, "", reply("{}"), 20),
    };
    let head = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\nconnection: close\r\n{headers}\r\n", body.len());
    let _ = stream.write_all(head.as_bytes());
    let _ = stream.write_all(&body.as_bytes()[..body.len().min(sent)]);
}

/// Returns the text of the message, its last part.
pub fn text_of(body: &Json) -> String {
    let message = body["messages"].as_array().and_then(|m| m.last()).map(|m| m["content"].clone()).unwrap_or_default();
    message.as_array().and_then(|p| p.last()).and_then(|p| p["text"].as_str()).unwrap_or_default().to_owned()
}
