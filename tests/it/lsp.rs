//! The language server as an editor meets it: `rbpipe lsp` over stdio, texts with a `$0` where the cursor stands.

mod editor;

use std::collections::BTreeMap;

use editor::{Editor, cursor, lines, utf16};
use serde_json::{Value as Json, json};

/// Above every case; cases start at line 14.
const HEAD: &str = r#"import std.{data, filter, dedup, train, model, eval, read}
import "./lib/tools.rb2" as tools

## One question about pictures.
schema Sample { id: Str, instruction: Str, input: Str?, output: Str, images: [Image], risk: enum { safe, low, high } }
schema Pair { id: Str, prompt: Str, images: [Image], chosen: Str, rejected: Str }
## How fast it learns.
param lr: Float in 1e-6..1e-3 = 1e-5
param seed: Int = 1
## As they came.
let raw = data.jsonl("raw.jsonl", as: Sample)
let base = model.hf("./tiny")
let pairs = data.jsonl("pairs.jsonl", as: Pair)
"#;

const TOOLS: &str = "#! Small helpers.\nimport std.{data}\nparam seed: Int = 1\n\n## The n best rows, by their length.\nfn longest(\n  d: Dataset[{ output: Str, ..r }],\n  \
                     ## How many.\n  n: Rows = 10rows,\n) -> Dataset[{ output: Str, ..r }] = d |> data.top(by: .output, n: n)\n\
                     let answer = 42\n\n## A row of tools.\nschema Tool { id: Str, output: Str }\n";

/// An editor with the recipe of a case and its library open.
fn at_cursor(case: &str) -> (Editor, String, Json) {
    let (text, place) = cursor(&format!("{HEAD}{case}"));
    let mut editor = Editor::start(json!({}));
    editor.write("lib/tools.rb2", TOOLS);
    editor.open("case.rb2", &text);
    (editor, text, place)
}

const BROKEN: &[(&str, &[&str])] = &[
    ("expect raw.rows > 5rows\n", &["1:27 W0201 the import `dedup` is not used"]),
    ("output x = raw |> data.select(columns: [.id]) |> data.top(by: .risk, n: 5rows)\n", &["14:63 E0301"]),
    ("output x = base |> train.sft(data: pairs)\n", &["14:36 E0302"]),
    ("output x = base |> train.sft(data: raw, learning_rate: 1)\n", &["14:41 E0210"]),
    // An item that does not parse hides what would only follow from it, and not the other items.
    ("let a = (1\nlet b = 2)\n", &["14:11 E0101", "15:10 E0101"]),
];

#[test]
fn problems_come_as_you_type_and_go_when_mended() {
    let mut editor = Editor::start(json!({}));
    editor.write("lib/tools.rb2", TOOLS);
    editor.open("case.rb2", "");
    for (case, expected) in BROKEN {
        editor.replace("case.rb2", &format!("{HEAD}{case}"));
        let told = editor.problems("case.rb2");
        for want in *expected {
            assert!(told.iter().any(|t| t.starts_with(want)), "{case}: {want} in {told:#?}");
        }
        let errors = |list: &[String]| list.iter().filter(|t| t.contains(" E")).count();
        let wanted = expected.iter().filter(|t| t.contains(" E")).count();
        assert_eq!(errors(&told), wanted, "{case}: {told:#?}");
    }
    editor.replace("case.rb2", "let a = 1\nexpect a == 1\n");
    assert_eq!(editor.problems("case.rb2"), Vec::<String>::new());
}

