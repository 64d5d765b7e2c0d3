//! What the engine promises, from outside: crashes at every step, damage, several users, inputs that change, requests to stop, and plans that keep their word.
//! `docs/engine.md` names the test of each promise.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use rbpipe::engine::Store;
use rbpipe::engine::storage::{journal, record, verify};
use serde_json::{Value as Json, json};

use crate::engine::{Place, Ran, files_below, rows, signal, until};
use crate::workbench::Draw;

/// Replaces a blob by other bytes, as a disk does that decays: the file is another one, its size the same.
fn flip(blob: &Path) {
    let mut bytes = fs::read(blob).unwrap();
    let at = bytes.len() / 2;
    bytes[at] ^= 1;
    fs::remove_file(blob).unwrap();
    fs::write(blob, bytes).unwrap();
}

#[test]
fn a_crash_after_any_step_leaves_what_the_next_run_completes() {
    dies_after_each_step(&Place::new, &["out/kept.jsonl", "out/all.jsonl"], 120);
}

/// A large blob has a tree beside it.
#[test]
fn a_crash_after_any_step_of_a_large_result_leaves_what_the_next_run_completes() {
    dies_after_each_step(&|| crate::trees::large(1_800), &["out/all.jsonl"], 40);
}

fn dies_after_each_step(new: &dyn Fn() -> Place, outputs: &[&str], least: u32) {
    let good = new();
    good.done();
    for step in 1.. {
        let place = new();
        let mut command = place.command(&["run", "recipe.rb2", "--jobs", "1"]);
        let out = command.env("RBPIPE_DIE_AFTER", step.to_string()).output().unwrap();
        let died = out.status.signal() == Some(libc::SIGKILL);
        assert!(died || out.status.success(), "step {step}: {}", String::from_utf8_lossy(&out.stderr));
        // A record implies its bytes, and an output is whole or not there.
        let store = Store::open(place.cache()).unwrap();
        let found = verify::verify(&store);
        assert!(found.none(), "step {step}: {found:?}");
        for output in outputs.iter().filter(|o| place.path(o).exists()) {
            assert_eq!(place.read(output), good.read(output), "step {step}");
        }
        let ran = place.run(&[]);
        // A claim tells whose it is from its first moment on, so that nobody waits for one who is gone.
        assert_eq!(ran.said("node_waits"), Vec::<&Json>::new(), "step {step}");
        assert_eq!(ran.code, 0, "step {step}: {}", ran.stderr);
        for output in outputs {
            assert_eq!(place.read(output), good.read(output), "step {step}");
        }
        assert!(verify::verify(&store).none(), "step {step}");
        let trees =
            |place: &Place| files_below(&place.cache().join("trees")).iter().map(|f| fs::read(f).unwrap()).collect();
        let (found, expected): (Vec<Vec<u8>>, Vec<Vec<u8>>) = (trees(&place), trees(&good));
        assert!(found == expected, "step {step}: {} trees, not {}", found.len(), expected.len());
        let half = |f: &PathBuf| f.display().to_string().contains("/.rbpipe-");
        let left = files_below(&place.cache().join("tmp"))
            .into_iter()
            .chain(fs::read_dir(place.path("out")).unwrap().map(|e| e.unwrap().path()).filter(half));
        assert_eq!(left.collect::<Vec<_>>(), Vec::<PathBuf>::new(), "step {step}: something is left behind");
        if !died {
            assert!(step > least, "only {step} steps: some are not marked");
            break;
        }
    }
}

#[test]
fn a_record_or_journal_cut_at_any_byte_loses_its_end_alone() {
    let place = Place::new();
    place.done();
    let store = Store::open(place.cache()).unwrap();
    let path = files_below(&place.cache().join("runs")).remove(0);
    let (whole, events) = (fs::read(&path).unwrap(), journal::read(&path));
    assert!(events.len() > 8);
    for cut in 0..whole.len() {
        fs::write(&path, &whole[..cut]).unwrap();
        let lines = whole[..cut].iter().filter(|b| **b == b'\n').count();
        assert_eq!(journal::read(&path).len(), lines, "cut at {cut}: every whole line is read, nothing else");
    }
    // The shortest one: every byte of each would take its time.
    let shortest =
        record::keys(&store).into_iter().min_by_key(|k| fs::metadata(record::path(&store, *k)).unwrap().len());
    if let Some(key) = shortest {
        let path = record::path(&store, key);
        let whole = fs::read(&path).unwrap();
        fs::remove_file(&path).unwrap();
        for cut in 0..whole.len() {
            fs::write(&path, &whole[..cut]).unwrap();
            assert!(record::read(&store, key).is_none(), "half a record is none, cut at {cut}");
        }
        fs::write(&path, &whole).unwrap();
        assert!(record::read(&store, key).is_some());
    }
}

