//! What the lock has seen of rows, and what `check` makes of it without reading them.

use std::fs;

use serde_json::Value as Json;

use crate::engine::Place;
use crate::formats::{png, shard};

const HEAD: &str = "recipe \"seen\"\nimport std.{data, filter, bench, read, mark, total}\n";

/// Rows of two splits, one of which lacks its stars; a column that no schema names.
fn reviews() -> String {
    let row = |i: usize| {
        let (split, stars) = if i % 4 == 0 { ("test", "null".to_owned()) } else { ("train", (i % 5).to_string()) };
        format!(
            "{{\"id\": \"r{i}\", \"text\": \"a cube on a table {i}\", \"split\": \"{split}\", \"stars\": {stars}, \"note\": [\"x\"], \"gone\": null}}\n"
        )
    };
    (0..40).map(row).collect()
}

fn place(recipe: &str) -> Place {
    let place = Place::new();
    place.write("rows.jsonl", &reviews());
    place.write("recipe.rb2", &format!("{HEAD}{recipe}"));
    place
}

const SOUND: &str = "schema Review { id: Str, text: Str, split: Str, stars: Int? }\nlet rows = data.jsonl(\"rows.jsonl\", as: Review)\noutput out = rows to \"out.jsonl\"\n";

fn locked(recipe: &str) -> Place {
    let place = place(SOUND);
    assert!(place.command(&["lock", "recipe.rb2"]).output().unwrap().status.success());
    fs::write(place.path("recipe.rb2"), format!("{HEAD}{recipe}")).unwrap();
    place
}

/// What `check` says: line, code, message, help and the text of the fix.
fn told(place: &Place) -> Vec<String> {
    let out = place.command(&["check", "recipe.rb2", "--format", "json"]).output().unwrap();
    let all: Json = serde_json::from_slice(&out.stdout).unwrap();
    let one = |d: &Json| {
        let text = |key: &str| d[key].as_str().unwrap_or_default().to_owned();
        let fix = d["fix"]["text"].as_str().map(|t| format!(" [{t}]")).unwrap_or_default();
        format!("{} {}: {}; {}{fix}", d["labels"][0]["line"], text("code"), text("message"), text("help"))
    };
    // The head imports what some case needs.
    let unused = |d: &&Json| d["code"] == "W0201";
    all["diagnostics"].as_array().unwrap().iter().filter(|d| !unused(d)).map(one).collect()
}

#[test]
fn a_lock_holds_what_its_rows_hold_one_column_a_line() {
    let place = locked(SOUND);
    let text = place.read("recipe.rb2.lock");
    let expected = [
        "[sources.\"rows.jsonl\".columns]",
        "gone = { absent = 1.0, type = \"none\" }",
        "id = { type = \"Str\", words = 1 }",
        "note = { type = \"[Str]\" }",
        "split = { type = \"Str\", values = [\"test\", \"train\"] }",
        "stars = { absent = 0.25, type = \"Int\" }",
        "text = { type = \"Str\", words = 6 }",
    ];
    assert!(text.contains(&expected.join("\n")), "{text}");
    assert!(text.starts_with("# What `recipe.rb2` reads") && text.contains("\nversion = 2\n"), "{text}");
    assert_eq!(told(&place), Vec::<String>::new());
    // A merge of a lock with itself changes no byte but those of the order of its tables.
    for name in ["a", "b", "c"] {
        fs::write(place.path(name), &text).unwrap();
    }
    assert!(place.command(&["lock", "--merge", "a", "b", "c"]).output().unwrap().status.success());
    assert_eq!(place.read("b").parse::<toml::Table>().unwrap(), text.parse().unwrap());
    assert!(place.read("b").contains(&expected.join("\n")));
}

