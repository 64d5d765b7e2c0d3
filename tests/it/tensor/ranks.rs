//! Trainings in several processes over Gloo: the same losses at any number of ranks and whatever they share out, resume, and what a bad rank leaves.

use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rbpipe::base::{Digest, OpError};
use rbpipe::engine::Artifact;
use rbpipe::engine::node::process::Limits;
use rbpipe::engine::node::ranks;
use rbpipe::engine::node::task::{Made, Task};
use rbpipe::engine::stop::Stop;
use rbpipe::spec::Pool;
use serde_json::{Value as Json, json};

use super::train_ops::{Bench, base, losses, sft_args, shared, with};

/// Rows with no, one and two pictures, and a model that knows their words.
struct Crew {
    bench: Bench,
    model: Artifact,
    data: Artifact,
    pairs: Artifact,
}

/// One training in processes of its own.
#[derive(Clone)]
struct Run<'a> {
    op: &'a str,
    args: Json,
    with: Json,
    ranks: usize,
    checkpoints: Option<PathBuf>,
    engine: PathBuf,
}

impl Crew {
    fn new() -> Self {
        let bench = Bench::new();
        let rows = |file: &str, columns: Json, edit: &dyn Fn(usize, &mut Json)| {
            let vendored = Path::new(env!("CARGO_MANIFEST_DIR")).join("recipes/data/tabletop").join(file);
            let text = std::fs::read_to_string(vendored).expect("a vendored file");
            let mut rows: Vec<Json> = text.lines().take(14).map(|l| serde_json::from_str(l).expect("a row")).collect();
            let pictures: Vec<Json> = rows.iter().map(|row| row["images"][0].clone()).collect();
            for (i, row) in rows.iter_mut().enumerate() {
                row["images"] = match i % 3 {
                    0 => json!([]),
                    1 => json!([pictures[i]]),
                    _ => json!([pictures[i], pictures[i - 1]]),
                };
                edit(i, row);
            }
            let path = bench.root.path().join(file.replace('/', "-"));
            let lines: String = rows.iter().map(|row| format!("{row}\n")).collect();
            std::fs::write(&path, lines).expect("a scratch file");
            let args = json!({ "path": path, "as": { "columns": columns }, "media": "data/tabletop", "bad": "fail" });
            bench.run("data.jsonl", args, &[]).expect("the rows load")
        };
        let text = |name: &str| json!({ "name": name, "type": "Str" });
        let images = json!({ "name": "images", "type": "[Image]" });
        let columns = json!([text("id"), text("instruction"), text("output"), images]);
        let data = rows("raw/host.jsonl", columns, &|_, row| {
            row["instruction"] = row["instruction"].as_str().map_or(json!(""), |t| json!(t.replace("<image>", "")))
        });
        let columns = json!([text("id"), text("prompt"), text("chosen"), text("rejected"), images]);
        let pairs = rows("pairs/fail_fix.jsonl", columns, &|_, row| {
            row["prompt"] = row["prompt"].as_str().map_or(json!(""), |t| json!(t.replace("<image>", "")))
        });
        let model = base(&bench, &data);
        Self { bench, model, data, pairs }
    }