/// Flips a byte of each blob in turn: a run that uses it makes it anew and says so, and the output never differs.
#[test]
fn damage_is_found_on_first_use_moved_aside_and_made_anew_within_the_run() {
    let good = Place::new();
    good.done();
    let blobs = |place: &Place| files_below(&place.cache().join("blobs"));
    let (mut told, mut descriptions) = (0, 0);
    for at in 0..blobs(&good).len() {
        let place = Place::new();
        place.done();
        fs::remove_dir_all(place.path("out")).unwrap();
        // A description has its name in a record, and nothing reads it but who looks the result up.
        let described = fs::read(&blobs(&place)[at]).unwrap().starts_with(b"{\"files\"");
        flip(&blobs(&place)[at]);
        // Another argument makes `kept` and `long` read what is stored; `all` is only published.
        for args in [["-p", "least=2"], ["-p", "least=3"]] {
            let ran = place.run(&args);
            assert_eq!(ran.code, 0, "blob {at}: {}", ran.stderr);
            for event in ran.said("bytes_damaged") {
                assert!(
                    ran.stderr.contains("is damaged and was moved to `quarantine/`; it is made anew"),
                    "{}",
                    ran.stderr
                );
                assert_eq!(files_below(&place.cache().join("quarantine")).len(), 1, "{event}");
                assert!(place.command(&["report", "recipe.rb2", "-o", "r.html"]).output().unwrap().status.success());
                assert!(place.read("r.html").contains("is damaged"), "the report tells of it");
                told += 1;
                descriptions += usize::from(described);
            }
        }
        for output in ["out/kept.jsonl", "out/all.jsonl"] {
            assert_eq!(place.read(output), good.read(output), "blob {at}");
        }
    }
    assert!(told >= 8 && descriptions >= 3, "{told} of the blobs were used, {descriptions} descriptions");
}

/// Bytes of Arrow say where others lie, and its reader stops at some that lie nowhere: nothing is read before it is compared.
#[test]
fn a_flipped_bit_anywhere_is_found_and_nothing_else_happens() {
    let place = Place::new();
    place.done();
    let store = || Store::open(place.cache()).unwrap();
    for blob in files_below(&place.cache().join("blobs")) {
        let whole = fs::read(&blob).unwrap();
        for at in (0..whole.len()).step_by(5) {
            let mut bytes = whole.clone();
            bytes[at] ^= 1 << (at % 8);
            fs::remove_file(&blob).unwrap();
            fs::write(&blob, bytes).unwrap();
            let found = verify::verify(&store());
            let damaged: Vec<&PathBuf> = found.damaged.iter().map(|blob| &blob.path).collect();
            assert_eq!((damaged, found.broken.is_empty()), (vec![&blob], false), "byte {at} of {}", blob.display());
        }
        fs::remove_file(&blob).unwrap();
        fs::write(&blob, whole).unwrap();
    }
    assert!(verify::verify(&store()).none());
}

#[test]
fn the_newest_run_of_a_recipe_is_the_one_that_began_last() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let recipe = folder.path().join("recipe.rb2");
    // In a hundred of them some begin at a time whose last digit is nought.
    let begun = (0..100).map(|_| {
        std::thread::sleep(Duration::from_millis(2));
        journal::Journal::create(&store, &recipe).unwrap().path().to_owned()
    });
    let mut begun: Vec<PathBuf> = begun.collect();
    begun.reverse();
    assert_eq!(journal::runs(&store, &recipe), begun);
}

