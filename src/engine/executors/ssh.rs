//! Another machine over OpenSSH: `rbpipe node` there takes the order from its standard input and ends when that closes, so a killed run leaves nothing
//! behind. The machine shares the store's folder, or has a store of its own to which blobs are carried over the same connection.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::atomic::Ordering;
use std::sync::{OnceLock, mpsc};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};

use super::worker::{self, Order, VERSION};
use super::{Executor, Work, carry, checkpoints, shell_word};
use crate::base::{Digest, OpError};
use crate::engine::FileRef;
use crate::engine::artifact::Artifact;
use crate::engine::capacity::{Capacity, Facts, Machine};
use crate::engine::node::task::{Made, Outcome};
use crate::engine::storage::files;
use crate::engine::storage::reach::Reach;
use crate::engine::storage::store::Store;
use crate::plan::Node;
use crate::spec::user_op;

/// How long the far end may take to end once it was asked to.
const GRACE: Duration = Duration::from_secs(30);

/// What the site file says of a machine.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(default)]
pub struct SshSite {
    /// As `ssh` takes it: a name of `~/.ssh/config`, or `user@host`.
    pub host: String,
    /// Further options of `ssh`.
    pub options: Vec<String>,
    /// Lines of shell before anything else.
    pub setup: Option<String>,
    /// The program there; without it the one in its PATH.
    pub rbpipe: Option<String>,
    /// The engine there; without it, what `rbpipe` there finds.
    pub engine: Option<String>,
    /// The store there; without it the one of this machine, by the same path.
    pub store: Option<String>,
    /// What the machine may use, over what it says itself.
    #[serde(flatten)]
    pub facts: Facts,
}

/// What `rbpipe node --facts` says.
#[derive(Debug, Serialize, Deserialize)]
pub struct About {
    /// Its version.
    pub version: String,
    /// Cores.
    pub cpus: usize,
    /// Bytes.
    pub mem: u64,
    /// GPUs, by the names that CUDA knows them by.
    pub gpus: Vec<String>,
}

/// Executes nodes on a machine that `ssh` reaches.
pub struct Ssh {
    name: String,
    site: SshSite,
    /// Where the shared connection has its socket.
    control: OnceLock<Option<tempfile::TempDir>>,
    machine: OnceLock<Result<Machine, (String, Option<String>)>>,
}

impl Ssh {
    /// Makes the executor that the site file calls `name`; connects when it is first needed.
    pub fn new(name: &str, site: SshSite) -> Self {
        Self { name: name.to_owned(), site, control: OnceLock::new(), machine: OnceLock::new() }
    }

    /// Returns an `ssh` that runs a command there.
    fn command(&self, node: &str) -> Command {
        let mut ssh = Command::new("ssh");
        // Nobody is there to answer questions; a connection that is dead is found dead within a minute.
        ssh.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=15"]);
        ssh.args(["-o", "ServerAliveInterval=15", "-o", "ServerAliveCountMax=4"]);
        if let Some(folder) = self.control.get_or_init(|| tempfile::tempdir().ok()) {
            let socket = folder.path().join("%C").display().to_string();
            ssh.args(["-o", "ControlMaster=auto", "-o", "ControlPersist=60", "-o", &format!("ControlPath={socket}")]);
        }
        ssh.args(&self.site.options).arg(&self.site.host);
        let mut script = String::new();
        if let Some(setup) = &self.site.setup {
            script += &format!("{}\n", setup.trim_end());
        }
        if let Some(engine) = &self.site.engine {
            script += &format!("export RBPIPE_ENGINE={}\n", shell_word(engine));
        }
        let rbpipe = self.site.rbpipe.as_deref().unwrap_or("rbpipe");
        script += &format!("exec {} node {node}", shell_word(rbpipe));
        // The shell of the account may be any; this one is everywhere. An interrupt of the terminal is ours to pass on.
        ssh.arg(format!("sh -c {}", shell_word(&script))).process_group(0);
        ssh
    }

    fn machine(&self) -> Result<&Machine, OpError> {
        let found = self.machine.get_or_init(|| self.ask().map_err(|e| (e.message, e.help)));
        found.as_ref().map_err(|(message, help)| {
            let e = OpError::new("E0623", message.clone());
            if let Some(help) = help { e.help(help.clone()) } else { e }
        })
    }

