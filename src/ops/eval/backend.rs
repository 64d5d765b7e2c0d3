//! Programs that serve a model in Hugging Face layout, and their command lines.

use std::path::Path;
use std::process::Command;

use crate::base::OpError;

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
    arguments: fn(&Served, u16) -> Vec<String>,
}

static BACKENDS: [Backend; 3] = [
    Backend {
        name: "vllm",
        variable: "RBPIPE_VLLM",
        install: "`pip install vllm`, or set RBPIPE_VLLM to the path of the program `vllm`",
        loads_late: false,
        arguments: vllm,
    },
    Backend {
        name: "sglang",
        variable: "RBPIPE_SGLANG",
        install: "`pip install sglang`, or set RBPIPE_SGLANG to the path of a Python that has it",
        loads_late: false,
        arguments: sglang,
    },
    Backend {
        name: "transformers",
        variable: "RBPIPE_TRANSFORMERS",
        install: "`pip install 'transformers[serving]'`, or set RBPIPE_TRANSFORMERS to the path of the program `transformers`",
        loads_late: true,
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

    /// Returns its command, bound to this machine.
    pub fn command(&self, served: &Served, port: u16) -> Command {
        let own = std::env::var_os(self.variable).filter(|v| !v.is_empty());
        let usual = if self.name == "sglang" { "python3" } else { self.name };
        let mut command = Command::new(own.unwrap_or_else(|| usual.into()));
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
