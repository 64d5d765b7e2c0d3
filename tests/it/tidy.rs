//! House rules as a test: layers, sizes, first lines, who may print, who may touch tensors.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The rooms in order: a file may import only from its own room and from those before it.
const ROOMS: &[&str] = &[
    "base",
    "syntax",
    "spec",
    "semantics",
    "plan",
    "data",
    "engine",
    "eval",
    "rehearsal",
    "dist",
    "model",
    "train",
    "verify",
    "ops",
    "lsp",
    "cli",
];
/// Rooms whose code must not end in a panic for want of a value.
const NO_UNWRAP: &[&str] = &["base", "syntax", "spec", "semantics", "plan", "data", "engine", "lsp"];
/// Rooms in which the tensor library may be named.
const TENSORS: &[&str] = &["dist", "model", "train", "verify", "ops"];
const MOST_LINES: usize = 800;

/// Crates that only tests need must not change the features of others: a first build would compile all of the product twice.
#[test]
fn tests_ask_the_product_for_no_other_crates() {
    let crates = |edges: &str| -> BTreeSet<String> {
        let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.args(["tree", "--offline", "--locked", "--prefix", "none", "--format", "{p} with {f}", "--edges", edges]);
        let out = cargo.current_dir(env!("CARGO_MANIFEST_DIR")).output().expect("cargo runs the tests, so it is there");
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        String::from_utf8_lossy(&out.stdout).lines().map(|l| l.trim_end_matches(" (*)").to_owned()).collect()
    };
    let product = crates("no-dev");
    let tested = crates("normal,build,dev");
    assert!(product.len() > 100);
    let other: Vec<&String> = product.difference(&tested).collect();
    assert!(other.is_empty(), "built once more for the tests, with other features: {other:#?}");
}

#[test]
fn house_rules_hold() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut broken = Vec::new();
    for path in rust_files(&root) {
        let text = fs::read_to_string(&path).expect("a source file is readable");
        let name = path.strip_prefix(&root).expect("it lies in src").display().to_string();
        let room = name.split('/').next().filter(|r| ROOMS.contains(r));
        if !text.starts_with("//!") {
            broken.push(format!("{name}: does not start with a `//!` line that says its one job"));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            broken.push(format!("{name}: {lines} lines, at most {MOST_LINES}"));
        }
        let code: Vec<(usize, &str)> = text
            .lines()
            .take_while(|l| !l.contains("mod tests {"))
            .enumerate()
            .map(|(i, l)| (i + 1, l.trim()))
            .collect();
        for &(at, line) in code.iter().filter(|(_, l)| !l.starts_with("//")) {
            if line.len() > 160 {
                broken.push(format!("{name}:{at}: longer than 160 bytes"));
            }
            if let Some(room) = room {
                check_line(&name, at, line, room, &mut broken);
            }
        }
    }
    assert!(broken.is_empty(), "{} house rules broken:\n{}", broken.len(), broken.join("\n"));
}

/// Folders of a room lie above one another too: none imports another that imports it, through whatever others. Files beside the folders may import any.
#[test]
fn folders_of_a_room_import_in_one_direction() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for path in rust_files(&root) {
        let name = path.strip_prefix(&root).expect("it lies in src").display().to_string();
        let parts: Vec<&str> = name.split('/').collect();
        let [room, folder, .., file] = parts[..] else { continue };
        let up = "super::".repeat(parts.len() - if file == "mod.rs" { 2 } else { 1 });
        let text = fs::read_to_string(&path).expect("a source file is readable");
        let found = imports.entry(format!("{room}/{folder}")).or_default();
        for way in [format!("crate::{room}::"), up] {
            for (at, _) in text.match_indices(&way).filter(|(at, _)| !text[..*at].ends_with("super::")) {
                let rest = &text[at + way.len()..];
                let target: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if target != folder && root.join(room).join(&target).is_dir() && !target.is_empty() {
                    found.insert(format!("{room}/{target}"));
                }
            }
        }
    }
    assert!(imports.len() > 20 && imports.values().any(|to| !to.is_empty()));
    while let Some(lowest) = imports.iter().find(|(_, to)| to.is_empty()).map(|(from, _)| from.clone()) {
        imports.remove(&lowest);
        imports.values_mut().for_each(|to| to.retain(|folder| *folder != lowest));
    }
    assert!(imports.is_empty(), "folders that import each other: {imports:#?}");
}