    fn ask(&self) -> Result<Machine, OpError> {
        let host = &self.site.host;
        let out = self.command("--facts").stdin(Stdio::null()).output();
        let out = out
            .map_err(|e| OpError::new("E0623", format!("cannot start `ssh`: {e}")).help("install OpenSSH's client"))?;
        if !out.status.success() {
            let said = String::from_utf8_lossy(&out.stderr);
            let said = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("it said nothing");
            let (what, help) = match out.status.code() {
                Some(255) => ("cannot be reached", "try `ssh HOST true`: it must work without a question, by a key"),
                _ => (
                    "does not run `rbpipe`",
                    "install rbpipe there, or let the site file name it with `rbpipe: \"PATH\"`",
                ),
            };
            return Err(OpError::new("E0623", format!("`{host}` {what}: {said}")).help(help));
        }
        let about: About = serde_json::from_slice(&out.stdout).map_err(|_| {
            OpError::new("E0623", format!("`{host}` printed no facts: {}", String::from_utf8_lossy(&out.stdout).trim()))
                .help("nothing in its shell's start-up files may print where no terminal is")
        })?;
        if about.version != VERSION {
            return Err(OpError::new(
                "E0623",
                format!("rbpipe on `{host}` is version {}, this one is {VERSION}", about.version),
            )
            .help("install the same version there, or let the site file name it with `rbpipe: \"PATH\"`"));
        }
        let (cpus, mem, gpus) = (about.cpus, about.mem, about.gpus);
        Ok(self.site.facts.over(Machine { cpus, mem, gpus, at_most: BTreeMap::new() }))
    }

    /// Writes down what the far end shall do; with a store of its own, in its own paths.
    fn order(&self, store: &Store, work: &Work) -> Result<Order, OpError> {
        let (name, key, log) = (work.name.to_owned(), work.key, work.log.clone());
        let (task, files) = (work.task.clone(), BTreeMap::new());
        let mut order = Order { version: VERSION.into(), name, key, task, log, parts: None, files, alone: false };
        if let Some(far) = &self.site.store {
            let far = Path::new(far);
            order.alone = true;
            order.log = far.join("logs").join(work.log.file_name().unwrap_or_default());
            order.task.checkpoints = order.task.checkpoints.map(|_| checkpoints(far, work.key));
            order.task.store = far.to_path_buf();
            if order.task.op == user_op::RUN {
                order.files = files_of(store, &order.task.folder, &order.task.args)?;
            }
        }
        Ok(order)
    }

    /// Runs an order and stays with it.
    fn converse(&self, order: &Order, work: &Work) -> Result<Made, OpError> {
        let mut child =
            self.command("-").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let mut stdin = child.stdin.take();
        say(&mut stdin, &serde_json::to_string(order)?);
        say(&mut stdin, &json!(work.secrets).to_string());
        let (send, lines) = mpsc::channel::<String>();
        let stdout = child.stdout.take();
        let reader = std::thread::spawn(move || {
            let lines = stdout.into_iter().flat_map(|out| BufReader::new(out).lines().map_while(Result::ok));
            lines.for_each(|line| {
                let _ = send.send(line);
            });
        });
        let stderr = child.stderr.take();
        let errors = std::thread::spawn(move || {
            let mut text = String::new();
            stderr.map(|mut e| std::io::Read::read_to_string(&mut e, &mut text));
            text
        });
        let mut connected = false;
        let mut asked: Option<Instant> = None;
        let mut outcome: Option<Outcome> = None;
        loop {
            match lines.recv_timeout(Duration::from_millis(100)) {
                Ok(line) => {
                    connected = true;
                    outcome = worker::hear(&line, work.emit).or(outcome);
                    continue;
                }
                Err(mpsc::RecvTimeoutError::Disconnected) => break,
                Err(mpsc::RecvTimeoutError::Timeout) => {}
            }
            let now = work.stop.now.load(Ordering::Relaxed);
            if now || asked.is_some_and(|at| at.elapsed() > GRACE) {
                // The far end ends what it runs when its input closes.
                stdin = None;
                if now {
                    let _ = child.kill();
                    break;
                }
            } else if work.stop.soon.load(Ordering::Relaxed) && asked.is_none() {
                say(&mut stdin, "stop");
                asked = Some(Instant::now());
            }
        }
        drop(stdin);
        let status = child.wait()?;
        let _ = reader.join();
        let said = errors.join().unwrap_or_default();
        let last = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("no word");
        match outcome {
            Some(outcome) => outcome.made(),
            None if asked.is_some() || work.stop.now.load(Ordering::Relaxed) => Err(OpError::stopped()),
            None if connected => {
                let message = format!("the connection to `{}` broke off ({status}): {last}", self.site.host);
                Err(OpError::new("E0612", message).class("preempted"))
            }
            None => {
                Err(OpError::new("E0623", format!("`{}` did not take the node ({status}): {last}", self.site.host))
                    .class("flaky"))
            }
        }
    }

