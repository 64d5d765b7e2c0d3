//! Where nodes run: what a machine has, what a site file says, and what is refused before anything starts.

use std::fs;

use serde_json::Value as Json;

use crate::engine::{Place, Ran};

/// Three nodes of a user's own, each of which waits for the others as long as it may run beside them.
const BESIDE: &str = r#"
recipe "beside"
import std.{data}

schema Row { text: Str }
op mark(d: Dataset[{ text: Str }], name: Str) -> Dataset[{ text: Str }] runs "sh mark.sh" files ["mark.sh"]

let rows = data.jsonl("rows.jsonl", as: Row)
"#;

/// Writes its start and end to a log, in between it waits until three have started, or half a second.
const MARK: &str = "cat > in\necho + >> LOG\nfor i in 1 2 3 4 5 6 7 8 9 10; do [ $(grep -c + LOG) -ge 3 ] && break; sleep 0.05; done\necho - >> LOG\ncat in\n";

/// What the machine has, what each of three nodes asks for, and how many of them run at a time.
const CASES: &[(&str, &str, usize)] = &[
    ("cpus: 4", "cpus: 1", 3),
    ("cpus: 4", "cpus: 2", 2),
    ("cpus: 4", "cpus: 4", 1),
    ("cpus: 8, mem: 3GiB", "cpus: 1, mem: 1GiB", 3),
    ("cpus: 8, mem: 3GiB", "cpus: 1, mem: 1200MiB", 2),
    ("cpus: 8, gpus: [\"3\", \"5\"]", "cpus: 1, gpus: 1", 2),
    ("cpus: 8, at_most: { op: { run: 1 } }", "cpus: 1", 1),
];