fn check_line(name: &str, at: usize, line: &str, room: &str, broken: &mut Vec<String>) {
    let rank = |r: &str| ROOMS.iter().position(|x| *x == r);
    for part in line.split("crate::").skip(1) {
        let target: String = part.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
        if rank(&target) > rank(room) {
            broken.push(format!("{name}:{at}: room `{room}` reaches up into `{target}`"));
        }
        // It gets operators as a `Catalogue`, and only the command line serves an editor.
        if room == "lsp" && target != "lsp" && rank(&target) > rank("plan")
            || target == "lsp" && room != "lsp" && room != "cli"
        {
            broken.push(format!("{name}:{at}: room `{room}` has nothing to do with `{target}`"));
        }
    }
    let prints = ["println!", "print!", "eprintln!", "eprint!", "dbg!"].iter().any(|p| line.contains(p));
    if prints && room != "cli" {
        broken.push(format!("{name}:{at}: only `cli` prints"));
    }
    let names_tch =
        line.match_indices("tch::").any(|(at, _)| !line[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
    if names_tch && !TENSORS.contains(&room) {
        broken.push(format!("{name}:{at}: tensors belong in {TENSORS:?}"));
    }
    if line.contains(".unwrap()") && NO_UNWRAP.contains(&room) {
        broken.push(format!("{name}:{at}: `.unwrap()` outside tests"));
    }
    if line.contains("todo!(") || line.contains("unimplemented!(") {
        broken.push(format!("{name}:{at}: a stub is not a feature"));
    }
}

/// Returns all `.rs` files below a folder, sorted.
fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).expect("a folder of ours").flatten() {
        let path = entry.path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

/// The table of promises names tests by their files and the beginnings of their names: each must be there.
#[test]
fn what_shows_a_promise_is_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let table = fs::read_to_string(root.join("docs/engine.md")).unwrap();
    let tests: String =
        rust_files(&root.join("tests/it")).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let mut named = 0;
    for row in table.lines().filter(|line| line.starts_with("| ")) {
        for name in row.split('`').skip(1).step_by(2) {
            let stem = name.trim_end_matches('…');
            if name.ends_with(".rs") {
                let there = rust_files(&root.join("tests/it")).iter().any(|file| file.ends_with(name));
                assert!(there, "docs/engine.md names the tests `{name}`, which are not there");
            } else if stem.matches('_').count() > 2 && stem.chars().all(|c| c.is_ascii_lowercase() || c == '_') {
                assert!(tests.contains(&format!("fn {stem}")), "docs/engine.md names `{name}`, which is no test");
                named += 1;
            }
        }
    }
    assert!(named > 30, "only {named} tests are named");
}

/// Pages and comments name files by their paths, which move.
#[test]
fn files_that_are_named_are_there() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut pages = vec![root.join("README.md")];
    for folder in ["docs", "docs/decisions"] {
        pages.extend(fs::read_dir(root.join(folder)).unwrap().map(|entry| entry.unwrap().path()));
    }
    pages.retain(|page| page.extension().is_some_and(|e| e == "md") && !page.ends_with("changelog.md"));
    pages.extend(rust_files(&root.join("src")));
    let (mut named, mut gone) = (0, Vec::new());
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        let is_path = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
        for word in text.split(|c: char| !is_path(c)).map(|word| word.trim_end_matches('.')) {
            let ours = ["src/", "tests/", "docs/", "stdlib/", "grammar/"].iter().any(|folder| word.starts_with(folder));
            let file = Path::new(word).extension().is_some_and(|e| e.len() <= 4);
            if ours && file && !word.contains("/out/") {
                named += 1;
                // From the top, or beside the page that names it.
                let there = [root, page.parent().unwrap()].iter().any(|from| from.join(word).exists());
                if !there {
                    gone.push(format!("{}: {word}", page.strip_prefix(root).unwrap().display()));
                }
            }
        }
    }
    assert!(named > 100, "only {named} files are named");
    assert!(gone.is_empty(), "files that are not there:\n{}", gone.join("\n"));
}
