//! The command line: one file per command, this one chooses among them. What several share: `recipe`, `store`, `packages`, `pinned`, `placement`, `execute`, `share`, `render`.

mod args;
mod bundle;
mod cache;
mod check;
mod completions;
mod diff;
mod doc;
mod ending;
mod engine;
mod execute;
mod explain;
mod export;
mod fmt;
mod gc;
mod graph;
mod libtorch;
mod lock;
mod lsp;
mod new;
mod node;
mod packages;
mod pinned;
mod placement;
mod plan;
mod progress;
mod recheck;
mod recipe;
mod rehearse;
mod render;
mod report;
mod run;
mod share;
mod show;
mod store;
mod trace;
mod why;

use std::io::Write as _;
use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};

use clap::Parser as _;

use args::{Cli, Command};

/// How a command ended; scripts rely on the numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// All is done.
    Done = 0,
    /// The recipe has errors, nothing ran.
    Recipe = 1,
    /// The command line was wrong.
    Usage = 2,
    /// A node failed.
    Node = 3,
    /// An `expect` failed.
    Expect = 4,
    /// The lock or the cache refused.
    Refused = 5,
    /// Interrupted.
    Interrupted = 130,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        ExitCode::from(exit as u8)
    }
}

/// Runs the command that the process was called with.
pub fn run() -> ExitCode {
    guard(command).into()
}

/// Runs something; a panic in it becomes a sentence and [`Exit::Node`].
pub fn guard(run: impl FnOnce() -> Exit + std::panic::UnwindSafe) -> Exit {
    static SAID: Mutex<Option<String>> = Mutex::new(None);
    std::panic::set_hook(Box::new(|info| {
        let place = info.location().map_or(String::new(), |l| format!(" ({}:{})", l.file(), l.line()));
        let payload = info.payload();
        let text = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".into());
        // What panics first is the cause: those who waited for it panic after it.
        SAID.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(format!("{text}{place}"));
    }));
    std::panic::catch_unwind(run).unwrap_or_else(|_| {
        let said = SAID.lock().unwrap_or_else(PoisonError::into_inner).take().unwrap_or_default();
        say(&format!("error: rbpipe stopped at a mistake of its own: {said}"));
        say("help: what was made so far is kept; please report this with the recipe");
        Exit::Node
    })
}

fn command() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wanted = !error.use_stderr(); // `--help` and `--version` come as errors too
            // A closed pipe is the only way to fail here, and then nobody reads.
            let _ = error.print();
            return if wanted { Exit::Done } else { Exit::Usage };
        }
    };
    dispatch(&cli.command)
}

/// Says a line to whoever called; a run goes on when nobody listens any more.
fn say(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}

fn dispatch(command: &Command) -> Exit {
    if !matches!(command, Command::Run(_) | Command::Node(_)) {
        end_with_the_reader();
    }
    match command {
        Command::Run(args) => run::run(args),
        Command::Check(args) => check::run(args),
        Command::Plan(args) => plan::run(args),
        Command::Why(args) => why::run(args),
        Command::Show(args) => show::run(args),
        Command::Graph(args) => graph::run(args),
        Command::Cache(args) => cache::run(args),
        Command::Engine(args) => engine::run(args),
        Command::Explain(args) => explain::run(args),
        Command::Diff(args) => diff::run(args),
        Command::Trace(args) => trace::run(args),
        Command::Lock(args) => lock::run(args),
        Command::Rehearse(args) => rehearse::run(args),
        Command::Report(args) => report::run(args),
        Command::Bundle(args) => bundle::run(args),
        Command::Export(args) => export::run(args),
        Command::Fmt(args) => fmt::run(args),
        Command::Lsp(_) => lsp::run(),
        Command::Doc(args) => doc::run(args),
        Command::New(args) => new::run(args),
        Command::Node(args) => node::run(args),
        Command::Completions(args) => completions::run(args),
    }
}

/// Lets `rbpipe plan … | head` end quietly. A run goes on: it writes to pipes of its own.
#[allow(unsafe_code)]
fn end_with_the_reader() {
    // SAFETY: restores the default action of a signal before any thread exists.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}
