//! The pages of `rbpipe explain`: each failing recipe fails with the code of its page and no other, each fixed one does not.
//!
//! A page's blocks are what an author would look at: a few lines. What they use and do not introduce comes from [`HEAD`]. Blocks named after a file
//! are files; those above "Fails" belong to both recipes. The pages of warnings are played by `lints`, with rows behind them.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use rbpipe::base::codes::{self, Code};
use regex::Regex;
use serde_json::Value as Json;

use crate::engine::Place;
use crate::pages::{blocks, said};

/// What a page may use without introducing it.
const HEAD: &[(&str, &str)] = &[
    ("budget", "param budget: Rows = 4_000rows"),
    ("Sample", "schema Sample { id: Str, instruction: Str, input: Str?, output: Str, images: [Image] }"),
    ("Row", "schema Row { id: Str, text: Str }"),
    ("Pair", "schema Pair { id: Str, prompt: Str, images: [Image], chosen: Str, rejected: Str }"),
    ("raw", "let raw = data.jsonl(\"raw.jsonl\", as: Sample)"),
    ("others", "let others = data.jsonl(\"others.jsonl\", as: Sample)"),
    ("plain", "let plain = raw |> data.drop(columns: [.images])"),
    ("rows", "let rows = raw"),
    ("mix", "let mix = raw |> data.shuffle()"),
    ("pairs", "let pairs = data.jsonl(\"pairs.jsonl\", as: Pair)"),
    ("base", "let base = model.hf(\"./tiny\")"),
    ("fused", "let fused = model.hf(\"./fused\")"),
    (
        "exam",
        "let exam = bench.json(\"exam.jsonl\")
  |> bench.sample(id: .id, kind: \"choice\", question: .q, options: .o, key: .a)
  |> bench.ask(choice: \"Answer with the letter only.\")
  |> bench.read(choice: read.choice())
  |> bench.mark(choice: mark.letter())
  |> bench.total(headline: total.micro())",
    ),
];

/// Codes of running that no short recipe provokes on every machine, and the test that does.
const ELSEWHERE: &[(&str, &str, &str)] = &[
    ("E0309", "observed.rs", "a_schema_that_the_locked_rows_contradict_is_an_error_at_its_column"),
    ("E0502", "promises.rs", "an_input_that_changes_while_it_is_read_poisons_nothing"),
    ("E0504", "promises.rs", "a_full_disk_leaves_targets_and_store_as_they_were"),
    ("E0623", "ssh.rs", "a_machine_that_cannot_take_nodes_is_refused_before_anything_starts"),
    ("E0710", "tensor/train.rs", "a_loss_that_is_no_number_stops_the_run"),
    ("E0711", "tensor/train_ops.rs", "options_are_followed_refused_or_spoken_of"),
    ("E0712", "tensor/train_ops.rs", "options_are_followed_refused_or_spoken_of"),
    ("E0901", "lock.rs", "drift_is_refused_with_what_differs_and_the_command_that_accepts_it"),
    ("E0902", "lock.rs", "frozen_needs_a_lock_without_gaps_and_writes_none"),
];

/// Returns a page's recipe with what it uses and does not introduce.
fn whole(text: &str) -> String {
    if text.starts_with("recipe ") {
        return text.to_owned();
    }
    let introduced = Regex::new(r"(?m)^(?:param|schema|let|stage|fn|op|output|secret) (\w+)").unwrap();
    let mut known: BTreeSet<&str> = introduced.captures_iter(text).map(|c| c.get(1).unwrap().as_str()).collect();
    let (mut used, mut items) = (text.to_owned(), String::new());
    let uses =
        |used: &str, name: &str| Regex::new(&format!(r"(?:^|[^\w.]|\.\.){name}\b(?:[^:]|$)")).unwrap().is_match(used);
    while let Some((name, item)) = HEAD.iter().find(|(name, _)| !known.contains(name) && uses(&used, name)) {
        known.insert(name);
        used += &format!("\n{item}");
        items += &format!("{item}\n");
    }
    let mut head = "recipe \"page\"\n".to_owned();
    if !text.contains("import std.") {
        let module =
            Regex::new(r"(?:^|[^\w.])(data|filter|dedup|train|model|eval|bench|read|mark|total|judge)\.\w").unwrap();
        let modules: BTreeSet<&str> = module.captures_iter(&used).map(|c| c.get(1).unwrap().as_str()).collect();
        if !modules.is_empty() {
            head += &format!("import std.{{{}}}\n", modules.into_iter().collect::<Vec<_>>().join(", "));
        }
    }
    if !known.contains("seed") {
        head += "param seed: Int = 1\n";
    }
    head + &items + text
}

/// Writes the files of a part of a page; returns whether there is a site file among them.
fn lay(place: &Place, part: &str) -> bool {
    let mut site = false;
    let mut recipe = false;
    for block in blocks(part) {
        match block.file {
            Some(file) => {
                site |= file == "site.rb2";
                place.write_quietly(file, &block.text);
            }
            None if block.language == "rb2" && !recipe => {
                recipe = true;
                place.write_quietly("recipe.rb2", &whole(&block.text));
            }
            None => {}
        }
    }
    site
}

/// The errors of a recipe: those that `check` finds, and if there are none those of a run, when it is to run.
fn errors(page: &str, part: &str, run: bool) -> Vec<String> {
    let place = Place::new();
    let site = [page, part].map(|text| lay(&place, text)).contains(&true);
    let (_, checked) = said(&place, &["check", "recipe.rb2", "--format", "json"]);
    let checked: Json = serde_json::from_str(&checked).unwrap();
    let found = checked["diagnostics"].as_array().unwrap().iter();
    let found: Vec<String> =
        found.map(|d| d["code"].as_str().unwrap().to_owned()).filter(|c| !c.starts_with('W')).collect();
    if !found.is_empty() || !run {
        return found;
    }
    let mut command = place.command(&["run", "recipe.rb2"]);
    command.env("NO_COLOR", "1").env("RBPIPE_SITE", if site { "site.rb2" } else { "/dev/null" });
    let out = command.output().unwrap();
    let words = String::from_utf8([out.stdout, out.stderr].concat()).unwrap();
    let code = Regex::new(r"\[([EP]\d{4})\]").unwrap();
    let found: Vec<String> = code.captures_iter(&words).map(|c| c[1].to_owned()).collect();
    assert_eq!(out.status.success(), found.is_empty(), "{words}");
    found
}

#[test]
fn each_page_of_an_error_tells_the_truth() {
    let codes = codes::ALL.iter().filter(|(code, _)| code.0.starts_with('E'));
    let mut wrong = Vec::new();
    for (code, title) in codes {
        let page = codes::page(*code);
        assert!(page.starts_with(&format!("# {code}: {title}\n")), "{code}: the first line of its page");
        let [above, bad, good] = parts(page).unwrap_or_else(|| panic!("{code}: a failing and a fixed recipe"));
        let elsewhere = ELSEWHERE.iter().find(|(name, ..)| *name == code.0);
        if let Some((_, file, test)) = elsewhere {
            let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it").join(file)).unwrap();
            let body = source.split(&format!("fn {test}(")).nth(1).map(|rest| rest.split("\n}\n").next().unwrap());
            let body = body.unwrap_or_else(|| panic!("{code}: {file} has no test `{test}`"));
            // A test over a table names its cases above itself.
            assert!(
                body.contains(code.0) || source.contains(&format!("\"{code}\"")),
                "{code}: `{test}` does not ask for it"
            );
        }
        let found = errors(above, bad, elsewhere.is_none());
        let expected = if elsewhere.is_none() { vec![code.0] } else { vec![] };
        if BTreeSet::from_iter(found.iter().map(String::as_str)) != BTreeSet::from_iter(expected) {
            wrong.push(format!("{code}: the failing recipe has {found:?}"));
        }
        let runs = elsewhere.is_none() && !blocks(above).is_empty();
        let found = errors(above, good, runs);
        if !found.is_empty() {
            wrong.push(format!("{code}: the fixed recipe has {found:?}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// What stands above "Fails", from there to "Fixed", and from there on.
fn parts(page: &str) -> Option<[&str; 3]> {
    let (fails, fixed) = (page.find("\nFails")?, page.find("\nFixed")?);
    let parts = [&page[..fails], page.get(fails..fixed)?, &page[fixed..]];
    let has = |text: &str| blocks(text).iter().any(|b| b.language == "rb2");
    (has(parts[1]) && has(parts[2])).then_some(parts)
}

#[test]
fn explain_prints_the_page_or_offers_the_nearest_code() {
    let place = Place::new();
    for (code, _) in codes::ALL {
        let small = code.0.to_lowercase();
        assert_eq!(said(&place, &["explain", &small]), (0, codes::page(*code).to_owned()), "{code}");
    }
    let (ended, words) = said(&place, &["explain", "E0310"]);
    assert!(ended != 0 && words.contains("there is no code `E0310`"), "{words}");
    assert_eq!(codes::page(Code("E9999")), "");
}

/// A page that no code has left behind, and a code that nothing reports, are both found.
#[test]
fn codes_pages_and_reports_are_the_same_set() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let pages = fs::read_dir(root.join("docs/diagnostics")).unwrap();
    let pages: BTreeSet<String> =
        pages.map(|e| e.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
    let known: BTreeSet<String> = codes::ALL.iter().map(|(code, _)| code.0.to_owned()).collect();
    assert_eq!(pages, known, "docs/diagnostics");
    let mut unsaid = known;
    let mut folders = vec![root.join("src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if !path.ends_with("base/codes.rs") {
                let text = fs::read_to_string(&path).unwrap_or_default();
                let code_lines = text.lines().filter(|l| !l.trim_start().starts_with("//"));
                code_lines.for_each(|l| unsaid.retain(|code| !l.contains(code.as_str())));
            }
        }
    }
    assert_eq!(unsaid, BTreeSet::new(), "codes that nothing reports");
}
