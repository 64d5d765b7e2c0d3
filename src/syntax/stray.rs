//! Text at the start of a line that starts no item: what it was meant to be.

use super::grammar::ITEM_WORDS;
use crate::base::{Diagnostic, SourceId, Span, codes, phrase};

/// Words with which other languages start what is an item here.
const THEIRS: &[(&str, &str)] = &[
    ("var", "let"),
    ("const", "let"),
    ("val", "let"),
    ("set", "let"),
    ("def", "fn"),
    ("func", "fn"),
    ("function", "fn"),
    ("fun", "fn"),
    ("use", "import"),
    ("include", "import"),
    ("require", "import"),
    ("assert", "expect"),
    ("check", "expect"),
    ("struct", "schema"),
    ("type", "schema"),
    ("record", "schema"),
    ("class", "schema"),
    ("rule", "stage"),
    ("process", "stage"),
    ("task", "stage"),
    ("job", "stage"),
    ("step", "stage"),
    ("workflow", "recipe"),
    ("pipeline", "recipe"),
    ("save", "output"),
    ("export", "output"),
    ("return", "output"),
    ("publish", "output"),
    ("params", "param"),
    ("parameter", "param"),
    ("arg", "param"),
    ("hyperparameters", "param"),
    ("config", "profile"),
    ("settings", "profile"),
    ("module", "recipe"),
    ("node", "stage"),
];

/// Things that other tools declare by a word of their own, and an example of the value that each is here.
const VALUES: &[(&[&str], &str)] = &[
    (&["dataset", "data", "source", "table", "load"], "let rows = data.jsonl(\"rows.jsonl\", as: Row)"),
    (&["model", "base", "checkpoint"], "let base = model.hf(\"./base\")"),
    (
        &["benchmark", "bench", "suite"],
        "let mine = items |> bench.sample(…) |> bench.ask(…) |> bench.read(…) |> bench.mark(…)",
    ),
    (&["filter", "transform", "map"], "let kept = rows |> filter.rule(where: .text != \"\")"),
    (&["train", "trainer", "finetune", "sft", "dpo"], "stage tuned = base |> train.sft(data: rows, …)"),
    (&["eval", "evaluate", "test", "metric"], "let score = eval.run(tuned, on: mine)"),
    (&["judge", "server"], "let graded = rows |> judge.score(on: [.text], rubric: \"…\", …)"),
];

/// Says whether what starts at the beginning of a line can be no part of the item above it, complete as that is.
pub(super) fn is_stray(rest: &str) -> bool {
    let mark = |m: &&&str| rest.starts_with(**m);
    // `.PHONY:` of Make; a column is written small.
    let target = rest.strip_prefix('.').map(|r| r.trim_start_matches(|c: char| c.is_ascii_uppercase() || c == '_'));
    if target.is_some_and(|r| r.starts_with(':') && !rest.starts_with(".:")) {
        return true;
    }
    if ["//", "/*", "<!--", "-- ", "@", "$", "'''", "```"].iter().any(|m| mark(&m)) || patched(rest).is_some() {
        return true;
    }
    let word = word(rest);
    let after = rest[word.len()..].trim_start_matches([' ', '\t']);
    match word.chars().next() {
        Some(c) if c.is_ascii_uppercase() => true,
        Some(_) => {
            matches!(word, "from" | "if" | "for" | "while" | "with") && theirs(rest)
                || after.starts_with(':') && !after.starts_with("::")
                || !ITEM_WORDS.contains(&word) && named(after).is_some()
        }
        None => false,
    }
}

/// The name in `dataset raw = …`, whatever the word before it; no item goes on so.
fn named(after: &str) -> Option<&str> {
    let name = word(after);
    let then = after[name.len()..].trim_start_matches([' ', '\t']);
    (!name.is_empty() && then.starts_with('=') && !then.starts_with("==")).then_some(name)
}