    /// Steps of 4, 4 and 3 rows: with four ranks, one has nothing to do in the last.
    fn sft(&self, steps: u64, ranks: usize, on: Json) -> Run<'static> {
        let few = json!({ "max_rows": 14, "batch": 4, "validation": { "rows": 3 }, "evaluate": { "steps": 3 }, "weight_decay": 0.1 });
        let engine = PathBuf::from(env!("CARGO_BIN_EXE_rbpipe-engine"));
        let with = with(json!({ "log": 1 }), on);
        Run { op: "train.sft", args: self::with(sft_args(steps), few), with, ranks, checkpoints: None, engine }
    }

    fn dpo(&self, steps: u64, ranks: usize, on: Json) -> Run<'static> {
        let own = json!({
            "m": { "$input": "m" }, "pairs": { "$input": "pairs" }, "beta": 0.1, "loss": "sigmoid", "smoothing": 0.0, "gamma": 0.5,
            "sft": 0.1, "reference": "start", "lr": 5e-4, "max_rows": 11, "batch": 4, "validation": { "rows": 2 },
        });
        Run { op: "train.dpo", args: with(shared(steps), own), ..self.sft(steps, ranks, on) }
    }

    fn reward(&self, steps: u64, ranks: usize, on: Json) -> Run<'static> {
        let own = json!({
            "m": { "$input": "m" }, "pairs": { "$input": "pairs" }, "center": 0.01, "lr": 5e-4, "max_rows": 11, "batch": 4,
            "validation": { "rows": 2 },
        });
        Run { op: "train.reward", args: with(shared(steps), own), ..self.sft(steps, ranks, on) }
    }

    fn execute(
        &self,
        run: &Run,
        stall: Option<f64>,
        emit: &(dyn Fn(&str, &Json, &Path) + Sync),
    ) -> Result<Made, OpError> {
        let scratch = tempfile::tempdir_in(self.bench.root.path()).expect("a folder");
        let slot = if run.op == "train.sft" { ("data", &self.data) } else { ("pairs", &self.pairs) };
        let task = Task {
            op: run.op.into(),
            pool: Pool::Engine,
            args: run.args.clone(),
            inputs: [("m".to_owned(), self.model.clone()), (slot.0.to_owned(), slot.1.clone())].into(),
            with: with(run.with.clone(), stall.map_or(json!({}), |s| json!({ "stall": s }))),
            store: self.bench.store.root().to_path_buf(),
            scratch: scratch.path().to_path_buf(),
            folder: scratch.path().to_path_buf(),
            seed: 42,
            stream: Digest::of(b"test"),
            threads: 1,
            gpus: Vec::new(),
            ranks: run.ranks,
            launched: false,
            checkpoints: run.checkpoints.clone(),
            rowwise: None,
        };
        let limits = Limits { timeout: Some(Duration::from_secs(120)), ..Limits::of(&task.with) };
        let heard = |event: &str, fields: Json| emit(event, &fields, scratch.path());
        let log = scratch.path().join("engine.log");
        let made = ranks::execute(&run.engine, &task, &json!({}), &log, &heard, &Stop::default(), limits);
        assert_eq!(processes(scratch.path()), [], "nothing is left running");
        made
    }

    fn model_of(&self, run: &Run) -> Artifact {
        let made = self.execute(run, None, &|_, _, _| ());
        made.unwrap_or_else(|e| panic!("{} with {}: {e}", run.op, run.with)).outputs[""].clone()
    }

    fn weights(&self, model: &Artifact) -> Digest {
        model.files["model.safetensors"].digest
    }
}

/// The engine's processes of a task, with their ranks.
fn processes(scratch: &Path) -> Vec<(i32, usize)> {
    let task = scratch.join("task.json").display().to_string();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").expect("a system with /proc").flatten() {
        let Some(id) = entry.file_name().to_str().and_then(|n| n.parse::<i32>().ok()) else { continue };
        let read = |file: &str| std::fs::read(entry.path().join(file)).unwrap_or_default();
        let command = String::from_utf8_lossy(&read("cmdline")).into_owned();
        if command.contains(&task) {
            let variables = String::from_utf8_lossy(&read("environ")).into_owned();
            let rank = variables.split('\0').find_map(|v| v.strip_prefix("RANK=")?.parse().ok());
            found.push((id, rank.unwrap_or(0)));
        }
    }
    found.sort_by_key(|(_, rank)| *rank);
    found
}

#[allow(unsafe_code)]
fn signal(scratch: &Path, rank: usize, signal: i32) {
    for (id, _) in processes(scratch).into_iter().filter(|(_, r)| *r == rank) {
        // SAFETY: touches no memory; the process is a rank that this test has started.
        unsafe { libc::kill(id, signal) };
    }
}

