//! A proxy before a server of objects: it breaks answers on purpose, and lets one that speaks S3 answer as Google's.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

/// What the proxy does to an answer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Fault {
    /// Closes the connection without a word.
    Hang,
    /// Says 500.
    Stumble,
    /// Sends half of the body and closes.
    Cut,
    /// Flips a bit of the body.
    Flip,
    /// Says that the body is half as long, and sends that half.
    Short,
    /// Sends half of the body, and then nothing until the client hangs up.
    Stall,
    /// The same with a flipped bit at [`LIE`].
    Lie,
}

/// Which byte of a body a lie is about.
pub const LIE: usize = 300_000;

/// What it puts between its client and the server.
#[derive(Clone, Copy, PartialEq)]
enum Dialect {
    Same,
    /// The XML API of Google's storage is S3's, but for how a condition is put and that objects have generations.
    Google,
}

/// Breaks the first answers to requests that match.
pub struct Proxy {
    pub port: u16,
    /// Requests that arrived.
    pub requests: Arc<AtomicUsize>,
    /// Answers that were broken.
    pub broken: Arc<AtomicUsize>,
    /// What was asked for with `GET`: paths, the range if one was named, and how many bytes were sent.
    asked: Arc<Mutex<Vec<(String, Option<String>, usize)>>>,
    plan: Arc<Mutex<Plan>>,
    on: Arc<AtomicBool>,
}

#[derive(Clone, Copy)]
struct Plan {
    fault: Fault,
    method: &'static str,
    path: &'static str,
    left: usize,
}

impl Proxy {
    pub fn before(upstream: u16) -> Self {
        Self::speaking(Dialect::Same, upstream)
    }

    /// Lets a server of S3 answer as Google's does.
    pub fn as_google(upstream: u16) -> Self {
        Self::speaking(Dialect::Google, upstream)
    }

    fn speaking(dialect: Dialect, upstream: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::new(Mutex::new(Plan { fault: Fault::Hang, method: "GET", path: "/", left: 0 }));
        let (requests, broken, asked) = Default::default();
        let proxy = Self { port, requests, broken, asked, plan, on: Arc::new(true.into()) };
        let seen = Seen { requests: proxy.requests.clone(), broken: proxy.broken.clone(), asked: proxy.asked.clone() };
        let (plan, on) = (proxy.plan.clone(), proxy.on.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !on.load(Ordering::Relaxed) {
                    return;
                }
                let (plan, seen) = (plan.clone(), seen.clone());
                // A client that hangs up in the middle is part of the test.
                std::thread::spawn(move || serve(client, upstream, dialect, &plan, &seen));
            }
        });
        proxy
    }

    /// Breaks the next `times` answers to requests of a method whose path holds a text.
    pub fn set(&self, fault: Fault, method: &'static str, path: &'static str, times: usize) {
        self.broken.store(0, Ordering::Relaxed);
        self.requests.store(0, Ordering::Relaxed);
        self.asked.lock().unwrap().clear();
        *self.plan.lock().unwrap() = Plan { fault, method, path, left: times };
    }
}

impl Proxy {
    /// Ranges that were asked for, and bytes that were sent, of what has a text in its path.
    pub fn asked(&self, path: &str) -> (Vec<Option<String>>, usize) {
        let asked = self.asked.lock().unwrap();
        let those = asked.iter().filter(|(p, ..)| p.contains(path));
        (those.clone().map(|(_, range, _)| range.clone()).collect(), those.map(|(.., sent)| sent).sum())
    }
}

/// What a proxy notes.
#[derive(Clone)]
struct Seen {
    requests: Arc<AtomicUsize>,
    broken: Arc<AtomicUsize>,
    asked: Arc<Mutex<Vec<(String, Option<String>, usize)>>>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.on.store(false, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One request, one connection.
fn serve(mut client: TcpStream, upstream: u16, dialect: Dialect, plan: &Mutex<Plan>, seen: &Seen) -> Option<()> {
    let (mut head, mut body) = read_head(&mut client)?;
    let length = header(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    read_to(&mut client, &mut body, length)?;
    seen.requests.fetch_add(1, Ordering::Relaxed);
    let first = head.lines().next()?.to_owned();
    let fault = {
        let mut plan = plan.lock().ok()?;
        let hit = plan.left > 0 && first.starts_with(plan.method) && first.replace("%2F", "/").contains(plan.path);
        if hit {
            plan.left -= 1;
            seen.broken.fetch_add(1, Ordering::Relaxed);
        }
        hit.then_some(plan.fault)
    };
    match fault {
        Some(Fault::Hang) => return None,
        Some(Fault::Stumble) => {
            let answer = "HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
            return client.write_all(answer.as_bytes()).ok();
        }
        _ => {}
    }
    if dialect == Dialect::Google && header(&head, "x-goog-if-generation-match") == Some("0") {
        head = with(&head, "If-None-Match", "*");
    }
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
    server.write_all(format!("{}\r\n\r\n", with(&head, "Connection", "close")).as_bytes()).ok()?;
    server.write_all(&body).ok()?;
    let (mut answer, mut sent) = read_head(&mut server)?;
    server.read_to_end(&mut sent).ok()?;
    answer = with(&answer, "Connection", "close");
    if dialect == Dialect::Google {
        answer = with(&answer, "x-goog-generation", "1");
    }
    let whole = sent.len();
    match fault {
        Some(Fault::Cut | Fault::Stall) => sent.truncate(sent.len() / 2),
        Some(Fault::Flip) if !sent.is_empty() => {
            let at = sent.len() / 2;
            sent[at] ^= 1;
        }
        Some(Fault::Short) => {
            sent.truncate(sent.len() / 2);
            answer = with(&answer, "Content-Length", &sent.len().to_string());
        }
        Some(Fault::Lie) => {
            sent[LIE] ^= 1;
            sent.truncate(whole / 2);
        }
        _ => {}
    }
    if first.starts_with("GET") {
        let range = header(&head, "range").map(str::to_owned);
        seen.asked.lock().ok()?.push((first.replace("%2F", "/"), range, sent.len()));
    }
    client.write_all(format!("{answer}\r\n\r\n").as_bytes()).ok()?;
    client.write_all(&sent).ok()?;
    if matches!(fault, Some(Fault::Stall | Fault::Lie)) {
        let _ = client.read(&mut [0]);
    }
    Some(())
}

/// Reads up to the blank line; what follows it is part of the body.
fn read_head(stream: &mut TcpStream) -> Option<(String, Vec<u8>)> {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") {
            let body = bytes.split_off(end + 4);
            return Some((String::from_utf8_lossy(&bytes[..end]).into_owned(), body));
        }
        let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        bytes.extend_from_slice(&buffer[..n]);
    }
}

fn read_to(stream: &mut TcpStream, body: &mut Vec<u8>, length: usize) -> Option<()> {
    let mut buffer = vec![0; 1 << 16];
    while body.len() < length {
        let n = stream.read(&mut buffer).ok().filter(|n| *n > 0)?;
        body.extend_from_slice(&buffer[..n]);
    }
    Some(())
}

fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    head.lines().filter_map(|l| l.split_once(':')).find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.trim())
}

fn with(head: &str, name: &str, value: &str) -> String {
    let kept = head.lines().filter(|l| !l.split(':').next().is_some_and(|n| n.eq_ignore_ascii_case(name)));
    kept.chain([format!("{name}: {value}").as_str()]).collect::<Vec<_>>().join("\r\n")
}
