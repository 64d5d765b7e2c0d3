//! `cot.structured`: what is seen, what to do and what to expect, from scene graphs.

use std::borrow::Cow;

use serde_json::{Map, Value as Json, json};

use crate::base::OpError;
use crate::data::cell::{self, Cell};
use crate::data::pictures::picture::Picture;
use crate::data::scenes::answer::{self, Form};
use crate::data::scenes::mention::Vocabulary;
use crate::data::scenes::scene::{self, Index, Scene};
use crate::data::table::Table;
use crate::engine::{Builtin, Context, Outputs};
use crate::ops::rows;
use crate::spec::OpSpec;

/// The operator.
pub static STRUCTURED: Builtin = Builtin {
    spec: OpSpec {
        signature: r#"
## Rewrites answers as structured thoughts, from the annotated scene of the row's picture: an object with the keys of `steps`, in that order.
##
## `see`: `[{"name": "red cube", "is": ["left of the lemon"]}]`, the objects that the question or the answer speaks of (all of them if it
## speaks of none) with how they stand to each other, at most eight objects and three relations each. `do`: the steps that lead to the answer,
## `["find the red cube", "compare its place with the lemon", "answer yes"]`; for a plan its own steps. `expect`: the answer as it was.
##
## A picture is known by the digest of its origin, so augmented ones keep their scene; a copy encoded anew is found by its perceptual
## hash and then its pixels. Rows without a scene are dropped and counted.
op cot.structured(
  d: Dataset[{ output: Str, ..r }],
  ## Scenes as `data.visual_genome` and `data.lvis` make them.
  scenes: Dataset[{
    image: Image, objects: [{ label: Str, box: Box, attributes: [Str] }],
    relations: [{ subject: Int, predicate: Str, object: Int }], ..s
  }],
  ## The keys to write, of `see`, `do` and `expect`.
  steps: [Str] = ["see", "do", "expect"],
  ## Columns that tell which objects matter. `.instruction` brings `.input` with it, the second half of the question.
  from: Cols,
  ## Writes lines "See: …" instead of JSON.
  as_text: Bool = false,
  ## A sentence added to the question (to `.input` if that has text, else to `.instruction`), so that the model learns when to think aloud and
  ## still gives short answers elsewhere; "" adds nothing.
  ask: Str = "Think first: reply as JSON with the keys see, do and expect.",
  ## The pictures, one or a list.
  images: Col = .images,
  ## Hamming distance of 64-bit perceptual hashes up to which a picture may be a copy of a scene's.
  image_distance: Int = 4,
) -> Dataset[{ output: Str, cot: Json, ..r }]"#,
        ..OpSpec::BASE
    },
    run: Some(run),
};

#[derive(serde::Deserialize)]
struct Args {
    steps: Vec<String>,
    from: Vec<String>,
    as_text: bool,
    ask: String,
    images: String,
    image_distance: u32,
}

const MAX_OBJECTS: usize = 8;
const MAX_RELATIONS: usize = 3;

fn run(cx: &mut Context) -> Result<Outputs, OpError> {
    let args: Args = cx.args()?;
    if let Some(unknown) = args.steps.iter().find(|s| !["see", "do", "expect"].contains(&s.as_str())) {
        return Err(OpError::new("E0213", format!("`steps` has `{unknown}`, expected `see`, `do` or `expect`")));
    }
    let store = cx.store;
    let scenes = scene::read(&cx.table("scenes")?)?;
    let vocabulary = Vocabulary::of(&scenes);
    let mut known = Index::new(&scenes, args.image_distance);
    rows::sift(cx, |cx, d| {
        let pictures: Vec<Vec<Picture>> = d.cells(&args.images)?.iter().map(Picture::all).collect();
        let found = rows::pooled(cx.threads, || known.of_rows(&pictures, store))??;
        rewritten(&args, &vocabulary, &found, &d)
    })
}

