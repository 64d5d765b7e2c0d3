//! The command line: one file per command, this one chooses among them.

mod args;
mod cache;
mod check;
mod engine;
mod explain;
mod fmt;
mod graph;
mod libtorch;
mod plan;
mod progress;
mod recipe;
mod render;
mod run;
mod show;
mod why;

use std::process::ExitCode;

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
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let wanted = !error.use_stderr(); // `--help` and `--version` come as errors too
            // A closed pipe is the only way to fail here, and then nobody reads.
            let _ = error.print();
            return if wanted { Exit::Done } else { Exit::Usage }.into();
        }
    };
    dispatch(&cli.command).into()
}

fn dispatch(command: &Command) -> Exit {
    if !matches!(command, Command::Run(_)) {
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
        Command::Diff(_) => not_there("diff"),
        Command::Trace(_) => not_there("trace"),
        Command::Lock(_) => not_there("lock"),
        Command::Rehearse(_) => not_there("rehearse"),
        Command::Report(_) => not_there("report"),
        Command::Bundle(_) => not_there("bundle"),
        Command::Export(_) => not_there("export"),
        Command::Fmt(args) => fmt::run(args),
        Command::Lsp => not_there("lsp"),
        Command::Doc(_) => not_there("doc"),
        Command::New(_) => not_there("new"),
        Command::Completions(_) => not_there("completions"),
    }
}

/// Lets `rbpipe plan … | head` end quietly. A run goes on: it writes to pipes of its own.
#[allow(unsafe_code)]
fn end_with_the_reader() {
    // SAFETY: restores the default action of a signal before any thread exists.
    unsafe { libc::signal(libc::SIGPIPE, libc::SIG_DFL) };
}

/// Says so when a command of the plan does not exist yet.
fn not_there(command: &str) -> Exit {
    eprintln!("`rbpipe {command}` is not there yet");
    Exit::Usage
}
