//! What helps an author who has no recipe yet: the operators' pages, a first recipe, completions.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use rbpipe::spec::foreign::FOREIGN;
use rbpipe::spec::{Catalogue, Pool, page};

use crate::engine::Place;

#[test]
fn the_pages_of_the_operators_are_those_of_their_declarations() {
    let catalogue = rbpipe::ops::catalogue();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/operators");
    let mut there: BTreeSet<String> =
        fs::read_dir(&folder).unwrap().map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    for module in page::modules(&catalogue) {
        let name = format!("{module}.md");
        let said = fs::read_to_string(folder.join(&name)).unwrap_or_default();
        let made = page::module(&catalogue, module).unwrap();
        assert!(said == made, "docs/operators/{name} is not what `rbpipe doc --out docs/operators` writes");
        there.remove(&name);
    }
    assert!(there.is_empty(), "no module has the pages {there:?}");
    for op in &catalogue.operators {
        assert!(!op.doc.is_empty(), "{} says nothing about itself", op.name);
    }
}

#[test]
fn doc_finds_operators_and_modules_and_says_what_is_near() {
    let place = Place::new();
    let doc = |args: &[&str]| {
        let out = place.command(&[&["doc"], args].concat()).output().unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        (out.status.code().unwrap(), text(out.stdout), text(out.stderr))
    };
    let cases: &[(&[&str], i32, &str)] = &[
        (&[], 0, "  dedup.minhash "),
        (&["dedup.minhash"], 0, "# dedup.minhash\n\nDrops near-duplicate rows"),
        (&["std.dedup.minhash"], 0, "similar: Ratio in 0%..100% = 70%"),
        (&["filter"], 0, "| `filter.rule` |"),
        (&["E0301"], 0, "# E0301: "),
        (&["minhash"], 2, "did you mean `dedup.minhash`?"),
        (&["filter.rul"], 2, "did you mean `filter.rule`?"),
        (&["zzz"], 2, "`rbpipe doc` lists all"),
    ];
    for (args, code, says) in cases {
        let (ended, out, err) = doc(args);
        assert_eq!(ended, *code, "{args:?}");
        assert!(if ended == 0 { &out } else { &err }.contains(says), "{args:?}: {out}{err}");
    }
}

#[test]
fn a_new_recipe_runs_as_it_is_and_overwrites_nothing() {
    let place = Place::new();
    let said = |args: &[&str]| {
        let out = place.command(args).output().unwrap();
        (out.status.code().unwrap(), String::from_utf8_lossy(&out.stderr).into_owned())
    };
    assert_eq!(said(&["new", "my demo"]).0, 0);
    let recipe = fs::read_to_string(place.path("my demo/recipe.rb2")).unwrap();
    assert!(recipe.contains("recipe \"my-demo\""), "{recipe}");
    for (args, code) in [
        (&["fmt", "--check", "my demo/recipe.rb2"][..], 0),
        (&["check", "my demo/recipe.rb2"], 0),
        (&["run", "my demo/recipe.rb2"], 0),
        (&["run", "my demo/recipe.rb2", "--no-exec"], 0),
        (&["run", "my demo/recipe.rb2", "-p", "budget=2rows"], 4),
    ] {
        let (ended, err) = said(args);
        assert_eq!(ended, code, "{args:?}: {err}");
    }
    let kept = fs::read_to_string(place.path("my demo/out/kept.jsonl")).unwrap();
    let ids: Vec<&str> = kept.lines().filter_map(|line| line.split('"').nth(3)).collect();
    assert_eq!(ids, ["1", "2", "6", "7"], "the empty answer, the broken row and both copies are gone");

    fs::write(place.path("my demo/recipe.rb2"), "mine").unwrap();
    let (ended, err) = said(&["new", "my demo"]);
    assert!(ended == 2 && err.contains("not empty"), "{err}");
    assert_eq!(fs::read_to_string(place.path("my demo/recipe.rb2")).unwrap(), "mine");
}