/// Rewrites the answers of the rows whose scene is known; the others get a reason to go.
fn rewritten(
    args: &Args,
    vocabulary: &Vocabulary,
    found: &[Option<&Scene>],
    d: &Table,
) -> Result<(Table, Vec<Option<String>>), OpError> {
    let outputs = d.cells("output")?;
    let questions = d.texts(&question_columns(d, &args.from))?;
    let from_answer = args.from.iter().any(|c| c == "output");

    let mut reasons = vec![None; d.rows()];
    let (mut texts, mut thoughts) = (outputs.clone(), vec![Cell::None; d.rows()]);
    for row in 0..d.rows() {
        let answer = outputs[row].text();
        let Some(scene) = found[row] else {
            reasons[row] = Some("no annotated scene has this picture".to_owned());
            continue;
        };
        let mut about = vocabulary.mentioned(&questions[row], &scene.objects);
        let named = if from_answer { vocabulary.mentioned(&answer, &scene.objects) } else { Vec::new() };
        // An answer such as "ball" to a question about the red ball names no further objects.
        if !named.iter().any(|i| about.contains(i)) {
            about.extend(named);
        }
        let thought = think(scene, &about, &questions[row], &answer, &args.steps);
        let spoken = if args.as_text { as_lines(&thought) } else { thought.to_string() };
        texts[row] = Cell::Str(Cow::Owned(spoken));
        thoughts[row] = Cell::Str(Cow::Owned(thought.to_string()));
    }
    let text_type = arrow::datatypes::DataType::Utf8;
    let column = |cells: &[Cell<'_>]| cell::column(cells, &text_type).map_err(|m| OpError::new("E0612", m.message));
    let mut out = d.with_column("output", column(&texts)?)?.with_column("cot", column(&thoughts)?)?;
    for (name, cells) in asked(d, &args.ask)? {
        out = out.with_column(name, column(&cells)?)?;
    }
    Ok((out, reasons))
}

fn question_columns(d: &Table, from: &[String]) -> Vec<String> {
    let mut columns: Vec<String> = from.iter().filter(|c| *c != "output").cloned().collect();
    let has_input = d.batch.column_by_name("input").is_some();
    if let Some(at) = columns.iter().position(|c| c == "instruction").filter(|_| has_input) {
        if !columns.iter().any(|c| c == "input") {
            columns.insert(at + 1, "input".to_owned());
        }
    }
    columns
}

/// Adds the sentence that asks for a thought.
fn asked<'d>(d: &'d Table, ask: &str) -> Result<Vec<(&'static str, Vec<Cell<'d>>)>, OpError> {
    if ask.is_empty() || d.batch.column_by_name("instruction").is_none() {
        return Ok(Vec::new());
    }
    let mut instructions = d.cells("instruction")?;
    let mut inputs = if d.batch.column_by_name("input").is_some() { d.cells("input")? } else { Vec::new() };
    for row in 0..d.rows() {
        let has_input = inputs.get(row).is_some_and(|i| !i.text().trim().is_empty());
        let slot = if has_input { &mut inputs[row] } else { &mut instructions[row] };
        *slot = Cell::Str(Cow::Owned(format!("{}\n{ask}", slot.text().trim_end())));
    }
    let mut out = vec![("instruction", instructions)];
    if !inputs.is_empty() {
        out.push(("input", inputs));
    }
    Ok(out)
}

fn think(scene: &Scene, about: &[usize], question: &str, answer: &str, steps: &[String]) -> Json {
    let everything: Vec<usize> = (0..scene.objects.len()).collect();
    let shown = if about.is_empty() { &everything } else { about };
    let shown = &shown[..shown.len().min(MAX_OBJECTS)];
    let mut thought = Map::new();
    for step in steps {
        let value = match step.as_str() {
            "see" => seen(scene, shown),
            "do" => json!(done(scene, about, question, answer)),
            _ => json!(answer.trim()),
        };
        thought.insert(step.clone(), value);
    }
    Json::Object(thought)
}

