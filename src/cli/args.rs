//! The command line as types: every command, its arguments and their help.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

/// Turns raw multimodal data into a fine-tuned, aligned and evaluated vision-language model, as a recipe says.
#[derive(Debug, Parser)]
#[command(name = "rbpipe", version, about, max_term_width = 100, arg_required_else_help = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Compile a recipe, then execute what its outputs and expectations need
    Run(RunArgs),
    /// Parse, resolve, type-check and lint; touches no data
    Check(CheckArgs),
    /// Say what would run, why, and what it would cost
    Plan(PlanArgs),
    /// Say field by field why a node ran or would run
    Why(WhyArgs),
    /// Say what changes between two recipes or locks, and what that runs anew
    Diff(DiffArgs),
    /// Show the artifact behind a name
    Show(ShowArgs),
    /// Follow one row through every operator
    Trace(TraceArgs),
    /// Draw the graph
    Graph(GraphArgs),
    /// Pin every input
    Lock(LockArgs),
    /// Run the whole recipe on synthetic rows and a tiny model
    Rehearse(RecipeArgs),
    /// Write one HTML file about the last run
    Report(ReportArgs),
    /// Look at and clean the artifact store
    Cache(CacheArgs),
    /// Put recipe, lock and records into one file
    Bundle(BundleArgs),
    /// Export provenance
    Export(ExportArgs),
    /// Bring recipes into the one layout
    Fmt(FmtArgs),
    /// Serve an editor over stdin and stdout (language server)
    Lsp(LspArgs),
    /// Show the documentation of operators
    Doc(DocArgs),
    /// Explain a diagnostic code
    Explain(ExplainArgs),
    /// Start a new recipe in a folder
    New(NewArgs),
    /// Execute what a scheduler on another machine orders
    #[command(hide = true)]
    Node(NodeArgs),
    /// Print shell completions
    Completions(CompletionsArgs),
    /// Install, inspect or verify the tensor engine
    Engine(EngineArgs),
}

/// What chooses the graph: the same for every command that takes a recipe.
#[derive(Clone, Debug, Default, Args)]
pub struct Choice {
    /// Use the values of this profile
    #[arg(long, value_name = "PROFILE")]
    pub profile: Option<String>,
    /// Set a param of the recipe
    #[arg(short = 'p', long = "param", value_name = "NAME=VALUE", value_parser = pair)]
    pub params: Vec<(String, String)>,
    /// Set an option of `with` on every node that accepts it
    #[arg(short = 'w', long = "with", value_name = "NAME=VALUE", value_parser = pair)]
    pub with: Vec<(String, String)>,
}

/// A recipe and what chooses its graph.
#[derive(Clone, Debug, Default, Args)]
pub struct RecipeArgs {
    /// The recipe
    pub recipe: PathBuf,
    #[command(flatten)]
    #[allow(missing_docs)]
    pub choice: Choice,
}

impl RecipeArgs {
    /// A recipe of a command that names several, or none.
    pub(super) fn of(recipe: &Path, choice: &Choice) -> Self {
        Self { recipe: recipe.to_path_buf(), choice: choice.clone() }
    }
}

/// Arguments of `run`.
#[derive(Clone, Debug, Default, Args)]
#[allow(missing_docs)]
pub struct RunArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Stop at this name instead of at the outputs
    #[arg(long, value_name = "NAME")]
    pub to: Vec<String>,
    /// Nodes at the same time
    #[arg(long, value_name = "N")]
    pub jobs: Option<usize>,
    /// Stop everything at the first failure
    #[arg(long)]
    pub fail_fast: bool,
    /// Succeed only if everything is in the cache
    #[arg(long)]
    pub no_exec: bool,
    /// Refuse any input that the lock does not pin, and write no lock
    #[arg(long, conflicts_with = "update")]
    pub frozen: bool,
    /// Accept this input as it is now and write it to the lock
    #[arg(long, value_name = "NAME")]
    pub update: Vec<String>,
    /// Append one JSON object per event to this file
    #[arg(long, value_name = "FILE")]
    pub events: Option<PathBuf>,
    /// Overwrite output files that rbpipe did not write
    #[arg(long)]
    pub force: bool,
    /// Take results that are there from this store before executing a node [default: RBPIPE_REMOTE]
    #[arg(long, value_name = "ADDRESS")]
    pub remote: Option<String>,
    /// Leave the bytes of a result in the remote until a node that is executed, or an output, reads them
    #[arg(long)]
    pub lazy: bool,
}

