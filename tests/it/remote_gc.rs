//! What is left in a remote, what was decided of rows, and the cleaning of remotes: once a folder, once servers of objects.

use std::fs;
use std::path::Path;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime};

use crate::buckets::{Bucket, Service};
use crate::engine::{Place, files_below};
use crate::proxy::Proxy;
use crate::remote::Shared;

/// A step that looks at one column and lets the others pass.
const PASSING: &str = r#"
recipe "passing"
import std.{data, dedup}
schema Row { id: Str, text: Str, note: Str }
let rows = data.jsonl("rows.jsonl", as: Row)
output kept = rows |> dedup.exact(on: [.text]) to "kept.jsonl"
"#;

fn passing(note: &str) -> Place {
    let place = Place::new();
    place.write("recipe.rb2", PASSING);
    noted(&place, note);
    place
}

fn noted(place: &Place, note: &str) {
    let row =
        |i: usize| format!("{{\"id\":\"r{i}\",\"text\":\"{}\",\"note\":\"{note} {i}\"}}\n", "word ".repeat(i / 2));
    place.write("rows.jsonl", &(0..5).map(row).collect::<String>());
    let _ = fs::remove_file(place.path("recipe.rb2.lock"));
}

/// What must hold for every kind of remote.
fn decisions_travel(shared: &Shared) {
    let first = passing("old");
    first.done();
    assert!(shared.push(&first, &[]).contains("sent 2 results"), "a decision is a part of its result");

    // Another column changed: nobody who has the remote decides again.
    let second = passing("new");
    assert_eq!(second.run(&["--to", "rows"]).code, 0);
    let (_, planned) = shared.ask(&second, &["plan", "recipe.rb2", "--remote", &shared.address]);
    assert!(planned.contains("its rows are decided in the remote"), "{planned}");
    let ran = shared.run(&second, &[]);
    assert_eq!((ran.code, ran.executed().len()), (0, 0), "{}", ran.stderr);
    let passed = ran.said("node_hit").iter().filter(|e| e["passed"] == true).count();
    let alone = passing("new");
    alone.done();
    assert_eq!((passed, second.read("kept.jsonl")), (1, alone.read("kept.jsonl")));

    // Who pulled before going away has the decisions as well.
    let third = passing("old");
    let (code, text) = shared.ask(&third, &["cache", "pull", &shared.address, "recipe.rb2"]);
    assert_eq!((code, text.contains("fetched 2 results, 0 here already")), (0, true), "{text}");
    noted(&third, "new");
    assert_eq!(third.done().executed(), ["rows"]);
    let fourth = passing("old");
    let (code, text) = shared.ask(&fourth, &["cache", "pull", &shared.address]);
    assert_eq!((code, text.contains("fetched 2 results, 0 here already")), (0, true), "{text}");
    noted(&fourth, "new");
    assert_eq!(fourth.done().executed(), ["rows"]);
}

#[test]
fn what_was_decided_of_rows_travels_with_their_result() {
    let folder = tempfile::tempdir().unwrap();
    decisions_travel(&Shared::folder(folder.path()));
    for bucket in Bucket::each() {
        decisions_travel(&bucket.shared("team/decisions"));
    }
}

