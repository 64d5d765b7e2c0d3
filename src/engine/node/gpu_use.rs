//! How busy the GPUs of a node were, as the driver's program `nvidia-smi` tells.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::thread::JoinHandle;

use serde_json::{Value as Json, json};

/// Seconds between two looks.
const EVERY: &str = "5";

/// Asks the driver again and again until it is ended.
pub(crate) struct Watch {
    child: Child,
    reader: JoinHandle<Seen>,
}

/// What was seen.
#[derive(Debug, Default, PartialEq)]
struct Seen {
    looks: u64,
    /// Sum over looks and GPUs of the share of time in which a kernel ran, in percent.
    busy: f64,
    /// The most memory that one GPU had in use, in MiB; other processes count too.
    most: f64,
}

impl Seen {
    /// Takes a line: `percent, MiB`. A GPU that does not tell says so in words.
    fn line(&mut self, line: &str) {
        let mut fields = line.split(',').map(|field| field.trim().parse::<f64>());
        if let (Some(Ok(busy)), Some(Ok(memory))) = (fields.next(), fields.next()) {
            self.looks += 1;
            self.busy += busy;
            self.most = self.most.max(memory);
        }
    }
}

impl Watch {
    /// Begins, where a node has GPUs and the driver's program is there.
    pub(crate) fn begin(gpus: &[String]) -> Option<Self> {
        if gpus.is_empty() {
            return None;
        }
        let mut child = Command::new("nvidia-smi")
            .args(["--query-gpu=utilization.gpu,memory.used", "--format=csv,noheader,nounits", "-l", EVERY, "-i"])
            .arg(gpus.join(","))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .ok()?;
        let said = child.stdout.take()?;
        let reader = std::thread::Builder::new().name("gpus".into()).spawn(move || read(said)).ok()?;
        Some(Self { child, reader })
    }

    /// Ends, and returns the fields of an event: `utilisation` (a share, over all looks), `memory` (bytes), `looks`; nothing if the driver told nothing.
    pub(crate) fn end(mut self) -> Option<Json> {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let seen = self.reader.join().ok().filter(|seen| seen.looks > 0)?;
        let share = (seen.busy / seen.looks as f64).round() / 100.0;
        Some(json!({ "utilisation": share, "memory": (seen.most * 1_048_576.0) as u64, "looks": seen.looks }))
    }
}

fn read(said: ChildStdout) -> Seen {
    let mut seen = Seen::default();
    BufReader::new(said).lines().map_while(Result::ok).for_each(|line| seen.line(&line));
    seen
}