/// The same run with Adafactor, whose states no rank has a part of alone.
fn adafactor(run: Run) -> Run {
    Run { args: with(run.args, json!({ "optimizer": "adafactor" })), ..run }
}

/// Writes a program that prepares a process and then becomes the engine.
fn engine(crew: &Crew, name: &str, before: &str) -> PathBuf {
    let script = crew.bench.root.path().join(name);
    std::fs::write(&script, format!("#!/bin/sh\n{before}\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_rbpipe-engine")))
        .expect("a script");
    std::process::Command::new("chmod").arg("+x").arg(&script).status().expect("chmod");
    script
}

fn near(a: &[f64], b: &[f64]) -> bool {
    a.len() == b.len() && !a.is_empty() && a.iter().zip(b).all(|(a, b)| (a - b).abs() <= 1e-5 * b.abs())
}

#[test]
fn losses_do_not_depend_on_ranks_or_on_what_they_share_out() {
    let crew = Crew::new();
    let logged = |run: &Run| {
        let model = crew.model_of(run);
        ["loss", "eval_loss", "grad_norm"].map(|key| losses(&crew.bench, &model, key))
    };
    let alone = logged(&crew.sft(6, 1, json!({})));
    assert_eq!((alone[0].len(), alone[1].len()), (6, 2));
    let mut wrong = Vec::new();
    let mut compare = |alone: &[Vec<f64>; 3], run: Run| {
        let together = logged(&run);
        if !(0..3).all(|i| near(&together[i], &alone[i])) {
            wrong.push(format!("{} by {} ranks with {}: {together:?}", run.op, run.ranks, run.with));
        }
    };
    for (ranks, on) in [
        (2, json!({})),
        (4, json!({})),
        (2, json!({ "shard": "zero1" })),
        (2, json!({ "shard": "zero2" })),
        (2, json!({ "shard": "zero3", "micro_batch": 1 })),
        (3, json!({ "shard": "zero3" })),
    ] {
        compare(&alone, crew.sft(6, ranks, on));
    }
    let other = logged(&adafactor(crew.sft(6, 1, json!({}))));
    for (ranks, on) in [(2, json!({ "shard": "zero1" })), (3, json!({ "shard": "zero3" }))] {
        compare(&other, adafactor(crew.sft(6, ranks, on)));
    }
    let gate = json!({ "binary": ["!=", { "col": "id" }, { "lit": "none such" }] });
    let amplify = |run: Run<'static>| Run {
        args: with(run.args, json!({ "amplify": { "gain": 2.0, "attention": 0.5, "on": gate } })),
        ..run
    };
    let gated = logged(&amplify(crew.sft(6, 1, json!({}))));
    compare(&gated, amplify(crew.sft(6, 2, json!({ "shard": "zero3" }))));
    let pairs = logged(&crew.dpo(5, 1, json!({})));
    for (ranks, on) in [(4, json!({})), (2, json!({ "shard": "zero3" }))] {
        compare(&pairs, crew.dpo(5, ranks, on));
    }
    let scored = logged(&crew.reward(5, 1, json!({})));
    for (ranks, on) in [(4, json!({})), (2, json!({ "shard": "zero3", "micro_batch": 2 }))] {
        compare(&scored, crew.reward(5, ranks, on));
    }
    assert!(wrong.is_empty(), "{}\nalone: {alone:?}; pairs alone: {pairs:?}", wrong.join("\n"));
}

/// The step on the host goes in lock-step with what is shared out: the same bytes as without.
#[test]
fn ranks_that_offload_make_the_same_model() {
    let crew = Crew::new();
    let half = |run: Run<'static>| Run { args: with(run.args, json!({ "dtype": "bf16" })), ..run };
    let runs = [
        crew.sft(4, 2, json!({})),
        crew.sft(4, 2, json!({ "shard": "zero1" })),
        half(crew.sft(4, 2, json!({ "shard": "zero2", "micro_batch": 1 }))),
        adafactor(crew.sft(4, 2, json!({ "shard": "zero3" }))),
        half(crew.dpo(4, 2, json!({ "shard": "zero1" }))),
        crew.reward(4, 2, json!({ "shard": "zero3" })),
    ];
    for run in runs {
        let offloaded = Run { with: with(run.with.clone(), json!({ "offload": true })), ..run.clone() };
        let (usual, ours) = (crew.model_of(&run), crew.model_of(&offloaded));
        assert_eq!(crew.weights(&ours), crew.weights(&usual), "{} with {}", run.op, run.with);
    }
}

