//! Signed results: who is believed, what is refused and how it is said, and plans that ask a remote.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::engine::Place;

/// A person with a folder of settings and a store of their own.
struct Person {
    place: Place,
    remote: PathBuf,
}

impl Person {
    fn new(remote: &Path) -> Self {
        let place = Place::new();
        fs::create_dir_all(place.root.path().join("settings/rbpipe")).unwrap();
        Self { place, remote: remote.to_owned() }
    }

    /// Exit code and everything that was said.
    fn ask(&self, args: &[&str]) -> (i32, String) {
        let remote = self.remote.display().to_string();
        let args: Vec<&str> = args.iter().map(|a| if *a == "REMOTE" { remote.as_str() } else { a }).collect();
        let mut command = self.place.command(&args);
        command.env("XDG_CONFIG_HOME", self.place.root.path().join("settings")).env_remove("RBPIPE_REMOTE");
        let out = command.output().unwrap();
        (out.status.code().unwrap_or(-1), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
    }

    fn does(&self, args: &[&str]) -> String {
        let (code, text) = self.ask(args);
        assert_eq!(code, 0, "{args:?}: {text}");
        text
    }

    fn key(&self) -> String {
        self.does(&["cache", "key"]).lines().next().unwrap().to_owned()
    }

    fn trusts(&self, list: &str) {
        fs::write(self.place.root.path().join("settings/rbpipe/trust"), list).unwrap();
    }

    /// Runs with the remote and executes nothing; says what it heard.
    fn takes(&self) -> (i32, String) {
        self.ask(&["run", "recipe.rb2", "--remote", "REMOTE", "--no-exec"])
    }
}

fn records(remote: &Path) -> Vec<PathBuf> {
    let folders = fs::read_dir(remote.join("records")).unwrap().flatten().map(|e| e.path());
    let mut out: Vec<PathBuf> = folders.flat_map(|f| fs::read_dir(f).unwrap().flatten().map(|e| e.path())).collect();
    out.sort();
    out
}

/// Changes every record of a remote.
fn change(remote: &Path, how: impl Fn(&mut Json)) {
    for path in records(remote) {
        let mut sealed: Json = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        how(&mut sealed);
        fs::write(path, sealed.to_string()).unwrap();
    }
}

#[test]
fn only_results_that_somebody_trusted_signed_are_taken() {
    let root = tempfile::tempdir().unwrap();
    let remote = root.path().join("share");
    let ali = Person::new(&remote);
    assert!(ali.key().starts_with("ed25519:"));
    assert_eq!(ali.key(), ali.does(&["cache", "key"]).trim(), "a key is made once");
    let secret = ali.place.root.path().join("settings/rbpipe/key");
    assert_eq!(fs::metadata(&secret).unwrap().permissions().mode() & 0o777, 0o600);
    ali.place.done();
    ali.does(&["cache", "push", "REMOTE", "recipe.rb2"]);
    let pushed = fs::read_to_string(&records(&remote)[0]).unwrap();
    assert!(!pushed.contains(fs::read_to_string(secret).unwrap().trim()), "the secret stays at home");

    // Without a list everybody is believed; with one, who stands on it.
    assert_eq!(Person::new(&remote).takes().0, 0);
    let friend = Person::new(&remote);
    friend.trusts(&format!("# colleagues\n\n{} ali of the lab # since May\n", ali.key()));
    let (code, text) = friend.takes();
    assert!(code == 0 && text.contains(", signed by ali of the lab"), "{text}");

    let stranger = Person::new(&remote);
    stranger.trusts(&format!("{} somebody else\n", friend.key()));
    let (code, text) = stranger.takes();
    assert!(code == 5 && text.contains(&format!("its signer {} is not on the list", ali.key())), "{text}");
    assert!(text.contains("settings/rbpipe/trust` trusts them"), "{text}");
    let text = stranger.does(&["run", "recipe.rb2", "--remote", "REMOTE"]);
    assert!(text.contains("4 run, 0 hit"), "it makes them: {text}");
    stranger.does(&["report", "recipe.rb2", "-o", "r.html"]);
    assert!(stranger.place.read("r.html").contains("is not on the list"));
    let (code, text) = Person::new(&remote).ask(&["cache", "pull", "REMOTE"]);
    assert_eq!(code, 0, "{text}");

    // Whoever sends them once more vouches for them as well; nobody's signature is lost.
    friend.does(&["cache", "push", "REMOTE", "recipe.rb2", "--again"]);
    let third = Person::new(&remote);
    third.trusts(&format!("{} friend\n", friend.key()));
    assert!(third.takes().1.contains(", signed by friend"));
    let sealed: Json = serde_json::from_slice(&fs::read(&records(&remote)[0]).unwrap()).unwrap();
    assert_eq!(sealed["signatures"].as_array().unwrap().len(), 2);
}

type Tamper = fn(&mut Json);

/// What is done to signed records, whether the reader has a list, and what the reader is told.
const TAMPERED: &[(&str, Tamper, bool, &str)] = &[
    (
        "no signature",
        |sealed| drop(sealed.as_object_mut().unwrap().remove("signatures")),
        true,
        "it is not signed, and `",
    ),
    (
        "another signature",
        |sealed| sealed["signatures"][0]["signature"] = json!("AAAA"),
        true,
        "is not one over this record",
    ),
    (
        "another signature, no list",
        |sealed| sealed["signatures"][0]["signature"] = json!("AAAA"),
        false,
        "is not one over this record",
    ),
    ("no base64", |sealed| sealed["signatures"][0]["key"] = json!("ed25519:%%"), false, "is not one over this record"),
    (
        "another result under the old signature",
        |sealed| {
            sealed["entry"]["record"]["seconds"] = json!(1.5);
            sealed["checksum"] = json!(rbpipe::base::Digest::of_json(&sealed["entry"]).hex());
        },
        true,
        "is not one over this record",
    ),
];

#[test]
fn signatures_that_do_not_fit_are_refused() {
    for (what, how, list, told) in TAMPERED {
        let root = tempfile::tempdir().unwrap();
        let ali = Person::new(root.path());
        let key = ali.key();
        ali.place.done();
        ali.does(&["cache", "push", "REMOTE", "recipe.rb2"]);
        change(root.path(), how);
        let reader = Person::new(root.path());
        if *list {
            reader.trusts(&format!("{key} ali\n"));
        }
        let (code, text) = reader.takes();
        assert!(code == 5 && text.contains(told), "{what}: {code} {text}");
        let files = |folder: &str| fs::read_dir(reader.place.cache().join(folder)).unwrap().count();
        assert_eq!((files("records"), files("blobs")), (0, 0), "{what}: nothing is taken");
    }
}

#[test]
fn a_list_or_key_that_cannot_be_read_is_none_to_ignore() {
    let root = tempfile::tempdir().unwrap();
    let person = Person::new(root.path());
    person.trusts("ed25519:AAAA short\n");
    let (code, text) = person.takes();
    assert!(code == 2 && text.contains("trust`, line 1: `ed25519:AAAA` is no key; write `ed25519:… NAME`"), "{text}");
    person.trusts("");
    fs::write(person.place.root.path().join("settings/rbpipe/key"), "not a key").unwrap();
    let (code, text) = person.ask(&["cache", "push", "REMOTE", "--all"]);
    assert!(code == 2 && text.contains("key` is no key"), "{text}");
    assert_eq!(person.ask(&["cache", "key"]).0, 5);
}

#[test]
fn bundles_are_signed_and_believed_alike() {
    let root = tempfile::tempdir().unwrap();
    let ali = Person::new(root.path());
    let key = ali.key();
    ali.place.done();
    ali.does(&["bundle", "recipe.rb2", "-o", "../b.rbz", "--with-bytes"]);
    let bundle = ali.place.root.path().join("b.rbz").display().to_string();
    for (list, code, says) in
        [(format!("{key} ali\n"), 0, "took 4 results"), (String::new(), 5, "refused: `kept`: its signer ")]
    {
        let reader = Person::new(root.path());
        reader.trusts(&list);
        let (ended, text) = reader.ask(&["cache", "pull", &bundle]);
        assert!(ended == code && text.contains(says), "{ended} {text}");
    }
}

#[test]
fn a_plan_asks_the_remote_what_the_run_will_find_there() {
    let root = tempfile::tempdir().unwrap();
    let ali = Person::new(root.path());
    let key = ali.key();
    ali.place.done();
    ali.does(&["cache", "push", "REMOTE", "recipe.rb2"]);
    let reader = Person::new(root.path());
    reader.trusts(&format!("{key} ali\n"));
    let text = reader.does(&["plan", "recipe.rb2"]);
    assert!(text.contains("total: 4 run, 1 maybe, 0 hit"), "{text}");
    let text = reader.does(&["plan", "recipe.rb2", "--remote", "REMOTE"]);
    assert!(text.contains("total: 0 run, 0 maybe, 5 hit"), "{text}");
    assert!(text.contains(" in the remote from ali@") && text.contains("fetch: 4 results, "), "{text}");
    // What the remote lacks runs, and nothing was taken so far.
    let text = reader.does(&["plan", "recipe.rb2", "--remote", "REMOTE", "-p", "least=2", "--json"]);
    let plan: Json = serde_json::from_str(text.lines().last().unwrap()).unwrap();
    let of = |name: &str| plan["nodes"].as_array().unwrap().iter().find(|n| n["name"] == name).unwrap().clone();
    assert!(of("rows")["fetch"].as_u64().unwrap() > 100 && of("rows")["state"] == "hit", "{plan}");
    assert_eq!((&of("long")["state"], &of("long")["fetch"]), (&json!("run"), &Json::Null), "{plan}");
    assert!(
        !reader.place.cache().join("records").read_dir().unwrap().flatten().any(|e| e
            .path()
            .read_dir()
            .unwrap()
            .next()
            .is_some())
    );
    assert_eq!(reader.takes().0, 0, "the plan keeps its word");
    // Whom the reader does not trust does not count.
    let untrusting = Person::new(root.path());
    untrusting.trusts("");
    let text = untrusting.does(&["plan", "recipe.rb2", "--remote", "REMOTE"]);
    assert!(text.contains("is not on the list") && text.contains("total: 4 run, 1 maybe"), "{text}");
}
