//! A server on this machine that answers every question with the simplest object that its schema allows.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};

use serde_json::{Map, Value as Json, json};

/// A question longer than this is no question.
const LONGEST: usize = 64 << 20;

/// The server. It answers until the process ends.
pub struct Judge {
    port: u16,
}

impl Judge {
    /// Starts it.
    ///
    /// # Errors
    /// No port is free.
    pub fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let port = listener.local_addr()?.port();
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                std::thread::spawn(move || {
                    // Whoever asks sees a failure by itself.
                    let _ = answer(stream);
                });
            }
        });
        Ok(Self { port })
    }

    /// Returns its address.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v1", self.port)
    }
}

fn answer(stream: TcpStream) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        if line.trim().is_empty() {
            break;
        }
        if let Some((name, value)) = line.split_once(':')
            && name.eq_ignore_ascii_case("content-length")
        {
            length = value.trim().parse().unwrap_or(0);
        }
    }
    let mut body = vec![0; std::cmp::min(length, LONGEST)];
    reader.read_exact(&mut body)?;
    let asked: Json = serde_json::from_slice(&body).unwrap_or_default();
    let likely = asked["logprobs"].as_bool().unwrap_or(false).then(|| {
        let token = json!({ "token": "A", "logprob": 0.0 });
        json!({ "content": [{ "token": "A", "logprob": 0.0, "top_logprobs": [token] }] })
    });
    let said = simplest(&asked["response_format"]["json_schema"]["schema"]).to_string();
    let reply = json!({
        "id": "rehearsal", "object": "chat.completion", "model": asked["model"],
        "choices": [{
            "index": 0, "finish_reason": "stop", "message": { "role": "assistant", "content": said }, "logprobs": likely,
        }],
        "usage": { "prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2 },
    })
    .to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        reply.len()
    );
    (&stream).write_all(head.as_bytes())?;
    (&stream).write_all(reply.as_bytes())
}

/// Returns the simplest value of a JSON schema; of numbers the largest, so that a judge is content.
fn simplest(schema: &Json) -> Json {
    if let Some(first) = schema["enum"].get(0) {
        return first.clone();
    }
    match schema["type"].as_str() {
        Some("object") => {
            let properties = schema["properties"].as_object().into_iter().flatten();
            properties.map(|(name, of)| (name.clone(), simplest(of))).collect::<Map<_, _>>().into()
        }
        Some("array") => {
            let count = schema["minItems"].as_u64().unwrap_or(0) as usize;
            vec![simplest(&schema["items"]); count].into()
        }
        Some("boolean") => json!(true),
        Some("integer") => schema.get("maximum").cloned().unwrap_or(json!(1)),
        Some("number") => schema.get("maximum").cloned().unwrap_or(json!(1.0)),
        _ => json!("rehearsal"),
    }
}