#[test]
fn completions_know_the_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let out = place.command(&["completions", shell]).output().unwrap();
        assert_eq!(out.status.code(), Some(0), "{shell}");
        assert!(String::from_utf8_lossy(&out.stdout).contains("no-exec"), "{shell}");
    }
    assert_eq!(place.command(&["completions", "tcsh"]).output().unwrap().status.code(), Some(2));
}

#[test]
fn options_of_other_trainers_lead_to_ours() {
    let catalogue = rbpipe::ops::catalogue();
    let trainers = ["train.sft", "train.dpo"].map(|name| catalogue.get(name).unwrap());
    let options: BTreeSet<&str> = trainers
        .iter()
        .flat_map(|op| op.signature.params.iter().map(|p| p.name.text.as_str()))
        .chain(["seed"])
        .collect();
    let ways: BTreeSet<&str> = rbpipe::spec::prelude::WITH.iter().map(|(name, _)| *name).collect();
    let mut names = BTreeSet::new();
    for (name, hint) in FOREIGN {
        // Case and `_` are of no account.
        assert!(names.insert(name.replace('_', "")), "{name} is listed twice");
        assert!(!options.contains(name), "{name} is an option of ours");
        for said in hint.split('`').skip(1).step_by(2) {
            if let Some(inner) = said.strip_prefix("with { ") {
                assert!(ways.contains(inner.split(':').next().unwrap()), "{name}: no `with` option in {said}");
            } else if let Some((call, _)) = said.split_once('(') {
                assert!(catalogue.get(call).is_some(), "{name}: no operator in {said}");
            } else if said.split_whitespace().next().is_some_and(|word| word.ends_with(':')) {
                assert!(options.contains(said.split(':').next().unwrap()), "{name}: no option in {said}");
            }
        }
    }
    let place = Place::new();
    let recipe = "recipe \"x\"\nimport std.{data, model, train}\nschema Row { instruction: Str, output: Str }\nparam seed: Int = 1\n\
                  let rows = data.jsonl(\"rows.jsonl\", as: Row)\noutput m = model.hf(\"./m\") |> train.sft(data: rows, NAME: 1)\n";
    for (name, hint) in FOREIGN {
        place.write("recipe.rb2", &recipe.replace("NAME", name));
        let out = place.command(&["check", "recipe.rb2", "--format", "json"]).output().unwrap();
        let said: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
        let helps: Vec<&str> =
            said["diagnostics"].as_array().unwrap().iter().filter_map(|d| d["help"].as_str()).collect();
        // An option of another operator is told so.
        let ours = rbpipe::spec::foreign::argument(hint);
        let elsewhere = ours.map(|ours| format!("it is `{ours}:` of `train.dpo`; leave it out here"));
        // Where nothing but the name is another one, the value stands there too.
        let renamed = ours.map(|ours| format!("write `{ours}: "));
        let renamed = |help: &str| renamed.as_ref().is_some_and(|start| help.starts_with(start));
        // The value, 1, stands where the hint has one as an example.
        let ones = |text: &str| {
            let pieces = text.split(|c: char| c.is_ascii_digit()).filter(|piece| !piece.is_empty());
            pieces.collect::<Vec<_>>().join("1")
        };
        let told = |help: &&str| renamed(help) || ones(help) == ones(hint) || Some(*help) == elsewhere.as_deref();
        assert!(helps.iter().any(told), "{name}: {helps:?}");
    }
}

/// Operators without an example of their own: each is shown by the recipes of `recipes/` or `docs/recipes.md`.
const WITHOUT: &[&str] = &[];