/// `from std import data`, `if x > 3:`.
fn theirs(rest: &str) -> bool {
    let line = rest.lines().next().unwrap_or_default().trim_end();
    line.starts_with("from ") && line.contains(" import ")
        || line.starts_with("with ") && line.contains(" as (")
        || line.ends_with(':') && !line.contains('"')
        || line.ends_with('{') && !line.contains(" then ")
}

/// The mark of a patch or of a quotation before the word of an item: `+output`, `> let`.
fn patched(rest: &str) -> Option<&str> {
    let bare = rest.strip_prefix(['+', '-', '>'])?;
    let inner = bare.trim_start_matches(' ');
    let after = &inner[word(inner).len()..];
    (ITEM_WORDS.contains(&word(inner)) && after.starts_with([' ', '\t'])).then(|| &rest[..rest.len() - inner.len()])
}

fn word(rest: &str) -> &str {
    &rest[..rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len())]
}

/// Says whether an item above names a value so.
fn declares(above: &str, name: &str) -> bool {
    above.lines().any(|line| {
        let mut words = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|w| !w.is_empty());
        matches!(words.next(), Some("let" | "stage" | "param")) && words.next() == Some(name)
    })
}

/// Explains the stray text that starts at `start`.
pub(super) fn explain(source: SourceId, text: &str, start: usize) -> Diagnostic {
    let rest = &text[start..];
    let line = rest.lines().next().unwrap_or_default().trim_end();
    let span = |length: usize| Span::new(source, start, start + length);
    let says =
        |length: usize, message: String, label: &str| Diagnostic::new(codes::E0101, span(length), message, label);
    for (mark, length) in [("//", 2), ("/*", 2), ("<!--", 4), ("-- ", 2)] {
        if rest.starts_with(mark) {
            let problem = says(length, "a comment starts with `#`".to_owned(), "this mark").help("write `# …`");
            return match mark {
                "//" | "-- " => problem.fix(span(length), "#"),
                _ => match rest.find(if mark == "/*" { "*/" } else { "-->" }) {
                    Some(end) if !rest[..end].contains('\n') => {
                        let close = if mark == "/*" { 2 } else { 3 };
                        problem.fix(span(end + close), format!("# {}", rest[length..end].trim()))
                    }
                    _ => problem,
                },
            };
        }
    }
    if rest.starts_with("```") {
        return says(line.len(), "a fence of Markdown is no part of a recipe".to_owned(), "around the recipe")
            .help("remove the lines with the three strokes");
    }
    if let Some(mark) = patched(rest) {
        return says(
            mark.len(),
            format!("`{}` stands before an item", mark.trim()),
            "the mark of a patch or quotation",
        )
        .help("remove it");
    }
    if line.starts_with("$ ") {
        return says(1, "a line of a terminal is no part of a recipe".to_owned(), "a command").help("remove the line");
    }
    if rest.starts_with('@') {
        return says(1, "there are no decorators".to_owned(), "this character")
            .help("remove the line; how a value is made stands behind it: `let x = … with { … }`")
            .fix(span(line.len()), "");
    }
    if let Some((target, _)) = line.split_once(':').filter(|(target, _)| target.starts_with('.')) {
        return says(target.len(), "a recipe has no rules".to_owned(), "a target of Make")
            .help("remove the line: each `output name = value to \"path\"` is made by `rbpipe run`, unless it is there already")
            .fix(span(line.len()), "");
    }
    let word = word(rest);
    let shown =
        if word.is_empty() { rest.chars().next().map(String::from).unwrap_or_default() } else { word.to_owned() };
    let after = rest[word.len()..].trim_start_matches([' ', '\t']);
    let problem = says(shown.len(), format!("`{shown}` starts no item"), "expected an item word such as `let`");
    if word == "from"
        && let Some((library, names)) = line["from".len()..].split_once(" import ")
    {
        let (library, names) = (library.trim(), names.trim());
        let ours = library == "std" || library.starts_with("std.");
        let written = if ours && names != "*" {
            format!("import {library}.{{{names}}}")
        } else {
            "import std.{data, filter}".to_owned()
        };
        if let Some(module) = library.strip_prefix("std.").filter(|m| !m.contains('.') && names != "*") {
            let first = names.split(',').next().unwrap_or_default().trim();
            return problem.help(format!("import the module, `import {library}`, and write `{module}.{first}(…)`"));
        }
        let problem = problem.help(format!("write `{written}`"));
        return if ours && names != "*" { problem.fix(span(line.len()), written) } else { problem };
    }
    if matches!(word.to_ascii_uppercase().as_str(), "SELECT" | "WITH" | "INSERT" | "CREATE" | "UPDATE" | "DELETE")
        && (after.contains('(') || after.contains(' '))
    {
        return problem.help(
            "rows are not asked in SQL: `let kept = rows |> filter.rule(where: .score > 0.5) |> data.select(columns: [.id, .output])`",
        );
    }
    if matches!(word, "if" | "for" | "while" | "try" | "match" | "switch" | "sweep" | "enum") {
        let help = match word {
            "sweep" => "a sweep is a value: `let scores = sweep x in [1, 2] { … }`",
            "enum" => "an enum is a type and stands where types do: `param side: enum { left, right } = \"left\"`",
            "if" => "a choice is a value: `let x = if condition then a else b`",
            "for" | "while" => {
                "there are no loops: an operator works on all rows, and `sweep x in [1, 2] { … }` makes a node for each value"
            }
            _ => "a recipe is a list of named values; there are no statements",
        };
        return problem.help(help);
    }
    if after.starts_with(':') && !word.is_empty() {
        return problem.help(format!(
            "a recipe is no YAML: a value is named with `let {word} = …`, and the options of an operator stand in its call"
        ));
    }
    let augmented = ["+=", "-=", "*=", "/="].iter().any(|op| after.starts_with(op));
    if augmented {
        return problem.help("a name has one value for good; give the new value a name of its own with `let`");
    }
    let lower = word.to_ascii_lowercase();
    if word != lower && ITEM_WORDS.contains(&lower.as_str()) {
        return problem.help(format!("write `{lower}`")).fix(span(word.len()), lower);
    }
    if !word.is_empty() && after.starts_with('=') && !after.starts_with("==") {
        let fits = word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_');
        if declares(&text[..start], word) {
            let help =
                format!("`{word}` has one value for good; give the new one a name of its own: `let {word}2 = …`");
            return problem.help(help);
        }
        let problem = problem.help(format!("write `let {lower} = …`"));
        return if fits { problem.fix(span(0), "let ") } else { problem };
    }
    if matches!(word, "print" | "show" | "log" | "echo") && after.starts_with(['(', '"']) {
        return problem.help("what a value holds is shown by `rbpipe show RECIPE NAME`; a number can be asked for: `expect rows.rows > 0rows`");
    }
    let called = after.starts_with("|>") || after.starts_with('.') && line.contains('(');
    if called {
        return problem.help(
            "give it a name, `let x = …`, or publish it: `output x = … to \"out/x.jsonl\"`; nothing else is made",
        );
    }
    let declared = after.starts_with(|c: char| c.is_alphabetic() || c == '_');
    if let Some((_, example)) = VALUES.iter().find(|(words, _)| declared && words.contains(&lower.as_str())) {
        return problem.help(format!("what a recipe works with are values, named by `let` or `stage`: `{example}`"));
    }
    let theirs = THEIRS.iter().find(|(theirs, _)| *theirs == lower).map(|(_, ours)| *ours);
    let near = theirs.or_else(|| phrase::nearest(&lower, ITEM_WORDS.iter().copied().filter(|w| w.len() > 2)));
    match near.filter(|_| !word.is_empty()) {
        Some(near) if theirs.is_some_and(|t| t != "let") => problem.help(format!("did you mean `{near}`?")),
        Some(near) => problem.help(format!("did you mean `{near}`?")).fix(span(word.len()), near),
        None => problem.help(format!("items start with one of {}", phrase::quoted(ITEM_WORDS))),
    }
}
