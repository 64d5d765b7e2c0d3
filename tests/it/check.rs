//! `rbpipe cache check`: what promises the same bytes each time is executed again and compared.

use crate::engine::Place;

fn check(place: &Place, sample: &str) -> (i32, String) {
    let out = place.command(&["cache", "check", "recipe.rb2", "--sample", sample]).output().unwrap();
    let text = [out.stdout, out.stderr].concat();
    (out.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// The body of a program, and what is said of it when its node is executed once more.
const PROGRAMS: &[(&str, i32, &[&str])] = &[
    ("", 0, &["3 nodes executed again, the same bytes each"]),
    (
        "row['text'] += open('/proc/sys/kernel/random/uuid').read()",
        5,
        &[
            "diverges  out/mine (op.run): column `text` from row 0 on: \"a b",
            "3 nodes executed again: 1 diverge, 0 failed",
        ],
    ),
    (
        "row['text'] += open('/proc/sys/kernel/random/uuid').read() if row['__row'] == '1' else ''",
        5,
        &["column `text` from row 1 on"],
    ),
    (
        "path = 'PATH/mark'\nif __import__('os').path.exists(path): sys.exit('never again')\nif row['__row'] == '2': open(path, 'w')",
        3,
        &["failed    out/mine (op.run): ", "never again"],
    ),
];

#[test]
fn what_differs_from_run_to_run_is_named_with_operator_column_and_row() {
    for (body, code, says) in PROGRAMS {
        let place = Place::new();
        let body = body.replace("PATH", &place.folder.display().to_string()).replace('\n', "\n    ");
        place.write("mine.py", &format!("import json, sys\nfor line in sys.stdin:\n    row = json.loads(line)\n    {body}\n    print(json.dumps(row))\n"));
        place.write(
            "recipe.rb2",
            "recipe \"own\"\nimport std.{data}\nschema Row { id: Str, text: Str, n: Int }\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\n\
             op mine(d: Dataset[{ text: Str }]) -> Dataset[{ text: Str }] runs \"python3 mine.py\" files [\"mine.py\"] deterministic\n\
             output out = rows |> data.select(columns: [.text]) |> mine() to \"out.jsonl\"\n",
        );
        let ran = place.run(&["-w", "at_most=1"]);
        assert_eq!(ran.code, 0, "{}", ran.stderr);
        let before = place.read("out.jsonl");
        let (ended, text) = check(&place, "100%");
        assert_eq!(ended, *code, "{body}: {text}");
        for part in *says {
            let part = part.replace("out/mine", "out");
            assert!(
                text.contains(&part) || text.contains(&part.replace("\"a b", "\"one")),
                "{body}: no {part:?} in {text}"
            );
        }
        // What is recorded stays.
        assert_eq!(place.run(&["--no-exec"]).code, 0);
        assert_eq!(place.read("out.jsonl"), before);
    }
}

#[test]
fn a_share_is_checked_and_never_none() {
    let place = Place::new();
    assert!(check(&place, "5%").1.contains("nothing is recorded"));
    place.done();
    for (sample, executed) in [("5%", 1), ("50%", 2), ("0.75", 3), ("100%", 4)] {
        let (code, text) = check(&place, sample);
        assert_eq!((code, text.matches("same  ").count()), (0, executed), "{sample}: {text}");
    }
    for wrong in ["0%", "101%", "x", "-1"] {
        assert_eq!(
            place
                .command(&["cache", "check", "recipe.rb2", &format!("--sample={wrong}")])
                .output()
                .unwrap()
                .status
                .code(),
            Some(2)
        );
    }
}
