//! The way of one row through a recipe, as `rbpipe trace` tells it.

use crate::engine::Place;

const RECIPE: &str = r#"recipe "way"
import std.{data, filter, dedup}
schema Row { id: Str, text: Str, n: Int }
let rows = data.jsonl("rows.jsonl", as: Row, bad: "quarantine")
let kept = rows |> filter.rule(where: .n > 0) |> dedup.exact(on: [.text]) |> data.derive(half: .n / 2.0)
let first = kept |> data.top(by: .n, n: 1rows)
output one = first to "out/one.jsonl"
output nameless = kept |> data.select(columns: [.text]) to "out/texts.jsonl"
"#;
const ROWS: &str = r#"{"id": "a", "text": "one", "n": 3}
{"id": "b", "text": "two", "n": 0}
{"id": "c", "text": "one", "n": 2}
{"id": "d", "text": "three"}
{"id": "e", "text": "four", "n": 1}
"#;

/// A row's name and what is said of it, node by node.
const WAYS: &[(&str, &[&str])] = &[
    (
        "a",
        &[
            "rows",
            "read",
            "filter.rule",
            "passed",
            "dedup.exact",
            "passed",
            "kept",
            "+ .half 1.5",
            "first",
            "passed",
            "nameless",
            "not followed further",
        ],
    ),
    ("b", &["rows", "read", "filter.rule", "dropped: not .n > 0"]),
    ("c", &["rows", "read", "filter.rule", "passed", "dedup.exact", "dropped: same text as a"]),
    ("e", &["rows", "read", "kept", "+ .half 0.5", "first", "dropped: .n is 1, place 2 of 2"]),
    ("rows.jsonl:4", &["rows", "quarantined: "]),
];

#[test]
fn a_row_is_followed_through_every_operator() {
    let place = Place::new();
    place.write("recipe.rb2", RECIPE);
    place.write("rows.jsonl", ROWS);
    let trace = |row: &str| {
        let out = place.command(&["trace", "recipe.rb2", "--row", row]).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    };
    let (code, _, said) = trace("a");
    assert!(code == 5 && said.contains("nothing has run yet"), "{said}");
    assert_eq!(place.run(&[]).code, 0);
    for (row, parts) in WAYS {
        let (code, way, said) = trace(row);
        assert_eq!(code, 0, "{row}: {said}");
        let mut rest = way.as_str();
        for part in *parts {
            let at = rest.find(part).unwrap_or_else(|| panic!("{row}: {part:?} is not next in\n{way}"));
            rest = &rest[at + part.len()..];
        }
    }
    let (_, way, _) = trace("b");
    assert_eq!(way.lines().count(), 2, "nothing is said of operators that never met the row: {way}");
    let (code, _, said) = trace("z");
    assert!(code == 2 && said.contains("such as `a`"), "{said}");
}

#[test]
fn a_program_of_ones_own_is_one_step_of_the_way() {
    let place = Place::new();
    place.write("recipe.rb2", "recipe \"own\"\nimport std.{data}\nschema Row { id: Str, text: Str, n: Int }\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\n\
        op short(d: Dataset[{ text: Str, ..r }]) -> Dataset[{ text: Str, size: Int, ..r }] runs \"python3 short.py\" files [\"short.py\"] row_subset\n\
        output own = rows |> short() to \"out/own.jsonl\"\n");
    place.write("rows.jsonl", &crate::engine::rows(&["one", "a longer text"]));
    place.write(
        "short.py",
        "import json, sys\nfor line in sys.stdin:\n    row = json.loads(line)\n    row['size'] = len(row['text'])\n    \
         if row['size'] < 9: print(json.dumps(row))\n",
    );
    place.done();
    for (row, ends) in [("r0", "passed; + .size 3"), ("r1", "dropped: the operator did not give it back")] {
        let out = place.command(&["trace", "recipe.rb2", "--row", row]).output().unwrap();
        let way = String::from_utf8(out.stdout).unwrap();
        let lines: Vec<&str> = way.lines().collect();
        assert!(lines.len() == 2 && lines[0].ends_with("  read"), "{way}");
        assert!(lines[1].starts_with("own/short (op.run)  ") && lines[1].ends_with(ends), "{way}");
    }
}
