//! Servers that nodes share: started once, looked after, and stopped when nobody needs them.
//!
//! A service is known by a name that says what runs there. The first node that opens it starts it; others find it running. It ends when the
//! scheduler says so, and with this process in any case.

use std::collections::BTreeMap;
use std::io::Read;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value as Json;

use super::child::Guardian;
use super::process::Group;
use crate::base::{OpError, phrase};

/// How to start a server.
pub struct Launch {
    /// Makes its command for a port of 127.0.0.1.
    pub command: Box<dyn Fn(u16) -> Command>,
    /// What to do where its program is not there.
    pub install: &'static str,
    /// Where everything goes that it writes.
    pub log: PathBuf,
    /// Kept as long as it runs: the folder that it reads.
    pub keep: tempfile::TempDir,
    /// How long it may take until it answers.
    pub deadline: Duration,
    /// What is asked of it once before anybody else may: some load their model at the first request, and badly at two.
    pub warm_up: Option<Json>,
}

/// How long a server that was asked to end may take.
const GRACE: Duration = Duration::from_secs(10);
/// How often a server is started again because another program took its port.
const PORTS: usize = 3;

/// A service that runs.
#[derive(Clone, Debug)]
pub struct Opened {
    /// Its address.
    pub url: String,
    /// The folder that it reads.
    pub folder: PathBuf,
}

struct Running {
    group: Group,
    opened: Opened,
    log: PathBuf,
    _guardian: Option<Guardian>,
    _keep: tempfile::TempDir,
}

type Place = Arc<Mutex<Option<Running>>>;

static SERVICES: LazyLock<Mutex<BTreeMap<String, Place>>> = LazyLock::new(|| Mutex::new(BTreeMap::new()));

/// Returns a service, starting it unless it runs. Two nodes that open one at the same time start it once.
///
/// # Errors
/// E0612 when its program is not there; `flaky` with the end of its log when it ends or does not answer in time; `preempted` when the run is stopped.
pub fn open(
    name: &str,
    launch: impl FnOnce() -> Result<Launch, OpError>,
    cancelled: &AtomicBool,
) -> Result<Opened, OpError> {
    let place = Arc::clone(held(&SERVICES).entry(name.to_owned()).or_default());
    let mut running = held(&place);
    if let Some(there) = running.as_ref().filter(|r| matches!(r.group.try_wait(), Ok(None))) {
        return Ok(there.opened.clone());
    }
    *running = None;
    let started = start(name, launch()?, cancelled)?;
    let opened = started.opened.clone();
    *running = Some(started);
    Ok(opened)
}

/// Says whether a service runs.
pub fn runs(name: &str) -> bool {
    let place = held(&SERVICES).get(name).map(Arc::clone);
    place.is_some_and(|p| held(&p).as_ref().is_some_and(|r| matches!(r.group.try_wait(), Ok(None))))
}

/// Returns the last lines that a service wrote.
pub fn last_words(name: &str) -> String {
    let place = held(&SERVICES).get(name).map(Arc::clone);
    place.and_then(|p| held(&p).as_ref().map(|r| tail(&r.log))).unwrap_or_default()
}

/// Stops a service: asks it, then kills it and what it started.
pub fn stop(name: &str) {
    let place = held(&SERVICES).remove(name);
    if let Some(running) = place.and_then(|p| held(&p).take()) {
        end(&running);
    }
}

fn end(running: &Running) {
    running.group.signal(libc::SIGTERM);
    let asked = Instant::now();
    while matches!(running.group.try_wait(), Ok(None)) && asked.elapsed() < GRACE {
        std::thread::sleep(Duration::from_millis(20));
    }
    running.group.signal(libc::SIGKILL);
}

fn start(name: &str, launch: Launch, cancelled: &AtomicBool) -> Result<Running, OpError> {
    let Launch { command, install, log, keep, deadline, warm_up } = launch;
    let log = log.as_path();
    let mut tries = 0;
    loop {
        tries += 1;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let file = std::fs::File::create(log)?;
        let mut command = command(port);
        let program = command.get_program().to_string_lossy().into_owned();
        command.stdin(Stdio::null()).stdout(file.try_clone()?).stderr(file).process_group(0);
        let child = command
            .spawn()
            .map_err(|e| OpError::new("E0612", format!("cannot start `{program}`: {e}")).help(install.to_owned()))?;
        let guardian = Guardian::of(child.id());
        let url = format!("http://127.0.0.1:{port}");
        let group = Group(Mutex::new(child));
        match answers(&group, &url, deadline, cancelled) {
            Ready::Yes => {
                if let Some(body) = &warm_up {
                    let client: ureq::Agent = ureq::Agent::config_builder()
                        .http_status_as_error(false)
                        .timeout_global(Some(deadline))
                        .build()
                        .into();
                    // What is wrong with it the first real request will say.
                    let _ = client.post(format!("{url}/v1/chat/completions")).send_json(body);
                }
                let opened = Opened { url, folder: keep.path().to_owned() };
                return Ok(Running { group, opened, log: log.to_owned(), _guardian: guardian, _keep: keep });
            }
            Ready::Stopped => {
                group.signal(libc::SIGKILL);
                return Err(OpError::stopped());
            }
            Ready::Ended if tries < PORTS && tail(log).contains("ddress already in use") => {}
            Ready::Ended => {
                return Err(OpError::new(
                    "E0612",
                    format!("the server `{name}` ended at its start; it said last:\n{}", tail(log)),
                )
                .help(format!("its whole output lies in {}", log.display())));
            }
            Ready::Late => {
                group.signal(libc::SIGKILL);
                let seconds = deadline.as_secs();
                return Err(OpError::new(
                    "E0612",
                    format!("the server `{name}` did not answer within {seconds} s; it said last:\n{}", tail(log)),
                )
                .class("flaky")
                .help(format!("its whole output lies in {}", log.display())));
            }
        }
    }
}

enum Ready {
    Yes,
    Ended,
    Late,
    Stopped,
}

/// Waits until a server answers, ends, or is over its deadline.
fn answers(group: &Group, url: &str, deadline: Duration, cancelled: &AtomicBool) -> Ready {
    let client: ureq::Agent = ureq::Agent::config_builder().timeout_global(Some(Duration::from_secs(5))).build().into();
    let started = Instant::now();
    loop {
        if cancelled.load(Ordering::Relaxed) {
            return Ready::Stopped;
        }
        if !matches!(group.try_wait(), Ok(None)) {
            return Ready::Ended;
        }
        // Some servers have only one of the two.
        if ["/health", "/v1/models"].iter().any(|path| client.get(format!("{url}{path}")).call().is_ok()) {
            return Ready::Yes;
        }
        if started.elapsed() > deadline {
            return Ready::Late;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

/// The last 40 lines of a log.
fn tail(log: &Path) -> String {
    let mut bytes = Vec::new();
    let _ = std::fs::File::open(log).and_then(|mut f| f.read_to_end(&mut bytes));
    phrase::last_lines(&String::from_utf8_lossy(&bytes), 40)
}

fn held<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
