//! A corpus of mistakes as authors make them: what each is told, where, and that the fixes offered do mend it.
//!
//! A file of `tests/corpus/mistakes/` holds one family. What stands above the first `===` is the head of every case, and places are counted
//! below it. `=== title | CODE LINE, …` starts a case and says which diagnostics it has, in order; `--- path` adds a file to it.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use rbpipe::base::world::MemoryWorld;
use rbpipe::base::{Diagnostic, Severity, Span};
use rbpipe::lsp::Snapshot;
use rbpipe::semantics::ParseCache;
use rbpipe::spec::Catalogue;
use rbpipe::syntax::BUILTIN_SOURCE;

struct Case {
    title: String,
    expected: Vec<String>,
    /// Path and text; the recipe first, without the head.
    files: Vec<(String, String)>,
}

fn family(name: &str) -> (String, Vec<Case>) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/mistakes").join(name).with_extension("txt");
    let text = fs::read_to_string(path).expect("a family of mistakes");
    let mut head = String::new();
    let mut cases: Vec<Case> = Vec::new();
    for line in text.lines() {
        if let Some(title) = line.strip_prefix("=== ") {
            let (title, expected) = title.rsplit_once(" |").expect("a title and what is expected");
            let expected = expected.split(',').map(|e| e.trim().to_owned()).filter(|e| !e.is_empty()).collect();
            let files = vec![("recipe.rb2".to_owned(), String::new())];
            cases.push(Case { title: title.to_owned(), expected, files });
        } else if let Some(case) = cases.last_mut() {
            match line.strip_prefix("--- ") {
                Some(file) => case.files.push((file.to_owned(), String::new())),
                None => writeln!(case.files.last_mut().expect("the recipe").1, "{line}").expect("a string"),
            }
        } else {
            writeln!(head, "{line}").expect("a string");
        }
    }
    (head, cases)
}

/// What is said of a recipe and the files that it imports.
fn told(catalogue: &Catalogue, files: &BTreeMap<PathBuf, String>) -> Snapshot {
    let world = MemoryWorld { files: files.clone() };
    Snapshot::new(
        &world,
        catalogue,
        Path::new("recipe.rb2"),
        &mut ParseCache::default(),
        Some(&rbpipe::plan::lints::Nothing),
    )
}

/// `CODE LINE` of a diagnostic, counted below the head, with the file if it is another one.
fn place(snapshot: &Snapshot, span: Span, head: usize) -> (String, usize) {
    let source = snapshot.sources.get(span.source);
    let (line, column) = source.line_col(span.start as usize);
    match source.name.as_str() {
        "recipe.rb2" => (format!("{}", line as i64 - head as i64), column),
        file => (format!("{line} in {file}"), column),
    }
}

/// All that a diagnostic says.
fn whole(snapshot: &Snapshot, d: &Diagnostic, head: usize) -> String {
    let at = |span: Span| {
        let (line, column) = place(snapshot, span, head);
        format!("{line}:{column}")
    };
    let first = |text: &str| text.lines().next().unwrap_or_default().to_owned();
    let mut out =
        format!("  {} {} `{}` {}\n", d.code, at(d.primary.span), first(snapshot.slice(d.primary.span)), d.message);
    writeln!(out, "    here: {}", d.primary.text).expect("a string");
    for other in d.others.iter().filter(|l| l.span.source != BUILTIN_SOURCE) {
        writeln!(out, "    {}: {}", at(other.span), other.text).expect("a string");
    }
    writeln!(out, "    help: {}", d.help.as_deref().unwrap_or_default()).expect("a string");
    if let Some(fix) = &d.fix {
        writeln!(out, "    fix: `{}` becomes `{}`", first(snapshot.slice(fix.span)), fix.text).expect("a string");
    }
    out
}