#[test]
fn a_killed_rank_ends_all_and_the_next_run_goes_on_bit_for_bit() {
    let crew = Crew::new();
    let runs = [
        crew.sft(12, 1, json!({ "checkpoint": 2 })),
        crew.sft(12, 2, json!({ "checkpoint": 2 })),
        crew.dpo(12, 2, json!({ "checkpoint": 2, "shard": "zero2" })),
        crew.dpo(12, 1, json!({ "checkpoint": 2 })),
        crew.sft(12, 2, json!({ "checkpoint": 1, "shard": "zero1", "offload": true })),
        adafactor(crew.sft(12, 2, json!({ "checkpoint": 2, "shard": "zero3" }))),
    ];
    for run in runs {
        let whole = crew.model_of(&run);
        let folder = tempfile::tempdir().expect("a folder");
        let run = Run { checkpoints: Some(folder.path().to_path_buf()), ..run };
        // Any step after the first checkpoint that leaves some to go.
        let at_step = 3 + u64::from(std::time::UNIX_EPOCH.elapsed().expect("a clock").subsec_nanos() / 1000 % 4);
        let killed = Mutex::new(None);
        let broken = crew.execute(&run, None, &|event, fields, scratch| {
            let step = fields["done"].as_u64().unwrap_or(0);
            if event == "node_progress"
                && fields["unit"] == "steps"
                && step >= at_step
                && killed.lock().unwrap().is_none()
            {
                signal(scratch, run.ranks - 1, libc::SIGKILL);
                *killed.lock().unwrap() = Some(Instant::now());
            }
        });
        let at = killed.lock().unwrap().expect("it was killed");
        assert!(at.elapsed() < Duration::from_secs(20), "{:?}", at.elapsed());
        let error = broken.expect_err("it was killed");
        assert!(error.class == "flaky" && error.message.contains("was killed"), "{error:?}");
        if run.ranks == 2 {
            for words in ["rank 1 of 2", "what each rank did last", "rank 0: step", "rank 1: step"] {
                assert!(error.message.contains(words), "{error:?}");
            }
        }
        let said = Mutex::new(String::new());
        let resumed = crew.execute(&run, None, &|event, fields, _| {
            if event == "node_log" {
                *said.lock().unwrap() += fields["text"].as_str().unwrap_or_default();
            }
        });
        let resumed = resumed.expect("it goes on").outputs[""].clone();
        assert!(said.lock().unwrap().contains("continues after step"), "{said:?}");
        let what = format!("{} with {} ranks, killed after step {at_step}", run.op, run.ranks);
        assert_eq!(crew.weights(&resumed), crew.weights(&whole), "{what}");
        assert_eq!(losses(&crew.bench, &resumed, "loss"), losses(&crew.bench, &whole, "loss"), "{what}");
    }
}

#[test]
fn a_silent_rank_is_named_and_ends_with_the_others() {
    let crew = Crew::new();
    let stopped = Mutex::new(None);
    let run = crew.sft(400, 2, json!({}));
    let run = Run { args: with(run.args, json!({ "evaluate": null })), ..run };
    let error = crew
        .execute(&run, Some(4.0), &|event, fields, scratch| {
            if event == "node_progress" && fields["unit"] == "steps" && stopped.lock().unwrap().is_none() {
                signal(scratch, 1, libc::SIGSTOP);
                *stopped.lock().unwrap() = Some(Instant::now());
            }
        })
        .expect_err("it cannot go on");
    let at = stopped.lock().unwrap().expect("it was stopped");
    assert!(at.elapsed() < Duration::from_secs(30), "{:?}", at.elapsed());
    assert!(error.class == "flaky" && error.message.contains("`stall` is over"), "{error:?}");
    assert!(error.message.contains("rank 0: step") && error.message.contains("waits for the sums"), "{error:?}");
}

