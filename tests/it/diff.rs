//! What `rbpipe diff` says of two recipes and of two locks.

use crate::engine::Place;

const RECIPE: &str = r#"recipe "first"
import std.{data, filter, dedup}
schema Row { id: Str, text: Str, n: Int }
let rows = data.jsonl("rows.jsonl", as: Row)
let kept = rows |> filter.rule(where: .n > 0)
let once = kept |> dedup.minhash(on: [.text], similar: 80%)
output all = once to "out/all.jsonl"
"#;

/// An edit (what is replaced, by what) and all lines that `diff` then prints.
const EDITS: &[(&str, &str, &[&str])] = &[
    ("kept", "good", &["nothing runs anew; 3 nodes the same"]),
    ("recipe \"first\"", "# a comment\nrecipe   \"second\"", &["nothing runs anew; 3 nodes the same"]),
    ("80%)", "80%) with { cpus: 1 }", &["nothing runs anew; 3 nodes the same"]),
    ("out/all.jsonl", "out/other.jsonl", &["nothing runs anew; 3 nodes the same"]),
    (
        "80%",
        "70%",
        &[
            "~ once (dedup.minhash): arg `similar` changed: 0.8 → 0.7",
            "at most 1 node anew, 2 nodes the same; anew:",
            "  once",
        ],
    ),
    (
        "rows |> filter.rule(where: .n > 0)",
        "rows",
        &[
            "~ once (dedup.minhash): reads `rows` instead of `kept`, as `d`",
            "- kept (filter.rule)",
            "at most 1 node anew, 1 node the same; anew:",
            "  once",
        ],
    ),
    (
        "\"rows.jsonl\"",
        "\"others.jsonl\"",
        &[
            "~ rows (data.jsonl): the files of `path` changed",
            "at most 3 nodes anew, 0 nodes the same; anew:",
            "  rows",
            "  kept",
            "  once",
        ],
    ),
    (
        "output all",
        "output most = rows |> data.top(by: .n, n: 1rows)\noutput all",
        &["+ most (data.top)", "at most 1 node anew, 3 nodes the same; anew:", "  most"],
    ),
];

fn said(place: &Place, args: &[&str]) -> (i32, String, String) {
    let out = place.command(&[&["diff"], args].concat()).output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
    (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
}

#[test]
fn two_recipes_differ_in_what_decides_results() {
    let place = Place::new();
    place.write("rows.jsonl", "{\"id\": \"a\", \"text\": \"one\", \"n\": 3}\n");
    place.write("others.jsonl", "{\"id\": \"b\", \"text\": \"two\", \"n\": 3}\n");
    place.write("a.rb2", RECIPE);
    for (what, by, lines) in EDITS {
        place.write("b.rb2", &RECIPE.replace(what, by));
        let (code, out, err) = said(&place, &["a.rb2", "b.rb2"]);
        assert_eq!((code, out.lines().collect::<Vec<_>>().as_slice()), (0, *lines), "{what} -> {by}: {err}");
    }
    place.write("b.rb2", "recipe \"broken\"\noutput x = y\n");
    let (code, _, err) = said(&place, &["a.rb2", "b.rb2"]);
    assert!(code == 1 && err.contains("b.rb2:2"), "{err}");
}

#[test]
fn two_locks_differ_entry_by_entry() {
    let place = Place::new();
    place.write("rows.jsonl", "{\"id\": \"a\", \"text\": \"one\", \"n\": 3}\n");
    place.write("a.rb2", RECIPE);
    assert_eq!(place.command(&["lock", "a.rb2"]).status().unwrap().code(), Some(0));
    let lock = place.read("a.rb2.lock");
    place.write("b.rb2.lock", &lock);
    assert_eq!(said(&place, &["a.rb2.lock", "b.rb2.lock"]).1, "both pin the same\n");
    place.write("b.rb2.lock", &lock.replace("rows = 1", "rows = 2"));
    let (code, out, _) = said(&place, &["a.rb2.lock", "b.rb2.lock"]);
    assert_eq!((code, out.as_str()), (0, "~ sources.rows.jsonl.rows: 1 -> 2\n"));
    let (code, _, err) = said(&place, &["a.rb2", "b.rb2.lock"]);
    assert!(code == 2 && err.contains("cannot be compared"), "{err}");
    place.write("b.rb2.lock", "version = ");
    let (code, _, err) = said(&place, &["a.rb2.lock", "b.rb2.lock"]);
    assert!(code == 2 && err.contains("cannot read `b.rb2.lock`"), "{err}");
}
