//! `rbpipe engine`, and finding the engine when a run needs it.

use std::path::PathBuf;
use std::process::Command;
use std::sync::{Mutex, PoisonError};

use super::args::{EngineArgs, EngineCommand};
use super::{Exit, libtorch};
use crate::base::OpError;

/// Runs the command.
pub(super) fn run(args: &EngineArgs) -> Exit {
    let done = match &args.command {
        EngineCommand::Install { cuda } => install(*cuda),
        EngineCommand::Info => info(),
        EngineCommand::Verify { dir, gpu } => std::path::absolute(dir).map_err(OpError::from).and_then(|dir| {
            let mut command = Command::new(find(&tell)?);
            Ok(command.arg("verify").arg(dir).args(gpu.then_some("--gpu")).status()?.success())
        }),
    };
    match done {
        Ok(true) => Exit::Done,
        Ok(false) => Exit::Node,
        Err(e) => {
            eprintln!("error: {}", e.message);
            if let Some(help) = e.help {
                eprintln!("help: {help}");
            }
            Exit::Node
        }
    }
}

fn tell(message: String) {
    eprintln!("{message}");
}

fn install(cuda: bool) -> Result<bool, OpError> {
    let libtorch = if cuda { libtorch::fetch_cuda(&tell)? } else { libtorch::fetch(&tell)? };
    let binary = libtorch::build(&libtorch, &tell)?;
    eprintln!("the engine is ready: {}", binary.display());
    Ok(true)
}

fn info() -> Result<bool, OpError> {
    match libtorch::installed() {
        Some(path) => println!("libtorch       {}", path.display()),
        None => println!("libtorch       not installed"),
    }
    match present()? {
        Some(engine) => {
            println!("engine         {}", engine.display());
            Ok(Command::new(engine).arg("info").status()?.success())
        }
        None => {
            println!("engine         not built; `rbpipe engine install` builds it");
            Ok(true)
        }
    }
}

/// Returns the engine if it is there: `RBPIPE_ENGINE`, the sibling of this program, or the build of the source checkout.
fn present() -> Result<Option<PathBuf>, OpError> {
    if let Some(path) = std::env::var_os("RBPIPE_ENGINE").filter(|v| !v.is_empty()).map(PathBuf::from) {
        if path.is_file() {
            return Ok(Some(std::path::absolute(path)?));
        }
        return Err(OpError::new("E0612", format!("`RBPIPE_ENGINE` names `{}`, which is not there", path.display())));
    }
    let sibling = std::env::current_exe()?.with_file_name("rbpipe-engine");
    Ok([sibling, libtorch::built()].into_iter().find(|p| p.is_file()))
}

/// Returns the engine, after fetching libtorch and building it if need be. Several nodes may ask at once: one of them does it for all.
pub(super) fn find(notice: &dyn Fn(String)) -> Result<PathBuf, OpError> {
    static ONE: Mutex<()> = Mutex::new(());
    let _alone = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(path) = present()? {
        return Ok(path);
    }
    notice("this run needs the tensor engine, which is not built yet".into());
    let libtorch = libtorch::fetch(notice)?;
    libtorch::build(&libtorch, notice)
}
