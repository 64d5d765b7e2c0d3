//! Nodes as jobs of a real Slurm.

use std::fs;
use std::path::PathBuf;
use std::process::{Child, Stdio};
use std::time::Duration;

use rbpipe::base::Digest;
use rbpipe::engine::executors::worker::{Order, VERSION};
use rbpipe::engine::node::task::Task;
use rbpipe::spec::Pool;
use serde_json::json;

use crate::cluster::Cluster;
use crate::engine::{Place, Ran, signal};

const RECIPE: &str = r#"
recipe "far"
import std.{data}

schema Row { id: Str, text: Str }
op shout(d: Dataset[{ text: Str, ..r }], how: Str) -> Dataset[{ text: Str, loud: Str, ..r }] runs "sh shout.sh" files ["shout.sh"]

let rows = data.jsonl("rows.jsonl", as: Row)
"#;

/// Answers every row; says where it ran, how often it was started, and waits as long as a file says.
const SHOUT: &str = r#"echo start >> PLACE/started
echo said on stderr >&2
[ -f PLACE/die ] && { rm PLACE/die; kill -9 $PPID; }
cat > in
while [ -f PLACE/hold ]; do sleep 0.05; done
sed 's/"text":"\([^"]*\)"/"text":"\1","loud":"\1!"/' in
"#;

struct Far<'c> {
    place: Place,
    cluster: &'c Cluster,
}

impl<'c> Far<'c> {
    fn new(cluster: &'c Cluster, with: &str) -> Self {
        let place = Place::new();
        let rows: String = (0..7).map(|i| format!("{{\"id\":\"r{i}\",\"text\":\"word {i}\"}}\n")).collect();
        place.write("rows.jsonl", &rows);
        place.write("shout.sh", &SHOUT.replace("PLACE", place.folder.to_str().unwrap()));
        place.write("site.rb2", "let cluster = { kind: \"slurm\", poll: 0.2s, at_once: 8 }\n");
        let far = Self { place, cluster };
        far.recipe("loud", with);
        far
    }

    fn recipe(&self, how: &str, with: &str) {
        let node = format!("let a = rows |> shout(how: \"{how}\") {with}\noutput o = a to \"out.jsonl\"\n");
        self.place.write_quietly("recipe.rb2", &format!("{RECIPE}{node}"));
    }

    fn env(&self) -> Vec<(String, String)> {
        let site = self.place.path("site.rb2").display().to_string();
        self.cluster.env.iter().cloned().chain([("RBPIPE_SITE".to_owned(), site)]).collect()
    }

    fn run(&self) -> Ran {
        let env = self.env();
        self.place.run_in(&env.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect::<Vec<_>>(), &[])
    }

    fn spawn(&self) -> Child {
        let mut command = self.place.command(&["run", "recipe.rb2"]);
        command.envs(self.env()).stderr(Stdio::piped()).spawn().unwrap()
    }

    fn hold(&self) -> PathBuf {
        let file = self.place.path("hold");
        fs::write(&file, "").unwrap();
        file
    }

    fn starts(&self) -> usize {
        fs::read_to_string(self.place.path("started")).unwrap_or_default().lines().count()
    }

    /// Waits until the operator's program has been started so often.
    fn started(&self, times: usize) {
        for _ in 0..600 {
            if self.starts() >= times {
                return;
            }
            std::thread::sleep(Duration::from_millis(100));
        }
        panic!("never started {times} times: {:?}", self.cluster.jobs());
    }

    fn event<'r>(&self, ran: &'r Ran, event: &str) -> &'r serde_json::Value {
        ran.events.iter().find(|e| e["event"] == event).unwrap_or_else(|| panic!("no {event}: {}", ran.stderr))
    }
}

const WITH: &str = "with { executor: \"cluster\", cpus: 1 }";

#[test]
fn nodes_run_as_jobs_of_a_slurm() {
    let Some(cluster) = Cluster::start() else { return };
    one_job_and_an_array_make_what_this_machine_makes(&cluster);
    what_slurm_never_grants_is_refused_before_anything_starts(&cluster);
    an_interrupt_cancels_the_job(&cluster);
    a_killed_run_finds_its_job_again(&cluster);
    a_job_that_nobody_needs_any_more_is_cancelled(&cluster);
    a_lost_node_and_a_preemption_cost_an_attempt_and_no_result(&cluster);
    a_job_that_dies_says_why(&cluster);
    ranks_on_two_nodes_know_each_other(&cluster);
}