/// A recipe and what is said of it, part by part.
const CONTRADICTED: &[(&str, &[&str])] = &[
    (
        "schema Review {\n  id: Str\n  txt: Str\n}\nlet rows = data.jsonl(\"rows.jsonl\", as: Review)\noutput out = rows\n",
        &["5 E0309", "`rows.jsonl` has no column `txt`", "did you mean `text`?", "[text]"],
    ),
    (
        "schema Review { id: Str, splits: Str? }\nlet rows = data.jsonl(\"rows.jsonl\", as: Review)\noutput out = rows\n",
        &["3 E0309", "no column `splits`", "did you mean `split`?"],
    ),
    (
        "schema Review { id: Str, answer: Str }\nlet rows = data.jsonl(\"rows.jsonl\", as: Review)\noutput out = rows\n",
        &["3 E0309", "no column `answer`", "the rows have `gone`, `id`", "write `answer: Str?`"],
    ),
    (
        "schema Review { id: Str, stars: Str? }\nlet rows = data.jsonl(\"rows.jsonl\", as: Review)\noutput out = rows\n",
        &["3 E0309", "holds Int, and the schema asks for Str", "write `stars: Int?`", "[Int?]"],
    ),
    (
        "schema Review { id: Str, stars: Int }\nlet rows = data.jsonl(\"rows.jsonl\", as: Review)\noutput out = rows\n",
        &["3 E0309", "absent in 25 % of the rows of `rows.jsonl`", "write `stars: Int?`"],
    ),
    (
        "schema Review { id: Str, split: enum { train, tset } }\nlet rows = data.jsonl(\"rows.jsonl\", as: Review)\noutput out = rows\n",
        &["3 E0309", "holds `test`, which its `enum` does not name", "is `test` a misspelt `tset`?"],
    ),
];

#[test]
fn a_schema_that_the_locked_rows_contradict_is_an_error_at_its_column() {
    for (recipe, parts) in CONTRADICTED {
        let place = locked(recipe);
        let said = told(&place);
        assert_eq!(said.len(), 1, "{recipe}: {said:#?}");
        for part in *parts {
            assert!(said[0].contains(part), "{part} is not in {said:#?}");
        }
        fs::remove_file(place.path("recipe.rb2.lock")).unwrap();
        assert_eq!(told(&place), Vec::<String>::new(), "nobody has looked");
    }
    // Rows that do not fit may be left out; only what fits no row is an error then.
    let lenient = |schema: &str| {
        locked(&format!(
            "schema Review {{ id: Str, {schema} }}\nlet rows = data.jsonl(\"rows.jsonl\", as: Review, bad: \"skip\")\noutput out = rows\n"
        ))
    };
    for schema in ["stars: Int", "split: enum { train }"] {
        assert_eq!(told(&lenient(schema)), Vec::<String>::new(), "{schema}");
    }
    for schema in ["stars: Str", "split: enum { eval }", "gone: Str", "answer: Str"] {
        assert!(told(&lenient(schema))[0].contains("E0309"), "{schema}");
    }
}

#[test]
fn the_page_of_e0309_tells_the_truth() {
    let page = rbpipe::base::codes::page(rbpipe::base::codes::E0309);
    let blocks = crate::pages::blocks(page);
    let recipes: Vec<&str> = blocks.iter().filter(|b| b.language == "rb2").map(|b| b.text.as_str()).collect();
    let rows = blocks.iter().find(|b| b.file == Some("rows.jsonl")).unwrap();
    let place = place(recipes[1]);
    place.write("rows.jsonl", &rows.text);
    assert_eq!(place.run(&[]).code, 0, "{}", place.run(&[]).stderr);
    assert_eq!(told(&place), Vec::<String>::new());
    fs::write(place.path("recipe.rb2"), format!("{HEAD}{}", recipes[0])).unwrap();
    assert!(told(&place)[0].contains("E0309"), "{:?}", told(&place));
}

/// A filter, and what is said of it: nothing, or parts of a message.
const FILTERS: &[(&str, &[&str])] = &[
    (
        ".split == \"trian\"",
        &["keeps no row: the lock has seen `test` and `train` in `.split`", "did you mean \"train\"?"],
    ),
    (".split in [\"dev\", \"eval\"]", &["keeps no row"]),
    (".split != \"dev\"", &["keeps every row"]),
    ("not (.split in [\"test\", \"train\"])", &["keeps no row"]),
    (".text != none and .split == \"x y\"", &["keeps no row"]),
    (".text == \"\" or .split in [\"test\", \"train\"]", &["keeps every row"]),
    (".split == \"test\"", &[]),
    (".split == which", &[]),
    (".stars == none", &[]),
    (".text == \"no such text\"", &[]),
];