    /// Sends the blobs that a node reads and that the far store does not have.
    fn send(&self, store: &Store, far: &str, order: &Order, work: &Work) -> Result<(), OpError> {
        let mut reach = Reach::new(store);
        let mut needed: BTreeSet<Digest> = order.files.values().map(|f| f.digest).collect();
        for artifact in order.task.inputs.values() {
            needed.extend(reach.artifact(artifact).all());
        }
        let sizes = needed.iter().filter_map(|d| Some((*d, std::fs::metadata(store.path(*d)).ok()?.len())));
        let list: String = sizes.map(|(digest, bytes)| format!("{} {bytes}\n", digest.hex())).collect();
        let there = format!("--lacks {}", shell_word(far));
        let lacking = self.exchange(&there, &mut |input| input.write_all(list.as_bytes()), &mut |out| {
            let mut text = String::new();
            out.read_to_string(&mut text)?;
            Ok(text.lines().filter_map(Digest::parse).collect::<Vec<_>>())
        })?;
        if lacking.is_empty() {
            return Ok(());
        }
        let mut sent = 0;
        let give = &mut |input: &mut ChildStdin| {
            sent = carry::give(store, lacking.iter().copied(), &mut std::io::BufWriter::new(input))?;
            Ok(())
        };
        self.exchange(&format!("--take {}", shell_word(far)), give, &mut |_| Ok(()))?;
        (work.emit)("node_sent", json!({ "bytes": sent, "blobs": lacking.len(), "to": self.name }));
        Ok(())
    }

    /// Brings the blobs of a result, and what its rows name, that this store does not have.
    fn bring(&self, store: &Store, far: &str, made: &Made, work: &Work) -> Result<(), OpError> {
        let mut named: BTreeSet<Digest> =
            made.outputs.values().flat_map(|artifact| artifact.files.values().map(|f| f.digest)).collect();
        let mut bytes = 0;
        // First the files of the result, then what these name.
        for _ in 0..2 {
            let absent = |digest: &Digest| !store.path(*digest).exists();
            let lacking: Vec<Digest> = named.iter().copied().filter(absent).collect();
            if !lacking.is_empty() {
                let list: String = lacking.iter().map(|digest| format!("{}\n", digest.hex())).collect();
                let there = format!("--give {}", shell_word(far));
                let ask = &mut |input: &mut ChildStdin| input.write_all(list.as_bytes());
                bytes += self.exchange(&there, ask, &mut |out| carry::take(store, out))?;
            }
            let mut reach = Reach::new(store);
            made.outputs.values().for_each(|artifact| named.extend(reach.artifact(artifact).all()));
        }
        (work.emit)("node_brought", json!({ "bytes": bytes, "from": self.name }));
        let whole = |artifact: &Artifact| artifact.files.values().all(|file| store.holds(*file));
        if made.outputs.values().all(whole) {
            return Ok(());
        }
        let message = format!("`{}` did not send all that the node made", self.site.host);
        Err(OpError::new("E0612", message).class("flaky"))
    }