/// Arguments of `check`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct CheckArgs {
    /// The recipes
    #[arg(required = true)]
    pub recipes: Vec<PathBuf>,
    /// How to print problems
    #[arg(long, value_enum, default_value_t = Format::Human)]
    pub format: Format,
    #[command(flatten)]
    pub choice: Choice,
}

/// How to print problems.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    Human,
    /// One document for scripts
    Json,
}

/// Arguments of `plan`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct PlanArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
    /// Also count what this store has as there [default: RBPIPE_REMOTE]
    #[arg(long, value_name = "ADDRESS")]
    pub remote: Option<String>,
}

/// Arguments of `why`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct WhyArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The node
    pub node: String,
}

/// Arguments of `diff`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct DiffArgs {
    /// The one recipe or lock
    pub a: PathBuf,
    /// The other one
    pub b: PathBuf,
    #[command(flatten)]
    pub choice: Choice,
}

/// Arguments of `show`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct ShowArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The name of a value; without one all results are listed
    pub name: Option<String>,
    /// Sample rows to print
    #[arg(long, value_name = "N")]
    pub rows: Option<usize>,
    /// Print only where its files lie
    #[arg(long)]
    pub path: bool,
    /// Print one JSON document
    #[arg(long)]
    pub json: bool,
}

/// Arguments of `trace`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct TraceArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The row
    #[arg(long, value_name = "ID")]
    pub row: String,
}

/// Arguments of `graph`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct GraphArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// How to draw it
    #[arg(long, value_enum, default_value_t = Drawing::Text)]
    pub format: Drawing,
}

/// How to draw a graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Drawing {
    Text,
    Dot,
    Mermaid,
    Svg,
    Json,
}

/// Arguments of `lock`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct LockArgs {
    /// The recipe
    #[arg(required_unless_present = "merge")]
    pub recipe: Option<PathBuf>,
    #[command(flatten)]
    pub choice: Choice,
    /// Merge two changed locks into OURS, as a driver of version control: `rbpipe lock --merge %O %A %B`
    #[arg(long, num_args = 3, value_names = ["BASE", "OURS", "THEIRS"], conflicts_with_all = ["recipe", "update"])]
    pub merge: Option<Vec<PathBuf>>,
    /// Only this input: an entry of the lock, or a value of the recipe for all that it reads
    #[arg(long, value_name = "NAME")]
    pub update: Vec<String>,
}

/// Arguments of `report`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct ReportArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Where to write it
    #[arg(short, value_name = "FILE")]
    pub out: Option<PathBuf>,
}

/// Arguments of `cache`.
#[derive(Clone, Debug, Args)]
pub struct CacheArgs {
    /// What to do with the store
    #[command(subcommand)]
    pub command: CacheCommand,
}

/// What to do with the store.
#[derive(Clone, Debug, Subcommand)]
pub enum CacheCommand {
    /// Print the folder of the store
    Dir,
    /// List what is stored
    Ls,
    /// Print sizes
    Stats,
    /// Compare every artifact with its digest
    Verify {
        /// Move damaged bytes aside, so that the next run makes them anew
        #[arg(long)]
        repair: bool,
        /// Fetch what is damaged from this remote instead; of a large file the damaged parts alone
        #[arg(long, value_name = "ADDRESS", requires = "repair")]
        remote: Option<String>,
    },
    /// Execute some recorded nodes again and compare: shows what differs from run to run
    Check(RecheckArgs),
    /// Say which bytes nothing needs any more, and why
    Gc(GcArgs),
    /// Print your public key, for the trust lists of others; make the key if you have none
    Key,
    /// Copy results to a remote store
    Push(PushArgs),
    /// Copy results from a remote store or a bundle
    Pull(PullArgs),
}