/// Says why a fix is none: the diagnostic must go and no error come.
fn fails_to_mend(
    catalogue: &Catalogue,
    files: &BTreeMap<PathBuf, String>,
    before: &Snapshot,
    d: &Diagnostic,
) -> Option<String> {
    let fix = d.fix.as_ref()?;
    let name = PathBuf::from(&before.sources.get(fix.span.source).name);
    let mut fixed = files.clone();
    fixed
        .get_mut(&name)
        .expect("a file of the case")
        .replace_range(fix.span.start as usize..fix.span.end as usize, &fix.text);
    let after = told(catalogue, &fixed);
    let errors = |s: &Snapshot| s.problems.iter().filter(|d| d.severity == Severity::Error).count();
    let same = |s: &Snapshot| s.problems.iter().filter(|p| p.code == d.code).count();
    let mended =
        if d.severity == Severity::Error { errors(&after) < errors(before) } else { same(&after) < same(before) };
    (!mended).then(|| format!("{:?}", after.problems.iter().map(|d| &d.message).collect::<Vec<_>>()))
}

fn run(name: &str) {
    let (head, cases) = family(name);
    let head_lines = head.lines().count();
    let catalogue = rbpipe::ops::catalogue();
    let mut snapshot = String::new();
    let mut wrong = Vec::new();
    for Case { title, expected, files } in &cases {
        let files: BTreeMap<PathBuf, String> = files
            .iter()
            .map(|(name, text)| {
                (name.into(), if name == "recipe.rb2" { format!("{head}{text}") } else { text.clone() })
            })
            .collect();
        let seen = told(&catalogue, &files);
        let found: Vec<String> = seen
            .problems
            .iter()
            .map(|d| format!("{} {}", d.code, place(&seen, d.primary.span, head_lines).0))
            .collect();
        if found != *expected {
            wrong.push(format!("{title}: expected {expected:?}, found {found:?}"));
        }
        writeln!(snapshot, "{title}").expect("a string");
        for d in &seen.problems {
            snapshot.push_str(&whole(&seen, d, head_lines));
            if d.help.as_deref().unwrap_or_default().is_empty() {
                wrong.push(format!("{title}: {} gives no next step", d.code));
            }
            if let Some(left) = fails_to_mend(&catalogue, &files, &seen, d) {
                wrong.push(format!("{title}: the fix of {} does not mend it: {left}", d.code));
            }
        }
    }
    insta::assert_snapshot!(name, snapshot);
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
}