#[test]
fn what_goes_wrong_on_one_rank_is_told_once() {
    let crew = Crew::new();
    let mut mad = crew.sft(6, 2, json!({ "shard": "zero1" }));
    mad.args = with(mad.args, json!({ "lr": 1e38, "clip": 0.0, "warmup": { "steps": 0 } }));
    let error = crew.execute(&mad, None, &|_, _, _| ()).expect_err("it cannot end well");
    assert!(error.code == "E0710" && error.class == "bug" && error.message.contains("at step"), "{error:?}");
    let error = crew.execute(&crew.sft(1, 2, json!({ "gpus": 2 })), None, &|_, _, _| ()).expect_err("no GPU");
    assert!(error.code == "E0712" && error.message.contains("gpus: 2"), "{error:?}");
}

#[test]
fn a_damaged_or_unwritable_checkpoint_loses_nothing() {
    let crew = Crew::new();
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run {
        checkpoints: Some(folder.path().to_path_buf()),
        ..adafactor(crew.sft(7, 2, json!({ "checkpoint": 2, "shard": "zero3" })))
    };
    let whole = crew.model_of(&run);
    let newest = folder.path().join("step-00000006/rank-0001.safetensors");
    let bytes = std::fs::read(&newest).expect("two checkpoints are kept");
    std::fs::write(&newest, &bytes[..bytes.len() / 2]).expect("it can be cut");
    // The older one is taken, and by another number of ranks too.
    let again = crew.model_of(&run);
    assert_eq!(crew.weights(&again), crew.weights(&whole));
    let alone = crew.model_of(&Run { ranks: 1, ..run });
    let (ours, theirs) = (losses(&crew.bench, &alone, "loss"), losses(&crew.bench, &whole, "loss"));
    assert!(near(&ours, &theirs), "{ours:?}, {theirs:?}");

    // A file as large as the model may be written, one as large as a checkpoint may not.
    let blocks = whole.files["model.safetensors"].bytes / 512 + 64;
    let script = engine(&crew, "engine.sh", &format!("trap '' XFSZ\nulimit -f {blocks}"));
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run {
        checkpoints: Some(folder.path().to_path_buf()),
        engine: script,
        ..crew.sft(5, 2, json!({ "checkpoint": 2 }))
    };
    let said = Mutex::new(String::new());
    let made = crew.execute(&run, None, &|event, fields, _| {
        if event == "node_log" {
            *said.lock().unwrap() += fields["text"].as_str().unwrap_or_default();
        }
    });
    let full = made.expect("training goes on").outputs[""].clone();
    assert!(said.lock().unwrap().contains("no checkpoint at step 2"), "{said:?}");
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0, "no half of a checkpoint is left");
    let usual = crew.model_of(&crew.sft(5, 2, json!({})));
    assert_eq!(crew.weights(&full), crew.weights(&usual));
}

