//! Where the nodes of a run are executed: makes the executors that the site file describes, and refuses what can never run.

use super::args::RunArgs;
use super::recipe::Compiled;
use super::{Exit, store};
use crate::base::OpError;
use crate::engine::Store;
use crate::engine::capacity::Machine;
use crate::engine::executors::LOCAL;
use crate::engine::executors::slurm::Slurm;
use crate::engine::executors::ssh::Ssh;
use crate::engine::executors::{Executor, Executors, FindEngine, Local};
use crate::engine::run::fit;
use crate::engine::run::site::Elsewhere;
use crate::engine::storage::files::FileIndex;
use crate::plan::select::Selection;

/// Makes the executors of a run.
pub(super) fn executors<'a>(compiled: &Compiled, args: &RunArgs, engine: FindEngine<'a>) -> Executors<'a> {
    let machine = compiled.site.machine.clone();
    let local = Local { jobs: args.jobs.unwrap_or(machine.cpus), machine, engine };
    let mut out = Executors::from([(LOCAL.to_owned(), Box::new(local) as Box<dyn Executor + 'a>)]);
    let recipe = std::path::absolute(&compiled.path).unwrap_or_else(|_| compiled.path.clone());
    for (name, elsewhere) in &compiled.site.executors {
        let executor: Box<dyn Executor + 'a> = match elsewhere {
            Elsewhere::Slurm(slurm) => Box::new(Slurm::new(name, slurm.clone(), recipe.clone(), engine)),
            Elsewhere::Ssh(ssh) => Box::new(Ssh::new(name, ssh.clone())),
        };
        out.insert(name.clone(), executor);
    }
    out
}

/// The executors of a run that executes nothing: results are only looked for, several at a time.
pub(super) fn nowhere() -> Executors<'static> {
    let engine = &|| Err(OpError::new("E0612", "nothing is executed here"));
    let local = Local { jobs: 4, machine: Machine::this(), engine };
    Executors::from([(LOCAL.to_owned(), Box::new(local) as Box<dyn Executor>)])
}

/// Refuses nodes that no executor can ever run; prints which.
pub(super) fn check(
    compiled: &Compiled,
    selection: &Selection,
    store: &Store,
    files: &FileIndex,
    args: &RunArgs,
    executors: &Executors,
) -> Result<(), Exit> {
    let graph = &compiled.planned.graph;
    let mut problems = fit::unknown(graph, selection, executors);
    problems.extend(fit::other_numerics(graph, selection, executors));
    // What a remote may have, or what is not to be executed anyway, is decided node by node.
    if args.remote.is_none() && !args.no_exec && store::remote_of_environment().is_none() {
        let forecast = || compiled.forecaster(selection, store, files).all().0;
        problems.extend(fit::too_large(graph, selection, executors, &forecast));
    }
    compiled.refuse(problems)
}