    /// Runs a command there, writes to it and reads from it at the same time.
    fn exchange<T: Send>(
        &self,
        node: &str,
        write: &mut (dyn FnMut(&mut ChildStdin) -> std::io::Result<()> + Send),
        read: &mut (dyn FnMut(&mut dyn BufRead) -> std::io::Result<T> + Send),
    ) -> Result<T, OpError> {
        let mut child: Child =
            self.command(node).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
        let (stdin, stdout, stderr) = (child.stdin.take(), child.stdout.take(), child.stderr.take());
        let (written, got, said) = std::thread::scope(|scope| {
            let writing = scope.spawn(move || stdin.map_or(Ok(()), |mut input| write(&mut input)));
            let errors = scope.spawn(move || {
                let mut text = String::new();
                stderr.map(|mut e| std::io::Read::read_to_string(&mut e, &mut text));
                text
            });
            let got = stdout.map(|out| read(&mut BufReader::new(out)));
            let broke = || std::io::Error::other("a thread of this exchange died");
            (writing.join().unwrap_or_else(|_| Err(broke())), got, errors.join().unwrap_or_default())
        });
        let status = child.wait()?;
        let failed = |why: String| {
            let last = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or(&why).to_owned();
            OpError::new("E0612", format!("carrying bytes to or from `{}` failed: {last}", self.site.host))
                .class("flaky")
        };
        match (status.success(), written, got) {
            (true, Ok(()), Some(Ok(got))) => Ok(got),
            (_, _, Some(Err(e))) | (_, Err(e), _) => Err(failed(e.to_string())),
            _ => Err(failed(status.to_string())),
        }
    }
}

impl Executor for Ssh {
    fn capacity(&self) -> Capacity {
        match self.machine() {
            Ok(machine) => Capacity::Machine(machine.clone(), machine.cpus.max(1)),
            // Whoever executes a node there hears why it cannot be reached.
            Err(_) => Capacity::Queue(1),
        }
    }

    fn refuses(&self, _: &Node) -> Option<OpError> {
        self.machine().err()
    }

    fn execute(&self, store: &Store, work: &Work) -> Result<Made, OpError> {
        self.machine()?;
        let order = self.order(store, work)?;
        let Some(far) = &self.site.store else { return self.converse(&order, work) };
        self.send(store, far, &order, work)?;
        let made = self.converse(&order, work);
        let log = self.exchange(
            &format!("--log {}", shell_word(&order.log.display().to_string())),
            &mut |_| Ok(()),
            &mut |out| {
                let mut text = Vec::new();
                out.read_to_end(&mut text)?;
                Ok(text)
            },
        );
        if let Ok(text) = log {
            // A log that cannot be kept must not fail the node.
            let _ = std::fs::write(&work.log, text);
        }
        let made = made?;
        self.bring(store, far, &made, work)?;
        store.commit()?;
        Ok(made)
    }
}

impl Drop for Ssh {
    fn drop(&mut self) {
        if let Some(Some(folder)) = self.control.get() {
            let socket = folder.path().join("%C").display().to_string();
            let mut ssh = Command::new("ssh");
            ssh.args(["-O", "exit", "-o", &format!("ControlPath={socket}")]).args(&self.site.options);
            let _ = ssh.arg(&self.site.host).stdin(Stdio::null()).output();
        }
    }
}

/// Says a line; one that has ended hears nothing.
fn say(stdin: &mut Option<ChildStdin>, line: &str) {
    if let Some(stdin) = stdin {
        let _ = writeln!(stdin, "{line}").and_then(|()| stdin.flush());
    }
}

/// Takes the files of an operator of the user's into the store, by their names below the recipe's folder.
fn files_of(store: &Store, folder: &Path, args: &Json) -> Result<BTreeMap<String, FileRef>, OpError> {
    let named = args["files"].as_array().into_iter().flatten().chain(std::iter::once(&args["env"]));
    let mut out = BTreeMap::new();
    for name in named.filter_map(Json::as_str) {
        for file in files::expand(&folder.join(name)).map_err(|e| OpError::new("E0501", e.to_string()))? {
            let below: PathBuf = file.strip_prefix(folder).unwrap_or(Path::new(name)).to_path_buf();
            out.insert(below.display().to_string(), store.put_file(&file)?);
        }
    }
    Ok(out)
}