#[test]
fn the_same_problems_as_check() {
    let (mut editor, text, _) =
        at_cursor("output x = raw |> data.select(columns: [.id]) |> data.top(by: .risk, n: 5rows)\nlet é = 2$0\n");
    let told = editor.problems("case.rb2");
    editor.write("case.rb2", &text);
    let output = editor.rbpipe(&["check", "case.rb2", "--format", "json"]);
    let checked: Json = serde_json::from_slice(&output.stdout).expect("JSON");
    let checked: Vec<String> = checked["diagnostics"]
        .as_array()
        .expect("a list")
        .iter()
        .map(|d| {
            format!(
                "{}:{} {} {}",
                d["labels"][0]["line"],
                d["labels"][0]["col"],
                d["code"].as_str().expect("a code"),
                d["message"].as_str().expect("a text")
            )
        })
        .collect();
    assert!(!checked.is_empty());
    let told: Vec<String> = told.iter().map(|t| t.split('\n').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(told, checked);
}

#[test]
fn problems_point_into_other_files_and_follow_unsaved_texts() {
    let mut editor = Editor::start(json!({}));
    editor.write("lib.rb2", "fn f(n: Int) -> Int = n\n");
    editor.open("case.rb2", "import \"./lib.rb2\" as lib\nexpect lib.f(m: 1) == 1\n");
    let told = editor.diagnostics("case.rb2");
    let related = &told[0]["relatedInformation"];
    assert!(related[0]["location"]["uri"].as_str().expect("an address").ends_with("/lib.rb2"), "{told:#}");
    assert_eq!(related[0]["message"], "declared here");
    // The library is mended in another window, without saving.
    editor.open("lib.rb2", "fn f(m: Int) -> Int = m\n");
    assert_eq!(editor.problems("case.rb2"), Vec::<String>::new());
    // A mistake in the library is told at the library.
    editor.replace("lib.rb2", "fn f(m: Int) -> Int = mm\n");
    assert!(editor.problems("lib.rb2")[0].starts_with("1:23 E0201"));
    // Closing it takes the disk's text again.
    editor.close("lib.rb2");
    assert!(editor.problems("case.rb2").iter().any(|told| told.starts_with("2:14 E0210")));
}

#[test]
fn files_that_appear_on_the_disk_are_seen() {
    let mut editor = Editor::start(json!({}));
    editor.open("case.rb2", "import \"./new.rb2\" as new\nexpect new.n == 1\n");
    assert!(editor.problems("case.rb2")[0].starts_with("1:8 E0205"));
    editor.write("new.rb2", "let n = 1\n");
    let change = json!({ "uri": editor.uri("new.rb2"), "type": 1 });
    editor.tell("workspace/didChangeWatchedFiles", json!({ "changes": [change] }));
    assert_eq!(editor.problems("case.rb2"), Vec::<String>::new());
}

/// Edits by line and column, after characters that count differently in each encoding.
#[test]
fn places_count_as_the_editor_counts() {
    let line = "let a = \"é 日 😀\" + 1 # 😀";
    for (encodings, column_of_plus) in [(json!(["utf-16"]), 17), (json!(["utf-8", "utf-16"]), 22), (json!([]), 17)] {
        let mut editor = Editor::start(json!({ "general": { "positionEncodings": encodings } }));
        editor.open("case.rb2", &format!("{line}\nexpect a == 1\n"));
        let told = editor.diagnostics("case.rb2");
        assert_eq!(told[0]["range"]["start"], json!({ "line": 0, "character": column_of_plus + 2 }), "{told:#}");
        let string = &told[0]["relatedInformation"][0]["location"]["range"];
        assert_eq!(string["start"]["character"], 8, "{told:#}");
        assert_eq!(string["end"]["character"], column_of_plus - 1, "{told:#}");
        // `"…" + 1` becomes `"…"`: from behind the string to the comment.
        let from = json!({ "line": 0, "character": column_of_plus - 1 });
        let to = json!({ "line": 0, "character": column_of_plus + 3 });
        editor.change("case.rb2", json!([{ "range": { "start": from, "end": to }, "text": "" }]));
        editor.change("case.rb2", json!([{ "range": { "start": { "line": 1, "character": 12 }, "end": { "line": 9, "character": 0 } }, "text": "\"x\"\n" }]));
        assert_eq!(editor.problems("case.rb2"), Vec::<String>::new(), "{encodings}");
    }
    assert_eq!(utf16("é😀x", 6), 3);
}

/// What is hovered.
const HOVERS: &[&str] = &[
    "expect ra$0w.rows > 1rows",
    "expect raw.ro$0ws > 1rows",
    "output x = raw |> fil$0ter.rule(where: .output != \"\")",
    "output x = raw |> filter.ru$0le(where: .output != \"\")",
    "output x = raw |> dedup.minhash(sim$0ilar: 80%, on: [.output])",
    "output x = raw |> filter.rule(where: .out$0put != \"\")",
    "output x = raw |> filter.rule(where: .output.tr$0im() != \"\")",
    "output x = raw |$0> filter.rule(where: .output != \"\") |> data.derive(n: .output.len)",
    "output x = base |> train.sft(data: raw, lr: l$0r)",
    "output x = base |> train.sft(data: raw, schedule: \"cos$0ine\")",
    "stage s = base |> train.sft(data: raw) with { tim$0eout: 2h30m }",
    "stage s = base |> train.sft(data: raw) with { timeout: 2h3$00m }",
    "let s: Samp$0le? = none",
    "param n: Ro$0ws = 5rows",
    "output x = raw |> to$0ols.longest(n: 5rows)",
    "output x = raw |> tools.lon$0gest(n: 5rows)",
    "output x = raw |> tools.longest($0n: 5rows)",
    "import std.eval.embodied17 as e$017",
    "import std.eval.embodied17 as e17\nlet s = e17.sui$0te",
    "fn f(d: Dataset[Sample], k: Rows) -> Dataset[Sample] = { let b$0ig = k * 2 => d |> data.top(by: .output.len, n: big) }",
    "fn f(n$0: Int in 1..5) -> Int = n",
    "fn f(n$0: Int in 1..5 = 2) -> Int = n",
    "let g = sweep m$0 in { base, other: base } { m }",
    "let broken = (\nlet fine = ra$0w",
    "let k = top($05rows)",
    "let nothing = $0",
];

#[test]
fn hover_says_type_and_documentation() {
    let mut shown = String::new();
    for case in HOVERS {
        let (mut editor, _, place) = at_cursor(case);
        let answer = editor.ask("textDocument/hover", editor.at("case.rb2", &place)).expect("an answer");
        let said = answer["contents"]["value"].as_str().unwrap_or("nothing").to_owned();
        shown += &format!("==== {case}\n{}\n\n", editor.without_folder(&said));
    }
    insta::assert_snapshot!("hover", shown);
}

/// What is completed, and what must or must not (`!`) be proposed.
const COMPLETIONS: &[(&str, &[&str])] = &[
    ("$0", &["let", "stage", "expect", "!raw"]),
    ("ex$0", &["expect"]),
    ("import std.$0", &["data", "eval", "bench"]),
    ("import std.eval.$0", &["embodied17", "!data"]),
    ("import std.{data, $0}", &["dedup"]),
    ("let x = data.$0", &["jsonl", "concat", "!rule"]),
    ("let x = data.jsonl(\"x\", as: tools.$0)", &["Tool"]),
    ("let x = raw |> data.$0", &["select", "top"]),
    ("let x = raw |> $0", &["data", "filter", "tools", "!raw", "!true"]),
    ("let x = raw |> filter.r$0\n  |> data.top(n: 1rows, by: .id)", &["rule", "!minhash"]),
    ("let x = $0", &["raw", "base", "lr", "data", "top", "sweep", "!x"]),
    ("let x = tools.$0", &["longest", "answer"]),
    ("let x = raw |> tools.$0", &["longest", "!answer"]),
    ("let x = base |> train.sft($0)", &["data", "lr", "schedule", "seed", "!raw"]),
    ("let x = base |> train.sft(data: raw, $0)", &["epochs", "!data"]),
    ("let x = base |> train.sft(data: raw, $0 lr: 1e-5)", &["epochs", "!data", "!lr"]),
    ("let x = base |> train.sft(data: raw, ep$0", &["epochs"]),
    ("let x = train.sft($0", &["data", "base"]),
    ("let x = raw |> dedup.minhash(on: [.output], $0)", &["where", "similar"]),
    ("let x = raw |> tools.longest($0)", &["n", "!output"]),
    ("let x = base |> train.sft(data: raw, lr: $0)", &["lr", "raw"]),
    ("let x = raw |> data.select(columns: [.id, .output]) |> filter.rule(where: .$0)", &["id", "output", "!risk"]),
    ("let x = raw |> data.derive(long: .output.len) |> filter.rule(where: .l$0 > 5)", &["long", "risk"]),
    ("let x = raw |> filter.rule(where: .output.$0)", &["trim", "len", "words", "!width"]),
    ("let x = raw |> filter.rule(where: .images.$0", &["len", "any", "all", "!trim"]),
    ("let x = raw |> filter.rule(where: $0)", &[".output", "!output"]),
    ("let x = raw |> dedup.minhash(on: [.output, .$0", &["id", "images"]),
    ("let x = raw.$0", &["rows", "!output"]),
    ("let x = (raw |> data.split(validation: 1%)).$0", &["train", "validation"]),
    ("let x = base |> train.sft(data: raw, schedule: \"$0\")", &["cosine", "linear"]),
    ("let x = base |> train.sft(data: raw, schedule: \"co$0", &["cosine"]),
    ("let x = base |> train.sft(data: raw, schedule: $0)", &["\"cosine\"", "raw"]),
    ("let x = raw |> filter.rule(where: .risk == \"$0\")", &["safe", "low", "high"]),
    ("let x = sweep m in { base } { eval.loss(m, data: raw) }\nexpect x.at(m: \"$0\") > 1.0", &["base", "!lr"]),
    ("let x = raw |> data.jsonl(\"{$0}\", as: Sample)", &["lr", "question"]),
    ("output o = raw to \"out/{$0}\"", &["seed", "lr"]),
    ("stage s = base |> train.sft(data: raw, cutoff: 2048$0)", &["tok", "!h"]),
    ("stage s = base |> train.sft(data: raw, warmup: 5$0)", &["%", "steps", "!h"]),
    ("stage s = base |> train.sft(data: raw) with { $0 }", &["gpus", "timeout"]),
    ("stage s = base |> train.sft(data: raw) with { gpus: 1, $0", &["timeout", "!gpus"]),
    ("stage s = base |> train.sft(data: raw) with { timeout: 5$0 }", &["h", "m", "!tok"]),
    ("profile p { $0 }", &["lr", "seed", "!raw"]),
    ("param n: $0", &["Int", "Rows", "Sample"]),
    ("param n: Ro$0 = 5rows", &["Rows"]),
    ("fn f(d: Dataset[$0]) -> Dataset[Sample] = d", &["Sample", "Sft"]),
    (
        "fn f(d: Dataset[Sample], k: Rows) -> Dataset[Sample] = { let big = k * 2 => d |> data.top(by: .output.len, n: $0) }",
        &["big", "k", "d"],
    ),
    ("fn f(d: Dataset[Sample]) -> Dataset[Sample] = d |> $0", &["data"]),
    ("let x = raw |> data.jsonl(\"x\", as: $0)", &["raw"]),
    ("let x = data.jsonl(\"x\", as: S$0)", &["Sample", "Pair", "!Str"]),
    ("fn f(d: Dataset[Sample]) -> $0", &["Dataset", "Int"]),
    ("fn f(d: Dataset[Sample]) -> Dataset[S$0", &["Sample"]),
    ("schema R { a: $0 }", &["Str", "enum"]),
    ("param n: Rows $0", &["in"]),
    ("secret k $0", &["from"]),
    ("secret k from $0", &["env", "file"]),
    ("import std.data $0", &["as"]),
    ("let x = if true $0", &["then", "!else"]),
    ("let x = if true t$0", &["then"]),
    ("let x = if true then raw $0", &["else", "!then"]),
    ("let x = if true then (if false then raw else raw) $0", &["else"]),
    ("let x = raw |> filter.rule(where: .output != \"\" $0)", &["and", "or", "!with"]),
    ("let x = raw |> data.top(n: 5rows, by: .id) $0", &["with"]),
    ("output o = raw $0", &["to", "!with"]),
    ("expect raw.rows > 5rows $0", &["else", "and"]),
    ("# a comment $0", &[]),
    ("let broken = (\nlet fine = raw |> data.$0\nlet also = 1", &["select"]),
];

#[test]
fn completion_knows_what_can_stand_here() {
    for (case, expected) in COMPLETIONS {
        let (mut editor, _, place) = at_cursor(case);
        let answer = editor.ask("textDocument/completion", editor.at("case.rb2", &place)).expect("an answer");
        let labels: Vec<&str> =
            answer["items"].as_array().expect("items").iter().filter_map(|i| i["label"].as_str()).collect();
        for want in *expected {
            match want.strip_prefix('!') {
                Some(unwanted) => assert!(!labels.contains(&unwanted), "{case}: {unwanted} in {labels:?}"),
                None => assert!(labels.contains(want), "{case}: {want} in {labels:?}"),
            }
        }
        if expected.is_empty() {
            assert!(labels.is_empty(), "{case}: {labels:?}");
        }
    }
}

/// A chosen proposal makes the text that was meant.
#[test]
fn a_proposal_replaces_what_was_typed() {
    for (case, chosen, after) in [
        ("let x = raw |> filter.ru$0", "rule", "let x = raw |> filter.rule"),
        ("let x = raw |> filter.ru$0le(where: true)", "rule", "let x = raw |> filter.rule(where: true)"),
        ("let x = base |> train.sft(ep$0)", "epochs", "let x = base |> train.sft(epochs: )"),
        ("let x = base |> train.sft(schedule: \"co$0s\")", "cosine", "let x = base |> train.sft(schedule: \"cosine\")"),
        ("let x = base |> train.sft(cutoff: 2048t$0)", "tok", "let x = base |> train.sft(cutoff: 2048tok)"),
        ("let a = \"é 😀\" + ra$0", "raw", "let a = \"é 😀\" + raw"),
    ] {
        let (mut editor, text, place) = at_cursor(case);
        let answer = editor.ask("textDocument/completion", editor.at("case.rb2", &place)).expect("an answer");
        let items = answer["items"].as_array().expect("items");
        let item = items.iter().find(|i| i["label"] == chosen).unwrap_or_else(|| panic!("{case}: {items:#?}"));
        let made = editor::edited(&text, &[item["textEdit"].clone()]);
        assert_eq!(made.strip_prefix(HEAD), Some(after), "{case}");
    }
}

/// From where to where: a piece of the line that is found, after the file's name.
const DEFINITIONS: &[(&str, &str)] = &[
    ("expect ra$0w.rows > 1rows", "case.rb2: let raw ="),
    ("output x = raw |> tools.long$0est()", "lib/tools.rb2: fn longest("),
    ("output x = raw |> tools.longest($0n: 5rows)", "lib/tools.rb2: n: Rows"),
    ("output x = raw |> too$0ls.longest()", "lib/tools.rb2: #! Small helpers"),
    ("let s: tools.To$0ol? = none", "lib/tools.rb2: schema Tool"),
    ("output x = data.jsonl(\"x\", as: too$0ls.Tool)", "lib/tools.rb2: #! Small helpers"),
    ("let s: Sam$0ple? = none", "case.rb2: schema Sample"),
    ("output x = base |> train.sft(data: raw, lr: l$0r)", "case.rb2: param lr"),
    ("profile p { l$0r: 1e-4 }", "case.rb2: param lr"),
    ("let t = \"{se$0ed} rows\"", "case.rb2: param seed"),
    ("output x = raw |> filter.ru$0le(where: true)", "std/filter.rb2: op filter.rule("),
    ("output x = raw |> dedup.minhash(si$0milar: 80%)", "std/dedup.rb2: similar: Ratio"),
    ("output x = raw |> fil$0ter.rule(where: true)", "std/filter.rb2: #! std.filter"),
    ("import std.eval.embodied17 as e17\nlet s = e17.sui$0te", "std/eval/embodied17.rb2: let suite ="),
    ("import std.eval.embod$0ied17 as e17", "std/eval/embodied17.rb2: #! std.eval.embodied17"),
    ("let k = to$0p(5rows)", "std/prelude.rb2: op top("),
    ("fn f(n: Int) -> Int = { let b = n => b$0 }", "case.rb2: fn f(n: Int)"),
    ("let broken = (\nlet fine = ra$0w", "case.rb2: let raw ="),
    ("output x = raw |> data.top(by: .ri$0sk, n: 1rows)", "nothing"),
];

#[test]
fn definitions_are_found_in_every_file_and_in_the_library() {
    for (case, expected) in DEFINITIONS {
        let (mut editor, text, place) = at_cursor(case);
        let answer = editor.ask("textDocument/definition", editor.at("case.rb2", &place)).expect("an answer");
        let found = match answer["uri"].as_str() {
            None => "nothing".to_owned(),
            Some(uri) => {
                let path = uri.strip_prefix("file://").expect("a file");
                let line = answer["range"]["start"]["line"].as_u64().expect("a line") as usize;
                let read = std::fs::read_to_string(path).unwrap_or(text);
                let line = read.lines().nth(line).expect("the line is there").trim_start().to_owned();
                format!("{path}: {line}")
            }
        };
        let (file, start) = expected.split_once(": ").unwrap_or(("", expected));
        let (path, line) = found.split_once(": ").unwrap_or(("", &found));
        assert!(path.ends_with(file) && line.starts_with(start), "{case}: {found}");
    }
}

/// What a definition opens is for reading: no problems are told of it, and its recipes can be read on.
#[test]
fn copies_of_the_library_can_be_read_on() {
    let (mut editor, _, place) = at_cursor("import std.eval.embodied17 as e17\nlet s = e17.sui$0te");
    let answer = editor.ask("textDocument/definition", editor.at("case.rb2", &place)).expect("an answer");
    let name = editor.relative(answer["uri"].as_str().expect("an address"));
    let path = editor.uri(&name).replace("file://", "");
    assert!(std::fs::metadata(&path).expect("it is there").permissions().readonly());
    let text = std::fs::read_to_string(&path).expect("it can be read");
    editor.open(&name, &text);
    assert_eq!(editor.problems(&name), Vec::<String>::new());
    let line = text.lines().position(|l| l.contains("= bench.suite(")).expect("the suite");
    let hover = editor.ask("textDocument/hover", editor.at(&name, &json!({ "line": line, "character": 18 })));
    assert!(hover.expect("an answer")["contents"]["value"].as_str().is_some_and(|t| t.contains("op bench.suite(")));
    // A page of signatures is no recipe; it is shown without complaint.
    let page = name.replace("eval/embodied17", "bench");
    let text = std::fs::read_to_string(editor.uri(&page).replace("file://", "")).expect("it can be read");
    editor.open(&page, &text);
    assert_eq!(editor.problems(&page), Vec::<String>::new());
}

#[test]
fn references_are_found_in_files_that_are_not_open() {
    let (mut editor, _, place) = at_cursor("output x = raw |> tools.long$0est(n: 3rows) |> tools.longest()");
    editor.write(
        "other.rb2",
        "import \"./lib/tools.rb2\" as t\nimport std.{data}\noutput o = data.jsonl(\"x\", as: Sft) |> t.longest()\n",
    );
    let mut params = editor.at("case.rb2", &place);
    params["context"] = json!({ "includeDeclaration": true });
    let answer = editor.ask("textDocument/references", params).expect("an answer");
    assert_eq!(editor.places(&answer), ["case.rb2 14:25", "case.rb2 14:52", "lib/tools.rb2 6:4", "other.rb2 3:42"]);
    let highlights = editor.ask("textDocument/documentHighlight", editor.at("case.rb2", &place)).expect("an answer");
    assert_eq!(highlights.as_array().map(Vec::len), Some(2));
}

/// The new name, and the text after it or a piece of the refusal.
const RENAMES: &[(&str, &str, Result<&str, &str>)] = &[
    (
        "let a$0 = 1\nlet b = { a, c: a }\nexpect \"{a}\" == \"\"",
        "n",
        Ok("let n = 1\nlet b = { a: n, c: n }\nexpect \"{n}\" == \"\""),
    ),
    ("fn f(n$0: Int) -> Int = n + 1\nexpect f(n: 2) == 3", "m", Ok("fn f(m: Int) -> Int = m + 1\nexpect f(m: 2) == 3")),
    (
        "param k$0: Int = 1\nprofile p { k: 2 }\nexpect k == 2",
        "q",
        Ok("param q: Int = 1\nprofile p { q: 2 }\nexpect q == 2"),
    ),
    (
        "schema S$0 { a: Str }\nlet d = data.jsonl(\"x\", as: S)\nfn f(d: Dataset[S]) -> Dataset[S] = d",
        "T",
        Ok("schema T { a: Str }\nlet d = data.jsonl(\"x\", as: T)\nfn f(d: Dataset[T]) -> Dataset[T] = d"),
    ),
    ("let g = sweep m$0 in { base } { m }", "model_of", Ok("let g = sweep model_of in { base } { model_of }")),
    ("import std.{bench$0}\nlet s = bench.suite(of: {})", "b", Ok("import std.{bench as b}\nlet s = b.suite(of: {})")),
    (
        "param k$0: Int = 1\noutput o = raw to \"out/{k}\"\nexpect raw.rows > 1rows else \"{k}\"",
        "q",
        Ok("param q: Int = 1\noutput o = raw to \"out/{q}\"\nexpect raw.rows > 1rows else \"{q}\""),
    ),
    (
        "param most$0: Int = 5\nfn f(n: Int in 1..most = most) -> Int = n\nexpect f(n: 2) == 2",
        "q",
        Ok("param q: Int = 5\nfn f(n: Int in 1..q = q) -> Int = n\nexpect f(n: 2) == 2"),
    ),
    (
        "param most: Int = 5\nop own(d: Dataset[{ id: Str }], n: Int in 1..most$0) -> Dataset[{ id: Str }] runs \"cat\"",
        "q",
        Ok("param q: Int = 5\nop own(d: Dataset[{ id: Str }], n: Int in 1..q) -> Dataset[{ id: Str }] runs \"cat\""),
    ),
    ("let é = 1", "x", Err("nothing that has a name of yours")),
    ("let a$0 = 1", "stage", Err("a word of the language")),
    ("let a$0 = 1", "top", Err("a function of the prelude")),
    ("let a$0 = 1", "Big", Err("is no name")),
    ("let a$0 = 1", "naïve", Err("is no name")),
    ("let a$0 = 1", "raw", Err("`raw`")),
    ("let a$0 = 1", "data", Err("`data`")),
    ("let a = 1\nfn f(n: Int) -> Int = a + n$0\nexpect f(n: 1) == 1", "a", Err("another thing of that name")),
    ("output x = raw |> filter.ru$0le(where: true)", "law", Err("belongs to the language or its library")),
    ("import std.eval.embodied17 as e17\nlet s = e17.bli$0nk", "x", Err("declared in the standard library")),
    ("output x = raw |> data.top(by: .ri$0sk, n: 1rows)", "x", Err("names of data")),
];

#[test]
fn renaming_changes_all_places_or_says_why_not() {
    for (case, new, expected) in RENAMES {
        let marked = if case.contains("$0") { (*case).to_owned() } else { format!("$0{case}") };
        let (mut editor, text, place) = at_cursor(&marked);
        let mut params = editor.at("case.rb2", &place);
        params["newName"] = json!(new);
        match (editor.ask("textDocument/rename", params), expected) {
            (Ok(answer), Ok(after)) => {
                let edits = answer["changes"][editor.uri("case.rb2")].as_array().cloned().unwrap_or_default();
                let made = editor::edited(&text, &edits);
                assert_eq!(made.strip_prefix(HEAD), Some(*after), "{case}");
            }
            (Err(refusal), Err(piece)) => {
                assert!(refusal["message"].as_str().is_some_and(|m| m.contains(piece)), "{case}: {refusal}");
            }
            (answer, _) => panic!("{case}: {answer:?}"),
        }
    }
}

#[test]
fn renaming_reaches_files_that_are_not_open() {
    let (mut editor, _, place) = at_cursor("output x = raw |> tools.long$0est()");
    let ready = editor.ask("textDocument/prepareRename", editor.at("case.rb2", &place)).expect("an answer");
    assert_eq!(ready["placeholder"], "longest");
    editor.write(
        "other.rb2",
        "import \"./lib/tools.rb2\" as t\nimport std.{data}\noutput o = data.jsonl(\"x\", as: Sft) |> t.longest()\n",
    );
    let mut params = editor.at("case.rb2", &place);
    params["newName"] = json!("most_words");
    let answer = editor.ask("textDocument/rename", params).expect("an answer");
    let files: BTreeMap<String, usize> = answer["changes"]
        .as_object()
        .expect("changes")
        .iter()
        .map(|(uri, edits)| (editor.relative(uri), edits.as_array().map_or(0, Vec::len)))
        .collect();
    let wanted = [("case.rb2", 1), ("lib/tools.rb2", 1), ("other.rb2", 1)];
    assert_eq!(files, wanted.into_iter().map(|(f, n)| (f.to_owned(), n)).collect());
}

#[test]
fn fixes_can_be_applied() {
    for (case, title, after) in [
        ("expect ra$0.rows > 1rows", "Replace `ra` with `raw`", "expect raw.rows > 1rows"),
        (
            "output x = raw |> filter.rul$0(where: true)",
            "Replace `rul` with `rule`",
            "output x = raw |> filter.rule(where: true)",
        ),
        (
            "output x = base |> train.sft(data: raw, cutoff: 20$048)",
            "Replace `2048` with `2048tok`",
            "output x = base |> train.sft(data: raw, cutoff: 2048tok)",
        ),
        (
            "output x = base |> train.sft(data: raw, schedule: \"cosin$0\")",
            "Replace `\"cosin\"` with `\"cosine\"`",
            "output x = base |> train.sft(data: raw, schedule: \"cosine\")",
        ),
        ("import std.{tota$0}", "Replace `tota` with `total`", "import std.{total}"),
        ("profile p { l$0rr: 1 }", "Replace `lrr` with `lr`", "profile p { lr: 1 }"),
        ("param n: Rows = 5row$0", "Replace `row` with `rows`", "param n: Rows = 5rows"),
        ("  let$0 a = 1", "Remove the blanks", "let a = 1"),
        ("a$0 = 1", "Insert `let`", "let a = 1"),
    ] {
        let (mut editor, text, place) = at_cursor(case);
        let told = editor.diagnostics("case.rb2");
        let params = json!({ "textDocument": { "uri": editor.uri("case.rb2") }, "range": { "start": place, "end": place }, "context": { "diagnostics": told } });
        let answer = editor.ask("textDocument/codeAction", params).expect("an answer");
        let actions = answer.as_array().expect("actions");
        let action = actions.iter().find(|a| a["title"] == title).unwrap_or_else(|| panic!("{case}: {answer:#}"));
        assert!(told.as_array().expect("a list").contains(&action["diagnostics"][0]), "{case}: {action:#}");
        let edits = action["edit"]["changes"][editor.uri("case.rb2")].as_array().cloned().expect("edits");
        assert_eq!(editor::edited(&text, &edits).strip_prefix(HEAD), Some(after), "{case}");
    }
}

#[test]
fn formatting_is_that_of_fmt() {
    for (text, after) in [
        ("let   a=1\n\n\n\nlet b =  2\nexpect a==b\n", "let a = 1\n\nlet b = 2\nexpect a == b\n"),
        ("let a = 1", "let a = 1\n"),
        ("let a = 1\n", "let a = 1\n"),
        ("let a = (\n", "let a = (\n"),
    ] {
        let mut editor = Editor::start(json!({}));
        editor.open("case.rb2", text);
        let params = json!({ "textDocument": { "uri": editor.uri("case.rb2") }, "options": { "tabSize": 2, "insertSpaces": true } });
        let answer = editor.ask("textDocument/formatting", params).expect("an answer");
        let edits = answer.as_array().cloned().unwrap_or_default();
        assert_eq!(editor::edited(text, &edits), after);
    }
}

/// One file with one of everything, for what shows a whole file.
const WHOLE: &str = "recipe \"demo\"\nimport std.{data, train, model}\nschema Sample { id: Str, instruction: Str, output: Str }\nparam seed: Int = 1\n\
let raw = data.jsonl(\"raw.jsonl\", as: Sample)\nlet parts = raw |> data.split(validation: 1%)\nlet n = 5rows\n\
fn best(d: Dataset[Sample], k: Rows = n) -> Dataset[Sample] = d |> data.top(by: .output.len, n: k)\n\
stage tuned = model.hf(\"./tiny\") |> train.sft(data: parts.train |> best()) with { timeout: 1h }\n\
expect raw.rows > 5rows else \"é 日\"\noutput out = tuned to \"out/{seed}\"\nprofile small { seed: 2 }\nlet broken = (\n";

#[test]
fn outline_hints_and_colors_of_a_whole_file() {
    let mut editor = Editor::start(json!({}));
    editor.open("case.rb2", WHOLE);
    let file = json!({ "textDocument": { "uri": editor.uri("case.rb2") } });
    let symbols = editor.ask("textDocument/documentSymbol", file.clone()).expect("an answer");
    insta::assert_snapshot!("symbols", editor::outline(&symbols, 0));

    let mut params = file.clone();
    params["range"] = json!({ "start": { "line": 0, "character": 0 }, "end": { "line": 99, "character": 0 } });
    let hints = editor.ask("textDocument/inlayHint", params).expect("an answer");
    let shown: Vec<String> = hints
        .as_array()
        .expect("hints")
        .iter()
        .map(|h| {
            format!(
                "{}{} | {}",
                lines(WHOLE, &h["position"]),
                h["label"].as_str().unwrap_or_default(),
                h["tooltip"].as_str().unwrap_or_default()
            )
        })
        .collect();
    insta::assert_snapshot!("hints", shown.join("\n"));

    let tokens = editor.ask("textDocument/semanticTokens/full", file).expect("an answer");
    insta::assert_snapshot!("tokens", editor::colors(WHOLE, &tokens, &editor.legend()));
}

#[test]
fn the_graph_is_that_of_the_command() {
    let text = "import std.{data}\nschema S { id: Str }\nparam n: Rows = 5rows\noutput x = data.jsonl(\"x.jsonl\", as: S) |> data.top(by: .id, n: n) to \"out/x.jsonl\"\nprofile all { n: 9rows }\n";
    let mut editor = Editor::start(json!({}));
    editor.write("x.jsonl", "{\"id\": \"a\"}\n");
    editor.write("case.rb2", text);
    editor.open("case.rb2", text);
    for (format, flags) in [("mermaid", &["--profile", "all"][..]), ("dot", &[]), ("text", &[])] {
        let mut params = json!({ "textDocument": { "uri": editor.uri("case.rb2") }, "format": format });
        if flags.len() == 2 {
            params["profile"] = json!("all");
        }
        let answer = editor.ask("rbpipe/graph", params).expect("an answer");
        let path = editor.uri("case.rb2").replace("file://", "");
        let command = editor.rbpipe(&[&["graph", &path, "--format", format], flags].concat());
        assert_eq!(answer["text"].as_str(), Some(&*String::from_utf8_lossy(&command.stdout)), "{format}");
        assert!(!command.stdout.is_empty());
    }
    let uri = editor.uri("case.rb2");
    let refused = editor
        .ask("rbpipe/graph", json!({ "textDocument": { "uri": uri }, "profile": "al" }))
        .expect_err("no such profile");
    assert!(refused["message"].as_str().is_some_and(|m| m.contains("E0215")), "{refused}");
    let refused = editor
        .ask("rbpipe/graph", json!({ "textDocument": { "uri": uri }, "format": "png" }))
        .expect_err("no such format");
    assert_eq!(refused["code"], -32602);
}

#[test]
fn the_protocol_is_kept() {
    let mut editor = Editor::start(json!({}));
    assert_eq!(editor.ask("textDocument/inventTheFuture", json!({})).expect_err("unknown")["code"], -32601);
    assert_eq!(editor.ask("textDocument/hover", json!({ "position": 3 })).expect_err("bad parameters")["code"], -32602);
    let place = json!({ "line": 0, "character": 0 });
    assert_eq!(
        editor.ask("textDocument/hover", editor.at("closed.rb2", &place)).expect_err("not open")["code"],
        -32803
    );
    // A change of a file that is not open is logged, and the server goes on.
    editor.tell(
        "textDocument/didChange",
        json!({ "textDocument": { "uri": editor.uri("closed.rb2"), "version": 1 }, "contentChanges": [] }),
    );
    editor.tell("$/neverHeardOf", json!({}));
    editor.open("case.rb2", "let a = 1\nexpect a == 1\n");
    assert_eq!(editor.problems("case.rb2"), Vec::<String>::new());
    assert!(editor.logged().contains("not open"), "{}", editor.logged());
    // Beyond the end is the end.
    assert!(editor.ask("textDocument/hover", editor.at("case.rb2", &json!({ "line": 99, "character": 99 }))).is_ok());
    assert_eq!(editor.ask("shutdown", Json::Null).expect("an answer"), Json::Null);
    assert_eq!(editor.ask("textDocument/hover", editor.at("case.rb2", &place)).expect_err("shut down")["code"], -32600);
    assert_eq!(editor.exit(), Some(0));

    let editor = Editor::start(json!({}));
    assert_eq!(editor.rbpipe(&["lsp", "--stdio"]).status.code(), Some(1), "no editor at all");
    assert_eq!(editor.exit(), Some(1), "exit without shutdown");
    assert_eq!(Editor::start(json!({})).hang_up(), Some(1), "the editor died");
}

#[test]
fn a_cancelled_request_is_answered_once() {
    let mut editor = Editor::start(json!({}));
    editor.open("case.rb2", WHOLE);
    let uri = editor.uri("case.rb2");
    editor.send_raw(&[
        json!({ "jsonrpc": "2.0", "id": 900, "method": "textDocument/documentSymbol", "params": { "textDocument": { "uri": uri } } }),
        json!({ "jsonrpc": "2.0", "method": "$/cancelRequest", "params": { "id": 900 } }),
    ]);
    // Whether the cancellation came in time is the machine's affair.
    match editor.answer_to(900) {
        Ok(symbols) => assert!(symbols.is_array()),
        Err(failure) => assert_eq!(failure["code"], -32800),
    }
    assert!(editor.ask("textDocument/documentSymbol", json!({ "textDocument": { "uri": uri } })).is_ok());
}

#[test]
fn a_panic_becomes_its_text() {
    assert_eq!(rbpipe::lsp::shielded(|| 3), Ok(3));
    let said = rbpipe::lsp::shielded(|| panic!("no {}", "luck")).expect_err("a panic");
    assert!(said.contains("no luck"), "{said}");
}

/// Strings of every kind, blocks, sweeps: where a cursor can stand in the middle of something.
const CROOKED: &str = "let x = raw |> filter.rule(where: .output.len in 1..5 and \"é{lr}\" != \"\") |> data.top(by: .id, n: 5rows)
let t = \"\"\"
  A {lr} é
\"\"\"
fn f(d: Dataset[Sample], n: Rows = 2h30m) -> Dataset[Sample] = { let y = r\"[é]+\" => if .a.matches(y) then d else none }
let g = sweep m in { base, other: base } where \"😀\" != t { eval.run(m, on: e17.suite) } with { gpus: 1 }
profile p { lr: -1e-3 } with { timeout: 5m }
";

/// Every prefix of a recipe is a text that somebody has while typing it, and the cursor may stand anywhere in it.
#[test]
fn no_half_typed_text_brings_the_server_down() {
    let text = format!("{HEAD}{CROOKED}");
    let mut editor = Editor::start(json!({}));
    editor.open("case.rb2", &text);
    let places = (HEAD.len()..text.len()).filter(|at| text.is_char_boundary(*at));
    for (whole, end) in places.clone().map(|at| (true, at)).chain(places.map(|at| (false, at))) {
        if !whole {
            editor.replace("case.rb2", &text[..end]);
        }
        let lines = text[..end].matches('\n').count();
        let last = text[..end].rsplit('\n').next().unwrap_or_default();
        let place = json!({ "line": lines, "character": utf16(last, last.len()) });
        for method in ["textDocument/completion", "textDocument/hover", "textDocument/definition"] {
            editor.ask(method, editor.at("case.rb2", &place)).unwrap_or_else(|e| panic!("{method} after {last}: {e}"));
        }
    }
    assert_eq!(editor.logged(), "");
}

/// The files of the VS Code extension.
fn extension(name: &str) -> Json {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("grammar/vscode");
    let text = std::fs::read_to_string(folder.join(name)).expect("a file of the extension");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_textmate_grammar_knows_the_words_of_the_language() {
    let grammar = extension("syntaxes/rb2.tmLanguage.json");
    let mut words: Vec<String> = Vec::new();
    for pattern in grammar["repository"]["keywords"]["patterns"].as_array().expect("patterns") {
        let text = pattern["match"].as_str().expect("a pattern");
        let list = text.split_once("\\b(").and_then(|(_, rest)| rest.split_once(")\\b")).expect("a list of words").0;
        words.extend(list.split('|').map(str::to_owned));
    }
    let mut known: Vec<&str> = rbpipe::syntax::RESERVED.to_vec();
    known.sort_unstable();
    words.sort_unstable();
    assert_eq!(words, known);
    // Every pattern that is included is there.
    let text = grammar.to_string();
    for name in text
        .match_indices("\"include\":\"#")
        .map(|(at, mark)| text[at + mark.len()..].split('"').next().unwrap_or_default())
    {
        assert!(grammar["repository"].get(name).is_some(), "{name}");
    }
}

#[test]
fn the_extension_names_files_that_are_there() {
    let package = extension("package.json");
    let language = &package["contributes"]["languages"][0];
    let grammar = &package["contributes"]["grammars"][0];
    assert_eq!(language["id"], grammar["language"]);
    assert_eq!(extension("syntaxes/rb2.tmLanguage.json")["scopeName"], grammar["scopeName"]);
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("grammar/vscode");
    for file in [&package["main"], &language["configuration"], &grammar["path"]] {
        assert!(folder.join(file.as_str().expect("a path")).is_file(), "{file}");
    }
    let client = std::fs::read_to_string(folder.join("extension.js")).expect("the client");
    for command in package["contributes"]["commands"].as_array().expect("commands") {
        let name = command["command"].as_str().expect("a name");
        assert!(client.contains(&format!("\"{name}\"")), "{name} is registered");
    }
}

#[test]
fn what_the_lock_has_seen_is_told_and_told_anew_when_the_lock_changes() {
    let mut editor = Editor::start(json!({}));
    let text = "import std.{data, model, train}\nparam seed: Int = 1\nschema Row { id: Str, instruction: Str, output: Str }\nlet rows = data.jsonl(\"rows.jsonl\", as: Row)\n\
                output out = model.hf(\"./m\") |> train.sft(data: rows, epochs: 1, batch: 100, warmup: 5steps, cutoff: 64tok) to \"out\"\n";
    let lock = |rows: u32, words: u32| {
        format!(
            "version = 2\n\n[sources.\"rows.jsonl\"]\nrows = {rows}\n\n[sources.\"rows.jsonl\".columns]\nid = {{ type = \"Str\" }}\ninstruction = {{ type = \"Str\" }}\noutput = {{ type = \"Str\", words = {words} }}\n"
        )
    };
    editor.open("case.rb2", text);
    assert_eq!(editor.problems("case.rb2"), Vec::<String>::new(), "nobody has looked");
    editor.write("case.rb2.lock", &lock(1_000, 20));
    let note = json!({ "changes": [{ "uri": editor.uri("case.rb2.lock"), "type": 1 }] });
    editor.tell("workspace/didChangeWatchedFiles", note.clone());
    let told = editor.problems("case.rb2");
    assert!(told.len() == 1 && told[0].contains("W0501 warm-up is 5 of 10 steps"), "{told:#?}");
    // An editor that watches nothing hears of it with the next change of the text.
    editor.write("case.rb2.lock", &lock(10_000, 200));
    editor.replace("case.rb2", &text.replace("id: Str", "idd: Str?"));
    let told = editor.problems("case.rb2");
    assert!(told.iter().any(|t| t.contains("E0309 `") && t.contains("has no column `idd`")), "{told:#?}");
    editor.replace("case.rb2", text);
    let told = editor.problems("case.rb2");
    assert!(told.len() == 1 && told[0].contains("W0504"), "{told:#?}");
}