#[test]
fn a_filter_that_no_locked_row_passes_is_told() {
    for (condition, parts) in FILTERS {
        let recipe = format!(
            "{}param which: Str = \"dev\"\nlet some = rows |> data.rename(words: .text) |> data.rename(text: .words) |> data.derive(n: .text.words)\n\
             \x20 |> filter.rule(where: {condition})\noutput few = some\n",
            SOUND
        );
        let said = told(&locked(&recipe));
        assert_eq!(said.len(), usize::from(!parts.is_empty()), "{condition}: {said:#?}");
        for part in *parts {
            assert!(said[0].contains("8 W0302") && said[0].contains(part), "{part} is not in {said:#?}");
        }
    }
}

#[test]
fn columns_that_nobody_declares_are_those_that_the_lock_has_seen() {
    let exam = |args: &str| {
        format!(
            "let exam = bench.json(\"exam.jsonl\")\n  |> filter.rule(where: .q != \"\")\n  |> bench.sample(id: .id, kind: \"choice\", {args})\n  |> bench.ask(choice: \"Answer with the letter only.\")\n  \
             |> bench.read(choice: read.choice())\n  |> bench.mark(choice: mark.letter())\n  |> bench.total(headline: total.micro())\noutput items = exam.items to \"items.jsonl\"\n"
        )
    };
    let place = Place::new();
    let row = |i: usize| {
        format!(
            "{{\"id\": \"{i}\", \"q\": \"what {i}\", \"opts\": [\"x\", \"y\"], \"a\": \"B\", \"hid\": \"hidden\", \"nil\": null}}\n"
        )
    };
    place.write("exam.jsonl", &(0..6).map(row).collect::<String>());
    place.write("recipe.rb2", &format!("{HEAD}{}", exam("question: .q, options: .opts, key: .a")));
    let out = place.command(&["lock", "recipe.rb2"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(told(&place), Vec::<String>::new());
    let cases = [
        (
            "question: .q, options: .optz, key: .a",
            "5 E0301: column `.optz` is not in `exam.jsonl`, as the lock has seen it; did you mean `.opts`? [.opts]",
        ),
        ("question: .q, options: .opts, key: .solution.letter()", "5 E0301: column `.solution` is not in `exam.jsonl`"),
        (
            "question: .q, options: .opts, key: .hid",
            "5 E0804: the answers are hidden: every `.hid` is the word `hidden`",
        ),
        ("question: .q, options: .opts, key: .nil", "5 E0802: no row has a `.nil`"),
    ];
    for (args, expected) in cases {
        fs::write(place.path("recipe.rb2"), format!("{HEAD}{}", exam(args))).unwrap();
        let said = told(&place);
        assert!(said.len() == 1 && said[0].starts_with(expected), "{args}: {said:#?}");
    }
}

#[test]
fn changed_columns_are_drift_with_what_changed_and_never_stand_in_the_way_of_a_new_lock() {
    let place = locked(SOUND);
    let changed = reviews().replace("\"text\":", "\"body\":").replace("\"test\"", "\"eval\"").replace("[\"x\"]", "3");
    fs::write(place.path("rows.jsonl"), changed).unwrap();
    for args in [&["run", "recipe.rb2"][..], &["run", "recipe.rb2", "--frozen"]] {
        let out = place.command(args).output().unwrap();
        let said = String::from_utf8_lossy(&out.stderr).into_owned();
        assert_eq!(out.status.code(), Some(5), "{said}");
        let words = said.split_whitespace().filter(|w| *w != "│").collect::<Vec<_>>().join(" ");
        for part in
            ["`body: Str` is new", "`note` was [Str], now Int", "`split` has the values `eval` too", "`text` is gone"]
        {
            assert!(words.contains(part), "{part} is not in {said}");
        }
    }
    let planned = place.command(&["plan", "recipe.rb2"]).output().unwrap();
    assert!(String::from_utf8_lossy(&planned.stdout).contains("`text` is gone"));
    // The author follows the rows: the old lock contradicts the new schema, and must not be what keeps the new one away.
    fs::write(place.path("recipe.rb2"), format!("{HEAD}{}", SOUND.replace("text: Str", "body: Str"))).unwrap();
    assert!(told(&place)[0].contains("no column `body`"));
    let out = place.command(&["lock", "recipe.rb2", "--update", "rows.jsonl"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(told(&place), Vec::<String>::new());
}

#[test]
fn locks_of_the_first_layout_are_read_kept_by_runs_and_filled_by_lock() {
    let place = locked(SOUND);
    let new = place.read("recipe.rb2.lock");
    let (head, rest) = new.split_once("\n[sources.\"rows.jsonl\".columns]").unwrap();
    assert!(!rest.contains("\n["), "the last table");
    let old = format!(
        "{}schema = \"{}\"\n\n[sources.\"rows.jsonl\".words]\ntext = 6\n",
        head.replace("version = 2", "version = 1"),
        "0".repeat(64)
    );
    fs::write(place.path("recipe.rb2.lock"), &old).unwrap();
    assert_eq!(told(&place), Vec::<String>::new());
    let out = place.command(&["run", "recipe.rb2"]).output().unwrap();
    assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
    assert_eq!(place.read("recipe.rb2.lock"), old, "a run adds nothing to what is pinned");
    assert!(place.command(&["lock", "recipe.rb2"]).output().unwrap().status.success());
    assert_eq!(place.read("recipe.rb2.lock"), new);
}

#[test]
fn columns_of_shards_are_the_members_of_their_samples() {
    let place = Place::new();
    let picture = png([255, 0, 0]);
    let mut members: Vec<(String, Vec<u8>)> = Vec::new();
    for i in 0..30 {
        let words = "left of the cup ".repeat(if i == 3 { 40 } else { 2 });
        members.push((format!("s{i}.jpg"), picture.clone()));
        members.push((format!("s{i}.txt"), format!("把杯子放到盘子左边 {i}\n").into_bytes()));
        members.push((format!("s{i}.json"), format!(r#"{{"output": "{words}", "boxes": [[{i}, 2]]}}"#).into_bytes()));
        members.push((format!("s{i}.seg.png"), b"no column, so nobody looks".to_vec()));
        if i % 2 == 0 {
            members.push((format!("s{i}.cls"), i.to_string().into_bytes()));
        }
    }
    let members: Vec<(&str, &[u8])> = members.iter().map(|(name, bytes)| (name.as_str(), bytes.as_slice())).collect();
    fs::write(place.path("shard-000.tar"), shard(&members)).unwrap();
    let recipe = |schema: &str, then: &str| {
        format!(
            "recipe \"shards\"\nimport std.{{data, model, train}}\nparam seed: Int = 1\nschema Row {{ {schema} }}\nlet rows = data.webdataset(\"shard-{{000..000}}.tar\", as: Row, bad: \"skip\")\n{then}\n"
        )
    };
    let sound = "id: Str, image: Image, text: Str, output: Str, cls: Int?";
    place.write("recipe.rb2", &recipe(sound, "output out = rows to \"out.parquet\""));
    let out = place.command(&["lock", "recipe.rb2"]).output().unwrap();
    let lock = place.read("recipe.rb2.lock");
    let expected = [
        "boxes = { type = \"[[Int]]\" }",
        "cls = { absent = 0.5, type = \"Int\", words = 1 }",
        "id = { type = \"Str\", words = 1 }",
        "image = { type = \"Image\" }",
        "output = { type = \"Str\", words = 160 }",
        "seg_png = { type = \"Image\" }",
        "text = { type = \"Str\", words = 6 }",
    ];
    assert!(lock.contains(&expected.join("\n")), "{}\n{lock}", String::from_utf8_lossy(&out.stderr));
    let said = |schema: &str, then: &str| {
        fs::write(place.path("recipe.rb2"), recipe(schema, then)).unwrap();
        told(&place).join("\n")
    };
    let publish = "output out = rows to \"out.parquet\"";
    assert_eq!(said(sound, publish), "");
    let missing = said("id: Str, image: Image, text: Str, boxs: Json", publish);
    assert!(missing.contains("E0309") && missing.contains("no column `boxs`; did you mean `boxes`?"), "{missing}");
    let wrong = said("id: Str, cls: Bool?", publish);
    assert!(wrong.contains("E0309") && wrong.contains("holds Int, and the schema asks for Bool"), "{wrong}");
}