#[test]
fn of_what_was_left_in_a_remote_nobody_asks_twice() {
    let Some(bucket) = Bucket::start(Service::S3) else { return };
    let proxy = Proxy::before(bucket.port);
    let shared = bucket.shared_at(proxy.port, "team/left");
    let first = Place::new();
    first.done();
    shared.push(&first, &[]);
    let second = Place::new();
    let lazily = || {
        let before = proxy.requests.load(Ordering::Relaxed);
        let ran = shared.run(&second, &["--lazy", "--no-exec"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        (ran.said("bytes_left").len(), proxy.requests.load(Ordering::Relaxed) - before)
    };
    let (left, requests) = lazily();
    assert!(left > 0 && requests > 0, "{left} {requests}");
    assert_eq!(lazily(), (left, 0));
    assert_eq!(second.run(&["--no-exec"]).code, 5, "a record implies its bytes: without the remote there is none");

    // Another remote has not promised anything.
    let other = bucket.shared_at(proxy.port, "team/other");
    assert_eq!(other.run(&second, &["--lazy", "--no-exec"]).code, 5);

    // What was promised and cannot be had is made, and then it is here.
    let folder = tempfile::tempdir().unwrap();
    let shared = Shared::folder(folder.path());
    shared.push(&first, &[]);
    let third = Place::new();
    assert_eq!(shared.run(&third, &["--lazy", "--no-exec"]).code, 0);
    fs::remove_dir_all(folder.path().join("records")).unwrap();
    assert!(!shared.run(&third, &["--lazy", "--no-exec"]).said("bytes_left").is_empty(), "it is remembered");
    let ran = shared.run(&third, &["--lazy", "-p", "least=2"]);
    assert_eq!((ran.code, ran.said("bytes_damaged").len()), (0, 1), "{}", ran.stderr);
    assert!(ran.executed().contains(&"rows".to_owned()), "{:?}", ran.executed());
}

/// Sets the time of everything in a folder back.
fn age(folder: &Path, hours: u64) {
    let then = SystemTime::now() - Duration::from_secs(hours * 3600);
    for file in files_below(folder) {
        fs::File::options().write(true).open(file).unwrap().set_modified(then).unwrap();
    }
}

#[test]
fn a_remote_keeps_what_is_young_or_named_and_loses_the_rest() {
    let folder = tempfile::tempdir().unwrap();
    let shared = Shared::folder(folder.path());
    let gc = |place: &Place, more: &[&str]| {
        let args = ["cache", "gc", "--remote", &shared.address, "--settle", "0s"];
        let (code, text) = shared.ask(place, &[&args, more].concat());
        assert_eq!(code, 0, "{text}");
        text
    };
    let (first, other) = (Place::new(), passing("old"));
    first.done();
    other.done();
    shared.push(&first, &[]);
    shared.push(&other, &[]);
    let all = files_below(folder.path());
    assert!(gc(&other, &[]).contains("nothing to free"), "what was pushed of late stays");

    // Everything is old. A dry run says what would go, why, and touches nothing.
    age(folder.path(), 24 * 30);
    let said = gc(&other, &["--keep", "recipe.rb2"]);
    for part in ["needed by recipe.rb2", "bytes that no record names which stays", "nothing was deleted; `--apply`"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert_eq!(files_below(folder.path()), all);

    // Bytes that nobody names yet and that are young are about to be named.
    let fresh = folder.path().join("blobs/00").join("1".repeat(62));
    fs::create_dir_all(fresh.parent().unwrap()).unwrap();
    fs::write(&fresh, "on its way").unwrap();
    assert!(gc(&other, &["--keep", "recipe.rb2", "--apply"]).contains("freed"));
    assert!(fresh.exists() && files_below(folder.path()).len() < all.len());
    assert!(!folder.path().join("gc/running").exists());

    // What was named is whole; what was not is gone, and is made anew.
    let ran = shared.run(&passing("old"), &["--no-exec"]);
    assert_eq!((ran.code, ran.said("node_fetched").len()), (0, 2), "{}", ran.stderr);
    assert_eq!(shared.run(&Place::new(), &["--no-exec"]).code, 5);
    assert_eq!(shared.run(&passing("new"), &[]).executed(), ["rows"], "the decisions of what stays stay");

    // A push of what is there makes it young.
    age(folder.path(), 24 * 30);
    shared.push(&other, &[]);
    let young = gc(&other, &["--apply"]);
    assert!(young.contains("pushed within the last 14 days"), "{young}");
    assert_eq!(shared.run(&passing("old"), &["--no-exec"]).code, 0);
    assert!(!fresh.exists(), "by now it is old, and still nobody names it");
}

/// Where columns changed that nobody looks at, a recipe needs what was decided of its rows, and the results that name it are not its own.
#[test]
fn a_remote_keeps_decisions_that_a_recipe_needs_without_their_result() {
    let folder = tempfile::tempdir().unwrap();
    let shared = Shared::folder(folder.path());
    let first = passing("old");
    first.done();
    shared.push(&first, &[]);
    age(folder.path(), 24 * 30);
    let second = passing("new");
    assert_eq!(second.run(&["--to", "rows"]).code, 0);
    let args = ["cache", "gc", "--remote", &shared.address, "--settle", "0s", "--keep", "recipe.rb2", "--apply"];
    let (code, said) = shared.ask(&second, &args);
    assert!(code == 0 && said.contains("`recipe.rb2`: 1 node without a result here or there"), "{said}");
    assert!(said.contains("needed by recipe.rb2") && said.contains("freed"), "{said}");
    assert_eq!(shared.run(&second, &[]).executed(), Vec::<String>::new());

    // Who put the rows together and pushed them has sent what was decided as well.
    let other = tempfile::tempdir().unwrap();
    let shared = Shared::folder(other.path());
    shared.push(&second, &[]);
    assert_eq!(shared.run(&passing("newer"), &[]).executed(), ["rows"]);
}

#[test]
fn a_remote_is_not_cleaned_in_doubt() {
    let folder = tempfile::tempdir().unwrap();
    let shared = Shared::folder(folder.path());
    let place = Place::new();
    place.done();
    shared.push(&place, &[]);
    age(folder.path(), 24 * 30);
    let gc = |more: &[&str]| {
        let args = ["cache", "gc", "--remote", &shared.address, "--settle", "0s", "--apply"];
        shared.ask(&place, &[&args, more].concat())
    };
    let all = files_below(folder.path());
    // Somebody collects already.
    fs::create_dir_all(folder.path().join("gc")).unwrap();
    fs::write(folder.path().join("gc/running"), "").unwrap();
    let (code, text) = gc(&[]);
    assert!(code == 5 && text.contains("somebody collects"), "{text}");
    fs::remove_file(folder.path().join("gc/running")).unwrap();

    // A record of a layout that this build does not read names nobody knows what.
    let record = all.iter().find(|f| f.parent().unwrap().parent().unwrap().ends_with("records")).unwrap();
    let text = fs::read_to_string(record).unwrap();
    let mut sealed: serde_json::Value = serde_json::from_str(&text).unwrap();
    sealed["entry"]["format"] = 99.into();
    sealed["checksum"] = rbpipe::base::Digest::of_json(&sealed["entry"]).hex().into();
    fs::write(record, sealed.to_string()).unwrap();
    let (code, said) = gc(&[]);
    assert!(code == 5 && said.contains("format 99"), "{said}");
    assert_eq!(files_below(folder.path()), all);
    // What is damaged names nothing; it goes once it is old.
    fs::write(record, "no record").unwrap();
    age(folder.path(), 24);
    let (code, said) = gc(&[]);
    assert!(code == 0 && said.contains("1  damaged records"), "{said}");

    // A remote that cannot be written is not cleaned.
    let (code, said) = shared.ask(&place, &["cache", "gc", "--remote", "http://127.0.0.1:9/x"]);
    assert!(code == 5 && said.contains("can only be read"), "{said}");
}

#[test]
fn who_pushes_while_a_remote_is_cleaned_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let shared = Shared::folder(folder.path());
    let (first, second) = (Place::new(), Place::new());
    first.done();
    second.done();
    shared.push(&first, &[]);
    age(folder.path(), 24 * 30);
    // The records go; the bytes stay for one collection more, as if it went on.
    fs::remove_dir_all(folder.path().join("records")).unwrap();
    fs::create_dir_all(folder.path().join("gc")).unwrap();
    fs::write(folder.path().join("gc/running"), "").unwrap();
    let mut push = shared.command(&second, &["cache", "push", &shared.address, "recipe.rb2"]);
    let mut pushing = push.spawn().unwrap();
    std::thread::sleep(Duration::from_millis(800));
    assert!(files_below(&folder.path().join("records")).is_empty(), "it waits");
    fs::remove_dir_all(folder.path().join("blobs")).unwrap();
    fs::remove_file(folder.path().join("gc/running")).unwrap();
    assert!(pushing.wait().unwrap().success());
    assert_eq!(shared.run(&Place::new(), &["--no-exec"]).code, 0);
}

#[test]
fn a_bucket_is_cleaned() {
    for bucket in Bucket::each() {
        is_cleaned(&bucket.shared("team/cleaned"));
    }
}

fn is_cleaned(shared: &Shared) {
    let place = Place::new();
    place.done();
    shared.push(&place, &[]);
    shared.push(&place, &["-p", "least=2"]);
    assert_eq!(shared.run(&place, &["-p", "least=2"]).code, 0);
    shared.push(&place, &["-p", "least=2"]);
    // The times of a server cannot be set: all must be older than a moment.
    std::thread::sleep(Duration::from_millis(3_100));
    let args = ["cache", "gc", "--remote", &shared.address, "--settle", "0s", "--keep-days", "0", "--grace", "1s"];
    let keep = ["--keep", "recipe.rb2", "--apply"];
    let (code, said) = shared.ask(&place, &[&args[..], &keep].concat());
    assert!(code == 0 && said.contains("freed") && said.contains("needed by recipe.rb2"), "{said}");
    let ran = shared.run(&Place::new(), &["--no-exec"]);
    assert_eq!((ran.code, ran.said("node_fetched").len()), (0, 4), "{}", ran.stderr);
    assert_eq!(shared.run(&Place::new(), &["-p", "least=2", "--no-exec"]).code, 5);
    let (code, said) = shared.ask(&place, &[&args[..], &["--apply"]].concat());
    assert!(code == 0 && said.contains("freed"), "{said}");
    let (_, said) = shared.ask(&place, &args);
    assert!(said.contains("nothing to free"), "{said}");
}