#[test]
fn a_blob_is_compared_once_for_each_start_of_the_machine() {
    let folder = tempfile::tempdir().unwrap();
    let blob = Store::open(folder.path()).unwrap().put(b"some bytes").unwrap();
    let seen = files_below(&folder.path().join("seen"));
    assert_eq!(seen.len(), 1, "one file for this start");
    let path = Store::open(folder.path()).unwrap().path(blob.digest);
    // The same file with other bytes and all its times: only a comparison could tell.
    let times = fs::metadata(&path).unwrap().modified().unwrap();
    fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
    fs::write(&path, b"some bytez").unwrap();
    fs::File::options().write(true).open(&path).unwrap().set_modified(times).unwrap();
    assert!(Store::open(folder.path()).unwrap().read(blob.digest).is_ok(), "compared before: not again");
    fs::remove_file(&seen[0]).unwrap();
    let after = Store::open(folder.path()).unwrap();
    let e = after.read(blob.digest).unwrap_err();
    assert_eq!(e.kind(), std::io::ErrorKind::InvalidData, "{e}");
    assert_eq!(after.look(blob.digest).unwrap(), rbpipe::engine::storage::store::Look::Damaged);
}

/// Runs as two users of one group, one after the other, on a store that the group may write.
#[test]
fn users_of_one_machine_share_a_store() {
    // SAFETY: asks for a number.
    if unsafe { libc::geteuid() } != 0 {
        eprintln!("SKIPPED: only the superuser can act as two others");
        return;
    }
    if cfg!(feature = "torch") {
        eprintln!("SKIPPED: this rbpipe links a libtorch that lies in a home others cannot read; it is tested without");
        return;
    }
    let place = Place::new();
    for folder in [place.root.path(), &place.folder] {
        fs::set_permissions(folder, fs::Permissions::from_mode(0o777)).unwrap();
    }
    let run = |user: u32, args: &[&str]| {
        let mut command = place.command(&[&["run", "recipe.rb2"], args].concat());
        command.uid(user).gid(4_242).env("HOME", place.root.path());
        // SAFETY: `umask` touches no memory.
        unsafe {
            command.pre_exec(|| {
                libc::umask(0o002);
                Ok(())
            })
        };
        let out = command.output().unwrap();
        (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, text) = run(4_001, &[]);
    assert_eq!(code, Some(0), "{text}");
    let blobs = files_below(&place.cache().join("blobs"));
    assert!(blobs.iter().all(|b| fs::metadata(b).unwrap().permissions().mode() & 0o777 == 0o444));
    let (code, text) = run(4_002, &["--no-exec"]);
    assert!(code == Some(0) && text.contains("0 run, 4 hit"), "{text}");
    // The second one makes something of what the first one made, and bytes that are there already.
    let (code, text) = run(4_002, &["-p", "least=2"]);
    assert!(code == Some(0) && text.contains("2 run, 2 hit"), "{text}");
    let (code, text) = run(4_001, &["-p", "least=1"]);
    assert_eq!(code, Some(0), "{text}");
    assert!(place.command(&["cache", "verify"]).output().unwrap().status.success());
}

#[test]
fn temporary_files_of_another_machine_are_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(folder.path()).unwrap();
    let own = store.scratch().unwrap().keep();
    let name = own.file_name().unwrap().to_str().unwrap().to_owned();
    let parts: Vec<&str> = name.split('-').collect();
    // A process that is no more, an earlier start, another machine.
    let gone = format!("run-{}-{}-4194399-x", parts[1], parts[2]);
    let before = format!("run-{}-00000000-{}-x", parts[1], parts[3]);
    let elsewhere = format!("run-00000000-{}-4194399-x", parts[2]);
    let old = format!("run-00000000-{}-4194398-x", parts[2]);
    for name in [&gone, &before, &elsewhere, &old] {
        fs::write(folder.path().join("tmp").join(name), "half").unwrap();
    }
    let month = std::time::SystemTime::now() - Duration::from_secs(31 * 86_400);
    fs::File::options().write(true).open(folder.path().join("tmp").join(&old)).unwrap().set_modified(month).unwrap();
    store.sweep().unwrap();
    let mut left: Vec<String> = fs::read_dir(folder.path().join("tmp"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    left.sort();
    let mut expected = vec![name, elsewhere];
    expected.sort();
    assert_eq!(left, expected);
}

/// A recipe with a program of the user's; `BODY` is its text, `PATH` in it this place.
pub fn with_a_program(body: &str) -> Place {
    let place = Place::new();
    let folder = place.folder.display().to_string();
    place.write("mine.py", &body.replace("PATH", &folder));
    place.write("words.txt", "one\n");
    place.write(
        "recipe.rb2",
        "recipe \"own\"\nimport std.{data, filter}\nschema Row { id: Str, text: Str, n: Int }\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\n\
         op mine(d: Dataset[{ text: Str, ..r }]) -> Dataset[{ text: Str, ..r }] runs \"python3 mine.py\" files [\"mine.py\", \"words.txt\"] deterministic\n\
         let first = rows |> filter.rule(where: .n >= 0)\n\
         output out = first |> mine() to \"out.jsonl\"\noutput also = first to \"also.jsonl\"\n",
    );
    place
}

const COPY: &str = "import sys\nfor line in sys.stdin: print(line, end='')\n";

#[test]
fn an_input_that_changes_while_it_is_read_poisons_nothing() {
    let body = format!(
        "import os\nmark = 'PATH/ran'\nif not os.path.exists(mark):\n    open(mark, 'w')\n    open('PATH/words.txt', 'a').write('two\\n')\n{COPY}"
    );
    let place = with_a_program(&body);
    let ran = place.run(&["-w", "at_most=1"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert_eq!(ran.said("node_failed")[0]["code"], "E0502", "{}", ran.stderr);
    assert!(ran.stderr.contains("words.txt` changed while it was read"), "{}", ran.stderr);
    assert!(!place.path("out.jsonl").exists());
    let store = Store::open(place.cache()).unwrap();
    assert!(record::all(&store).iter().all(|r| r.preimage["op"] != "op.run"), "what it made is recorded nowhere");
    let again = place.run(&["-w", "at_most=1"]);
    assert_eq!((again.code, again.said("node_finished").len()), (0, 2), "{}", again.stderr);
}

/// Needs a file system that is full: one in memory, in a name space of our own, where the machine lets us make one.
#[test]
fn a_full_disk_leaves_targets_and_store_as_they_were() {
    let place = Place::new();
    let many: Vec<String> = (0..3_000).map(|i| format!("a row of some length, the {i}th of its kind")).collect();
    place.write("rows.jsonl", &rows(&many.iter().map(String::as_str).collect::<Vec<_>>()));
    place.write(
        "recipe.rb2",
        "recipe \"full\"\nimport std.{data}\nschema Row { id: Str, text: Str, n: Int }\n\
         output out = data.jsonl(\"rows.jsonl\", as: Row) to \"small/out.jsonl\"\n",
    );
    fs::create_dir(place.path("small")).unwrap();
    let on_a_small_disk = |script: &str| {
        let mut command = std::process::Command::new("unshare");
        let script = format!("mount -t tmpfs -o size=64k tmpfs small && {script}");
        command.args(["-rm", "sh", "-c", &script]).current_dir(&place.folder);
        command.env("RBPIPE_CACHE", place.cache()).env("NO_COLOR", "1").output()
    };
    if !on_a_small_disk("true").is_ok_and(|out| out.status.success()) {
        eprintln!("left out: this machine lets nobody mount a file system in memory");
        return;
    }
    let rbpipe = env!("CARGO_BIN_EXE_rbpipe");
    // The target's disk is full: nothing stands there, and what was made is kept.
    let out = on_a_small_disk(&format!("{rbpipe} run recipe.rb2; echo \"left $?\"; ls -A small")).unwrap();
    let said = String::from_utf8(out.stderr).unwrap();
    assert!(
        said.contains("E0504") && said.contains("small/out.jsonl") && said.contains("make room on that disk"),
        "{said}"
    );
    assert_eq!(String::from_utf8(out.stdout).unwrap(), "left 3\n", "{said}");
    // The store's disk is full: nothing is recorded, and with room the run completes.
    let out = on_a_small_disk(&format!("RBPIPE_CACHE=small/cache {rbpipe} run recipe.rb2")).unwrap();
    let said = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
    assert!(said.contains("E0504") && said.contains("make room on that disk") && !out.status.success(), "{said}");
    assert_eq!(place.run(&[]).code, 0);
    assert_eq!(place.read("small/out.jsonl").lines().count(), 3_000);
}

#[test]
fn one_request_to_stop_drains_and_a_second_ends_at_once_and_both_resume() {
    // It says that it runs, and goes on for ever however it is asked.
    let body = format!(
        "import os, signal, time\nfor s in (signal.SIGTERM, signal.SIGINT): signal.signal(s, signal.SIG_IGN)\n\
                        if not os.path.exists('PATH/free'):\n    open('PATH/pid.part', 'w').write(str(os.getpid()))\n    os.rename('PATH/pid.part', 'PATH/pid')\n    time.sleep(300)\n{COPY}"
    );
    let by_itself = &["\nstop  out/mine  ", "1 stopped, ", " not reached · "];
    // Such a program has longer to end than the run itself after the second request.
    for (requests, words) in [(1, &by_itself[..]), (2, &["ended at once: 3 run, 0 hit, 1 stopped · "])] {
        let place = with_a_program(&body);
        let child = place.command(&["run", "recipe.rb2", "-w", "at_most=1"]).stderr(Stdio::piped()).spawn().unwrap();
        assert!(until(|| place.path("pid").exists()), "it never started");
        let pid: i32 = place.read("pid").parse().unwrap();
        for _ in 0..requests {
            signal(&child, libc::SIGINT);
            std::thread::sleep(Duration::from_millis(200));
        }
        let out = child.wait_with_output().unwrap();
        assert_eq!(out.status.code(), Some(130));
        let said = String::from_utf8_lossy(&out.stderr);
        assert!(said.ends_with("; the same command goes on from here\n"), "{said}");
        assert!(words.iter().all(|part| said.contains(part)), "{said}");
        assert!(!said.contains("FAIL") && !said.contains("\nskip"), "to be stopped is no failure: {said}");
        let last = last_event(&place);
        assert_eq!((&last["exit"], &last["failed"], &last["stopped"]), (&json!(130), &json!(0), &json!(1)), "{last:?}");
        assert!(place.command(&["report", "recipe.rb2", "-o", "r.html"]).output().unwrap().status.success());
        assert!(place.read("r.html").contains("1 stopped") && !place.read("r.html").contains("failed ·"));
        let alive = || fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|s| !s.contains(") Z "));
        assert!(until(|| !alive()), "{requests} requests: process {pid} still runs");
        place.write_quietly("free", "");
        let ran = place.run(&["-w", "at_most=1"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let hits = ran.said("node_hit").len();
        assert!(hits >= 2, "what was done before stays done: {}", ran.stderr);
        assert!(files_below(&place.cache().join("leases")).is_empty(), "no lease is left");
    }
}

/// The last thing that the newest run has told its journal.
fn last_event(place: &Place) -> serde_json::Map<String, Json> {
    let runs = journal::runs(&Store::open(place.cache()).unwrap(), &place.path("recipe.rb2"));
    let last = journal::read(&runs[0]).pop().unwrap();
    assert_eq!(last.event, "run_finished");
    last.fields
}

fn pipe(path: &Path) {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    let path = std::ffi::CString::new(path.to_str().unwrap()).unwrap();
    // SAFETY: the path is a text that ends with a zero and outlives the call.
    assert_eq!(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }, 0);
}

#[test]
fn what_is_ended_in_the_middle_has_a_last_word_too() {
    let place = Place::new();
    // Whoever reads the note beside an output waits for ever.
    pipe(&place.path("out/kept.jsonl.rbpipe.json"));
    let child = place.command(&["run", "recipe.rb2"]).stderr(Stdio::piped()).spawn().unwrap();
    let done = || files_below(&place.cache().join("records")).len() == 4;
    assert!(until(done), "it never came to its outputs");
    for _ in 0..2 {
        std::thread::sleep(Duration::from_millis(200));
        signal(&child, libc::SIGINT);
    }
    let out = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert_eq!(out.status.code(), Some(130), "{said}");
    assert!(said.contains("ended at once: 4 run, 0 hit · ") && said.contains("goes on from here"), "{said}");
    let last = last_event(&place);
    assert_eq!((&last["exit"], &last["run"]), (&json!(130), &json!(4)), "{last:?}");
}

#[test]
fn a_run_that_waits_for_another_says_for_whom() {
    let place = with_a_program(&format!("open('PATH/gate').read()\n{COPY}"));
    pipe(&place.path("gate"));
    let start = |events: &str| {
        let args = ["run", "recipe.rb2", "-w", "at_most=1", "--events", events];
        place.command(&args).stderr(Stdio::piped()).spawn().unwrap()
    };
    let told = |events: &str, event: &str| {
        let text = fs::read_to_string(place.path(events)).unwrap_or_default();
        let all = text.lines().filter_map(|l| serde_json::from_str::<Json>(l).ok());
        all.filter(|e| e["event"] == event && e["node"] == "out/mine").collect::<Vec<_>>()
    };
    let first = start("first.jsonl");
    assert!(until(|| told("first.jsonl", "node_started").len() == 1), "it never started");
    let second = start("second.jsonl");
    assert!(until(|| !told("second.jsonl", "node_waits").is_empty()), "the second one does not say that it waits");
    let process = first.id().to_string();
    assert!(place.command(&["report", "recipe.rb2", "-o", "r.html"]).output().unwrap().status.success());
    assert!(place.read("r.html").contains("still running"), "{}", place.read("r.html"));
    std::thread::sleep(Duration::from_millis(300));
    fs::write(place.path("gate"), "go").unwrap();
    assert!(first.wait_with_output().unwrap().status.success());
    let out = second.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&out.stderr);
    assert!(out.status.success(), "{said}");
    let waits = told("second.jsonl", "node_waits");
    assert!(waits.len() == 1 && waits[0]["process"] == process.as_str(), "{waits:?}");
    assert!(told("second.jsonl", "node_started").is_empty() && told("second.jsonl", "node_hit").len() == 1, "{said}");
    assert!(said.contains(&format!("\nwait  out/mine  is being made by process {process} on ")), "{said}");
    assert!(!said.contains("run   out/mine"), "{said}");
}

/// A file system without locks, made of one function.
const NO_LOCKS: &str = r#"
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
int flock(int fd, int how) {
    char name[64], path[4096] = {0};
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    if (readlink(name, path, sizeof path - 1) > 0 && strstr(path, "/leases/")) {
        errno = ENOLCK;
        return -1;
    }
    return ((int (*)(int, int))dlsym(RTLD_NEXT, "flock"))(fd, how);
}
"#;

/// Compiles a function that stands before one of the C library; nothing, with a word, where that cannot be.
pub fn preloaded(place: &Place, text: &str) -> Option<PathBuf> {
    place.write("before.c", text);
    let mut cc = std::process::Command::new("cc");
    cc.args(["-shared", "-fPIC", "before.c", "-o", "before.so", "-ldl"]).current_dir(&place.folder);
    if !cc.status().is_ok_and(|status| status.success()) {
        eprintln!("SKIPPED: there is no compiler for C");
        return None;
    }
    Some(place.path("before.so"))
}

#[test]
fn a_store_where_nothing_can_be_locked_is_an_error_and_no_wait() {
    let place = Place::new();
    let Some(library) = preloaded(&place, NO_LOCKS) else { return };
    let ran = place.run_in(&[("LD_PRELOAD", library.to_str().unwrap())], &[]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    assert!(ran.stderr.contains("cannot lock `") && ran.stderr.contains("RBPIPE_CACHE must name"), "{}", ran.stderr);
}

#[test]
fn what_a_blocked_node_reads_survives_a_collection() {
    let place = with_a_program(&format!("open('PATH/gate').read()\n{COPY}"));
    pipe(&place.path("gate"));
    let mut child = place.command(&["run", "recipe.rb2", "-w", "at_most=1"]).stderr(Stdio::null()).spawn().unwrap();
    let running = || files_below(&place.cache().join("tmp")).iter().any(|f| f.ends_with("err-0"));
    assert!(until(running), "it never started");
    let old = std::time::SystemTime::now() - Duration::from_secs(100 * 86_400);
    for file in files_below(&place.cache()) {
        let _ = fs::File::open(file).and_then(|f| f.set_modified(old));
    }
    let args = ["cache", "gc", "--keep-days", "0", "--keep-runs", "0", "--grace", "0s", "--apply"];
    assert!(place.command(&args).output().unwrap().status.success());
    fs::write(place.path("gate"), "go").unwrap();
    assert!(child.wait().unwrap().success());
    assert_eq!(place.read("out.jsonl").lines().count(), 3);
    assert!(place.command(&["cache", "verify"]).output().unwrap().status.success());
}

#[test]
fn a_program_that_hangs_is_ended_and_what_it_was_doing_is_kept() {
    let place = with_a_program(
        "import subprocess, sys\nprint('so far', file=sys.stderr, flush=True)\nsubprocess.run(['sleep', '300'])\n",
    );
    let ran = place.run(&["-w", "at_most=1", "-w", "stall=6s"]);
    assert_eq!(ran.code, 3, "{}", ran.stderr);
    let failed = ran.said("node_failed")[0];
    assert_eq!(failed["class"], "flaky", "{failed}");
    assert!(failed["message"].as_str().unwrap().contains("`stall` is over"), "{failed}");
    let log = failed["help"].as_str().unwrap().rsplit("; ").next().unwrap().replace(" tells what it was doing", "");
    let log = fs::read_to_string(log).unwrap();
    for part in ["so far", "`stall` was over", "python3 mine.py", "sleep 300", "thread ", "waits in "] {
        assert!(log.contains(part), "no {part:?} in {log}");
    }
    let names =
        |ran: &Ran, event| ran.said(event).iter().map(|e| e["node"].as_str().unwrap().to_owned()).collect::<Vec<_>>();
    assert!(names(&ran, "node_finished").contains(&"first".to_owned()), "what does not depend on it is done");
    assert_eq!(names(&ran, "node_skipped"), ["out"]);
}

#[test]
fn at_the_first_failure_everything_or_nothing_else_stops_as_asked() {
    let broken = RECIPES_WITH_A_FAILURE;
    for (args, published) in [(&[][..], true), (&["--fail-fast", "--jobs", "1"][..], false)] {
        let place = Place::new();
        place.write("recipe.rb2", broken);
        place.write("bad.jsonl", "{\"id\": \"a\", \"text\": \"t\", \"n\": \"no number\"}\n");
        let ran = place.run(args);
        assert_eq!(ran.code, 3, "{}", ran.stderr);
        assert_eq!(place.path("late.jsonl").exists(), published, "{args:?}: {}", ran.stderr);
        assert!(!place.path("worse.jsonl").exists());
        let skipped: Vec<&str> = ran.said("node_skipped").iter().filter_map(|e| e["because"].as_str()).collect();
        assert!(skipped.iter().all(|because| *because == "bad"), "each is told because of whom: {skipped:?}");
    }
}

const RECIPES_WITH_A_FAILURE: &str = r#"recipe "failing"
import std.{data, filter}
schema Row { id: Str, text: Str, n: Int }
let bad = data.jsonl("bad.jsonl", as: Row)
output worse = bad |> filter.rule(where: .n > 0) to "worse.jsonl"
let rows = data.jsonl("rows.jsonl", as: Row)
let a = rows |> filter.rule(where: .n >= 0)
let b = a |> filter.rule(where: .n >= -1)
output late = b |> filter.rule(where: .n >= -2) to "late.jsonl"
"#;

/// Random edits, each followed by a plan and a run: what the plan calls a hit is not executed, what it calls a run is, the outputs are those of a store that knows nothing,
/// and nothing is left to do afterwards. A failure names the seed and the step.
#[test]
fn plans_keep_their_word_and_results_are_those_of_a_fresh_store() {
    let seed = std::env::var("RBPIPE_TEST_SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(20_261_127_u64);
    let mut random = Draw(seed);
    let mut draw = |most: usize| random.below(most) as u64;
    let place = Place::new();
    let mut facts = BTreeMap::from([("least", 2_u64), ("most", 9), ("words", 1), ("third", 4)]);
    for step in 0..14 {
        let (name, value) = (["least", "most", "words", "third"][draw(4) as usize], draw(7));
        facts.insert(name, value);
        let text = |n: u64| (0..n).map(|i| format!("w{i}")).collect::<Vec<_>>().join(" ");
        let data = rows(&[&text(5), &text(2 + facts["words"]), &text(facts["third"]), "x"]);
        let recipe = format!(
            "recipe \"drawn\"\nimport std.{{data, filter}}\nschema Row {{ id: Str, text: Str, n: Int }}\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\n\
             let long = rows |> filter.rule(where: .text.words >= {})\nlet few = long |> filter.rule(where: .n < {})\n\
             output a = few |> data.derive(twice: .n + .n) to \"a.jsonl\"\noutput b = rows |> filter.rule(where: .n >= {}) to \"b.jsonl\"\n",
            facts["least"],
            facts["most"],
            facts["third"] % 3
        );
        let write = |place: &Place| {
            place.write("rows.jsonl", &data);
            place.write("recipe.rb2", &recipe);
        };
        write(&place);
        let case = format!("RBPIPE_TEST_SEED={seed}, step {step}: {name} = {value}");
        let plan = place.command(&["plan", "recipe.rb2", "--json"]).output().unwrap();
        let plan: Json = serde_json::from_slice(&plan.stdout).unwrap();
        let ran = place.done();
        let executed = ran.executed();
        // What the plan said stands in the journal beside what came of it.
        let said = |name: &Json| {
            plan["nodes"].as_array().unwrap().iter().find(|n| n["name"] == *name).unwrap()["state"].clone()
        };
        for event in ran.events.iter().filter(|e| e["event"] == "node_finished" || e["foreseen"].is_object()) {
            assert_eq!(event["foreseen"]["state"], said(&event["node"]), "{case}: {event}");
        }
        assert_eq!(ran.said("run_foreseen").len(), usize::from(!executed.is_empty()), "{case}");
        for node in plan["nodes"].as_array().unwrap() {
            let ran = executed.iter().any(|n| node["name"] == n.as_str());
            match node["state"].as_str().unwrap() {
                "hit" => assert!(!ran, "{case}: {} was to be a hit", node["name"]),
                "run" => assert!(ran, "{case}: {} was to run", node["name"]),
                _ => {}
            }
        }
        let fresh = Place::new();
        write(&fresh);
        fresh.done();
        for output in ["a.jsonl", "b.jsonl"] {
            assert_eq!(place.read(output), fresh.read(output), "{case}");
        }
        assert_eq!(place.run(&["--no-exec"]).code, 0, "{case}");
    }
}

/// What the last run used is read while a long recipe is compiled; that must not hide what has happened to the store since.
#[test]
fn what_is_read_ahead_is_what_is_there() {
    let place = Place::new();
    let nodes = 90;
    let mut recipe = String::from(
        "recipe \"long\"\nimport std.{data, filter}\nschema Row { id: Str, text: Str, n: Int }\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\n",
    );
    let names: Vec<String> = (0..nodes).map(|i| format!("s{i}: n{i}")).collect();
    (0..nodes).for_each(|i| recipe += &format!("let n{i} = rows |> filter.rule(where: .n != {i})\n"));
    recipe += &format!("output all = data.concat({}) to \"all.jsonl\"\n", names.join(", "));
    place.write("recipe.rb2", &recipe);
    place.write("rows.jsonl", &rows(&["a", "b c", "d e f"]));
    assert_eq!(place.done().executed().len(), nodes + 2);
    let good = place.read("all.jsonl");
    let ran = place.done();
    assert_eq!(ran.executed(), [""; 0]);
    let key = |node: &str| ran.events.iter().find(|e| e["node"] == node).unwrap()["key"].as_str().unwrap().to_owned();
    let record = |node: &str| {
        let key = key(node);
        place.cache().join("records").join(&key[..2]).join(format!("{}.json", &key[2..]))
    };
    fs::remove_file(record("n7")).unwrap();
    let mut bytes = fs::read(record("n8")).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::remove_file(record("n8")).unwrap();
    fs::write(record("n8"), bytes).unwrap();
    assert_eq!(place.done().executed(), ["n7", "n8"], "a record that is gone, and one that is damaged");
    // A blob that is gone takes the records that name it along.
    let all: Json = ran.events.iter().find(|e| e["node"] == "all").unwrap()["output"].clone();
    let digest = all.as_str().unwrap();
    fs::remove_file(place.cache().join("blobs").join(&digest[..2]).join(&digest[2..])).unwrap();
    fs::remove_file(place.path("all.jsonl")).unwrap();
    assert_eq!(place.done().executed(), ["all"]);
    assert_eq!(place.read("all.jsonl"), good);
    // Another argument of one node: the others are found as they were read ahead.
    place.write("recipe.rb2", &recipe.replace(".n != 1)", ".n != 300)"));
    assert_eq!(place.done().executed(), ["all", "n1"]);
}