/// Needs file systems that are full: in memory, in a name space of the engine's own, where the machine lets us make them.
#[test]
fn a_full_disk_is_seen_before_the_first_step_and_at_a_checkpoint() {
    let mount = |size: u64, at: &str| format!("mount -t tmpfs -o size={} tmpfs {at}", size.div_ceil(4096) * 4096);
    let inside = "[ -n \"$INSIDE\" ] || INSIDE=1 exec unshare -rm \"$0\" \"$@\"";
    let tried = std::process::Command::new("unshare").args(["-rm", "sh", "-c", &mount(65_536, "/tmp")]).output();
    if !tried.is_ok_and(|out| out.status.success()) {
        eprintln!("left out: this machine lets nobody mount a file system in memory");
        return;
    }
    let crew = Crew::new();
    let plain = crew.sft(5, 1, json!({ "checkpoint": 2 }));
    let usual = crew.model_of(&plain);
    let model = usual.files["model.safetensors"].bytes;
    let said = |run: &Run| {
        let said = Mutex::new(String::new());
        let made = crew.execute(run, None, &|event, fields, _| {
            if event == "node_log" {
                *said.lock().unwrap() += fields["text"].as_str().unwrap_or_default();
            }
        });
        (made, said.into_inner().unwrap())
    };
    // A checkpoint has the weights and both moments in f32: there is room for none, for one, and for the three that stand there at most.
    for (size, none_at) in [(2 * model, &[2, 4][..]), (5 * model, &[4]), (16 * model, &[])] {
        let folder = tempfile::tempdir().expect("a folder");
        let before = format!("{inside}\n{} || exit 1", mount(size, &folder.path().display().to_string()));
        let script = engine(&crew, "small.sh", &before);
        let run = Run { checkpoints: Some(folder.path().to_path_buf()), engine: script, ..plain.clone() };
        let (made, said) = said(&run);
        let warned = said.contains("no room for checkpoints: ") && said.contains(&folder.path().display().to_string());
        assert_eq!(warned, !none_at.is_empty(), "{size}: {said}");
        for step in [2, 4] {
            let missed = said.contains(&format!("no checkpoint at step {step}: "));
            assert_eq!(missed, none_at.contains(&step), "{size}, step {step}: {said}");
        }
        assert!(none_at.is_empty() || said.contains("No space left on device"), "{size}: {said}");
        let made = made.expect("training goes on").outputs[""].clone();
        assert_eq!(crew.weights(&made), crew.weights(&usual));
    }
    // Without room for the result the first step is not taken.
    let aside = crew.bench.root.path().join("task.json");
    // Pictures lie there too.
    let small = mount(model * 3 / 2, "\"$D\"");
    let before =
        format!("{inside}\nD=$(dirname \"$1\"); cp \"$1\" {0} && {small} && cp {0} \"$1\" || exit 1", aside.display());
    let (made, said) = said(&Run { engine: engine(&crew, "smaller.sh", &before), ..plain });
    let error = made.expect_err("there is no room");
    assert!(error.code == "E0612" && error.message.contains("no room for the trained model"), "{error:?}, {said}");
    assert!(error.help.is_some_and(|help| help.contains("rbpipe cache gc")));
}

#[test]
fn a_group_that_is_asked_to_stop_writes_a_checkpoint_and_goes_on() {
    let crew = Crew::new();
    let folder = tempfile::tempdir().expect("a folder");
    let run = Run { checkpoints: Some(folder.path().to_path_buf()), ..crew.sft(12, 2, json!({ "shard": "zero2" })) };
    let error = crew
        .execute(&run, None, &|event, fields, scratch| {
            // As a cluster does that wants its machine back: one process hears of it.
            if event == "node_progress" && fields["unit"] == "steps" && fields["done"].as_u64() < Some(10) {
                signal(scratch, 1, libc::SIGTERM);
            }
        })
        .expect_err("it was stopped");
    assert_eq!(error.class, "preempted", "{error:?}");
    let whole = crew.model_of(&Run { checkpoints: None, ..run.clone() });
    assert_eq!(crew.weights(&crew.model_of(&run)), crew.weights(&whole));
}

const RECIPE: &str = r#"
recipe "ranks"
import std.{data, model, train}

param seed: Int = 7
schema Row { id: Str, instruction: Str, output: Str }

let rows  = data.jsonl("rows.jsonl", as: Row)
let vocabulary = train.tokenizer(rows, on: [.instruction, .output], vocab: 300)
let blank = model.random(config: "config.json", tokenizer: vocabulary)
stage tuned = blank |> train.sft(data: rows, batch: 4, max_steps: 2steps, lr: 1e-3, dtype: "f32") with { RANKS, log: 1steps }
output out = tuned to "out"
"#;

