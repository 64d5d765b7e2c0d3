//! Packages: real Git repositories imported by version and by revision, pinned by the lock, and kept by what they hold.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use rbpipe::engine::storage::verify;

use crate::cache::{ALL, age};
use crate::engine::{Place, Ran, rows};

const TOOLS: &str = "import std.{data, filter}
import \"./lib/limits.rb2\" as limits
schema Row { id: Str, text: Str, n: Int }
fn long(d: Dataset[{ text: Str, ..r }]) -> Dataset[{ text: Str, ..r }] = d |> filter.rule(where: .text.words >= limits.least)
let more = data.jsonl(\"@root/more.jsonl\", as: Row)
";
const RECIPE: &str = r#"
import std.data
import "hub:team/tools@^1.0#tools.rb2" as tools
let rows = data.jsonl("rows.jsonl", as: tools.Row)
output kept = data.concat(mine: rows, theirs: tools.more) |> tools.long() to "out/kept.jsonl"
"#;

/// A hub of one machine, and a folder with a recipe beside it.
struct Hub {
    place: Place,
}

impl Hub {
    fn new() -> Self {
        let hub = Self { place: Place::new() };
        fs::create_dir_all(hub.repository()).unwrap();
        hub.git(&["init", "--quiet", "--initial-branch=main", "."]);
        hub.publish("v1.0.0", 4);
        hub.place.write("recipe.rb2", RECIPE);
        hub
    }

    fn repository(&self) -> PathBuf {
        self.place.root.path().join("hub/team/tools.git")
    }

    fn address(&self) -> String {
        format!("file://{}", self.repository().display())
    }

    fn git(&self, args: &[&str]) -> String {
        let mut command = Command::new("git");
        command.current_dir(self.repository()).args(["-c", "user.name=team", "-c", "user.email=team@example.com"]);
        let out = command.args(args).output().unwrap();
        assert!(out.status.success(), "git {args:?}: {}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).trim().to_owned()
    }

    /// Publishes a version that keeps rows of at least so many words.
    fn publish(&self, tag: &str, least: u32) {
        let write = |name: &str, text: &str| {
            fs::create_dir_all(self.repository().join(name).parent().unwrap()).unwrap();
            fs::write(self.repository().join(name), text).unwrap();
        };
        write("tools.rb2", TOOLS);
        write("lib/limits.rb2", &format!("let least = {least}\n"));
        write("more.jsonl", &rows(&["one two three four five six"]));
        self.git(&["add", "--all"]);
        self.git(&["commit", "--quiet", "--allow-empty", "-m", tag]);
        self.git(&["tag", "-a", tag, "-m", tag]);
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.place.command(args);
        command.env("RBPIPE_HUB", format!("file://{}", self.place.root.path().join("hub").display()));
        command
    }

    fn ask(&self, args: &[&str]) -> (i32, String) {
        told(&self.command(args).output().unwrap())
    }

    fn done(&self, args: &[&str]) -> String {
        let (code, said) = self.ask(args);
        assert_eq!(code, 0, "{args:?}: {said}");
        said
    }

    fn run(&self, args: &[&str]) -> Ran {
        let hub = format!("file://{}", self.place.root.path().join("hub").display());
        self.place.run_in(&[("RBPIPE_HUB", &hub)], args)
    }

    fn packages(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(self.place.cache().join("packages")).into_iter().flatten();
        let mut out: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
        out.sort();
        out
    }
}

fn told(out: &Output) -> (i32, String) {
    let said = format!("{}{}", String::from_utf8_lossy(&out.stdout), String::from_utf8_lossy(&out.stderr));
    (out.status.code().unwrap_or(-1), said)
}

#[test]
fn a_package_of_the_hub_is_the_newest_of_its_range_until_the_lock_is_asked_to_move() {
    let hub = Hub::new();
    hub.publish("v1.2.0", 3);
    hub.publish("v2.0.0", 1);
    hub.publish("v1.9.0-rc.1", 1);
    // Nothing is fetched by a look at the recipe.
    let (code, said) = hub.ask(&["check", "recipe.rb2"]);
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("E0209") && said.contains("`rbpipe lock recipe.rb2` fetches it and pins"), "{said}");
    assert!(hub.packages().is_empty());
    let (code, said) = hub.ask(&["run", "recipe.rb2", "--frozen"]);
    assert!(code == 1 && said.contains("the lock does not pin `hub:team/tools@^1.0` yet"), "{code}: {said}");

    let said = hub.done(&["lock", "recipe.rb2"]);
    assert!(said.contains("fetched hub:team/tools@^1.0: version 1.2.0, commit "), "{said}");
    let lock = hub.place.read("recipe.rb2.lock");
    assert!(lock.contains("[packages.\"hub:team/tools@^1.0\"]") && lock.contains("version = \"1.2.0\""), "{lock}");
    assert!(lock.contains("[sources.\"hub:team/tools@^1.0/more.jsonl\"]"), "{lock}");
    assert!(!lock.contains(hub.place.root.path().to_str().unwrap()), "no place of this machine: {lock}");
    hub.done(&["check", "recipe.rb2"]);
    assert_eq!(hub.run(&["--frozen"]).code, 0);
    assert_eq!(hub.place.read("out/kept.jsonl").lines().count(), 3);

    // A new version changes nothing before it is accepted.
    hub.publish("v1.3.0", 4);
    assert_eq!(hub.run(&[]).executed(), Vec::<String>::new());
    assert_eq!(hub.place.read("recipe.rb2.lock"), lock);
    let said = hub.done(&["lock", "recipe.rb2", "--update", "hub:team/tools@^1.0"]);
    assert!(said.contains("version 1.3.0"), "{said}");
    assert_eq!(hub.run(&[]).code, 0);
    assert_eq!(hub.place.read("out/kept.jsonl").lines().count(), 2);

    // A range that the pinned version is not in.
    let wanted = RECIPE.replace("^1.0", "^2.0");
    hub.place.write_quietly("recipe.rb2", &wanted);
    assert!(hub.ask(&["check", "recipe.rb2"]).1.contains("the lock does not pin `hub:team/tools@^2.0` yet"));
    let lock = hub.place.read("recipe.rb2.lock").replace("tools@^1.0\"]", "tools@^2.0\"]");
    hub.place.write_quietly("recipe.rb2.lock", &lock);
    let (code, said) = hub.ask(&["check", "recipe.rb2"]);
    assert!(code == 1 && said.contains("does not take version 1.3.0, which the lock pins"), "{said}");
    assert!(hub.done(&["lock", "recipe.rb2"]).contains("version 2.0.0"));
}

#[test]
fn another_machine_gets_the_bytes_that_the_lock_pins_or_none() {
    let hub = Hub::new();
    let git = format!("git:{}@main#tools.rb2", hub.address());
    hub.place.write("recipe.rb2", &RECIPE.replace("hub:team/tools@^1.0#tools.rb2", &git));
    assert_eq!(hub.run(&[]).code, 0, "a first run pins what it fetches");
    let (kept, lock) = (hub.place.read("out/kept.jsonl"), hub.place.read("recipe.rb2.lock"));
    let commit = hub.git(&["rev-parse", "HEAD"]);
    assert!(lock.contains(&format!("revision = \"{commit}\"")), "{lock}");

    // The branch goes on; a machine without anything runs the pinned commit, and `check` fetches it as well.
    hub.publish("v1.1.0", 1);
    fs::remove_dir_all(hub.place.path("out")).unwrap();
    for first in [vec!["check", "recipe.rb2"], vec!["run", "recipe.rb2", "--frozen"]] {
        fs::remove_dir_all(hub.place.cache()).unwrap();
        hub.done(&first);
        assert_eq!(hub.packages().len(), 1);
    }
    assert_eq!(hub.place.read("out/kept.jsonl"), kept);

    // What lies here and was changed is fetched again before it is used.
    let file = hub.packages()[0].join("lib/limits.rb2");
    fs::remove_file(&file).unwrap();
    fs::write(&file, "let least = 1\n").unwrap();
    fs::remove_dir_all(hub.place.path("out")).unwrap();
    assert_eq!(hub.run(&["--frozen"]).code, 0);
    assert_eq!(hub.place.read("out/kept.jsonl"), kept);
    assert_eq!(fs::read_to_string(&file).unwrap(), "let least = 4\n");

    // Other bytes under the pinned commit, and a commit that nobody has any more.
    let digest = hub.packages()[0].file_name().unwrap().to_string_lossy().into_owned();
    fs::remove_dir_all(hub.place.cache()).unwrap();
    hub.place.write_quietly("recipe.rb2.lock", &lock.replace(&digest, &"0".repeat(64)));
    let (code, said) = hub.ask(&["run", "recipe.rb2"]);
    assert!(code == 5 && said.contains("E0901") && said.contains("holds other bytes than the lock pins"), "{said}");
    hub.place.write_quietly("recipe.rb2.lock", &lock.replace(&commit, &"ab".repeat(20)));
    let (code, said) = hub.ask(&["run", "recipe.rb2"]);
    assert!(code == 1 && said.contains("cannot fetch `file://") && said.contains("git says"), "{said}");
    assert_eq!(fs::read_dir(hub.place.cache().join("tmp")).unwrap().count(), 0, "nothing is left behind");
}

#[test]
fn packages_import_packages_and_travel_in_a_bundle() {
    let hub = Hub::new();
    let outer = hub.place.root.path().join("hub/team/recipes.git");
    let files = [
        (
            "lib.rb2",
            "import \"hub:team/tools@1#tools.rb2\" as tools\nimport \"./programs/loud.rb2\" as loud\n\
             fn best(d: Dataset[{ text: Str, ..r }]) -> Dataset[{ text: Str, ..r }] = tools.long(loud.shout(d))\n",
        ),
        (
            "programs/loud.rb2",
            "op shout(d: Dataset[{ text: Str, ..r }]) -> Dataset[{ text: Str, ..r }] runs \"sh loud.sh\" deterministic\n",
        ),
        ("programs/loud.sh", "sed 's/one two/ONE TWO/'\n"),
    ];
    fs::create_dir_all(outer.join("programs")).unwrap();
    for (name, text) in files {
        fs::write(outer.join(name), text).unwrap();
    }
    for args in [
        vec!["init", "--quiet", "."],
        vec!["add", "--all"],
        vec!["-c", "user.name=t", "-c", "user.email=t@example.com", "commit", "--quiet", "-m", "one"],
        vec!["tag", "0.3.1"],
    ] {
        assert!(Command::new("git").current_dir(&outer).args(&args).status().unwrap().success());
    }
    hub.place.write(
        "recipe.rb2",
        "import std.data\nimport \"hub:team/recipes@0.3\" as ours\nschema Row { id: Str, text: Str, n: Int }\n\
         output kept = ours.best(data.jsonl(\"rows.jsonl\", as: Row)) to \"out/kept.jsonl\"\n",
    );
    let ran = hub.run(&[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(hub.packages().len(), 2, "{}", ran.stderr);
    let kept = hub.place.read("out/kept.jsonl");
    assert!(kept.contains("ONE TWO three four") && kept.lines().count() == 1, "{kept}");

    hub.done(&["bundle", "recipe.rb2", "--with-bytes", "-o", "all.rbz"]);
    fs::remove_dir_all(hub.repository()).unwrap();
    fs::remove_dir_all(&outer).unwrap();
    fs::remove_dir_all(hub.place.cache()).unwrap();
    hub.done(&["cache", "pull", "all.rbz", "--into", "there"]);
    hub.done(&["run", "there/recipe.rb2", "--no-exec"]);
    assert_eq!(hub.place.read("there/out/kept.jsonl"), kept);
    assert_eq!(hub.packages().len(), 2);
    assert!(verify::verify(&rbpipe::engine::Store::open(hub.place.cache()).unwrap()).none());
}

/// What a line `import "…" as tools` cannot mean: before anything is fetched, and when it is.
#[test]
fn each_wrong_import_of_a_package_has_its_message_and_next_step() {
    let hub = Hub::new();
    let link = hub.repository().join("passwd.rb2");
    std::os::unix::fs::symlink("/etc/passwd", &link).unwrap();
    hub.git(&["add", "--all"]);
    hub.git(&["commit", "--quiet", "-m", "link"]);
    hub.git(&["branch", "linked"]);
    let here = hub.address();
    let cases: &[(&str, &str, &str)] = &[
        ("hub:team/tools", "E0209", "the package has no version"),
        ("hub:tools@^1.0", "E0209", "`tools` names no package of the hub"),
        ("hub:team/tools@newest", "E0209", "`newest` is no range of versions"),
        ("hub:team/tools@^7", "E0209", "there is `1.0.0`"),
        ("hub:team/toolz@^1", "E0209", "git says \""),
        ("hub:team/tools@^1#tools.py", "E0209", "`tools.py` names no recipe of the package"),
        ("hub:team/tools@^1#tool.rb2", "E0205", "that folder has `tools.rb2`"),
        ("hub:team/tools@^1#../other.rb2", "E0205", "this path leads out of the package"),
        ("git:HERE", "E0209", "the package has no revision"),
        ("git:../tools@v1", "E0209", "`../tools` is no address of a repository"),
        ("git:--upload-pack=sh://x@v1", "E0209", "is no address of a repository"),
        ("git:ext::sh -c x@v1", "E0209", "is no address of a repository"),
        ("git:https://me:word@example.com/tools@v1", "E0209", "an address in a recipe holds no password"),
        ("git:HERE@topic/none", "E0209", "has no revision `topic/none`"),
        ("git:HERE@v1.0.1", "E0209", "did you mean `v1.0.0`?"),
        ("git:HERE@linked", "E0209", "`passwd.rb2` is a link or no file"),
        ("git:http://127.0.0.1:9/tools.git@v1", "E0209", "has to work in this shell"),
        ("https://example.com/tools.git", "E0205", "`import \"git:https://example.com/"),
    ];
    for (import, code, part) in cases {
        let import = import.replace("HERE", &here);
        hub.place.write("recipe.rb2", &format!("import \"{import}\" as tools\nexpect tools.n == 1\n"));
        let (exit, said) = hub.ask(&["lock", "recipe.rb2"]);
        assert_eq!(exit, 1, "{import}: {said}");
        assert!(said.contains(code) && said.contains(part) && said.contains("recipe.rb2:1:8"), "{import}: {said}");
    }
    assert!(!Path::new(&hub.place.path("x")).exists());
}

/// One that a recipe was read with stays, one that nobody uses goes, and comes back when it is wanted.
#[test]
fn collection_takes_packages_that_are_used_no_more() {
    let hub = Hub::new();
    let age = || {
        age(&hub.place.cache());
        for folder in hub.packages() {
            fs::File::open(folder).unwrap().set_modified(std::time::UNIX_EPOCH).unwrap();
        }
    };
    hub.done(&["lock", "recipe.rb2"]);
    age();
    hub.done(&["lock", "recipe.rb2"]);
    hub.done(&["cache", "gc", "--keep-days", "1", "--apply"]);
    assert_eq!(hub.packages().len(), 1);
    age();
    let said = hub.done(ALL);
    assert!(said.contains("packages that no recipe was compiled with"), "{said}");
    assert_eq!(hub.packages().len(), 1, "nothing goes unasked");
    hub.done(&[ALL, &["--apply"]].concat());
    assert!(hub.packages().is_empty());
    assert_eq!(hub.run(&["--frozen"]).code, 0);
    assert_eq!(hub.packages().len(), 1);
}