fn one_job_and_an_array_make_what_this_machine_makes(cluster: &Cluster) {
    let here = Far::new(cluster, "");
    let ran = here.run();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    let wanted = here.event(&ran, "run_finished")["run"].clone();
    let digest = |ran: &Ran| {
        let made = ran.events.iter().filter(|e| e["event"] == "node_finished" && e["op"] == "op.run");
        made.map(|e| e["output"].as_str().unwrap().to_owned()).next().unwrap()
    };
    for (with, parts) in [(WITH.to_owned(), 1), (WITH.replace("cpus", "at_most: 3, cpus"), 3)] {
        let far = Far::new(cluster, &with);
        let there = far.run();
        assert_eq!(there.code, 0, "{}", there.stderr);
        assert_eq!(far.place.read("out.jsonl"), here.place.read("out.jsonl"));
        assert_eq!((digest(&there), far.starts()), (digest(&ran), parts), "{with}");
        assert_eq!(far.event(&there, "run_finished")["run"], wanted);
        let submitted = far.event(&there, "node_submitted");
        assert!(submitted["executor"] == "cluster" && submitted["adopted"] == false, "{submitted}");
        assert!(there.events.iter().any(|e| e["event"] == "node_queued"), "{}", there.stderr);
        let key = submitted["key"].as_str().unwrap();
        let log = fs::read_dir(far.place.cache().join("logs")).unwrap().flatten();
        let logs: String = log
            .filter(|f| key.starts_with(f.file_name().to_str().unwrap().split('.').next().unwrap()))
            .map(|f| fs::read_to_string(f.path()).unwrap())
            .collect();
        assert_eq!(logs.matches("said on stderr").count(), parts, "{logs}");
        assert!(!far.place.cache().join("jobs").join(key).exists(), "the job's folder is left behind");
    }
}

fn what_slurm_never_grants_is_refused_before_anything_starts(cluster: &Cluster) {
    let far = Far::new(cluster, "with { executor: \"cluster\", cpus: 99 }");
    let ran = far.run();
    assert_eq!((ran.code, ran.events.len()), (1, 0), "{}", ran.stderr);
    assert!(ran.stderr.contains("E0620") && ran.stderr.contains("Requested node configuration"), "{}", ran.stderr);
}

fn an_interrupt_cancels_the_job(cluster: &Cluster) {
    let far = Far::new(cluster, WITH);
    let hold = far.hold();
    let mut run = far.spawn();
    far.started(1);
    signal(&run, libc::SIGINT);
    assert_eq!(run.wait().unwrap().code(), Some(130));
    let last = cluster.jobs().into_iter().find(|job| job.ends_with("RUNNING") || job.ends_with("PENDING"));
    assert_eq!(last, None);
    let left = std::process::Command::new("pgrep").args(["-f", far.place.folder.to_str().unwrap()]).output().unwrap();
    assert!(left.stdout.is_empty(), "processes are left: {}", String::from_utf8_lossy(&left.stdout));
    fs::remove_file(hold).unwrap();
    assert_eq!((far.run().code, far.starts()), (0, 2));
}

/// Returns what a run leaves that was killed while its job ran, and the file that holds the job.
fn killed(cluster: &Cluster) -> (Far<'_>, PathBuf) {
    let far = Far::new(cluster, WITH);
    let hold = far.hold();
    let mut run = far.spawn();
    far.started(1);
    run.kill().unwrap();
    run.wait().unwrap();
    (far, hold)
}

fn a_killed_run_finds_its_job_again(cluster: &Cluster) {
    let (far, hold) = killed(cluster);
    fs::remove_file(hold).unwrap();
    let ran = far.run();
    assert_eq!((ran.code, far.starts()), (0, 1), "{}", ran.stderr);
    assert_eq!(far.event(&ran, "node_submitted")["adopted"], true);
}

fn a_job_that_nobody_needs_any_more_is_cancelled(cluster: &Cluster) {
    let (far, hold) = killed(cluster);
    far.recipe("louder", "with { executor: \"local\" }");
    // The first job holds on; the node that is needed now runs here.
    far.place.write_quietly("shout.sh", &far.place.read("shout.sh").replace("/hold", "/none"));
    let ran = place_update(&far);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(ran.stderr.contains("cancelled Slurm job"), "{}", ran.stderr);
    cluster.wait_for("CANCELLED", 1);
    fs::remove_file(hold).unwrap();
}

fn place_update(far: &Far) -> Ran {
    let _ = fs::remove_file(far.place.path("recipe.rb2.lock"));
    far.run()
}

