//! Programs that serve a model in Hugging Face layout, and their command lines.

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::io::{BufRead as _, BufReader, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::base::OpError;
use crate::engine::inputs::servers::{Facts, Said};

/// What a server is started for.
pub struct Served {
    /// The folder of the model.
    pub folder: String,
    /// GPUs, by the names that CUDA knows them by.
    pub gpus: Vec<String>,
    /// Most pictures of a question.
    pub max_images: usize,
    /// Least and most pixels of a picture.
    pub pixels: (Option<u64>, Option<u64>),
}

/// A program that serves models.
pub struct Backend {
    /// Its name in `with { serve }`.
    pub name: &'static str,
    /// The variable that names it where it is not in the PATH.
    pub variable: &'static str,
    /// How it gets onto a machine.
    pub install: &'static str,
    /// It loads the model at the first request.
    pub loads_late: bool,
    /// Requests side by side spoil each other's replies: its Qwen2.5-VL keeps the places of the last pictures in the model.
    pub one_at_a_time: bool,
    arguments: fn(&Served, u16) -> Vec<String>,
}

static BACKENDS: [Backend; 3] = [
    Backend {
        name: "vllm",
        variable: "RBPIPE_VLLM",
        install: "`pip install vllm`, or set RBPIPE_VLLM to the path of the program `vllm`",
        loads_late: false,
        one_at_a_time: false,
        arguments: vllm,
    },
    Backend {
        name: "sglang",
        variable: "RBPIPE_SGLANG",
        install: "`pip install sglang`, or set RBPIPE_SGLANG to the path of a Python that has it",
        loads_late: false,
        one_at_a_time: false,
        arguments: sglang,
    },
    Backend {
        name: "transformers",
        variable: "RBPIPE_TRANSFORMERS",
        install: "`pip install 'transformers[serving]'`, or set RBPIPE_TRANSFORMERS to the path of the program `transformers`",
        loads_late: true,
        one_at_a_time: true,
        arguments: transformers,
    },
];

impl Backend {
    /// Finds a backend by its name.
    pub fn named(name: &str) -> Result<&'static Self, OpError> {
        let found = BACKENDS.iter().find(|b| b.name == name);
        found.ok_or_else(|| OpError::new("E0213", format!("no program is known that serves as `{name}`")))
    }

    /// Returns the name under which the server knows the model in a folder.
    pub fn model(&self, folder: &Path) -> String {
        // `transformers` knows a model only by where it lies.
        if self.name == "transformers" { folder.display().to_string() } else { "model".to_owned() }
    }

    /// Returns what this machine's copy of it says of itself, without starting it: the version of its package in the Python that it runs in.
    pub fn says(&self) -> Said {
        let program = self.program();
        let python = match self.name {
            "sglang" => Some(vec![program.to_string_lossy().into_owned()]),
            _ => in_path(&program).and_then(|path| interpreter(&path)),
        };
        let Some([first, rest @ ..]) = python.as_deref() else { return Said::Facts(Facts::new()) };
        let ask = format!("import importlib.metadata as m; print(m.version('{}'))", self.name);
        let out = Command::new(first).args(rest).args(["-c", &ask]).stdin(Stdio::null()).output();
        let version = out
            .ok()
            .filter(|out| out.status.success())
            .map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
        Said::Facts(version.filter(|v| !v.is_empty()).map(|v| ("version".to_owned(), v)).into_iter().collect())
    }

    fn program(&self) -> OsString {
        let own = std::env::var_os(self.variable).filter(|v| !v.is_empty());
        own.unwrap_or_else(|| if self.name == "sglang" { "python3" } else { self.name }.into())
    }

    /// Returns its command, bound to this machine.
    pub fn command(&self, served: &Served, port: u16) -> Command {
        let mut command = Command::new(self.program());
        command.args((self.arguments)(served, port)).current_dir(Path::new(&served.folder));
        // What it needs lies in the folder; nothing is fetched and nobody is told.
        for (name, value) in [
            ("HF_HUB_OFFLINE", "1"),
            ("TRANSFORMERS_OFFLINE", "1"),
            ("VLLM_NO_USAGE_STATS", "1"),
            ("DO_NOT_TRACK", "1"),
            ("CUDA_VISIBLE_DEVICES", &served.gpus.join(",")),
        ] {
            command.env(name, value);
        }
        command
    }
}

/// Finds a program as a shell would.
fn in_path(program: &OsStr) -> Option<PathBuf> {
    if Path::new(program).components().count() > 1 {
        return Some(program.into());
    }
    let folders = std::env::var_os("PATH")?;
    std::env::split_paths(&folders).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// Reads the Python that a script runs in from its first line.
fn interpreter(script: &Path) -> Option<Vec<String>> {
    let mut line = Vec::new();
    BufReader::new(File::open(script).ok()?.take(1024)).read_until(b'\n', &mut line).ok()?;
    let words: Vec<String> =
        std::str::from_utf8(&line).ok()?.strip_prefix("#!")?.split_whitespace().map(str::to_owned).collect();
    words.last().is_some_and(|last| last.contains("python")).then_some(words)
}

fn vllm(served: &Served, port: u16) -> Vec<String> {
    let mut out = words(&["serve", &served.folder, "--served-model-name", "model", "--host", "127.0.0.1", "--port"]);
    out.push(port.to_string());
    // No sampling defaults of the checkpoint: every request says all of it.
    out.extend(words(&["--generation-config", "vllm", "--seed", "0", "--limit-mm-per-prompt"]));
    out.push(format!("{{\"image\": {}}}", served.max_images));
    let (least, most) = served.pixels;
    let bounds: Vec<String> = [("min_pixels", least), ("max_pixels", most)]
        .into_iter()
        .filter_map(|(name, bound)| Some(format!("\"{name}\": {}", bound?)))
        .collect();
    if !bounds.is_empty() {
        out.extend(["--mm-processor-kwargs".to_owned(), format!("{{{}}}", bounds.join(", "))]);
    }
    if served.gpus.len() > 1 {
        out.extend(["--tensor-parallel-size".to_owned(), served.gpus.len().to_string()]);
    }
    out
}

fn sglang(served: &Served, port: u16) -> Vec<String> {
    let mut out =
        words(&["-m", "sglang.launch_server", "--model-path", &served.folder, "--served-model-name", "model"]);
    out.extend(words(&["--host", "127.0.0.1", "--random-seed", "0", "--port"]));
    out.push(port.to_string());
    if served.gpus.len() > 1 {
        out.extend(["--tp-size".to_owned(), served.gpus.len().to_string()]);
    }
    out
}

fn transformers(served: &Served, port: u16) -> Vec<String> {
    let mut out = words(&["serve", "--force-model", &served.folder, "--host", "127.0.0.1", "--port"]);
    out.push(port.to_string());
    out.extend(words(&["--device", if served.gpus.is_empty() { "cpu" } else { "cuda" }]));
    out
}

fn words(of: &[&str]) -> Vec<String> {
    of.iter().map(|w| (*w).to_owned()).collect()
}