/// Arguments of `cache check`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct RecheckArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Which share of the nodes that promise the same bytes each time
    #[arg(long, value_name = "SHARE", default_value = "5%", value_parser = share)]
    pub sample: f64,
}

/// Arguments of `cache gc`.
#[derive(Clone, Debug, Args)]
pub struct GcArgs {
    /// Delete them
    #[arg(long)]
    pub apply: bool,
    /// Delete nothing: so it is without `--apply`
    #[arg(long, conflicts_with = "apply")]
    pub dry_run: bool,
    /// Keep what was used within so many days
    #[arg(long, value_name = "N", default_value_t = 14.0, value_parser = days)]
    pub keep_days: f64,
    /// Keep what the last N runs of each recipe used
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub keep_runs: usize,
    /// Keep no result only because an output of it lies where a recipe put it
    #[arg(long)]
    pub drop_outputs: bool,
    /// Clean this remote instead of the store of this machine: what was pushed within `--keep-days` stays, and what `--keep` names
    #[arg(long, value_name = "ADDRESS", conflicts_with_all = ["keep_runs", "drop_outputs"])]
    pub remote: Option<String>,
    /// Keep what this recipe needs in the remote, however old it is; may be given several times
    #[arg(long, value_name = "RECIPE", requires = "remote")]
    pub keep: Vec<PathBuf>,
    /// Wait so long for pushes that are under way to notice that the remote is being cleaned
    #[arg(long, value_name = "TIME", default_value = "15s", value_parser = duration, requires = "remote")]
    pub settle: Duration,
    /// Keep whatever is younger, such as 30s, 5m, 2h: a run may be about to use it
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = duration)]
    pub grace: Duration,
}

/// Arguments of `cache push`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct PushArgs {
    /// s3://bucket/prefix, gs://bucket/prefix, az://container/prefix, file:///folder, or a folder
    pub remote: String,
    /// Send what this recipe needs
    #[arg(required_unless_present = "all")]
    pub recipe: Option<PathBuf>,
    /// Send everything that is in the store
    #[arg(long, conflicts_with = "recipe")]
    pub all: bool,
    /// Send bytes also where the remote has some of the same size: mends a damaged remote
    #[arg(long)]
    pub again: bool,
    #[command(flatten)]
    pub choice: Choice,
}

/// Arguments of `cache pull`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct PullArgs {
    /// An address as for `push`, http(s)://host/path, or a file that `rbpipe bundle` wrote
    pub remote: String,
    /// Take what this recipe needs instead of everything
    pub recipe: Option<PathBuf>,
    /// Unpack the recipe of a bundle into this folder, which is empty or not there
    #[arg(long, value_name = "DIR", conflicts_with = "recipe")]
    pub into: Option<PathBuf>,
    #[command(flatten)]
    pub choice: Choice,
}

/// Arguments of `bundle`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct BundleArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// Where to write it
    #[arg(short, value_name = "FILE")]
    pub out: PathBuf,
    /// Put input files and the bytes of all results in as well
    #[arg(long)]
    pub with_bytes: bool,
}

/// Arguments of `export`.
#[derive(Clone, Debug, Args)]
#[allow(missing_docs)]
pub struct ExportArgs {
    #[command(flatten)]
    pub recipe: RecipeArgs,
    /// The format
    #[arg(long = "as", value_enum)]
    pub format: Provenance,
    /// Where to write it: a file, for `ro-crate` a folder
    #[arg(short, value_name = "FILE")]
    pub out: PathBuf,
}

/// Formats of provenance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs)]
pub enum Provenance {
    RoCrate,
    Spdx,
    Openlineage,
}

/// Arguments of `fmt`.
#[derive(Clone, Debug, Args)]
pub struct FmtArgs {
    /// Change nothing; exit 1 if a file would change
    #[arg(long)]
    pub check: bool,
    /// The files
    #[arg(required = true)]
    pub files: Vec<PathBuf>,
}

