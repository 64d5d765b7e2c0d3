//! Sharing: two stores and a remote between them: a folder, or a server of objects that is cut off, stumbles and lies.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::Ordering;

use rbpipe::engine::Store;
use rbpipe::engine::remote::{Pushed, Remote};
use rbpipe::engine::storage::reach::Reach;
use rbpipe::engine::storage::record;

use crate::buckets::Bucket;
use crate::cache::with_a_picture;
use crate::engine::{Place, Ran, files_below, rows};
use crate::proxy::{Fault, Proxy};

/// Where a remote lies and what its clients must know.
pub struct Shared {
    pub address: String,
    pub env: Vec<(String, String)>,
}

impl Shared {
    pub fn folder(path: &Path) -> Self {
        Self { address: format!("file://{}", path.display()), env: Vec::new() }
    }

    pub fn command(&self, place: &Place, args: &[&str]) -> Command {
        let mut command = place.command(args);
        command.envs(self.env.iter().cloned()).env_remove("http_proxy").env_remove("HTTP_PROXY");
        command
    }

    /// Exit code and everything that was said.
    pub fn ask(&self, place: &Place, args: &[&str]) -> (i32, String) {
        let out = self.command(place, args).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.code().unwrap_or(-1), text)
    }

    pub fn push(&self, place: &Place, more: &[&str]) -> String {
        let (code, text) = self.ask(place, &[&["cache", "push", &self.address, "recipe.rb2"], more].concat());
        assert_eq!(code, 0, "{text}");
        text
    }

    pub fn run(&self, place: &Place, more: &[&str]) -> Ran {
        let events = place.root.path().join("shared-events.jsonl");
        let _ = fs::remove_file(&events);
        let args = ["run", "recipe.rb2", "--remote", &self.address, "--events", events.to_str().unwrap()];
        let out = self.command(place, &[&args, more].concat()).output().unwrap();
        let text = fs::read_to_string(&events).unwrap_or_default();
        Ran {
            code: out.status.code().unwrap_or(-1),
            events: text.lines().map(|l| serde_json::from_str(l).unwrap()).collect(),
            stderr: String::from_utf8_lossy(&out.stderr).into_owned(),
            stdout: String::from_utf8_lossy(&out.stdout).into_owned(),
        }
    }
}

/// What must hold for every kind of remote.
fn two_teammates(shared: &Shared) {
    let first = Place::new();
    first.done();
    assert!(shared.push(&first, &[]).contains("sent 4 results"));
    assert!(shared.push(&first, &[]).contains("sent 0 results (0 B), 4 there already"));

    // The second one executes nothing, and has the same bytes.
    let second = Place::new();
    let ran = shared.run(&second, &["--no-exec"]);
    assert_eq!((ran.code, ran.said("node_started").len()), (0, 0), "{}", ran.stderr);
    assert_eq!((ran.said("node_fetched").len(), ran.said("node_hit").len()), (4, 4), "{}", ran.stderr);
    for output in ["out/kept.jsonl", "out/all.jsonl"] {
        assert_eq!(second.read(output), first.read(output));
    }
    assert!(shared.run(&second, &[]).said("node_fetched").is_empty(), "what was fetched once is here");
    assert_eq!(shared.ask(&second, &["cache", "verify"]).0, 0);

    // What the remote lacks is executed, and nothing is written to the remote.
    let ran = shared.run(&second, &["-p", "least=2"]);
    assert_eq!((ran.code, ran.executed().len(), ran.said("node_fetched").len()), (0, 2, 0), "{}", ran.stderr);
    assert_eq!(shared.run(&Place::new(), &["-p", "least=2", "--no-exec"]).code, 5);
    assert!(shared.push(&second, &["-p", "least=2"]).contains("sent 2 results"));

    // Pulling: what a recipe needs, or all there is.
    let third = Place::new();
    let (code, text) = shared.ask(&third, &["cache", "pull", &shared.address, "recipe.rb2"]);
    assert_eq!((code, text.contains("fetched 4 results, 0 here already")), (0, true), "{text}");
    assert!(!third.path("out").exists(), "a pull publishes nothing");
    assert_eq!(third.run(&["--no-exec"]).code, 0);
    let (code, text) = shared.ask(&third, &["cache", "pull", &shared.address]);
    assert_eq!((code, text.contains("fetched 2 results, 4 here already")), (0, true), "{text}");
    assert_eq!(third.run(&["--no-exec", "-p", "least=2"]).code, 0);
    let (code, text) = shared.ask(&third, &["cache", "pull", &shared.address, "recipe.rb2", "-p", "least=4"]);
    assert_eq!((code, text.contains("have no result there")), (5, true), "{text}");
}