#[test]
fn nodes_run_side_by_side_as_far_as_cores_memory_gpus_and_at_most_allow() {
    for (machine, with, most) in CASES {
        let place = Place::new();
        let log = place.path("log");
        place.write("rows.jsonl", "{\"text\": \"one\"}\n");
        place.write("mark.sh", &MARK.replace("LOG", log.to_str().unwrap()));
        place.write("site.rb2", &format!("let machine = {{ {machine} }}\n"));
        let nodes: String = ["a", "b", "c"]
            .iter()
            .map(|n| format!("let {n} = rows |> mark(name: \"{n}\") with {{ {with} }}\noutput o{n} = {n}\n"))
            .collect();
        place.write("recipe.rb2", &format!("{BESIDE}{nodes}"));
        let ran = run(&place, &["--jobs", "3"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let mut now = 0_usize;
        let counts = fs::read_to_string(log).unwrap();
        let seen = counts.lines().map(|l| {
            now = if l == "+" { now + 1 } else { now - 1 };
            now
        });
        assert_eq!(seen.max(), Some(*most), "{machine} / {with}: {counts}");
    }
}

fn run(place: &Place, args: &[&str]) -> Ran {
    place.run_in(&[("RBPIPE_SITE", place.path("site.rb2").to_str().unwrap())], args)
}

#[test]
fn a_node_sees_the_gpus_that_it_was_given() {
    let place = Place::new();
    place.write(
        "show.sh",
        "cat > in; while read line; do echo \"$line\" | sed \"s/one/$CUDA_VISIBLE_DEVICES/\"; done < in\n",
    );
    place.write("rows.jsonl", "{\"text\": \"one\"}\n");
    place.write("site.rb2", "let machine = { gpus: [\"7\", \"GPU-5\"] }\nlet defaults = { gpus: 2 }\n");
    let recipe = BESIDE.replace("sh mark.sh", "sh show.sh").replace("mark.sh", "show.sh");
    place.write("recipe.rb2", &format!("{recipe}output o = rows |> mark(name: \"x\") to \"out.jsonl\"\n"));
    let ran = run(&place, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert_eq!(place.read("out.jsonl"), "{\"text\":\"7,GPU-5\"}\n");
}

#[test]
fn the_report_says_how_busy_gpus_were() {
    let place = Place::new();
    // The driver's program, as it looks again and again; what a GPU does not tell does not count.
    let said = "for line in '50, 1024' '[N/A], [N/A]' '100, 2048' 'No devices were found'; do echo \"$line\"; done";
    place.write(
        "bin/nvidia-smi",
        &format!(
            "#!/bin/sh\necho \"$@\" > {}\n{said}\n: > {}\nexec sleep 60\n",
            place.path("asked").display(),
            place.path("told").display()
        ),
    );
    fs::set_permissions(place.path("bin/nvidia-smi"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    place.write(
        "show.sh",
        &format!("cat > in; while [ ! -e {} ]; do sleep 0.05; done; cat in\n", place.path("told").display()),
    );
    place.write("rows.jsonl", "{\"text\": \"one\"}\n");
    place.write("site.rb2", "let machine = { gpus: [\"7\", \"GPU-5\"] }\nlet defaults = { gpus: 2 }\n");
    let recipe = BESIDE.replace("sh mark.sh", "sh show.sh").replace("mark.sh", "show.sh");
    place.write("recipe.rb2", &format!("{recipe}output o = rows |> mark(name: \"x\") to \"out.jsonl\"\n"));
    let path = format!("{}:{}", place.path("bin").display(), std::env::var("PATH").unwrap());
    let ran = place.run_in(&[("RBPIPE_SITE", place.path("site.rb2").to_str().unwrap()), ("PATH", &path)], &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    assert!(place.read("asked").ends_with("-i 7,GPU-5\n"), "{}", place.read("asked"));
    let told = ran.said("node_gpus");
    assert_eq!(told.len(), 1, "{}", ran.stderr);
    assert_eq!((told[0]["utilisation"].as_f64(), told[0]["memory"].as_u64()), (Some(0.75), Some(2048 << 20)));
    assert!(place.command(&["report", "recipe.rb2", "-o", "r.html"]).output().unwrap().status.success());
    assert!(place.read("r.html").contains("75 %, 2.0 GiB"));
}

/// What a node asks for, and what the refusal says. Nothing has started by then.
const REFUSED: &[(&str, &[&str])] = &[
    ("cpus: 5", &["E0620", "`cpus: 5`, this machine has 4", "ask for less"]),
    ("mem: 64GiB, cpus: 5", &["E0620", "`mem: 64GiB`, this machine has 8GiB", "`cpus: 5`"]),
    ("gpus: 1", &["E0620", "`gpus: 1`, this machine has 0"]),
    ("executor: \"locl\"", &["E0621", "executor `locl`", "did you mean `local`?"]),
];

#[test]
fn what_can_never_run_is_refused_before_anything_starts() {
    for (with, words) in REFUSED {
        let place = Place::new();
        place.write("site.rb2", "let machine = { cpus: 4, mem: 8GiB, gpus: [] }\n");
        place.write("mark.sh", "cat\n");
        let last = format!("let a = rows |> mark(name: \"a\") with {{ {with} }}\noutput o = a\n");
        place.write("recipe.rb2", &format!("{BESIDE}{last}"));
        let ran = run(&place, &[]);
        assert_eq!(ran.code, 1, "{}", ran.stderr);
        assert!(ran.events.is_empty(), "{with}: something started");
        for word in *words {
            assert!(ran.stderr.contains(word), "{with}: no `{word}` in {}", ran.stderr);
        }
    }
}

/// A result that is there needs no room: a recipe made on a large machine is a hit on a small one.
#[test]
fn what_is_recorded_needs_no_room() {
    let place = Place::new();
    place.write("mark.sh", "cat\n");
    place.write("recipe.rb2", &format!("{BESIDE}output o = rows |> mark(name: \"a\")\n"));
    place.write("site.rb2", "let machine = { cpus: 64 }\nlet defaults = { cpus: 64 }\n");
    assert_eq!(run(&place, &[]).code, 0);
    place.write_quietly("site.rb2", "let machine = { cpus: 1 }\nlet defaults = { cpus: 64 }\n");
    let ran = run(&place, &[]);
    assert_eq!((ran.code, ran.executed().len()), (0, 0), "{}", ran.stderr);
    place.write("rows.jsonl", "{\"text\": \"other\"}\n");
    let ran = run(&place, &[]);
    assert_eq!(ran.code, 1, "{}", ran.stderr);
}

/// A site file and what is said of it: code, line and column, the next step.
const SITES: &[(&str, &str, &str)] = &[
    ("let machine = { cpu: 4 }", "site.rb2:1:17", "did you mean `cpus`?"),
    ("let machine = { cpus: 4GiB }", "site.rb2:1:23", "write it as `cpus: 4`"),
    ("let machine = { cpus: 0 }", "site.rb2:1:23", "write it as `cpus: 4`"),
    ("let machine = { cpus: 1, cpus: 2 }", "site.rb2:1:26", "stands twice"),
    ("let machine = { cpus }", "site.rb2:1:17", "constants alone"),
    ("let machine = { gpus: 2 }", "site.rb2:1:23", "write it as `gpus: [\"0\", \"1\"]`"),
    ("let machine = 4", "site.rb2:1:15", "`machine` is a record here"),
    ("let local = { cpus: 1 }", "site.rb2:1:5", "`local` is this machine"),
    ("let defaults = { timout: 8h }", "site.rb2:1:18", "did you mean `timeout`?"),
    ("let defaults = { timeout: 8 }", "site.rb2:1:27", "`timeout` in `with` is Duration"),
    ("let defaults = { cpus: \"four\" }", "site.rb2:1:24", "`cpus` in `with` is Int in 1.."),
    ("let defaults = { cpus: 0 }", "site.rb2:1:24", "`cpus` in `with` is Int in 1.."),
    ("let defaults = { retries: -1 }", "site.rb2:1:27", "`retries` in `with` is Int in 0.."),
    ("param x: Int = 1", "site.rb2:1:1", "`let` items alone"),
];

#[test]
fn a_site_file_that_says_nonsense_is_refused_with_a_place() {
    for (text, at, word) in SITES {
        let place = Place::new();
        place.write("site.rb2", text);
        let ran = run(&place, &[]);
        assert_eq!(ran.code, 1, "{text}: {}", ran.stderr);
        for part in ["E0622", at, word] {
            assert!(ran.stderr.contains(part), "{text}: no `{part}` in {}", ran.stderr);
        }
    }
    let place = Place::new();
    let ran = run(&place, &[]);
    assert!(ran.code == 1 && ran.stderr.contains("cannot read the site file"), "{}", ran.stderr);
}

/// What the command line says comes before the recipe, the recipe before the site.
#[test]
fn the_site_fills_in_what_nobody_says() {
    let place = Place::new();
    place.write("site.rb2", "let machine = { cpus: 4 }\nlet defaults = { cpus: 5 }\n");
    place.write("mark.sh", "cat\n");
    for (with, args, code) in [
        ("", vec![], 1),
        ("with { cpus: 2 }", vec![], 1),
        ("with { cpus: 2 }", vec!["-w", "cpus=9"], 1),
        ("", vec!["-w", "cpus=3"], 0),
    ] {
        place.write("recipe.rb2", &format!("{BESIDE}let a = rows |> mark(name: \"a\") {with}\noutput o = a\n"));
        let ran = run(&place, &args);
        assert_eq!(ran.code, code, "{with} {args:?}: {}", ran.stderr);
    }
    let keys = |events: &[Json]| events.iter().filter_map(|e| e["key"].as_str().map(str::to_owned)).collect::<Vec<_>>();
    let plain = place.run(&[]);
    assert!(!keys(&plain.events).is_empty() && plain.executed().is_empty(), "a site is in no key: {}", plain.stderr);
    // What sources accept reaches sources alone, and them only where they say nothing of it.
    place.write("site.rb2", "let defaults = { licence: \"MIT\", consent: \"research only\" }\n");
    let second = "let more = data.jsonl(\"rows.jsonl\", as: Row, bad: \"skip\") with { licence: \"CC0-1.0\" }\n";
    let outputs = "output a = rows to \"a.jsonl\"\noutput b = more to \"b.jsonl\"\n";
    place.write("recipe.rb2", &format!("{BESIDE}{second}{outputs}"));
    let ran = run(&place, &[]);
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    for (output, licence) in [("a", "MIT"), ("b", "CC0-1.0")] {
        let note: Json = serde_json::from_str(&place.read(&format!("{output}.jsonl.rbpipe.json"))).unwrap();
        let terms = &note["provenance"]["terms"];
        assert_eq!((&terms["licences"][0], &terms["consent"][0]), (&licence.into(), &"research only".into()));
    }
}