fn a_lost_node_and_a_preemption_cost_an_attempt_and_no_result(cluster: &Cluster) {
    for (loss, state) in [("lost its node", "NODE_FAIL"), ("was preempted", "PREEMPTED")] {
        let far = Far::new(cluster, "with { executor: \"cluster\", cpus: 4, at_most: 1 }");
        let hold = far.hold();
        let run = far.spawn();
        far.started(1);
        let node = cluster.ask("squeue", &["-h", "-t", "running", "-o", "%N"]).unwrap();
        if loss == "was preempted" {
            let both = ["--parsable", "-p", "urgent", "-N2", "-n8", "--output=/dev/null", "--wrap", "sleep 1"];
            cluster.ask("sbatch", &both).unwrap();
        } else {
            let down = [format!("nodename={node}"), "state=down".to_owned(), "reason=test".to_owned()];
            let down: Vec<&str> = ["update"].into_iter().chain(down.iter().map(String::as_str)).collect();
            cluster.ask("scontrol", &down).unwrap();
        }
        cluster.wait_for(state, 1);
        // The lost job's program lives on, and would leave its result before the loss is seen: it may end once another attempt has begun.
        far.started(2);
        fs::remove_file(&hold).unwrap();
        let out = run.wait_with_output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(out.status.success() && said.contains(loss), "{loss}: {said}");
        assert_eq!(far.starts(), 2, "{said}");
        let _ = cluster.ask("scontrol", &["update", &format!("nodename={node}"), "state=resume"]);
    }
}

fn a_job_that_dies_says_why(cluster: &Cluster) {
    let far = Far::new(cluster, WITH);
    fs::write(far.place.path("die"), "").unwrap();
    let ran = far.run();
    let failed = far.event(&ran, "node_failed");
    assert_eq!((ran.code, failed["class"].as_str()), (3, Some("oom")), "{}", ran.stderr);
    assert!(failed["message"].as_str().unwrap().contains("Slurm job"), "{failed}");
    assert_eq!((far.run().code, far.starts()), (0, 2));
}

/// The engine's place is taken by a script that says what it was told, so that the light lane can ask.
fn ranks_on_two_nodes_know_each_other(cluster: &Cluster) {
    let place = Place::new();
    let engine = place.path("engine.sh");
    let said = r#"printf '{"event":"error","code":"E0612","class":"bug","message":"%s","help":null}\n'"#;
    let told = "$RANK of $WORLD_SIZE, $LOCAL_RANK of $LOCAL_WORLD_SIZE, $MASTER_ADDR $MASTER_PORT";
    fs::write(&engine, format!("#!/bin/sh\ncat > in\n{said} \"{told}\"\nexit 1\n")).unwrap();
    fs::set_permissions(&engine, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let task = Task {
        op: "train.sft".into(),
        pool: Pool::Engine,
        args: json!({}),
        inputs: Default::default(),
        with: json!({}),
        store: place.cache(),
        scratch: PathBuf::new(),
        folder: place.folder.clone(),
        seed: 0,
        stream: Digest::of(b"stream"),
        threads: 0,
        gpus: Vec::new(),
        ranks: 2,
        launched: false,
        checkpoints: None,
        rowwise: None,
    };
    fs::create_dir_all(place.cache().join("logs")).unwrap();
    let (key, log) = (Digest::of(b"key"), place.cache().join("logs/a.log"));
    let (parts, files) = (None, Default::default());
    let order = Order { version: VERSION.into(), name: "a".into(), key, task, log, parts, files, alone: false };
    fs::write(place.path("order.json"), serde_json::to_string(&order).unwrap()).unwrap();
    let folder = place.folder.to_str().unwrap();
    let export = format!("--export=ALL,RBPIPE_ENGINE={}", engine.display());
    let two = ["-N2", "-n2", "--ntasks-per-node=1", &export, env!("CARGO_BIN_EXE_rbpipe"), "node", folder, "--rank"];
    // Both end with an error, as the script does.
    assert!(cluster.ask("srun", &two).is_err());
    let heard = [0, 1].map(|rank| {
        let events = place.read(&format!("events-{rank}.jsonl"));
        let last: serde_json::Value = serde_json::from_str(events.lines().last().unwrap()).unwrap();
        last["message"].as_str().unwrap().to_owned()
    });
    let port = heard[0].rsplit(' ').next().unwrap();
    assert_eq!(heard, [format!("0 of 2, 0 of 1, 127.0.0.1 {port}"), format!("1 of 2, 0 of 1, 127.0.0.1 {port}")]);
    assert!(port.parse::<u16>().unwrap() >= 20_000);
}
