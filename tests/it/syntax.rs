//! Parsing: the shipped recipes, the place and code of every kind of mistake, and what a user sees of it.

use rbpipe::base::{SourceId, SourceMap};
use rbpipe::syntax;

const SHIPPED: [&str; 3] = ["recipes/final.rb2", "recipes/lib/tabletop.rb2", "stdlib/eval/embodied17.rb2"];

fn shipped(name: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name)).expect("a shipped recipe")
}

/// The problems of a text as `E0101 1:9`.
fn problems(text: &str) -> Vec<String> {
    let mut sources = SourceMap::default();
    let id = sources.add("case.rb2", None, text);
    let (_, problems) = syntax::parse(id, text);
    let place = |d: &rbpipe::base::Diagnostic| {
        let (line, column) = sources.get(id).line_col(d.primary.span.start as usize);
        format!("{} {line}:{column}", d.code)
    };
    problems.sorted().iter().map(place).collect()
}

#[test]
fn shipped_recipes_parse_without_a_problem() {
    for name in SHIPPED {
        let text = shipped(name);
        let (file, problems) = syntax::parse(SourceId(0), &text);
        let list: Vec<_> =
            problems.sorted().into_iter().map(|d| format!("{} {:?} {}", d.code, d.primary.span, d.message)).collect();
        assert!(list.is_empty(), "{name}: {list:#?}");
        assert!(file.doc.is_some() && file.items.len() > 10, "{name}");
    }
}

/// One mistake each: the source, and what must be said about it and where.
const MISTAKES: &[(&str, &str)] = &[
    ("let x = \"open\nlet y = 1", "E0102 1:9"),
    ("let x = \"\"\"\nopen\nlet y = 1", "E0102 1:9"),
    ("import ./x.rb2 as x\nlet a = 1", "E0101 1:8"),
    ("import ./Q.", "E0101 1:8"),
    ("let x: a/Q.", "E0101 1:8"),
    ("let output = 1", "E0103 1:5"),
    ("let a = f(stage)", "E0103 1:11"),
    ("let a = 1 let b = 2", "E0104 1:11"),
    ("let a = 1\n  let b = 2", "E0104 2:3"),
    ("  param a: Int = 1", "E0104 1:3"),
    ("param x: \"a\" | \"b\" = \"a\"", "E0105 1:10"),
    ("let x = d |> data.count", "E0106 1:14"),
    ("let x = d |> 5", "E0106 1:14"),
    ("expect d |> data.count() > 5", "E0106 1:26"),
    ("let x = d |> data.split(validation: 1%).train", "E0106 1:40"),
    ("let x = f(3..)", "E0107 1:11"),
    ("let x = f(..30deg)", "E0107 1:11"),
    ("let x = f(..-30deg)", "E0107 1:11"),
    ("fn f(a: Int) -> Int = { let b = a [b] }", "E0108 1:39"),
    ("fn f(a: Int) -> Int = { let b = a b }", "E0108 1:35"),
    ("<<<<<<< ours\nlet a = 1\n=======\nlet b = 1\n>>>>>>> theirs", "E0110 1:1"),
    ("let a = “x”", "E0110 1:9"),
    ("let \u{430} = 1", "E0110 1:5"),
    ("let x =\nlet y = 1", "E0101 1:8"),
    ("let x = f(a: 1 b: 2)", "E0101 1:16"),
    ("let x = f(a: 1\nlet y = 2", "E0101 1:15"),
    ("let x = f(a = 1)", "E0101 1:13"),
    ("let x = [1, 2)", "E0101 1:14"),
    ("let x = 1)", "E0101 1:10"),
    ("let x = if a then b", "E0101 1:20"),
    ("let x = 1 < 2 < 3", "E0101 1:15"),
    ("let x = a && b", "E0101 1:11"),
    ("let x = 1;", "E0101 1:10"),
    ("x = 1", "E0101 1:1"),
    ("let a = 1\nlett b = 2\nlet c = 3", "E0101 2:1"),
    ("def f(a): 3", "E0101 1:1"),
    ("fn f(a: Int) = a", "E0101 1:14"),
    ("param lr Float", "E0101 1:9"),
    ("schema S { a Str }", "E0101 1:13"),
    ("import std.data as", "E0101 1:19"),
    ("let x = \"{a.b}\"", "E0101 1:11"),
    ("let x = \"\\d\"", "E0101 1:10"),
    ("let p = if a then b else c |> f()", "W0101 1:28"),
    ("let a =\t1", "W0102 1:8"),
];