/// A chain of which only the end is asked for.
const CHAIN: &str = r#"
recipe "chain"
import std.{data, filter}
param least: Int = 3
param most: Int = 1000
schema Row { id: Str, text: Str, n: Int }
let rows = data.jsonl("rows.jsonl", as: Row)
let long = rows |> filter.rule(where: .text.words >= least)
let twice = long |> data.derive(twice: .text + .text)
expect long.rows >= 1rows
output kept = twice |> filter.rule(where: .n < most) to "kept.jsonl"
"#;

#[test]
fn bytes_of_a_remote_come_when_somebody_reads_them() {
    let chain = || {
        let place = Place::new();
        place.write("recipe.rb2", CHAIN);
        place
    };
    let nodes = |ran: &Ran, event: &str| {
        let mut names: Vec<String> = ran.said(event).iter().map(|e| e["node"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let first = chain();
    first.done();
    let remote = tempfile::tempdir().unwrap();
    let shared = Shared::folder(remote.path());
    shared.push(&first, &[]);

    // The output's bytes come, those of what led to it stay, and the next run is the same.
    let second = chain();
    for _ in 0..2 {
        let ran = shared.run(&second, &["--lazy", "--no-exec"]);
        assert_eq!((ran.code, ran.said("node_hit").len()), (0, 4), "{}", ran.stderr);
        assert_eq!(nodes(&ran, "bytes_left"), ["long", "rows", "twice"], "{}", ran.stderr);
        assert_eq!(second.read("kept.jsonl"), first.read("kept.jsonl"));
    }
    assert_eq!(record::keys(&Store::open(second.cache()).unwrap()).len(), 1, "a record implies its bytes");
    assert_eq!(shared.ask(&second, &["cache", "verify"]).0, 0);

    // A node that is executed reads what is left: that comes, and nothing behind it.
    let ran = shared.run(&second, &["--lazy", "-p", "most=2"]);
    assert_eq!((ran.code, ran.executed()), (0, vec!["kept".to_owned()]), "{}", ran.stderr);
    assert_eq!((nodes(&ran, "node_fetched").len(), nodes(&ran, "bytes_left").len()), (1, 3), "{}", ran.stderr);
    assert_eq!(record::keys(&Store::open(second.cache()).unwrap()).len(), 3);

    // Without the remote what was left there is made; after a pull nothing is.
    assert_eq!(second.run(&["--no-exec"]).code, 5);
    let third = chain();
    assert_eq!(shared.run(&third, &["--lazy", "--no-exec"]).code, 0);
    assert_eq!(shared.ask(&third, &["cache", "pull", &shared.address, "recipe.rb2"]).0, 0);
    assert_eq!(third.run(&["--no-exec"]).code, 0);
}

#[test]
fn what_is_found_damaged_late_is_made_anew_and_told() {
    let place = || {
        let place = Place::new();
        place.write("recipe.rb2", CHAIN);
        place
    };
    let first = place();
    first.done();
    let store = Store::open(first.cache()).unwrap();
    let twice = record::all(&store).into_iter().find(|r| r.name == "twice").unwrap();
    let column = store.artifact(twice.outputs[""]).unwrap().files["columns/twice.arrow"].digest.hex();
    for remove in [true, false] {
        let remote = tempfile::tempdir().unwrap();
        let shared = Shared::folder(remote.path());
        shared.push(&first, &[]);
        let blob = remote.path().join("blobs").join(&column[..2]).join(&column[2..]);
        let mut bytes = fs::read(&blob).unwrap();
        fs::remove_file(&blob).unwrap();
        if !remove {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
            fs::write(&blob, bytes).unwrap();
        }
        let second = place();
        let ran = shared.run(&second, &["--lazy", "-p", "most=2"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        // What reads the damaged bytes, what made them, and nothing before that.
        assert_eq!(ran.executed(), ["kept", "twice"], "{}", ran.stderr);
        assert_eq!(ran.said("bytes_damaged").len(), 1, "{}", ran.stderr);
        assert!(second.read("kept.jsonl").contains("r0"));
        assert_eq!(shared.ask(&second, &["cache", "verify"]).0, 0);
    }
}

/// The first record under a key stays, and whoever has another one hears of it.
fn first_one_wins(shared: &Shared) {
    let place = Place::new();
    place.done();
    shared.push(&place, &[]);
    let other = Place::new();
    other.done();
    let store = Store::open(other.cache()).unwrap();
    let mut changed = record::all(&store).into_iter().find(|r| r.name == "kept").unwrap();
    let elsewhere = record::all(&store).into_iter().find(|r| r.name == "small").unwrap();
    changed.outputs = elsewhere.outputs.clone();
    fs::remove_file(record::path(&store, changed.key)).unwrap();
    record::publish(&store, &changed).unwrap();
    let (code, text) = shared.ask(&other, &["cache", "push", &shared.address, "--all"]);
    assert_eq!((code, text.contains("diverges: `kept`")), (5, true), "{text}");
    let third = Place::new();
    assert_eq!(shared.run(&third, &["--no-exec"]).code, 0);
    assert_eq!(third.read("out/kept.jsonl"), place.read("out/kept.jsonl"));
    let (code, text) = shared.ask(&third, &["cache", "pull", &shared.address]);
    assert_eq!(code, 0, "{text}");
}

#[test]
fn pictures_travel_with_the_rows_that_name_them() {
    let root = tempfile::tempdir().unwrap();
    let shared = Shared::folder(root.path());
    let (first, second, third) = (Place::new(), Place::new(), Place::new());
    for place in [&first, &second, &third] {
        with_a_picture(place);
    }
    first.done();
    shared.push(&first, &[]);
    let bundle = packed(&first, &["--with-bytes"]);
    let out = third.command(&["cache", "pull", bundle.to_str().unwrap()]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    for (place, ran) in [(&second, shared.run(&second, &["--no-exec"])), (&third, third.run(&["--no-exec"]))] {
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let picture = files_below(&place.path("out/kept.media"));
        assert_eq!(fs::read(&picture[0]).unwrap(), fs::read(first.path("pics/a.png")).unwrap());
        assert_eq!(shared.ask(place, &["cache", "verify"]).0, 0);
    }
}

#[test]
fn a_folder_is_a_remote() {
    let root = tempfile::tempdir().unwrap();
    two_teammates(&Shared::folder(&root.path().join("share")));
    first_one_wins(&Shared::folder(&root.path().join("other")));
    assert!(files_below(root.path()).iter().all(|f| !f.to_string_lossy().contains('#')), "no half file is left");
}

#[test]
fn a_bucket_is_a_remote() {
    let cases: [(&str, fn(&Shared)); 3] =
        [("team/a", two_teammates), ("team/b", first_one_wins), ("large", parts_come_back_whole)];
    for bucket in Bucket::each() {
        for (prefix, case) in cases {
            eprintln!("{:?}: {prefix}", bucket.service);
            case(&bucket.shared(prefix));
        }
    }
}

/// What the server does, to which requests, how often; whether the node is then fetched at last, and the event that tells of it.
const FAULTS: &[(Fault, &str, usize, bool, &str)] = &[
    (Fault::Hang, "/records/", 2, true, ""),
    (Fault::Hang, "/blobs/", 3, true, ""),
    (Fault::Stumble, "/records/", 2, true, ""),
    (Fault::Stumble, "/blobs/", 2, true, ""),
    (Fault::Cut, "/blobs/", 2, true, ""),
    (Fault::Cut, "/records/", 1, true, ""),
    (Fault::Short, "/blobs/", 1, true, ""),
    (Fault::Flip, "/blobs/", 1, true, "remote_refused"),
    (Fault::Flip, "/records/", 1, true, "remote_refused"),
    (Fault::Flip, "/blobs/", usize::MAX, false, "remote_failed"),
    (Fault::Flip, "/records/", usize::MAX, false, "remote_failed"),
    (Fault::Short, "/blobs/", usize::MAX, false, "remote_failed"),
];

#[test]
fn a_server_that_stumbles_or_lies_costs_time_and_never_a_wrong_result() {
    for bucket in Bucket::each() {
        eprintln!("{:?}", bucket.service);
        let proxy = Proxy::before(bucket.port);
        stumbles_and_lies(&proxy, &bucket.shared_at(proxy.port, "faults"));
    }
}

fn stumbles_and_lies(proxy: &Proxy, shared: &Shared) {
    let first = Place::new();
    first.done();
    proxy.set(Fault::Stumble, "PUT", "/blobs/", 2);
    shared.push(&first, &[]);
    assert_eq!(proxy.broken.load(Ordering::Relaxed), 2, "the push went on");
    for (fault, path, times, fetched, event) in FAULTS {
        let case = format!("{fault:?} {path} {times}");
        proxy.set(*fault, "GET", path, *times);
        let place = Place::new();
        let ran = shared.run(&place, &[]);
        assert!(proxy.broken.load(Ordering::Relaxed) >= (*times).min(3), "{case}: {}", ran.stderr);
        assert_eq!(ran.code, 0, "{case}: {}", ran.stderr);
        assert_eq!(ran.executed().is_empty(), *fetched, "{case}: {}", ran.stderr);
        assert!(event.is_empty() || !ran.said(event).is_empty(), "{case}: no {event}: {}", ran.stderr);
        assert!(event.is_empty() || ran.stderr.contains("WARN"), "{case}: {}", ran.stderr);
        for output in ["out/kept.jsonl", "out/all.jsonl"] {
            assert_eq!(place.read(output), first.read(output), "{case}");
        }
        assert_eq!(shared.ask(&place, &["cache", "verify"]).0, 0, "{case}");
        if *event == "remote_refused" {
            assert!(place.command(&["report", "recipe.rb2", "-o", "report.html"]).output().unwrap().status.success());
            assert!(place.read("report.html").contains("was refused"), "{case}: the report tells of it");
        }
        assert!(files_below(&place.cache().join("tmp")).is_empty(), "{case}: something is left behind");
    }
    // Without a remote nothing is asked, and a warm run asks nothing either.
    proxy.set(Fault::Hang, "GET", "/", 0);
    assert_eq!(first.run(&["--no-exec"]).code, 0);
    assert_eq!(shared.run(&first, &[]).code, 0);
    assert_eq!(proxy.requests.load(Ordering::Relaxed), 0);
}

/// How a blob of the remote is damaged.
const DAMAGE: &[(&str, fn(&mut Vec<u8>))] = &[
    ("flip", |bytes| bytes[0] ^= 1),
    ("cut", |bytes| bytes.truncate(bytes.len() / 2)),
    ("grow", |bytes| bytes.extend(b"more")),
    ("empty", Vec::clear),
];

#[test]
fn damage_in_the_remote_is_refused_told_made_anew_and_mended_by_a_push() {
    let root = tempfile::tempdir().unwrap();
    let shared = Shared::folder(root.path());
    let first = Place::new();
    first.done();
    shared.push(&first, &[]);
    let objects = files_below(root.path());
    assert!(objects.len() > 8);
    for (i, object) in objects.iter().enumerate() {
        let (how, damage) = DAMAGE[i % DAMAGE.len()];
        let case = format!("{how} {}", object.display());
        let good = fs::read(object).unwrap();
        let mut bytes = good.clone();
        damage(&mut bytes);
        fs::write(object, &bytes).unwrap();
        let place = Place::new();
        let ran = shared.run(&place, &[]);
        assert_eq!(ran.code, 0, "{case}: {}", ran.stderr);
        assert_eq!(ran.said("remote_failed").len(), ran.executed().len(), "{case}: {}", ran.stderr);
        assert!(!ran.executed().is_empty(), "{case}: {}", ran.stderr);
        assert!(ran.said("remote_refused").len() <= ran.executed().len(), "told once of each: {}", ran.stderr);
        assert_eq!(place.read("out/kept.jsonl"), first.read("out/kept.jsonl"), "{case}");
        shared.push(&place, &["--again"]);
        let mended = shared.run(&Place::new(), &["--no-exec"]);
        assert_eq!(mended.code, 0, "{case}: {}", mended.stderr);
        if object.to_string_lossy().contains("/blobs/") {
            assert_eq!(fs::read(object).unwrap(), good, "{case}");
        }
    }
}

#[test]
fn damaged_bytes_are_never_sent() {
    let root = tempfile::tempdir().unwrap();
    let shared = Shared::folder(root.path());
    let place = Place::new();
    place.done();
    for blob in files_below(&place.cache().join("blobs")) {
        let mut bytes = fs::read(&blob).unwrap();
        bytes[0] ^= 1;
        fs::remove_file(&blob).unwrap();
        fs::write(&blob, &bytes).unwrap();
    }
    let (code, text) = shared.ask(&place, &["cache", "push", &shared.address, "--all"]);
    let nothing = text.contains("sent 0 results");
    assert!(code == 5 && text.contains("is damaged") || nothing, "{code} {text}");
    assert!(files_below(root.path()).is_empty());
}

/// A blob that is too large for one request.
fn parts_come_back_whole(shared: &Shared) {
    let rows: String = (0..90_000)
        .map(|i| {
            format!(
                "{{\"id\": \"r{i}\", \"text\": \"{}\", \"n\": {i}}}\n",
                rbpipe::base::Digest::of(&[i as u8, (i >> 8) as u8, 1]).hex().repeat(4)
            )
        })
        .collect();
    let (first, second) = (Place::new(), Place::new());
    for place in [&first, &second] {
        place.write("recipe.rb2", "recipe \"large\"\nimport std.{data}\nschema Row { id: Str, text: Str, n: Int }\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\nexpect rows.rows > 1rows else \"none\"\noutput all = rows to \"out/all.jsonl\"\n");
        place.write("rows.jsonl", &rows);
    }
    first.done();
    let largest = files_below(&first.cache().join("blobs")).iter().map(|b| fs::metadata(b).unwrap().len()).max();
    assert!(largest > Some(20 << 20), "{largest:?}");
    shared.push(&first, &[]);
    let ran = shared.run(&second, &["--no-exec"]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(shared.ask(&second, &["cache", "verify"]).0, 0);
}

#[test]
fn of_many_who_share_at_once_one_is_first() {
    let root = tempfile::tempdir().unwrap();
    let place = Place::new();
    place.done();
    let store = Store::open(place.cache()).unwrap();
    let address = root.path().display().to_string();
    let each = |_| {
        let remote = Remote::open(&address).unwrap();
        let mut reach = Reach::new(&store);
        let pushed = record::all(&store)
            .iter()
            .map(|r| remote.push(&store, &mut reach, r, false, &|_, _| {}).unwrap())
            .collect::<Vec<_>>();
        pushed.iter().filter(|p| matches!(p, Pushed::New { .. })).count()
    };
    let first: usize = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|i| scope.spawn(move || each(i))).collect();
        threads.into_iter().map(|t| t.join().unwrap()).sum()
    });
    assert_eq!(first, 4, "each of the four records has one first");
}

#[test]
fn a_remote_that_cannot_be_reached_stops_no_run() {
    let place = Place::new();
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let shared = Shared { address: format!("http://127.0.0.1:{free}/share"), env: Vec::new() };
    let ran = shared.run(&place, &["--to", "rows"]);
    assert_eq!((ran.code, ran.executed()), (0, vec!["rows".to_owned()]), "{}", ran.stderr);
    let said = ran.said("remote_failed");
    assert_eq!(said.len(), 1, "{}", ran.stderr);
    assert!(said[0]["message"].as_str().unwrap().starts_with("nobody answers: "), "{said:?}");
    assert_eq!(said[0]["given_up"], true, "no other node waits for it: {said:?}");
    assert!(ran.stderr.contains(&format!("`{}` gave nothing", shared.address)), "{}", ran.stderr);
    let (code, text) = shared.ask(&place, &["cache", "push", &shared.address, "--all"]);
    assert_eq!((code, text.contains("can only be read")), (5, true), "{text}");
}

#[test]
fn transfers_that_were_killed_leave_nothing_half() {
    let root = tempfile::tempdir().unwrap();
    let shared = Shared::folder(root.path());
    let texts: Vec<String> = (0..4_000).map(|i| format!("some words of row {i} {}", "and more ".repeat(40))).collect();
    let place = || {
        let place = Place::new();
        place.write("rows.jsonl", &rows(&texts.iter().map(String::as_str).collect::<Vec<_>>()));
        place
    };
    let (first, second) = (place(), place());
    first.done();
    let kill_after = |milliseconds: u64, place: &Place, args: &[&str]| {
        let mut command = shared.command(place, args);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(std::time::Duration::from_millis(milliseconds));
        let _ = child.kill();
        child.wait().unwrap();
    };
    for after in [5, 10, 15, 20, 25, 30, 40, 50, 70] {
        let _ = fs::remove_dir_all(root.path().join("blobs"));
        let _ = fs::remove_dir_all(root.path().join("records"));
        kill_after(after, &first, &["cache", "push", &shared.address, "recipe.rb2"]);
        // What has a record there can be had, whatever the instant.
        let (code, text) = shared.ask(&Place::new(), &["cache", "pull", &shared.address]);
        assert_eq!(code, 0, "push killed after {after} ms: {text}");
        shared.push(&first, &[]);
        fs::remove_dir_all(second.cache()).unwrap_or_default();
        kill_after(after, &second, &["cache", "pull", &shared.address, "recipe.rb2"]);
        assert_eq!(shared.ask(&second, &["cache", "verify"]).0, 0, "pull killed after {after} ms");
        let ran = shared.run(&second, &["--no-exec"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        assert_eq!(second.read("out/all.jsonl"), first.read("out/all.jsonl"));
        assert!(files_below(&second.cache().join("tmp")).is_empty());
    }
}

/// Serves a folder with Python's own web server; it ends with this value.
pub struct Web(std::process::Child, pub u16);

impl Drop for Web {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Web {
    pub fn serve(folder: &Path) -> Option<Self> {
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut command = Command::new("python3");
        command.args(["-m", "http.server", "--bind", "127.0.0.1", &port.to_string()]).current_dir(folder);
        let Ok(child) = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn() else {
            eprintln!("SKIPPED: no python3, nothing was tested against a web server");
            return None;
        };
        let web = Self(child, port);
        for _ in 0..300 {
            if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return Some(web);
            }
            std::thread::sleep(std::time::Duration::from_millis(100));
        }
        panic!("the web server did not start");
    }
}

#[test]
fn a_folder_behind_a_web_server_can_be_read() {
    let root = tempfile::tempdir().unwrap();
    let first = Place::new();
    first.done();
    Shared::folder(&root.path().join("team/a")).push(&first, &[]);
    let Some(web) = Web::serve(root.path()) else { return };
    let shared = Shared { address: format!("http://127.0.0.1:{}/team/a", web.1), env: Vec::new() };
    let second = Place::new();
    let ran = shared.run(&second, &["--no-exec"]);
    assert_eq!((ran.code, ran.said("node_fetched").len()), (0, 4), "{}", ran.stderr);
    let (code, text) = shared.ask(&second, &["cache", "pull", &shared.address]);
    assert_eq!((code, text.contains("name a recipe")), (5, true), "{text}");
}

/// Addresses that are none.
const NO_ADDRESS: &[&str] = &["", "s3://", "ftp://host/x", "s3:///prefix", "file://"];

#[test]
fn an_address_that_is_none_is_a_wrong_call() {
    let place = Place::new();
    for address in NO_ADDRESS {
        for args in [["cache", "push", address, "--all"], ["run", "recipe.rb2", "--remote", address]] {
            let out = place.command(&args).output().unwrap();
            let text = String::from_utf8_lossy(&out.stderr).into_owned();
            assert_eq!(out.status.code(), Some(2), "{address:?}: {text}");
            assert!(text.contains("s3://bucket/prefix"), "{address:?}: {text}");
        }
    }
    let out = place.command(&["run", "recipe.rb2"]).env("RBPIPE_REMOTE", "ftp://x").output().unwrap();
    assert_eq!(out.status.code(), Some(2));
    let mut unnamed = place.command(&["cache", "push", "az://container/prefix", "--all"]);
    let out = unnamed.env_remove("AZURE_STORAGE_ACCOUNT_NAME").output().unwrap();
    let text = String::from_utf8_lossy(&out.stderr).into_owned();
    assert!(out.status.code() == Some(2) && text.contains("`AZURE_STORAGE_ACCOUNT_NAME`"), "{text}");
}

/// Packs, checks that packing again gives the same bytes, and returns the bundle.
fn packed(place: &Place, more: &[&str]) -> PathBuf {
    let out = |name: &str| {
        let file = place.root.path().join(name);
        let args = ["bundle", "recipe.rb2", "-o", file.to_str().unwrap()];
        let done = place.command(&[&args, more].concat()).output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        file
    };
    let (one, two) = (out(&format!("one{}.rbz", more.len())), out("two.rbz"));
    assert_eq!(fs::read(&one).unwrap(), fs::read(&two).unwrap(), "a bundle has the same bytes each time");
    one
}

/// The program of an operator is a part of the recipe, as its text is.
#[test]
fn a_bundle_without_bytes_has_the_programs_of_the_recipe() {
    let place = Place::new();
    let recipe = place.read("recipe.rb2").replace("output all = small", "output all = small |> mine()");
    let op = "op mine(d: Dataset[{ text: Str, ..r }]) -> Dataset[{ text: Str, ..r }] runs \"sh tools/mine.sh\" files [\"tools/mine.sh\"]\n";
    place.write("recipe.rb2", &format!("{recipe}{op}"));
    place.write("tools/mine.sh", "cat\n");
    place.done();
    let file = packed(&place, &[]);
    let into = place.root.path().join("unpacked");
    let args = ["cache", "pull", file.to_str().unwrap(), "--into", into.to_str().unwrap()];
    let out = place.command(&args).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(fs::read_to_string(into.join("tools/mine.sh")).unwrap(), "cat\n");
    assert!(!into.join("rows.jsonl").exists(), "inputs come with `--with-bytes`");
}

#[test]
fn a_bundle_runs_in_another_folder_with_another_store() {
    let place = Place::new();
    place.write(
        "lib/rule.rb2",
        "import std.{filter}\nfn few(d: Dataset) -> Dataset = d |> filter.rule(where: .n < 1000)\n",
    );
    place.done();
    let with = packed(&place, &["--with-bytes"]);
    let elsewhere = Place::new();
    let target = elsewhere.root.path().join("unpacked");
    let pull = |file: &Path, into: &Path| {
        let args = ["cache", "pull", file.to_str().unwrap(), "--into", into.to_str().unwrap()];
        let out = elsewhere.command(&args).output().unwrap();
        let text = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
        (out.status.code().unwrap_or(-1), text)
    };
    let (code, text) = pull(&with, &target);
    assert_eq!((code, text.contains("took 4 results")), (0, true), "{text}");
    let run = |folder: &Path| {
        let recipe = folder.join("recipe.rb2");
        let out = elsewhere.command(&["run", recipe.to_str().unwrap(), "--no-exec", "--frozen"]).output().unwrap();
        (out.status.code().unwrap_or(-1), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    let (code, text) = run(&target);
    assert_eq!((code, text.contains("0 run, 4 hit")), (0, true), "{text}");
    assert_eq!(fs::read_to_string(target.join("out/kept.jsonl")).unwrap(), place.read("out/kept.jsonl"));
    assert_eq!(pull(&with, &target).0, 2, "a folder that is not empty is left alone");

    // Without bytes it tells what the results must be.
    let without = packed(&place, &[]);
    assert!(fs::metadata(&without).unwrap().len() < fs::metadata(&with).unwrap().len());
    let fresh = Place::new();
    let args = ["cache", "pull", without.to_str().unwrap()];
    let out = fresh.command(&args).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("4 records came without bytes"));
    fresh.done();
    let out = fresh.command(&args).output().unwrap();
    assert!(String::from_utf8_lossy(&out.stdout).contains("took 0 results, 4 here already"));
}

/// What a lint looks at to know the memory of a training is no text of the recipe, and draws no folder into the bundle.
#[test]
fn a_bundle_has_nothing_of_a_model_that_lies_elsewhere() {
    let place = Place::new();
    place.write("../m/config.json", crate::memory::SEVEN_B);
    place.write(
        "recipe.rb2",
        "import std.{data, model, train}\nparam seed: Int = 1\n\
         schema Sample { id: Str, instruction: Str, output: Str, images: [Image] }\n\
         let rows = data.jsonl(\"rows.jsonl\", as: Sample)\n\
         let tuned = model.hf(\"../m\") |> train.sft(data: rows, batch: 4) with { gpus: 1, gpu_mem: 24GiB }\n\
         output out = tuned to \"out\"\n",
    );
    let bundle = packed(&place, &[]);
    let files = place.root.path().join("unpacked");
    let args = ["cache", "pull", bundle.to_str().unwrap(), "--into", files.to_str().unwrap()];
    assert!(place.command(&args).output().unwrap().status.success());
    assert_eq!(files_below(&files), [files.join("recipe.rb2")]);
}

#[test]
fn names_in_a_strangers_result_cannot_leave_their_folder() {
    let place = Place::new();
    place.done();
    let store = Store::open(place.cache()).unwrap();
    let mut made = record::all(&store).into_iter().find(|r| r.name == "kept").unwrap();
    for name in ["../../escaped", "/tmp/escaped", "a/../../escaped"] {
        let mut artifact = store.artifact(made.outputs[""]).unwrap();
        let (_, file) = artifact.files.pop_first().unwrap();
        artifact.files.insert(name.into(), file);
        made.outputs.insert(String::new(), store.put_artifact(&artifact).unwrap());
        fs::remove_file(record::path(&store, made.key)).unwrap();
        record::publish(&store, &made).unwrap();
        assert!(record::lookup(&store, made.key).is_none(), "{name} is believed");
        place.done();
        made = record::all(&store).into_iter().find(|r| r.name == "kept").unwrap();
    }
}

/// Names that must not be in a bundle, and the kind of entry.
const SMUGGLED: &[(&str, tar::EntryType)] = &[
    ("files/../../escaped", tar::EntryType::Regular),
    ("/tmp/escaped", tar::EntryType::Regular),
    ("files/link", tar::EntryType::Symlink),
    ("files/hard", tar::EntryType::Link),
    ("elsewhere/x", tar::EntryType::Regular),
    ("blobs/ab/cd", tar::EntryType::Regular),
    ("records/ab/cd.json", tar::EntryType::Regular),
];

#[test]
fn a_bundle_of_a_stranger_cannot_leave_its_folder() {
    let place = Place::new();
    let head = r#"{"format": 1, "recipe": "recipe.rb2", "profile": null, "params": []}"#;
    for (name, kind) in SMUGGLED {
        let file = place.root.path().join("bad.rbz");
        let mut archive = tar::Builder::new(zstd::Encoder::new(fs::File::create(&file).unwrap(), 1).unwrap());
        for (name, kind, bytes) in [("bundle.json", tar::EntryType::Regular, head), (*name, *kind, "x")] {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(kind);
            header.set_size(if kind == tar::EntryType::Regular { bytes.len() as u64 } else { 0 });
            header.as_gnu_mut().unwrap().name[..name.len()].copy_from_slice(name.as_bytes());
            if kind != tar::EntryType::Regular {
                header.set_link_name("/etc/passwd").unwrap();
            }
            header.set_cksum();
            archive.append(&header, if kind == tar::EntryType::Regular { bytes.as_bytes() } else { &[] }).unwrap();
        }
        archive.into_inner().unwrap().finish().unwrap();
        let into = place.root.path().join("into");
        let out = place
            .command(&["cache", "pull", file.to_str().unwrap(), "--into", into.to_str().unwrap()])
            .output()
            .unwrap();
        let text = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(5), "{name}: {text}");
        assert!(!place.root.path().join("escaped").exists() && !Path::new("/tmp/escaped").exists());
        assert!(files_below(&into).is_empty(), "{name}");
    }
    let good = {
        place.done();
        fs::read(packed(&place, &["--with-bytes"])).unwrap()
    };
    for cut in [5, good.len() / 3, good.len() - 3] {
        fs::write(place.path("cut.rbz"), &good[..cut]).unwrap();
        let out = Place::new().command(&["cache", "pull", place.path("cut.rbz").to_str().unwrap()]).output().unwrap();
        assert_eq!(out.status.code(), Some(5), "cut at {cut}");
    }
}
