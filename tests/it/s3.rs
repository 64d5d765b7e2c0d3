//! A real S3 server (moto, from PyPI) and a proxy before it that breaks answers on purpose.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::python;

const PACKAGES: [&str; 3] = ["moto[s3]==5.2.5", "flask==3.1.3", "flask-cors==6.0.5"];

/// A running server with a bucket `share`; it ends with this value.
pub struct S3 {
    child: Child,
    pub port: u16,
}

impl Drop for S3 {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl S3 {
    /// Installs and starts the server; nothing where there is no Python or no registry.
    pub fn start() -> Option<Self> {
        let python = install()?;
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let child = Command::new(python)
            .args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &port.to_string()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { child, port };
        // Never through a proxy of the machine's.
        let agent = ureq::Agent::new_with_config(ureq::Agent::config_builder().proxy(None).build());
        for _ in 0..300 {
            if agent.put(format!("http://127.0.0.1:{port}/share")).send_empty().is_ok() {
                return Some(server);
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("the S3 server did not start");
    }
}

/// Returns the Python of an environment that has the server.
fn install() -> Option<PathBuf> {
    let python = python::environment("moto-5.2.5", &PACKAGES);
    if python.is_none() {
        eprintln!("SKIPPED: no S3 server could be installed from PyPI, nothing was tested against S3");
    }
    python
}

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
}

/// Breaks the first answers to requests that match.
pub struct Proxy {
    pub port: u16,
    /// Requests that arrived.
    pub requests: Arc<AtomicUsize>,
    /// Answers that were broken.
    pub broken: Arc<AtomicUsize>,
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
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Arc::new(Mutex::new(Plan { fault: Fault::Hang, method: "GET", path: "/", left: 0 }));
        let proxy = Self { port, requests: Arc::default(), broken: Arc::default(), plan, on: Arc::new(true.into()) };
        let (plan, requests, broken) = (proxy.plan.clone(), proxy.requests.clone(), proxy.broken.clone());
        let on = proxy.on.clone();
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                if !on.load(Ordering::Relaxed) {
                    return;
                }
                let (plan, requests, broken) = (plan.clone(), requests.clone(), broken.clone());
                // A client that hangs up in the middle is part of the test.
                std::thread::spawn(move || serve(client, upstream, &plan, &requests, &broken));
            }
        });
        proxy
    }

    /// Breaks the next `times` answers to requests of a method whose path holds a text.
    pub fn set(&self, fault: Fault, method: &'static str, path: &'static str, times: usize) {
        self.broken.store(0, Ordering::Relaxed);
        self.requests.store(0, Ordering::Relaxed);
        *self.plan.lock().unwrap() = Plan { fault, method, path, left: times };
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.on.store(false, Ordering::Relaxed);
        let _ = TcpStream::connect(("127.0.0.1", self.port));
    }
}

/// One request, one connection.
fn serve(
    mut client: TcpStream,
    upstream: u16,
    plan: &Mutex<Plan>,
    requests: &AtomicUsize,
    broken: &AtomicUsize,
) -> Option<()> {
    let (head, mut body) = read_head(&mut client)?;
    let length = header(&head, "content-length").and_then(|v| v.parse().ok()).unwrap_or(0);
    read_to(&mut client, &mut body, length)?;
    requests.fetch_add(1, Ordering::Relaxed);
    let first = head.lines().next()?.to_owned();
    let fault = {
        let mut plan = plan.lock().ok()?;
        let hit = plan.left > 0 && first.starts_with(plan.method) && first.contains(plan.path);
        if hit {
            plan.left -= 1;
            broken.fetch_add(1, Ordering::Relaxed);
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
    let mut server = TcpStream::connect(("127.0.0.1", upstream)).ok()?;
    server.write_all(format!("{}\r\n\r\n", with(&head, "Connection", "close")).as_bytes()).ok()?;
    server.write_all(&body).ok()?;
    let (mut answer, mut sent) = read_head(&mut server)?;
    server.read_to_end(&mut sent).ok()?;
    answer = with(&answer, "Connection", "close");
    match fault {
        Some(Fault::Cut) => sent.truncate(sent.len() / 2),
        Some(Fault::Flip) if !sent.is_empty() => {
            let at = sent.len() / 2;
            sent[at] ^= 1;
        }
        Some(Fault::Short) => {
            sent.truncate(sent.len() / 2);
            answer = with(&answer, "Content-Length", &sent.len().to_string());
        }
        _ => {}
    }
    client.write_all(format!("{answer}\r\n\r\n").as_bytes()).ok()?;
    client.write_all(&sent).ok()
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