/// Each example is laid out as `fmt` does, has no problems, and runs unless it needs tensors, a server, a video or the hub.
#[test]
fn each_example_of_an_operator_is_a_recipe_that_runs() {
    let (desk, catalogue) = (Desk::new(), rbpipe::ops::catalogue());
    let (mut without, mut ran) = (Vec::new(), 0);
    for op in &catalogue.operators {
        let Some(example) = op.example else {
            without.push(op.name.as_str());
            continue;
        };
        let short = op.name.rsplit('.').next().unwrap();
        let shown = example.contains(&op.name) || example.contains(&format!(".{short}("));
        assert!(shown, "{} does not show itself", op.name);
        let recipe = format!("{}.rb2", op.name);
        assert_eq!(desk.said(&["fmt", "--check", &recipe]).0, 0, "{recipe} is not in `rbpipe fmt`'s layout");
        desk.done(&["check", &recipe]);
        // Reading and scoring take most of the time, and are the same in all recipes of a benchmark's parts.
        let part = op.name.starts_with("read.") || op.name.starts_with("mark.");
        if Needs::of(&catalogue, example) == Needs::Nothing && !part {
            desk.done(&["run", &recipe]);
            ran += 1;
        }
    }
    assert!(ran >= 50, "{ran} ran");
    assert_eq!(without, WITHOUT, "each operator is shown by a recipe in recipes/operators");
}

/// What a recipe needs that is not in the repository.
#[derive(PartialEq)]
enum Needs {
    Nothing,
    /// The tensor engine alone.
    Engine,
    /// A server, a video, files of the hub.
    Others,
}

impl Needs {
    fn of(catalogue: &Catalogue, recipe: &str) -> Self {
        const ABSENT: &[&str] = &[
            "data.hf",
            "data.frames",
            "data.epic",
            "data.ego4d",
            "bench.hf",
            "model.gguf",
            "model.server",
            "model.wheel",
        ];
        let used = || catalogue.operators.iter().filter(|op| recipe.contains(&format!("{}(", op.name)));
        // A model that lies in the repository is named by its path.
        let hub =
            recipe.lines().any(|line| line.contains("model.") && line.contains("(\"") && !line.contains("(\"../"));
        let pools = |pool: Pool| used().any(|op| op.spec.pool == pool);
        if hub || used().any(|op| ABSENT.contains(&op.name.as_str())) || pools(Pool::Net) {
            Self::Others
        } else if pools(Pool::Engine) {
            Self::Engine
        } else {
            Self::Nothing
        }
    }
}

/// The folder of the examples with all that they read, in a place of its own.
struct Desk {
    place: Place,
    folder: PathBuf,
}

impl Desk {
    fn new() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        let place = Place::new();
        let folder = place.path("recipes/operators");
        fs::create_dir_all(&folder).unwrap();
        fs::create_dir_all(place.path("tests")).unwrap();
        for file in fs::read_dir(root.join("recipes/operators")).unwrap().map(|f| f.unwrap().path()) {
            let there = folder.join(file.file_name().unwrap());
            if file.is_file() {
                fs::copy(&file, there).unwrap();
            } else if file.file_name().unwrap() != "out" {
                std::os::unix::fs::symlink(&file, there).unwrap();
            }
        }
        for name in ["data", "models"] {
            std::os::unix::fs::symlink(root.join("recipes").join(name), place.path("recipes").join(name)).unwrap();
        }
        std::os::unix::fs::symlink(root.join("tests/formats"), place.path("tests/formats")).unwrap();
        Self { place, folder }
    }

    fn said(&self, args: &[&str]) -> (i32, String) {
        let out = self.place.command(args).env("NO_COLOR", "1").current_dir(&self.folder).output().unwrap();
        (out.status.code().unwrap(), String::from_utf8([out.stdout, out.stderr].concat()).unwrap())
    }

    fn done(&self, args: &[&str]) {
        let (ended, words) = self.said(args);
        assert_eq!(ended, 0, "{args:?}: {words}");
    }
}

#[cfg(feature = "torch")]
mod tensor {
    use super::*;

    /// Those that need the engine alone run where it is.
    #[test]
    fn each_example_with_a_model_of_the_repository_runs() {
        let (desk, catalogue) = (Desk::new(), rbpipe::ops::catalogue());
        let mut ran = Vec::new();
        for op in &catalogue.operators {
            if op.example.is_some_and(|example| Needs::of(&catalogue, example) == Needs::Engine) {
                desk.done(&["run", &format!("{}.rb2", op.name)]);
                ran.push(op.name.as_str());
            }
        }
        assert!(ran.contains(&"train.reward") && ran.len() >= 8, "{ran:?}");
    }
}