/// Through the scheduler: two ranks by `with`, memory that runs out three times, and no trace of either in the key.
#[test]
fn a_recipe_asks_for_ranks_and_memory_that_runs_out_costs_no_key() {
    let place = crate::engine::Place::new();
    let row =
        |i: usize| json!({ "id": i.to_string(), "instruction": format!("count to {i}"), "output": "one two three" });
    place.write("rows.jsonl", &(0..8).map(|i| format!("{}\n", row(i))).collect::<String>());
    let config: Json = serde_json::from_str(&super::train_ops::config()).expect("a configuration");
    place.write("config.json", &with(config, json!({ "vocab_size": 512 })).to_string());
    place.write("recipe.rb2", &RECIPE.replace("RANKS", "ranks: 2, shard: \"zero1\""));
    // An engine that runs out of memory until it has been asked for the third time to need less.
    let engine = place.path("engine.sh");
    let out = r#"{"event":"error","code":"E0612","class":"oom","message":"out of memory","help":null}"#;
    let script = format!(
        "#!/bin/sh\nif grep -q '\"op\":\"train.sft\"' \"$1\" && ! grep -q 'squeeze\":3' \"$1\"; then\n  echo '{out}'; exit 1\nfi\nexec {} \"$@\"\n",
        env!("CARGO_BIN_EXE_rbpipe-engine")
    );
    place.write("engine.sh", &script);
    std::process::Command::new("chmod").arg("+x").arg(&engine).status().expect("chmod");
    let events = place.path("events.jsonl");
    let run = |args: &[&str]| {
        let all = [&["run", "recipe.rb2", "--events", events.to_str().unwrap()], args].concat();
        let out = place.command(&all).env("RBPIPE_ENGINE", &engine).output().expect("it starts");
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, said) = run(&[]);
    assert_eq!(code, Some(0), "{said}");
    let text = std::fs::read_to_string(&events).expect("events");
    assert_eq!(text.matches("node_retried").count(), 3, "{text}");
    assert!(text.contains("memory ran out 3 times") && text.contains("blocks computed again"), "{text}");
    place.write_quietly("recipe.rb2", &RECIPE.replace("RANKS", "ranks: 1"));
    let (code, said) = run(&["--no-exec"]);
    assert_eq!(code, Some(0), "the number of ranks is in no key: {said}");

    // Told of a memory that is too small, it begins a step down: nothing fails first, and the key is the same.
    place.write("engine.sh", &format!("#!/bin/sh\nexec {} \"$@\"\n", env!("CARGO_BIN_EXE_rbpipe-engine")));
    let asked = |with: &str| RECIPE.replace("RANKS", with).replace("1e-3", "2e-3");
    place.write_quietly("recipe.rb2", &asked("ranks: 2, mem: 64GiB"));
    let out = place.command(&["plan", "recipe.rb2", "--json"]).output().expect("it starts");
    let plan: Json = serde_json::from_slice(&out.stdout).expect("a plan");
    let tuned = plan["nodes"].as_array().and_then(|all| all.iter().find(|n| n["name"] == "tuned")).expect("a node");
    let bytes = tuned["memory"]["bytes"].as_u64().expect("bytes");
    place.write_quietly("recipe.rb2", &asked(&format!("ranks: 2, mem: {}B", 2 * bytes - 2)));
    std::fs::remove_file(&events).expect("the runs before");
    let (code, said) = run(&[]);
    assert_eq!(code, Some(0), "{said}");
    let text = std::fs::read_to_string(&events).expect("events");
    assert!(text.contains("node_foreseen") && !text.contains("node_retried"), "{text}");
    assert!(text.contains("memory would run out as it is asked for: a quarter as much in each forward;"), "{text}");
    place.write_quietly("recipe.rb2", &asked("ranks: 1"));
    let (code, said) = run(&["--no-exec"]);
    assert_eq!(code, Some(0), "what memory there is is in no key: {said}");
}