/// Arguments of `doc`.
#[derive(Clone, Debug, Args)]
pub struct DocArgs {
    /// A module or an operator; all if absent
    pub name: Option<String>,
    /// Write one Markdown page for each module into this folder instead
    #[arg(long, value_name = "DIR", conflicts_with = "name")]
    pub out: Option<PathBuf>,
}

/// Arguments of `explain`.
#[derive(Clone, Debug, Args)]
pub struct ExplainArgs {
    /// The code, such as E0301
    pub code: String,
}

/// Arguments of `lsp`.
#[derive(Clone, Debug, Args)]
pub struct LspArgs {
    /// Some editors say so; there is no other way
    #[arg(long, hide = true)]
    pub stdio: bool,
}

/// Arguments of `new`.
#[derive(Clone, Debug, Args)]
pub struct NewArgs {
    /// The folder
    pub dir: PathBuf,
}

/// Arguments of `node`.
#[derive(Clone, Debug, Args)]
pub struct NodeArgs {
    /// The folder of a job; `-`: the order comes from standard input
    #[arg(required_unless_present_any = ["facts", "lacks", "take", "give", "log"])]
    pub folder: Option<PathBuf>,
    /// As one rank among those that `srun` has started
    #[arg(long)]
    pub rank: bool,
    /// Say what this machine has
    #[arg(long)]
    pub facts: bool,
    /// Say which blobs this store does not hold
    #[arg(long, value_name = "STORE")]
    pub lacks: Option<PathBuf>,
    /// Take blobs into this store
    #[arg(long, value_name = "STORE")]
    pub take: Option<PathBuf>,
    /// Send blobs of this store
    #[arg(long, value_name = "STORE")]
    pub give: Option<PathBuf>,
    /// Send a log
    #[arg(long, value_name = "FILE")]
    pub log: Option<PathBuf>,
}

/// Arguments of `completions`.
#[derive(Clone, Debug, Args)]
pub struct CompletionsArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: clap_complete::Shell,
}

/// Arguments of `engine`.
#[derive(Clone, Debug, Args)]
pub struct EngineArgs {
    /// What to do
    #[command(subcommand)]
    pub command: EngineCommand,
}

/// What to do with the tensor engine.
#[derive(Clone, Debug, Subcommand)]
pub enum EngineCommand {
    /// Get libtorch and build `rbpipe-engine`
    Install {
        /// With CUDA
        #[arg(long)]
        cuda: bool,
    },
    /// Say what it can do here
    Info,
    /// Replay a folder of golden tensors and print the differences
    Verify {
        /// The folder
        dir: PathBuf,
        /// The model on the first GPU instead of the processor
        #[arg(long)]
        gpu: bool,
    },
}

fn days(text: &str) -> Result<f64, String> {
    let days = text.parse::<f64>().map_err(|e| e.to_string())?;
    if (0.0..36_500.0).contains(&days) { Ok(days) } else { Err("give a number of days from 0 to 36500".to_owned()) }
}

fn share(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').map_or_else(|| text.parse::<f64>(), |t| t.parse::<f64>().map(|n| n / 100.0));
    let number = number.ok().filter(|n| *n > 0.0 && *n <= 1.0);
    number.ok_or_else(|| "write it as 5% or 0.05, up to 100%".to_owned())
}

fn duration(text: &str) -> Result<Duration, String> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
    let seconds = match unit {
        "s" => 1,
        "m" => 60,
        "h" => 3_600,
        "d" => 86_400,
        _ => return Err("write it as 30s, 5m, 2h or 14d".to_owned()),
    };
    let number: u32 = number.parse().map_err(|_| "write it as 30s, 5m, 2h or 14d".to_owned())?;
    Ok(Duration::from_secs(u64::from(number) * seconds))
}

fn pair(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() => Ok((name.trim().to_owned(), value.trim().to_owned())),
        _ => Err("write it as NAME=VALUE".to_owned()),
    }
}