#[test]
fn every_mistake_has_its_code_and_place() {
    let wrong: Vec<String> = MISTAKES
        .iter()
        .filter(|(text, expected)| problems(text).first().map(String::as_str) != Some(expected))
        .map(|(text, expected)| format!("{text:?}: expected {expected}, found {:?}", problems(text)))
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn one_bad_item_hides_no_other() {
    let (file, problems) = syntax::parse(SourceId(0), "let a = f(\nlet b = 2\nstage c d\noutput e = b let g = 3\n");
    assert_eq!(file.items.len(), 5, "what can be mended is read as if it were");
    assert_eq!(problems.sorted().len(), 3);
}

#[test]
fn deep_and_broken_texts_end_soon() {
    for text in ["(", "[", "{", "f(", "{ a: ", "[..", "(a == ", "f(..g(", "if a then ", "f(a: [", "{ ..("] {
        for depth in [90, 99, 5_000] {
            let nest = format!("let x = {}", text.repeat(depth));
            let start = std::time::Instant::now();
            assert!(!problems(&nest).is_empty());
            assert!(start.elapsed().as_millis() < 500, "{text} × {depth}: {:?}", start.elapsed());
        }
    }
    // A long file is parsed by several threads, whose stacks must do too.
    let nest = format!("let x = {}1{}", "(".repeat(99), ")".repeat(99));
    let many: String = (0..1_000).map(|i| format!("let y{i} = {i}\n")).collect();
    assert_eq!(problems(&format!("{many}{nest}\n{many}")), [""; 0]);
    for text in ["- ", "not ", "a + ", "a |> f() |> ", "\"", "{", "#", "\u{0}", "é"] {
        problems(&format!("let x = {}1", text.repeat(20_000)));
    }
}

#[test]
fn any_cut_of_a_recipe_is_survived() {
    let text = shipped("recipes/final.rb2");
    for end in (0..text.len()).step_by(41).filter(|&e| text.is_char_boundary(e)) {
        problems(&text[..end]);
        problems(&text[end..]);
    }
}

#[test]
fn formatting_keeps_every_token_and_settles() {
    for name in SHIPPED {
        let text = shipped(name);
        let once = syntax::format(&text).expect("a shipped recipe parses");
        assert_eq!(problems(&once), [""; 0], "{name}");
        assert_eq!(syntax::format(&once).expect("it still parses"), once, "{name}: a second time");
        // A comma may come before a bracket that closes on a line of its own.
        let dense = |t: &str| {
            let all: String = t.chars().filter(|c| !c.is_whitespace()).collect();
            all.replace(",)", ")").replace(",]", "]").replace(",}", "}")
        };
        assert_eq!(dense(&once), dense(&text), "{name}: only blanks may change");
    }
}

#[test]
fn formatting_has_one_layout() {
    let cases = [
        (
            "let  a=f( x:1,y : [ 1,2 ] )   # why\nlet bb = -1  # what\n\n\n\nlet c=a-  1",
            "let a = f(x: 1, y: [1, 2])  # why\nlet bb = -1                 # what\n\nlet c = a - 1\n",
        ),
        // Breaks inside of brackets are the formatter's, those outside the author's.
        ("let x =\n d\n   |> f(a: .b,\n  c: ..3,   ..base)\n", "let x =\n  d\n  |> f(a: .b, c: ..3, ..base)\n"),
        ("let x = f(a: 1, b: [2, 3,])", "let x = f(\n  a: 1,\n  b: [\n    2,\n    3,\n  ],\n)\n"),
        (
            "let x = f(a: 1, # one\n b: 2,\n\n # two\n c: 3)",
            "let x = f(\n  a: 1,  # one\n  b: 2,\n\n  # two\n  c: 3,\n)\n",
        ),
        // A comment between a value and its comma goes behind the comma.
        (
            "let x = f(a: 1 # one\n , b: 2 # two\n # more\n , c: 3)",
            "let x = f(\n  a: 1,  # one\n  b: 2,  # two\n  # more\n  c: 3,\n)\n",
        ),
        ("let x = f([\n1,\n2])\n  with {\n a: 1\n}", "let x = f([1, 2])\n  with { a: 1 }\n"),
        ("let s = ask(prompt: \"\"\"\n  one\n  two\"\"\")", "let s = ask(prompt: \"\"\"\n  one\n  two\"\"\")\n"),
        ("let a = 1 let b = 2", "let a = 1\nlet b = 2\n"),
        (
            "import std.{ a,b as c }\nschema S {a:Str?\n\"b-c\" :[Image]}",
            "import std.{a, b as c}\nschema S { a: Str?\n  \"b-c\": [Image] }\n",
        ),
        (
            "fn f(a:Int)->Int={\n let b=a\n   # the result\n=>b\n}",
            "fn f(a: Int) -> Int = {\n  let b = a\n  # the result\n  => b\n}\n",
        ),
    ];
    for (text, expected) in cases {
        let formatted = syntax::format(text);
        assert_eq!(formatted.expect("it parses"), expected);
    }
    assert!(syntax::format("let a = (").is_err());
}

#[test]
fn signatures_take_any_word_as_a_name() {
    let text = "\n## Does it.\nop with.schema(\n  ## The rows.\n  d: Dataset[{ ..r }],\n  to: (Float, Float) = (0.9, 0.999),\n  ..rest: Expr[Str],\n) -> { train: Model, ..r }";
    let (op, doc) = syntax::parse_signature(text);
    assert_eq!((op.name.text.as_str(), doc.as_str(), op.params.len()), ("with.schema", "Does it.", 3));
    assert_eq!(op.params[0].doc.as_deref(), Some("The rows."));
    assert!(op.params[2].rest && op.params[1].default.is_some() && op.runs.is_none());
    assert_eq!(problems(text), ["E0103 3:4"], "a file takes no such name");
}

/// What is laid out by hand (docs/decisions/line-breaks.md).
const BY_HAND: &str = "recipes/final.rb2";

#[test]
fn recipes_and_the_blocks_of_pages_stand_in_the_one_layout() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = |folder: &str, ending: &str| -> Vec<(String, String)> {
        let found = std::fs::read_dir(root.join(folder)).unwrap().map(|f| f.unwrap().path());
        let found = found.filter(|p| p.extension().is_some_and(|e| e == ending));
        found
            .map(|p| (p.strip_prefix(root).unwrap().display().to_string(), std::fs::read_to_string(p).unwrap()))
            .collect()
    };
    let folders = ["recipes", "recipes/lib", "recipes/operators", "stdlib/eval", "src/cli/new"];
    let recipes = folders.iter().flat_map(|folder| files(folder, "rb2"));
    // Pages of problems with the layout itself show it.
    let shows = |name: &str| name.contains("/W0102") || name.contains("/E010") || name.ends_with("tutorial.md");
    let pages = ["docs", "docs/diagnostics", "docs/operators"].into_iter().flat_map(|folder| files(folder, "md"));
    let block = |(name, text): (String, String)| {
        let blocks = crate::pages::blocks(&text).into_iter().filter(|b| b.language == "rb2");
        blocks.map(|b| (name.clone(), b.text)).collect::<Vec<_>>()
    };
    let blocks = pages.filter(|(name, _)| !shows(name)).flat_map(block);
    for (name, text) in recipes.filter(|(name, _)| name != BY_HAND).chain(blocks) {
        // What fails on purpose has no layout.
        if let Ok(laid_out) = syntax::format(&text) {
            assert_eq!(laid_out.trim_end(), text.trim_end(), "{name}: `rbpipe fmt` would change it");
        }
    }
}