macro_rules! families {
    ($($name:ident)*) => {
        $(#[test] fn $name() { run(stringify!($name)); })*
    };
}

families! { syntax names types columns structure paths numbers several outsiders guests exams newcomers }

const ROWS: &str =
    "import std.data\nschema Sample { id: Str, output: Str }\nlet raw = data.jsonl(\"raw.jsonl\", as: Sample)\n";

/// What an editor shows no trace of: bytes, and what is expected below [`ROWS`], in order.
const BYTES: &[(&str, &[u8], &[&str])] = &[
    ("a tab", b"output a =\traw to \"out/a.jsonl\"\n", &["W0102 4:11"]),
    ("tabs on many lines", b"output a =\n\traw\n\tto \"out/a.jsonl\"\n", &["W0102 5:1"]),
    ("Windows line ends", b"output a = raw\r\n  to \"out/a.jsonl\"\r\n", &["W0102 4:15"]),
    ("old Mac line ends", b"output a = raw to \"out/a.jsonl\"\rlet b = raw", &["W0102 4:32", "E0104 4:33"]),
    ("a NUL", b"output a = \0raw to \"out/a.jsonl\"\n", &["E0110 4:12"]),
    ("an escape character", b"output a = raw \x1b[0m to \"out/a.jsonl\"\n", &["E0110 4:16"]),
    ("a form feed", b"\x0coutput a = raw to \"out/a.jsonl\"\n", &["E0110 4:1"]),
    ("typographic quotes", "output a = raw to “out/a.jsonl”\n".as_bytes(), &["E0110 4:19"]),
    (
        "a typographic dash",
        "output a = raw to \"out/a.jsonl\"\nexpect raw.rows – 5rows > 0rows\n".as_bytes(),
        &["E0110 5:17"],
    ),
    ("a no-break space", "output a =\u{a0}raw to \"out/a.jsonl\"\n".as_bytes(), &["E0110 4:11"]),
    ("a zero-width space", "output a = r\u{200b}aw to \"out/a.jsonl\"\n".as_bytes(), &["E0110 4:13"]),
    ("a right-to-left mark", "output a = raw\u{202e} to \"out/a.jsonl\"\n".as_bytes(), &["E0110 4:15"]),
    (
        "full-width brackets",
        "output a = data.count（raw） to \"out/a.json\"\n".as_bytes(),
        &["E0110 4:22", "E0110 4:26"],
    ),
    (
        "a full-width comma",
        "output a = raw |> data.select(columns: [.id，.output]) to \"out/a.jsonl\"\n".as_bytes(),
        &["E0110 4:44"],
    ),
    ("a Cyrillic letter", "output a = r\u{430}w to \"out/a.jsonl\"\n".as_bytes(), &["E0110 4:13"]),
    ("a not-equal sign", "expect raw.rows ≠ 5rows\n".as_bytes(), &["E0110 4:17"]),
    ("a less-or-equal sign", "expect raw.rows ≤ 5rows\n".as_bytes(), &["E0110 4:17"]),
    ("an arrow", "fn f(a: Int) → Int = a\n".as_bytes(), &["E0110 4:14"]),
    ("an ellipsis as a range", "expect raw.rows in 1rows…5rows\n".as_bytes(), &["E0110 4:25"]),
    (
        "a name with an accent",
        "let donn\u{e9}es = raw\noutput a = donn\u{e9}es to \"out/a.jsonl\"\n".as_bytes(),
        &["E0110 4:5", "E0110 5:12"],
    ),
    ("a name in Chinese", "let 数据 = raw\n".as_bytes(), &["E0110 4:5"]),
    (
        "a column in German",
        "output a = raw |> data.derive(l\u{e4}nge: .output.len) to \"out/a.jsonl\"\n".as_bytes(),
        &["E0110 4:31"],
    ),
    ("an emoji", "output a = raw 🙂 to \"out/a.jsonl\"\n".as_bytes(), &["E0110 4:16"]),
    ("accents in texts and comments", "# caf\u{e9}\nexpect raw.rows > 5rows else \"à refaire\"\n".as_bytes(), &[]),
];

#[test]
fn bytes_that_cannot_be_seen() {
    let catalogue = rbpipe::ops::catalogue();
    let mut wrong = Vec::new();
    for (title, bytes, expected) in BYTES {
        let text = format!("{ROWS}{}", String::from_utf8(bytes.to_vec()).expect("UTF-8"));
        let files = BTreeMap::from([(PathBuf::from("recipe.rb2"), text)]);
        let seen = told(&catalogue, &files);
        let found: Vec<String> = seen
            .problems
            .iter()
            .map(|d| {
                let (line, column) = place(&seen, d.primary.span, 0);
                format!("{} {line}:{column}", d.code)
            })
            .collect();
        if found != *expected {
            let said: Vec<&String> = seen.problems.iter().map(|d| &d.message).collect();
            wrong.push(format!("{title}: expected {expected:?}, found {found:?} {said:?}"));
        }
        for d in seen.problems.iter().filter(|d| d.code.0 == "E0110") {
            wrong.extend(
                fails_to_mend(&catalogue, &files, &seen, d)
                    .map(|left| format!("{title}: the fix does not mend it: {left}")),
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn files_that_are_no_recipes() {
    let place = crate::engine::Place::new();
    fs::create_dir_all(place.path("folder.rb2")).expect("a folder");
    fs::write(place.path("latin.rb2"), b"let a = \"caf\xe9\"\n").expect("a file");
    fs::write(place.path("empty.rb2"), b"").expect("a file");
    fs::write(place.path("recipe.rb2"), b"import \"./latin.rb2\" as latin\nexpect latin.a == 1\n").expect("a file");
    for (name, code, piece) in [
        ("folder.rb2", 1, "it is a folder"),
        ("latin.rb2", 1, "it is no text in UTF-8"),
        ("recipe.rb2", 1, "cannot read `latin.rb2`: it is no text in UTF-8"),
        ("recipes.rb2", 1, "did you mean `recipe.rb2`?"),
        ("nothing.rb2", 1, "there is no such file"),
        ("empty.rb2", 0, "no problems"),
    ] {
        let out = place.command(&["check", name]).env("NO_COLOR", "1").output().expect("rbpipe runs");
        let said = String::from_utf8([out.stdout, out.stderr].concat()).expect("UTF-8");
        assert_eq!(out.status.code(), Some(code), "{name}: {said}");
        assert!(said.contains(piece), "{name}: {said}");
    }
}