/// Lists objects, each with how it stands to those listed after it, so that a pair is told once.
fn seen(scene: &Scene, shown: &[usize]) -> Json {
    let object = |(at, &i): (usize, &usize)| {
        let later = &shown[at + 1..];
        let stands = scene.relations.iter().filter_map(|r| match () {
            () if r.subject == i && later.contains(&r.object) => Some((r.predicate.as_str(), r.object)),
            () if r.object == i && later.contains(&r.subject) => Some((scene::converse(&r.predicate)?, r.subject)),
            () => None,
        });
        let mut told: Vec<String> =
            stands.map(|(how, other)| format!("{how} the {}", scene.objects[other].name())).collect();
        told.dedup();
        told.truncate(MAX_RELATIONS);
        match told.is_empty() {
            true => json!({ "name": scene.objects[i].name() }),
            false => json!({ "name": scene.objects[i].name(), "is": told }),
        }
    };
    Json::Array(shown.iter().enumerate().map(object).collect())
}

/// Returns the steps that lead to an answer: where to look, what to do with it, what follows.
fn done(scene: &Scene, about: &[usize], question: &str, answer: &str) -> Vec<String> {
    let form = Form::of(answer);
    if let Form::Steps(steps) = form {
        return steps;
    }
    let names: Vec<String> = about.iter().take(MAX_OBJECTS).map(|&i| scene.objects[i].name()).collect();
    let mut steps: Vec<String> = match (&form, names.as_slice()) {
        (Form::Number(_), _) => Vec::new(),
        (_, []) => vec!["look at the whole scene".to_owned()],
        (_, names) => names.iter().take(3).map(|n| format!("find the {n}")).collect(),
    };
    match form {
        Form::Number(n) => {
            let counted: Vec<String> = if about.is_empty() {
                scene
                    .objects
                    .iter()
                    .filter(|o| !o.attributes.iter().any(|a| a == "hazard"))
                    .map(scene::Object::name)
                    .collect()
            } else {
                names
            };
            // The list is written only where it proves the answer; annotations may name what a question does not count.
            if i64::try_from(counted.len()) == Ok(n) && n > 0 {
                steps.push(format!("count: {}", counted.join(", ")));
            } else {
                steps.push("count what is asked for".to_owned());
            }
        }
        Form::YesNo(_) if names.len() >= 2 => steps.push(format!("compare the {} with the {}", names[0], names[1])),
        Form::YesNo(_) => steps.push("check what is asked".to_owned()),
        Form::Letter(letter) => match answer::options(question).into_iter().find(|(l, _)| *l == letter) {
            Some((_, option)) => steps.push(format!("choose what fits: {option}")),
            None => steps.push("choose the option that fits".to_owned()),
        },
        Form::Points(_) => steps.push("mark the place".to_owned()),
        Form::Text | Form::Steps(_) => steps.push("say what is asked".to_owned()),
    }
    steps
}

fn as_lines(thought: &Json) -> String {
    let Json::Object(fields) = thought else { return thought.to_string() };
    let line = |(key, value): (&String, &Json)| {
        let mut title = key.clone();
        title[..1].make_ascii_uppercase();
        let text = match value {
            Json::Array(items) => items.iter().map(spoken).collect::<Vec<_>>().join("; "),
            other => spoken(other),
        };
        format!("{title}: {text}")
    };
    fields.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn spoken(value: &Json) -> String {
    match value {
        Json::String(s) => s.clone(),
        Json::Object(o) => {
            let name = o.get("name").and_then(Json::as_str).unwrap_or_default();
            let stands: Vec<&str> =
                o.get("is").and_then(Json::as_array).into_iter().flatten().filter_map(Json::as_str).collect();
            if stands.is_empty() { name.to_owned() } else { format!("{name} ({})", stands.join(", ")) }
        }
        other => other.to_string(),
    }
}
